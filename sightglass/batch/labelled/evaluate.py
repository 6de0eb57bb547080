"""Write a run's evaluation, of a detector or of a classifier."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.batch import labels as folder_labels
from sightglass.batch import table
from sightglass.batch.labelled.labels import label_by_folders
from sightglass.batch.labelled.measure import NAME, place_boxes
from sightglass.evaluation import looks, stored
from sightglass.evaluation.evaluation import EvaluatedPicture
from sightglass.explain.maps.cells import CELLS
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.batch.journal import Journal
    from sightglass.batch.labelled.labels import RunLabels
    from sightglass.batch.records import Row
    from sightglass.evaluation.stored import EvaluationFacts
    from sightglass.explain.picture.item import Item


def write_evaluation(
    folder: Path, journal: Journal, items: Sequence[Item], labels: RunLabels | None, facts: EvaluationFacts
) -> None:
    """Write the evaluation beside the table of a run; without labels that of a classifier by its class folders.

    Where there are no labels at all, none is left.
    """
    if labels is None and facts.task == "classify":
        labels = label_by_folders(items, facts.classes, folder_labels.corrections(folder))
    path = folder / stored.FILE
    if labels is None:
        path.unlink(missing_ok=True)
        return
    stored.write(path, _chunk_rows(journal, items, labels, facts), replace(facts, unknown=labels.unknown))


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
            item, first = some[outcome["key"]], outcome["rows"][0]
            if facts.task == "classify":
                rows += _evaluate_classifier(item, outcome["rows"], labels, indices)
            elif (found := outcome.get(NAME)) and labels.find(item) is not None:
                more = {name: first[name] for name in ("brightness", "sharpness")}
                rows.append(found | more | {"maps": base64.b64decode(found["maps"])})
        yield rows


def _evaluate_classifier(
    item: Item, rows: Sequence[Row], labels: RunLabels, indices: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Yield a classified picture as a row, from its rows of the table; nothing without a label that counts."""
    if not (right := labels.find_classes(item)):
        return
    first = rows[0]
    found = tuple(Prediction(label, indices.get(label, 0), score) for label, score in json.loads(first["scores"]))
    places = {one.label: i for i, one in enumerate(found)}
    maps = {
        places[row["label"]]: np.frombuffer(base64.b64decode(row["cells"]), np.uint8).reshape(CELLS, -1)
        for row in rows
        if row.get("cells") and row.get("state") == "ok" and row["label"] in places
    }
    size = first["width"], first["height"]
    truths = place_boxes(labels.find(item) or (), size)
    about = {i: one for i in maps for one in truths if one.label in right}
    seen = tuple(first[f"seen_{side}"] for side in ("left", "top", "right", "bottom"))
    # Of a label that means several classes each is right.
    truth = found[0].label if found and found[0].label in right else min(right)
    yield stored.to_row(
        EvaluatedPicture(
            item.key,
            size,
            truths,
            truth,
            found,
            looks.measure_looks(maps, about, truths, size, seen),
            maps,
            brightness=first["brightness"],
            sharpness=first["sharpness"],
        )
    )
