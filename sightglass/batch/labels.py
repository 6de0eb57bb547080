"""A run's labels: their classes, corrections, and the evaluation by them with its headline numbers."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from sightglass.batch import table
from sightglass.batch.journal import Journal, writing
from sightglass.common.errors import Problem
from sightglass.common.files import to_json, write_file
from sightglass.evaluation import masks, stored
from sightglass.evaluation.errors import ErrorReport, list_rows
from sightglass.evaluation.ground_truth import GroundTruth, RunLabels
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.summary import EvaluationSummary
from sightglass.explain.phrases import listing, plural
from sightglass.models.labels import class_index, match, suggest
from sightglass.report.table import csv as write_csv

if TYPE_CHECKING:
    from sightglass.batch.engines import Work
    from sightglass.explain.picture.source import Item

CORRECTIONS = "labels.json"
"""A person's corrections beside the table: `{"bus": ["school bus"], "holidays": []}`."""
FILE = "ground_truth.json"
"""The labels of a run beside the table; without them folders are labels."""
NAMED = 4
"""Labels in a sentence."""
Matches = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class LabelMatch:
    """What a label counts as."""

    label: str
    classes: tuple[str, ...]
    """None: its pictures are not counted."""
    pictures: int
    """0 where nobody counted them."""
    suggestion: str | None = None
    """The class that may be meant, of a label that is not counted."""


def corrections(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the corrected classes of a run's labels; none: not counted."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        document = json.loads((folder / CORRECTIONS).read_text("utf-8"))
        return {str(label): tuple(map(str, names)) for label, names in document.items()}
    return {}


def correct(folder: Path, changes: Matches) -> None:
    """Save corrections beside a run's table; the next run counts by them. Raises ModelProblem."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        document = to_json({**corrections(folder), **changes}, ensure_ascii=False)
        write_file(folder / CORRECTIONS, document.encode())


def find_class(name: str, known: Sequence[str]) -> str:
    """Return a known class by name or synonym; raise ModelProblem."""
    equal = sorted(match([name], known).get(name, ()))
    return name if name in equal else equal[0] if len(equal) == 1 else known[class_index(name, known)]


def match_names(truth: GroundTruth, known: Sequence[str], corrected: Matches) -> RunLabels:
    """Return labels under a model's class names, matched or corrected."""
    rows = list_names(truth, known, corrected)
    return RunLabels(truth, {row.label: row.classes for row in rows if row.classes or row.label in corrected})


def list_names(truth: GroundTruth, known: Sequence[str], corrected: Matches) -> list[LabelMatch]:
    """Return each label's classes and pictures, unmatched ones first, then by name."""
    counts = Counter(label for picture in truth.pictures.values() for label in {box.label for box in picture})
    counts.update(truth.picture_labels.values())
    # How many masks show a label would take all of them to be decoded.
    counts.update(dict.fromkeys(truth.mask_labels, 0))
    matched = match(counts, known)
    classes = {name: tuple(sorted(corrected.get(name, matched.get(name, ())))) for name in counts}
    suggested = suggest((name for name in counts if not classes[name] and name not in corrected), known)
    matches = [LabelMatch(name, classes[name], counts[name], suggested.get(name)) for name in counts]
    return sorted(matches, key=lambda item: (bool(item.classes), item.label))


def describe_left_out(matches: Sequence[LabelMatch]) -> str:
    """Return `Not counted: bus (12 pictures) and 2023.`; empty if all count."""
    uncounted = [item for item in matches if not item.classes]
    if not uncounted:
        return ""

    def describe(item: LabelMatch) -> str:
        count = [plural(item.pictures, "picture")] if item.pictures else []
        details = [*count, *([f"did you mean {item.suggestion}?"] if item.suggestion else [])]
        return f"{item.label} ({'; '.join(details)})" if details else item.label

    return f"Not counted: {listing([*map(describe, uncounted)], NAMED)}."


def label_by_folders(items: Iterable[Item]) -> GroundTruth:
    """Return the names of the pictures' folders as their labels."""
    return GroundTruth({}, (), {item.key: item.label for item in items if item.label})


def match_run(folder: Path) -> list[LabelMatch]:
    """Return a run's labels with their classes, unmatched ones first: given labels, else a classifier's folders."""
    kind = kind_of(table.read_scores(folder).task)
    if not kind.names_classes:
        return []
    if (truth := read_labels(folder)) is None:
        rows = table.read(folder)
        labelled = zip(rows["picture"], rows["labelled"], strict=True)
        names = {key: label for key, label in labelled if kind.by_folders and isinstance(label, str)}
        truth = GroundTruth({}, (), names)
    return list_names(truth, table.read_scores(folder).classes, corrections(folder))


_LABELS = TypeAdapter(GroundTruth)


def write_labels(folder: Path, labels: GroundTruth) -> None:
    """Write the labels beside a run's table, for resuming."""
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / FILE, _LABELS.dump_json(labels))


def read_labels(folder: Path) -> GroundTruth | None:
    """Return the labels beside a run's table; None without valid ones."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return _LABELS.validate_json((folder / FILE).read_bytes())
    return None


def find_lacking(work: Work, journal: Journal, items: Sequence[Item]) -> set[str]:
    """Return the keys of pictures explained with other labels."""
    if (labels := work.labels) is None:
        return set()
    digests = {item.key: digest for item in items if (digest := work.kind.digest(labels, item.key)) is not None}
    return {
        outcome["key"]
        for outcome in journal.outcomes(list(digests))
        if "rows" in outcome and outcome.get(work.kind.outcome, {}).get("digest") != digests[outcome["key"]]
    }


def write_evaluation(work: Work, journal: Journal, items: Sequence[Item]) -> None:
    """Write the evaluation and its summary beside a run's table; remove them where no label counts."""
    kind, facts, labels = work.kind, work.facts, work.labels
    if labels is None and kind.by_folders:
        labels = match_names(label_by_folders(items), facts.classes, corrections(work.folder))
    if labels is not None and not (labels.truth.masks or any(labels.classes_by_label.values())):
        labels = None
    for name in (stored.FILE, masks.FILE, SUMMARY, CSV):
        if labels is None or name != kind.file:
            (work.folder / name).unlink(missing_ok=True)
    if labels is None or not kind.file:
        return
    indices = {name: i for i, name in enumerate(facts.classes)}
    outcomes = (outcome for outcome in journal.outcomes([item.key for item in items]) if "rows" in outcome)
    rows = (row for outcome in outcomes for row in kind.rows(labels, outcome["key"], outcome, indices))
    stored.write(work.folder / kind.file, rows, replace(facts, unknown=labels.unknown))
    with contextlib.suppress(Problem):
        _write_summary(work.folder)


SUMMARY, CSV = "evaluation.json", "evaluation.csv"
"""Beside the table; the latter has one row a labelled object, a wrong box or a classified picture (`kinds.ErrorUnit`);
of a segmentation one a class."""


def summarise(report: ErrorReport) -> EvaluationSummary:
    """Summarise an evaluation: AP over all boxes, other numbers above the threshold."""
    evaluation, kind = report.evaluation, kind_of(report.evaluation.task)
    metrics = kind.measure_fit(evaluation)
    return EvaluationSummary.build(
        model=evaluation.model,
        task=evaluation.task,
        pictures=len(evaluation.pictures),
        objects=evaluation.objects if kind.counts_objects else 0,
        not_counted=evaluation.not_counted,
        right=int(kind.find_right(evaluation).sum()),
        threshold=evaluation.threshold,
        scores=metrics.scores,
        by_class=metrics.by_class,
        errors=report.types if kind.counts_objects else {},
        unknown=evaluation.unknown,
        problems=(),
    )


def _summarise_masks(folder: Path) -> EvaluationSummary:
    """Summarise a segmentation run; raise Problem for an unreadable one."""
    try:
        about, lines = stored.read(folder / masks.FILE)
        rows = [json.loads(line) for line in lines]
        good = [row for row in rows if "problem" not in row]
        pairs = [row["pairs"] for row in good]
        metrics = masks.measure(pairs)
        return EvaluationSummary.build(
            model=about.model,
            task=about.task,
            pictures=sum(map(bool, pairs)),
            objects=sum(count for picture in pairs for *_, count in picture),
            not_counted=sum(row["not_counted"] for row in good),
            right=sum(count for picture in pairs for truth, answer, count in picture if truth == answer),
            threshold=0.0,
            scores=metrics.scores,
            by_class={about.classes[int(index)]: estimate for index, estimate in metrics.by_class.items()},
            errors={},
            unknown=about.unknown,
            problems=[(row["picture"], row["problem"]) for row in rows if "problem" in row],
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError) as problem:
        raise Problem(f"There are no masks in {folder.name}: run it with --labels and a folder of masks.") from problem


def load_summary(folder: Path) -> EvaluationSummary:
    """Return a labelled run's summary; raises Problem without labels."""
    file = folder / (masks.FILE if (folder / masks.FILE).is_file() else stored.FILE)
    return _load_summary(file, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=16)
def _load_summary(file: Path, _changed: int) -> EvaluationSummary:
    """Summarise an evaluation: of thousands of pictures that takes seconds."""
    is_masks = file.name == masks.FILE
    return _summarise_masks(file.parent) if is_masks else summarise(ErrorReport(stored.load(file.parent)))


def _write_summary(folder: Path) -> None:
    """Write `SUMMARY` and `CSV` of a labelled run; raise Problem without labels."""
    evaluation = load_summary(folder)
    if (folder / masks.FILE).is_file():
        columns, classes = ("class", "iou", "low", "high"), evaluation.by_class.items()
        units = [dict(zip(columns, (name, *astuple(estimate)), strict=True)) for name, estimate in classes]
    else:
        units = list_rows(ErrorReport(stored.load(folder)).units)
    document = evaluation.to_dict()
    del document["headline"]
    write_file(folder / CSV, write_csv(units).encode())
    write_file(folder / SUMMARY, to_json({"summary": document}, None, ensure_ascii=False).encode())
