"""Write the evaluation of a run's answers by their labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sightglass.batch import labels as folder_labels
from sightglass.batch import output, table
from sightglass.batch.journal import settings_of
from sightglass.batch.labelled import pixels
from sightglass.batch.labelled.labels import label_by_folders, read_labels
from sightglass.common.errors import Problem
from sightglass.evaluation import stored
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.models import catalog

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.batch.journal import Journal
    from sightglass.evaluation.ground_truth import RunLabels
    from sightglass.evaluation.kinds import Classes
    from sightglass.explain.picture.item import Item


def lacking(kind: Classes, labels: RunLabels, items: Sequence[Item], journal: Journal) -> set[str]:
    """Return the keys of pictures that were explained without labels, or with others."""
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
    """Write the evaluation beside the table of a run; without labels that of a classifier by its class folders.

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
    """Write a classifier's evaluation by its class folders again, once a person corrected what one counts as.

    It is made of the run's table, without its model. A run with labels of its own, or of a detector, is left as it is.
    """
    about = _find_facts(folder)
    if about is None or not (kind := kind_of(about.task)).by_folders or read_labels(output.Local(folder)) is not None:
        return
    frame = table.read(folder)
    frame = frame.astype(object).where(frame.notna(), None)
    folders = {one.picture: one.labelled for one in frame.itertuples() if one.labelled}
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
    """Return what holds for all pictures of a run, also of one without an evaluation; None of an unknown model."""
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
