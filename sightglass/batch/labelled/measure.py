"""Store a detector's boxes of a picture beside its labels, with a small map of each shown box."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sightglass.evaluation import stored
from sightglass.evaluation.evaluation import LEAST_CONFIDENCE, EvaluatedPicture
from sightglass.explain.evidence.targets import decode
from sightglass.explain.explanation import explain, method_of
from sightglass.explain.maps.cells import cells

if TYPE_CHECKING:
    from sightglass.batch.journal import Journal, Outcome
    from sightglass.batch.labelled.labels import RunLabels
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
    return {
        one["key"]
        for one in journal.outcomes(list(wanted))
        if "rows" in one and one.get(NAME, {}).get("digest") != wanted[one["key"]]
    }
