"""A run's labels under the names of its model's classes, and its answers beside them."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sightglass.batch import labels as folder_labels
from sightglass.batch import output, table
from sightglass.batch.journal import settings_of
from sightglass.batch.labelled import pixels
from sightglass.common.errors import Problem
from sightglass.evaluation import stored
from sightglass.evaluation.ground_truth import GroundTruth, LabelProblem, RunLabels, TrueBox
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sightglass.batch.journal import Journal
    from sightglass.batch.labels import FolderLabel, Matches
    from sightglass.batch.output import Local, RemoteFolder
    from sightglass.common.files import Json
    from sightglass.evaluation.kinds import Classes
    from sightglass.explain.picture.item import Item

FILE, MASKS = "ground_truth.json", "ground_truth_masks.zip"
"""Beside the table."""


def match_names(truth: GroundTruth, classes: Sequence[str], corrections: Matches) -> RunLabels:
    """Return labels under a model's class names, matched or corrected."""
    rows = list_names(truth, classes, corrections)
    return RunLabels(truth, {row.folder: row.classes for row in rows if row.classes or row.folder in corrections})


def list_names(truth: GroundTruth, classes: Sequence[str], corrections: Matches) -> list[FolderLabel]:
    """Return each label's classes and pictures, unmatched labels first."""
    counts = Counter(label for picture in truth.pictures.values() for label in {box.label for box in picture})
    counts.update(truth.named.values())
    # How many masks show a label would take all of them to be decoded.
    counts.update(dict.fromkeys(truth.mask_labels, 0))
    return folder_labels.list_labels(counts, classes, None, corrections)


def describe_unmatched(names: Sequence[FolderLabel], corrections: Matches) -> str:
    """Return the labels without a class of the model, as text.

    `names`: of `list_names`. `corrections`: a label that a person said not to count is none of them.
    """
    return folder_labels.describe_left_out([name for name in names if name.folder not in corrections])


def label_by_folders(folders: Mapping[str, str], classes: Sequence[str], corrections: Matches) -> RunLabels | None:
    """Return labels by folder name; None without a matching class."""
    truth = GroundTruth({}, (), folders)
    names = list_names(truth, classes, corrections)
    named = {label.folder: label.classes for label in names}
    return RunLabels(truth, named) if any(named.values()) else None


def name_pictures(folder: Path, keys: Sequence[str]) -> list[str | None] | None:
    """Return each picture's label; None for a run without labels.

    A detector's labels are boxes, so that no picture has one.
    """
    if (truth := read_labels(output.Local(folder))) is None:
        return None
    about = stored.read_facts(folder)
    return kind_of(about.task if about is not None else "").name_pictures(truth, keys)


def write_labels(store: Local | RemoteFolder, labels: GroundTruth) -> None:
    """Write the labels beside a run's table, for resuming."""
    boxes = {
        name: [(box.label, *box.box, box.crowd, box.relative) for box in boxes_of_picture]
        for name, boxes_of_picture in labels.pictures.items()
    }
    problems = [(problem.file, problem.line, problem.reason) for problem in labels.problems]
    data = {"pictures": boxes, "named": dict(labels.named), "problems": problems}
    if labels.masks:
        data |= {"masks": list(labels.masks), "mask_labels": labels.mask_labels}
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            # By number: the name of a picture may be none in an archive.
            for number, mask in enumerate(labels.masks.values()):
                archive.writestr(str(number), mask)
        store.put(MASKS, packed.getvalue())
    store.put(FILE, json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode())


def read_labels(store: Local | RemoteFolder) -> GroundTruth | None:
    """Return the labels beside a run's table; None without valid ones."""
    if (data := store.get(FILE)) is None:
        return None
    try:
        document: Json = json.loads(data)
        return GroundTruth(
            {
                name: tuple(TrueBox(label, (x0, y0, x1, y1), *more) for label, x0, y0, x1, y1, *more in rows)
                for name, rows in document["pictures"].items()
            },
            tuple(LabelProblem(*problem) for problem in document["problems"]),
            document["named"],
            _read_masks(store, document.get("masks", ())),
            tuple(document.get("mask_labels", ())),
        )
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


def _read_masks(store: Local | RemoteFolder, keys: Sequence[str]) -> dict[str, bytes]:
    if not keys:
        return {}
    with zipfile.ZipFile(io.BytesIO(store.get(MASKS) or b"")) as archive:
        return {key: archive.read(str(number)) for number, key in enumerate(keys)}


def find_lacking(kind: Classes, labels: RunLabels, items: Sequence[Item], journal: Journal) -> set[str]:
    """Return the keys of pictures explained with other labels."""
    digests = {item.key: digest for item in items if (digest := kind.digest(labels, item.key)) is not None}
    return {
        outcome["key"]
        for outcome in journal.outcomes(list(digests))
        if "rows" in outcome and outcome.get(kind.outcome, {}).get("digest") != digests[outcome["key"]]
    }


def write_evaluation(
    kind: Classes,
    folder: Path,
    journal: Journal,
    items: Sequence[Item],
    labels: RunLabels | None,
    facts: EvaluationFacts,
) -> None:
    """Write the evaluation beside a run's table.

    Where there are no labels at all, none is left.
    """
    if not kind.file:
        return
    if labels is None and kind.by_folders:
        folders = {item.key: item.label for item in items if item.label}
        labels = label_by_folders(folders, facts.classes, folder_labels.corrections(folder))
    for name in (stored.FILE, pixels.FILE):
        if labels is None or name != kind.file:
            (folder / name).unlink(missing_ok=True)
    if labels is not None:
        chunks = _chunk_rows(kind, journal, [item.key for item in items], labels, facts.classes)
        kind.write(folder / kind.file, chunks, replace(facts, unknown=labels.unknown))


def evaluate_folders(folder: Path) -> None:
    """Write a classifier's evaluation by folders again, after a correction.

    It is made of the run's table, without its model. A run with labels of its own, or of a detector, is left as it is.
    """
    about = _find_facts(folder)
    if about is None or not (kind := kind_of(about.task)).by_folders or read_labels(output.Local(folder)) is not None:
        return
    frame = table.read(folder)
    frame = frame.astype(object).where(frame.notna(), None)
    folders = {row.picture: row.labelled for row in frame.itertuples() if row.labelled}
    labels = label_by_folders(folders, about.classes, folder_labels.corrections(folder))
    if labels is None:
        (folder / stored.FILE).unlink(missing_ok=True)
        return
    indices = {name: i for i, name in enumerate(about.classes)}
    rows = [
        row
        for key, of in frame.groupby("picture", sort=False)
        for row in kind.rows(labels, str(key), {"rows": of.to_dict("records")}, indices)
    ]
    stored.write(folder / stored.FILE, [rows], replace(about, unknown=labels.unknown))


def _find_facts(folder: Path) -> EvaluationFacts | None:
    """Return a run's evaluation facts; None for an unknown model."""
    if (about := stored.read_facts(folder)) is not None:
        return about
    try:
        spec = catalog.spec(settings_of(folder)["recipe"]["model"])
    except Problem:
        return None
    return EvaluationFacts(spec.id, spec.name, kind_of(spec).task, table.classes(folder), 0.0)


def _chunk_rows(
    kind: Classes, journal: Journal, keys: Sequence[str], labels: RunLabels, classes: Sequence[str]
) -> Iterator[list[dict[str, Any]]]:
    indices = {name: i for i, name in enumerate(classes)}
    for start in range(0, len(keys), table.CHUNK):
        yield [
            row
            for outcome in journal.outcomes(list(keys[start : start + table.CHUNK]))
            if "rows" in outcome
            for row in kind.rows(labels, outcome["key"], outcome, indices)
        ]
