"""A run's labels: their classes, corrections, and the evaluation by them with its headline numbers."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter

from sightglass.batch import table
from sightglass.batch.engines import Work
from sightglass.batch.journal import Journal, Outcome, writing
from sightglass.common.errors import Problem, Unreadable
from sightglass.common.files import Json, modified, to_json, write_file
from sightglass.common.files.keeping import read_json, replace_file
from sightglass.common.files.locking import file_lock
from sightglass.evaluation import label_changes, stored
from sightglass.evaluation.errors import ErrorReport, EvaluationSummary, list_rows
from sightglass.evaluation.ground_truth import GroundTruth, RunLabels
from sightglass.evaluation.kinds import EvaluationKind, judge_row, kind_of
from sightglass.evaluation.stored import EvaluatedPicture
from sightglass.explain.phrases import listing, plural
from sightglass.explain.picture.source import Item
from sightglass.models.labels import class_index, match, suggest
from sightglass.report.table import csv as write_csv

CORRECTIONS = "labels.json"
"""A person's corrections beside the table: `{"bus": ["school bus"], "holidays": []}`."""
FILE = "ground_truth.json"
"""The labels of a run beside the table; without them folders are labels."""
SUMMARY, CSV = "evaluation.json", "evaluation.csv"
"""Beside the table; the latter has one row a labelled object, a wrong box or a classified picture (`kinds.ErrorUnit`);
of a segmentation one a class."""
INDICES = "Numbers are indices of classes, from 0."
NAMED = 4
"""Labels in a sentence."""
Matches = Mapping[str, Collection[str]]
_CORRECTIONS, _LABELS = TypeAdapter(dict[str, tuple[str, ...]]), TypeAdapter(GroundTruth)


@dataclass(frozen=True)
class LabelMatch:
    """What a label counts as."""

    label: str
    classes: tuple[str, ...]
    """Classes of the model; empty: its pictures are not counted."""
    pictures: int
    """How many pictures have it; 0 of a label of masks, which are not decoded for that."""
    suggestion: str | None = None
    """The class that may be meant, of a label that is not counted."""


def corrections(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the corrected classes of a run's labels; none: not counted. Raises Unreadable."""
    return read_json(folder / CORRECTIONS, _CORRECTIONS) or {}


def correct(folder: Path, changes: Matches) -> None:
    """Save corrections beside a run's table; the next run counts by them. Raises ModelProblem."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / CORRECTIONS), writing(folder):
        write_file(folder / CORRECTIONS, to_json({**corrections(folder), **changes}, ensure_ascii=False).encode())


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
    counts.update({label: 0 for label in truth.mask_labels if label})
    indices = {name: float(name) for name in counts} if truth.indexed else {}
    indexed = {name: (known[int(index)],) for name, index in indices.items() if index < len(known)}
    matched = {**indexed, **match(counts, known)}
    classes = {name: tuple(sorted(corrected.get(name, matched.get(name, ())))) for name in counts}
    suggested = suggest((name for name in counts if not classes[name] and name not in corrected), known)
    matches = [LabelMatch(name, classes[name], counts[name], suggested.get(name)) for name in counts]
    return sorted(matches, key=lambda item: (bool(item.classes), item.label))


def describe_not_counted(matches: Sequence[LabelMatch]) -> str:
    """Return `Not counted: bus (12 pictures) and 2023.`; empty if all count."""
    uncounted = []
    for item in matches:
        count = plural(item.pictures, "picture") if item.pictures else ""
        details = "; ".join(filter(None, (count, f"did you mean {item.suggestion}?" if item.suggestion else "")))
        if not item.classes:
            uncounted.append(f"{item.label} ({details})" if details else item.label)
    return f"Not counted: {listing(uncounted, NAMED)}." if uncounted else ""


@dataclass(frozen=True)
class LabelCoverage:
    """How the labels of a run fit its pictures."""

    words: str
    """`58 of 60 labelled, 2 files missing`."""
    details: str
    """How the labels were read, and which labelled files are missing; empty for labels by folders."""
    problem: str = ""
    """Why they cannot be used."""


def describe_coverage(
    truth: GroundTruth, kind: EvaluationKind, pictures: Sequence[str], folder: str = ""
) -> LabelCoverage:
    """Count labelled pictures, and labelled files that are none of them; `folder`: as of `GroundTruth.among`."""
    truth = truth.among(pictures, folder)
    labelled, problem = sum(kind.find(truth, key) is not None for key in pictures), ""
    try:
        kind.check(truth, pictures)
    except Problem as refused:
        problem = str(refused)
    missing = truth.find_missing(pictures)
    words = f"{labelled:,} of {len(pictures):,} labelled"
    for files, what in ((missing, "missing"), (truth.unclear, "unclear")):
        words += f", {plural(len(files), 'file')} {what}" if files else ""
    details = [*describe_reading(truth, kind), *describe_files(truth, pictures)]
    return LabelCoverage(words, " ".join(filter(None, details)), problem)


def describe_reading(truth: GroundTruth, kind: EvaluationKind) -> list[str]:
    """Return what labels were read as, a sentence each."""
    indices = [INDICES] if truth.indexed and kind.names_classes else []
    # True numbers are no classes.
    read_as = truth.read_as if kind.names_classes else replace(truth.read_as, classes=0)
    return [*read_as.list_sentences(), *indices]


def describe_files(truth: GroundTruth, pictures: Collection[str]) -> list[str]:
    """Return sentences on labelled files that count for none of these pictures."""
    truth = truth.among(pictures)
    sentences = {
        f"Not among the pictures{_in_folder(truth)}": truth.find_missing(pictures),
        "Not counted, as several pictures or several labels are called so": truth.unclear,
        "Matched by name, though the labels state a folder that none of the pictures is in": truth.list_other_folders(),
    }
    said = [f"{why}: {listing(files, NAMED)}." for why, files in sentences.items() if files]
    if (folders := truth.find_other_part()) is not None:
        said.append(f"The labels are in {folders[0]}, and the pictures in {folders[1]}: give labels of the same part.")
    return said


def _in_folder(truth: GroundTruth) -> str:
    return f" in {truth.shown_folder}" if truth.shown_folder else ""


def label_by_folders(items: Iterable[Item]) -> GroundTruth:
    """Return the names of the pictures' folders as their labels."""
    return _label_pictures({item.key: item.label for item in items})


def _label_pictures(labels: Mapping[str, str | None]) -> GroundTruth:
    """Return labels that are known by their pictures; None for one without."""
    matches = {key: key if label else "" for key, label in labels.items()}
    return GroundTruth({}, (), {key: label for key, label in labels.items() if label}, matches=matches)


def match_run(folder: Path) -> list[LabelMatch]:
    """Return a run's labels with their classes, unmatched ones first."""
    scores = table.read_scores(folder)
    if not kind_of(scores.task).names_classes:
        return []
    return list_names(find_labels(folder), scores.classes, corrections(folder))


def find_labels(folder: Path) -> GroundTruth:
    """Return the labels that a run was given, else a classifier's folders."""
    if (truth := read_labels(folder)) is not None:
        return truth
    rows, by_folders = table.read(folder), kind_of(table.read_scores(folder).task).by_folders
    labelled = zip(rows["picture"], rows["labelled"], strict=True)
    return _label_pictures({key: label for key, label in labelled if by_folders and isinstance(label, str)})


def write_labels(folder: Path, labels: GroundTruth) -> None:
    """Write the labels beside a run's table, for resuming."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / FILE, _LABELS.dump_json(labels), lambda: read_labels(folder))


def read_labels(folder: Path) -> GroundTruth | None:
    """Return the labels beside a run's table; None without any. Raises Unreadable."""
    return read_json(folder / FILE, _LABELS)


def check_not_lost(folder: Path) -> None:
    """Raise Unreadable where a run was evaluated, and the file of that is missing."""
    if (folder / SUMMARY).is_file():
        raise Unreadable(f"{stored.FILE} in {folder} is missing: {table.AGAIN}.")


def find_lacking(work: Work, journal: Journal, items: Sequence[Item]) -> set[str]:
    """Return the keys of pictures explained with other labels."""
    if (labels := work.labels) is None or work.kind.judge is None:
        return set()
    digests = {item.key: digest for item in items if (digest := labels.digest(item.key)) is not None}
    return {
        outcome["key"]
        for outcome in journal.outcomes(list(digests))
        if "rows" in outcome and outcome.get("evaluated", {}).get("digest") != digests[outcome["key"]]
    }


def write_evaluation(work: Work, journal: Journal, items: Sequence[Item]) -> None:
    """Write the evaluation and its summary beside a run's table; remove them where no label counts."""
    kind, facts, labels = work.kind, work.facts, work.labels
    if labels is None and kind.by_folders:
        labels = match_names(label_by_folders(items), facts.classes, corrections(work.folder))
    counted = labels is not None and (labels.truth.masks or any(labels.classes_by_label.values()))
    if labels is None or not (kind.names_classes and counted):
        for name in (stored.FILE, SUMMARY, CSV):
            (work.folder / name).unlink(missing_ok=True)
        return
    stopped = journal.count_settled([item.key for item in items]) < len(items)
    outcomes = (outcome for outcome in journal.outcomes([item.key for item in items]) if "rows" in outcome)
    rows = _list_evaluated(labels, kind, outcomes, {name: i for i, name in enumerate(facts.classes)})
    stored.write(work.folder / stored.FILE, rows, replace(facts, unknown=labels.unknown, stopped=stopped))
    write_summary(work.folder)


def _list_evaluated(
    labels: RunLabels, kind: EvaluationKind, outcomes: Iterable[Outcome], indices: Mapping[str, int]
) -> Iterator[Json]:
    """Yield the evaluation's row of each labelled picture, of all of a classifier, and of one that lacks its mask."""
    for outcome in outcomes:
        key, row = outcome["key"], outcome["rows"][0]
        if kind.judge is None:
            yield stored.to_row(judge_row(labels, key, row, indices))
        elif kind.find(labels.truth, key) is not None:
            # A run that was stopped has not yet judged all that earlier ones explained without labels.
            yield from [outcome["evaluated"]] if "evaluated" in outcome else []
        elif labels.truth.masks:
            missing = "no mask is named as this picture"
            yield stored.to_row(EvaluatedPicture(key, (row["width"], row["height"]), problem=missing))


def load_summary(folder: Path) -> EvaluationSummary:
    """Return a labelled run's summary; raises Problem without labels."""
    return _load_summary(folder, modified(folder / stored.FILE), modified(folder / label_changes.FILE))


@lru_cache(maxsize=16)
def _load_summary(folder: Path, *_changed: int) -> EvaluationSummary:
    """Summarise an evaluation: of thousands of pictures that takes seconds."""
    return EvaluationSummary.build(stored.load(folder))


def write_summary(folder: Path) -> None:
    """Write `SUMMARY` and `CSV` of a labelled run; raise Problem without labels."""
    summary, evaluation = load_summary(folder), stored.load(folder)
    if kind_of(evaluation.task).counts_pixels:
        units = [{"class": name, "iou": e.value, "low": e.low, "high": e.high} for name, e in summary.by_class.items()]
    else:
        units = list_rows(ErrorReport(evaluation).units)
    document = summary.to_dict()
    del document["headline"]
    write_file(folder / CSV, write_csv(units).encode())
    write_file(folder / SUMMARY, to_json({"summary": document}, None, ensure_ascii=False).encode())
