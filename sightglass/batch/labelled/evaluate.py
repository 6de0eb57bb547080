"""Hold a run's answers against labels, picture by picture, and write its evaluation."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.batch import labels as folder_labels
from sightglass.batch import output, table
from sightglass.batch.journal import settings_of
from sightglass.batch.labelled import pixels
from sightglass.batch.labelled.labels import label_by_folders, read_labels
from sightglass.common.errors import Problem
from sightglass.evaluation import stored
from sightglass.evaluation.stored import LEAST_CONFIDENCE, EvaluatedPicture, EvaluationFacts
from sightglass.explain.explanation import explain, method_of
from sightglass.explain.maps.heatmap import CELLS, cells
from sightglass.explain.tasks import decode
from sightglass.models import catalog
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.batch.journal import Journal, Outcome
    from sightglass.batch.labelled.labels import RunLabels
    from sightglass.batch.records import Row
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.item import Item

MOST_MAPS = 20
"""Boxes of a picture that get a map of their own, the surest first."""

NAME = "evaluated"
"""Of what an outcome says of the labels."""


def measure_picture(labels: RunLabels, item: Item, made: Explanation) -> Outcome:
    """Return what an outcome says of a detector's answers and its labels; nothing of a picture without any."""
    given = labels.find(item.key)
    if given is None or made.model.task != "detect":
        return {}
    size = made.image.width, made.image.height
    truths = place_boxes(given, size)
    maps = _map_boxes(made)
    options = replace(made.options, confidence=min(LEAST_CONFIDENCE, made.options.confidence))
    found = decode(made.evidence, options)
    # By what a box is: the same candidate decodes to the same box at any threshold.
    places = {(one.anchor, one.index): i for i, one in enumerate(found)}
    mapped = {places[key]: cells for key, cells in maps.items() if key in places}
    timings = made.milliseconds
    picture = EvaluatedPicture(
        item.key,
        size,
        truths,
        found=found,
        maps=mapped,
        milliseconds=timings["prepare"] + timings["model"] if timings["model"] else 0.0,
    )
    row = stored.to_row(picture)
    return {NAME: row | {"maps": base64.b64encode(row["maps"]).decode(), "digest": _digest(given)}}


def place_boxes(given: Sequence[TrueBox], size: tuple[int, int]) -> tuple[TrueBox, ...]:
    """Return boxes in pixels of a picture of this size, without those that lie outside of it."""
    every = (one.in_pixels(size) for one in given)
    return tuple(one for one in every if one.box[2] > one.box[0] and one.box[3] > one.box[1])


def _map_boxes(made: Explanation) -> dict[tuple[int | None, int], Any]:
    """Return the small map of each shown box, by candidate and class; none of a model or a method that is slow."""
    options, evidence = made.options, made.evidence
    if not made.predictions or not method_of(evidence.resident, options).quick:
        return {}
    each = replace(options, per="detection", targets=(), top_k=MOST_MAPS, within="picture")
    apart = explain(made.image, evidence, each, milliseconds={})
    return {
        (one.target.anchors[0], one.target.index): cells(one)
        for one in apart.heatmaps
        if one.state == "ok" and one.target.index is not None
    }


def _digest(given: Sequence[TrueBox]) -> str:
    """Return a text that changes with a picture's labels."""
    told = json.dumps([(one.label, one.box, one.crowd, one.relative) for one in given])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def lacking(labels: RunLabels, items: Sequence[Item], journal: Journal) -> set[str]:
    """Return the keys of pictures that were explained without labels, or with others."""
    wanted = {item.key: _digest(given) for item in items if (given := labels.find(item.key)) is not None}
    return pixels.find_stale(journal, NAME, wanted)


def write_evaluation(
    folder: Path, journal: Journal, items: Sequence[Item], labels: RunLabels | None, facts: EvaluationFacts
) -> None:
    """Write the evaluation beside the table of a run; without labels that of a classifier by its class folders.

    Of a segmentation it is what each pixel is by its mask, and by the model (`pixels`).

    Where there are no labels at all, none is left.
    """
    if labels is None and facts.task == "classify":
        named = {item.key: item.label for item in items if item.label}
        labels = label_by_folders(named, facts.classes, folder_labels.corrections(folder))
    path = folder / stored.FILE
    if facts.task == "segment":
        path.unlink(missing_ok=True)
        pixels.write(folder, journal, items, labels, facts)
        return
    if labels is None:
        path.unlink(missing_ok=True)
        return
    stored.write(path, _chunk_rows(journal, items, labels, facts), replace(facts, unknown=labels.unknown))


def evaluate_folders(folder: Path) -> None:
    """Write a classifier's evaluation by its class folders again, once a person corrected what one counts as.

    It is made of the run's table, without its model. A run with labels of its own, or of a detector, is left as it is.
    """
    about = _find_facts(folder)
    if about is None or about.task != "classify" or read_labels(output.Local(folder)) is not None:
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
        for row in _evaluate_classifier(str(key), of.to_dict("records"), labels, indices)
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
    return EvaluationFacts(spec.id, spec.name, stored.name_task(spec), table.classes(folder), 0.0)


def _chunk_rows(
    journal: Journal, items: Sequence[Item], labels: RunLabels, facts: EvaluationFacts
) -> Iterator[list[dict[str, Any]]]:
    indices = {name: i for i, name in enumerate(facts.classes)}
    for start in range(0, len(items), table.CHUNK):
        some = {item.key: item for item in items[start : start + table.CHUNK]}
        rows: list[dict[str, Any]] = []
        for outcome in journal.outcomes(list(some)):
            if "rows" not in outcome:
                continue
            item = some[outcome["key"]]
            if facts.task == "classify":
                rows += _evaluate_classifier(item.key, outcome["rows"], labels, indices)
            elif (found := outcome.get(NAME)) and labels.find(item.key) is not None:
                rows.append(found | {"maps": base64.b64decode(found["maps"])})
        yield rows


def _evaluate_classifier(
    key: str, rows: Sequence[Row], labels: RunLabels, indices: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Yield a classified picture as a row, from its rows of the table; nothing without a label that counts."""
    if not (right := labels.find_classes(key)):
        return
    first = rows[0]
    found = tuple(Prediction(label, indices.get(label, 0), score) for label, score in json.loads(first["scores"]))
    places = {one.label: i for i, one in enumerate(found)}
    maps = {
        # In the journal a small map is text.
        places[row["label"]]: np.frombuffer(
            cells if isinstance(cells, bytes) else base64.b64decode(cells), np.uint8
        ).reshape(CELLS, -1)
        for row in rows
        if (cells := row.get("cells")) and row.get("state") == "ok" and row["label"] in places
    }
    size = first["width"], first["height"]
    truths = place_boxes(labels.find(key) or (), size)
    # Of a label that means several classes each is right.
    truth = found[0].label if found and found[0].label in right else min(right)
    yield stored.to_row(EvaluatedPicture(key, size, truths, truth, found, maps))
