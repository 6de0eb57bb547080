"""Average precision (AP) of boxes as COCO defines it, and what is right and wrong of each box.

Overlaps are pycocotools'. Its matching is followed rule by rule, but for all thresholds at once, so that pictures can
be drawn again for an interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.evaluation.intervals import Metrics, average_classes, estimate, redraw
from sightglass.models.geometry import measure_common, measure_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Of the overlap (IoU) from which a box counts as right."""
RECALLS = np.linspace(0, 1, 101)
MOST = 100
"""Boxes of a class in a picture that count, the surest first; also boxes of a picture whose errors are typed."""
FOREGROUND, BACKGROUND = 0.5, 0.1
"""IoU from which a box is on an object, and up to which it is on none."""
_LEAST = np.minimum(THRESHOLDS, 1 - 1e-10)
_BLOCK = 1_000_000
"""Boxes times redrawn sets of pictures that are in memory at once."""


@dataclass(frozen=True, eq=False)
class _ClassMatches:
    """Boxes of one class over all pictures, the surest first."""

    right: NDArray[np.bool_] = field(repr=False)
    """(thresholds, boxes)"""
    counted: NDArray[np.bool_] = field(repr=False)
    """(thresholds, boxes): False of boxes inside a crowd."""
    picture: NDArray[np.int64] = field(repr=False)
    """(boxes,): the index of each box's picture."""
    objects: NDArray[np.int64] = field(repr=False)
    """(pictures,): labelled objects."""

    def average(self, weights: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return AP (draws, thresholds), pictures weighted by `weights` (draws, pictures).

        The mean of the precision at 101 recalls; nan for draws without a labelled object.
        """
        parts = -(-len(self.picture) * len(weights) // _BLOCK)
        return np.concatenate([self._average(part) for part in np.array_split(weights, max(1, parts))])

    def _average(self, weights: NDArray[np.int32]) -> NDArray[np.float64]:
        objects = weights @ self.objects
        averages = np.where(objects[:, None] > 0, np.zeros(len(THRESHOLDS)), np.nan)
        with_objects = np.flatnonzero(objects)
        per_box = weights[with_objects][:, self.picture]
        totals = np.cumsum(per_box, 1, np.int32)
        for threshold, (right, counted) in enumerate(zip(self.right, self.counted, strict=True)):
            # Precision is highest at a right box: between two it falls.
            hits, skipped = np.flatnonzero(right & counted), np.flatnonzero(~counted)
            before = np.cumsum(np.pad(per_box[:, skipped], ((0, 0), (1, 0))), 1, np.int32)
            counts = totals[:, hits] - before[:, np.searchsorted(skipped, hits)]
            true = np.cumsum(per_box[:, hits], 1, np.int32)
            precision = np.zeros((len(with_objects), len(hits) + 1))
            precision[:, :-1] = true / (counts + np.spacing(1))
            precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
            recall = true / objects[with_objects, None]
            # After the last right box there is no recall, and no precision.
            places = np.array([row.searchsorted(RECALLS) for row in recall], np.int64).reshape(-1, len(RECALLS))
            averages[with_objects, threshold] = np.take_along_axis(precision, places, 1).sum(1) / len(RECALLS)
        return averages


def measure(truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], *, seed: int = 0) -> Metrics:
    """Return COCO's AP with bootstrap intervals from `DRAWS` redrawn picture sets.

    `truths`, `found`: a list for each picture, boxes in its pixels. A class without labels does not count.
    """
    labels, predictions = _group(truths), _group(found)
    by_class = {name: _match_class(labels[name], predictions.get(name, {}), len(truths)) for name in sorted(labels)}
    draws, once = redraw(len(truths), seed), np.ones((1, len(truths)), np.int32)
    exact = {name: matches.average(once)[0] for name, matches in by_class.items()}
    drawn = {name: matches.average(draws) for name, matches in by_class.items()}

    def average(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.asarray(average_classes(np.stack(values))) if values else np.full(len(draws), np.nan)

    def average_one(values: list[float]) -> float:
        return float(average_classes(np.array(values))) if values else float("nan")

    drawn_ap = average([values.mean(1) for values in drawn.values()])
    drawn_ap50 = average([values[:, 0] for values in drawn.values()])
    ap = estimate(average_one([values.mean() for values in exact.values()]), drawn_ap, least=0.0)
    ap50 = estimate(average_one([values[0] for values in exact.values()]), drawn_ap50, least=0.0)
    return Metrics(
        {"ap": ap, "ap50": ap50},
        drawn_ap,
        {name: estimate(exact[name].mean(), drawn[name].mean(1), least=0.0) for name in by_class},
    )


def _group(rows: Sequence[Sequence[Any]]) -> dict[str, dict[int, list[Any]]]:
    """Group boxes by class, then by the index of their picture."""
    groups: dict[str, dict[int, list[Any]]] = {}
    for picture, boxes in enumerate(rows):
        for box in boxes:
            if box.box is not None:
                groups.setdefault(box.label, {}).setdefault(picture, []).append(box)
    return groups


def _match_class(
    labels: Mapping[int, Sequence[TrueBox]], boxes: Mapping[int, Sequence[Prediction]], pictures: int
) -> _ClassMatches:
    """Match boxes of one class with its labels by COCO's rules, by picture."""
    from pycocotools import mask  # type: ignore[import-untyped]

    surest = {picture: sorted(some, key=lambda item: -item.score)[:MOST] for picture, some in boxes.items()}
    ends = dict(zip(surest, accumulate(map(len, surest.values())), strict=True))
    extents = _extents([box for some in surest.values() for box in some])
    right = np.zeros((len(THRESHOLDS), len(extents)), bool)
    counted = ~right
    objects = np.zeros(pictures, np.int64)
    for picture, some in labels.items():
        crowd = np.array([label.crowd for label in some])
        objects[picture] = (~crowd).sum()
        if picture in ends:
            columns = slice(ends[picture] - len(surest[picture]), ends[picture])
            overlaps = mask.iou(extents[columns], _extents(some), crowd.astype(np.uint8))
            _assign(overlaps, crowd, right[:, columns], counted[:, columns])
    picture_of = np.repeat(np.array([*surest], np.int64), [*map(len, surest.values())])
    # The same sort as theirs: of equal scores the first picture comes first.
    order = np.argsort([-box.score for some in surest.values() for box in some], kind="stable")
    return _ClassMatches(right[:, order], counted[:, order], picture_of[order], objects)


def _extents(boxes: Sequence[TrueBox | Prediction]) -> NDArray[np.float64]:
    """Return (n, 4): left, top, width, height."""
    corners = np.array([box.box for box in boxes], np.float64).reshape(-1, 4)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)


def _assign(
    overlaps: NDArray[np.float64],
    crowd: NDArray[np.bool_],
    right: NDArray[np.bool_],
    counted: NDArray[np.bool_],
) -> None:
    """Assign a picture's boxes to its labels, in place, surest first.

    It takes the free label that it overlaps most, any before a crowd, which is always free.
    """
    free = np.ones((len(THRESHOLDS), len(crowd)), bool)
    for box in np.flatnonzero(overlaps.max(1) >= _LEAST[0]):
        possible = free & (overlaps[box] >= _LEAST[:, None])
        counting = possible & ~crowd
        rank = np.where(np.where(counting.any(-1, keepdims=True), counting, possible), overlaps[box], -1)
        # Of equal overlaps the last label is theirs, too.
        label = len(crowd) - 1 - rank[:, ::-1].argmax(-1)
        hit = possible.any(-1)
        right[:, box] = hit
        counted[:, box] = ~(hit & crowd[label])
        taken = np.flatnonzero(hit & ~crowd[label])
        free[taken, label[taken]] = False


MEANINGS: Mapping[str, str] = {
    "missed": "a labelled object without a box",
    "class": "a box on an object, with the wrong class",
    "misplaced": "the right class, but the box fits badly",
    "extra": "a box where nothing is labelled, or a second box of an object",
}
RIGHT = "right"


@dataclass(frozen=True, slots=True)
class BoxMatch:
    """What is right or wrong of one box."""

    box: int
    """Its index among the boxes of its picture."""
    type: str
    """`RIGHT`, or a type of error (`MEANINGS`)."""
    truth: int
    """The index of the label that it is about; -1 of none."""
    score: float


def match(truths: Sequence[TrueBox], boxes: Sequence[Prediction], confidence: float = 0.0) -> list[BoxMatch]:
    """Return what is right and wrong of a picture's boxes from a score on: right ones first, the surest first.

    Each box is matched at an IoU of 0.5 to the free label of its class that it overlaps most, the surest box first.
    Those in a crowd are neither.
    """
    kept = sorted((i for i, box in enumerate(boxes) if box.score >= confidence), key=lambda i: -boxes[i].score)[:MOST]
    if not (kept and truths):
        return [BoxMatch(i, "extra", -1, boxes[i].score) for i in kept]
    corners, of_labels = (np.array([item.box for item in some]) for some in ([boxes[i] for i in kept], truths))
    names, label_names = (np.array([item.label for item in some]) for some in ([boxes[i] for i in kept], truths))
    same, crowd = names[:, None] == label_names, np.array([truth.crowd for truth in truths])
    overlaps = measure_pairs(corners[:, None], of_labels)
    of_class = np.where(same & ~crowd, overlaps, -1.0)
    of_others = np.where(~same & ~crowd, overlaps, -1.0)
    area = np.prod(corners[:, 2:] - corners[:, :2], 1)[:, None]
    in_crowd = (same & crowd & (measure_common(corners[:, None], of_labels) > FOREGROUND * area)).any(1)
    matches, free = [], ~crowd
    for row, i in enumerate(kept):
        nearest, other = int(of_class[row].argmax()), int(of_others[row].argmax())
        most, most_other = of_class[row, nearest], of_others[row, other]
        if most >= FOREGROUND and (candidates := np.where(free, of_class[row], -1)).max() >= FOREGROUND:
            nearest = int(candidates.argmax())
            free[nearest] = False
            matches.append(BoxMatch(i, RIGHT, nearest, boxes[i].score))
        elif in_crowd[row]:
            continue
        elif BACKGROUND <= most < FOREGROUND:
            matches.append(BoxMatch(i, "misplaced", nearest, boxes[i].score))
        elif most_other >= FOREGROUND:
            matches.append(BoxMatch(i, "class", other, boxes[i].score))
        else:
            nearer = -1 if max(most, most_other) <= BACKGROUND else other if most < most_other else nearest
            matches.append(BoxMatch(i, "extra", nearer, boxes[i].score))
    return sorted(matches, key=lambda item: item.type != RIGHT)
