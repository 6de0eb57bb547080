"""COCO's average precision (AP) with a bootstrapped interval.

Boxes are matched to labels, and precision is averaged, as pycocotools does; but all pictures at once, which takes
seconds of thousands of pictures instead of minutes, and so that pictures can be drawn again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Of the overlap (IoU) from which a box counts as right."""
SIZES = {"small": "< 32 px", "medium": "32 to 96 px", "large": "> 96 px"}
"""COCO's sizes of objects: the square root of the area."""
_AREAS = ((0.0, 1e10), (0.0, 32.0**2), (32.0**2, 96.0**2), (96.0**2, 1e10))
"""Of all objects, and of each of `SIZES`."""
_LEAST = np.minimum(THRESHOLDS, 1 - 1e-10)
RECALLS = np.linspace(0, 1, 101)
MOST = 100
"""Boxes of a class in a picture that count, the surest first."""
DRAWS = 300
"""Times that the pictures are drawn again for an interval."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; all nan where no picture says anything."""

    value: float
    low: float
    high: float

    @property
    def points(self) -> str:
        """`61.2`: in hundredths; `–` of no number."""
        return "–" if math.isnan(self.value) else f"{100 * self.value:.1f}"

    @property
    def range(self) -> str:
        """`55.0 to 66.1`; `–` of no number."""
        return "–" if math.isnan(self.low) else f"{100 * self.low:.1f} to {100 * self.high:.1f}"


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """How well boxes fit labels."""

    ap: Estimate
    """Mean over classes and over IoU of 0.5 to 0.95."""
    ap50: Estimate
    """Mean over classes at an IoU of 0.5."""
    by_class: Mapping[str, Estimate]
    """AP of each class that has labels."""
    by_size: Mapping[str, float]
    """AP of small, medium and large objects; nan of none."""
    objects: int
    pictures: int
    drawn: NDArray[np.float64] = field(repr=False)
    """(DRAWS,): AP of each redrawn set of pictures; of the same pictures and seed the same sets."""


@dataclass(frozen=True, eq=False)
class _Matched:
    """Boxes of one class over all pictures, the surest first."""

    right: NDArray[np.bool_] = field(repr=False)
    """(thresholds, boxes)"""
    counted: NDArray[np.bool_] = field(repr=False)
    """(thresholds, boxes): False of boxes inside a crowd or of another size."""
    picture: NDArray[np.int64] = field(repr=False)
    """(boxes,): the index of each box's picture."""
    objects: NDArray[np.int64] = field(repr=False)
    """(pictures,): labelled objects."""


def measure(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], *, seed: int = 0
) -> DetectionScores:
    """Return AP as COCO defines it, with intervals from `DRAWS` redrawn sets of pictures (basic bootstrap).

    `truths`, `found`: a list for each picture, boxes in its pixels. A class without labels does not count.
    """
    classes = sorted({one.label for every in truths for one in every})
    matched = match(truths, found, classes)
    draws, once = _draw(len(truths), seed), np.ones((1, len(truths)), np.int64)
    nothing = np.full((1, len(THRESHOLDS)), np.nan)
    exact = np.stack([average(one, once)[0] for one in matched[0]] or [nothing[0]])
    drawn = np.stack([average(one, draws) for one in matched[0]] or [np.repeat(nothing, DRAWS, 0)])
    drawn_ap = _mean(drawn.mean(2))
    return DetectionScores(
        ap=estimate(_mean(exact.mean(1)), drawn_ap, least=0.0),
        ap50=estimate(_mean(exact[:, 0]), _mean(drawn[:, :, 0]), least=0.0),
        by_class={name: estimate(exact[i].mean(), drawn[i].mean(1), least=0.0) for i, name in enumerate(classes)},
        by_size={
            name: float(_mean(np.stack([average(one, once)[0].mean() for one in matched[area]] or [nothing.mean()])))
            for area, name in enumerate(SIZES, 1)
        },
        objects=sum(not one.crowd for every in truths for one in every),
        pictures=len(truths),
        drawn=drawn_ap,
    )


def measure_ap50(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], *, seed: int = 0
) -> Estimate:
    """Return the `ap50` that `measure` returns, in a fraction of the time."""
    classes = sorted({one.label for every in truths for one in every})
    matched = [_at_first_threshold(one) for one in match(truths, found, classes, areas=1)[0]]
    draws, once = _draw(len(truths), seed), np.ones((1, len(truths)), np.int64)
    if not matched:
        return Estimate(math.nan, math.nan, math.nan)
    exact, drawn = (np.stack([average(one, of)[:, 0] for one in matched]) for of in (once, draws))
    return estimate(_mean(exact[:, 0]), _mean(drawn), least=0.0)


def difference(one: DetectionScores, other: DetectionScores) -> Estimate:
    """Return by how much AP of one model is above another's on the same pictures, which were drawn in pairs."""
    return estimate(one.ap.value - other.ap.value, one.drawn - other.drawn)


def average(matched: _Matched, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return AP (draws, thresholds) where each picture counts as often as `weights` (draws, pictures) says.

    The mean of the precision at 101 recalls, as pycocotools takes it; nan for draws without a labelled object.
    """
    objects = weights @ matched.objects
    averages = np.full((len(weights), len(matched.right)), np.nan)
    some = np.flatnonzero(objects)
    averages[some] = 0.0
    if not matched.right.shape[1] or not len(some):
        return averages
    # Of boxes after the last right one nothing depends.
    end = int(np.flatnonzero(matched.right.any(0)).max(initial=-1)) + 1
    per_box = weights[some].astype(np.int32)[:, matched.picture[:end]]
    # Rows are searched all at once: each lies above the one before it, in whole numbers.
    above = (int(objects.max()) + 1) * np.arange(len(some), dtype=np.int64)[:, None]
    wanted = (_count_for_recalls(objects[some]) + above).ravel()
    every: NDArray[np.int32] = np.zeros(0, np.int32)
    of: NDArray[np.bool_] = np.zeros(0, np.bool_)
    for threshold, (right, counted) in enumerate(zip(matched.right, matched.counted, strict=True)):
        # Precision is highest at a right box: between two it falls.
        hits, counted = np.flatnonzero(right & counted), counted[:end]
        if not len(hits):
            continue
        if not np.array_equal(of, counted):
            every, of = np.cumsum(per_box * counted, 1, np.int32), counted
        true = np.cumsum(per_box[:, hits], 1, np.int32)
        precision = true / (every[:, hits] + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        places = np.searchsorted((true + above).ravel(), wanted).reshape(len(some), -1)
        places -= len(hits) * np.arange(len(some))[:, None]
        values = np.take_along_axis(best, np.clip(places, 0, len(hits) - 1), 1)
        averages[some, threshold] = np.where(places < len(hits), values, 0).sum(1) / len(RECALLS)
    return averages


def _count_for_recalls(objects: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many objects must be found for each of 101 recalls, (draws, recalls)."""
    of = objects[:, None]
    count = np.ceil(RECALLS * of).astype(np.int64)
    # As a division says it, which pycocotools compares.
    count -= (count > 0) & ((count - 1) / of >= RECALLS)
    return count + (count / of < RECALLS)


def average_over_recalls(true: NDArray[np.int64], false: NDArray[np.int64], objects: int) -> float:
    """Return the mean over 101 recalls of the best precision from there on.

    `true`, `false`: (boxes,) how many of the surest boxes are right and wrong, the surest first.
    """
    precision = true / (true + false + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(true / objects, RECALLS, side="left")
    return float(best[places[places < len(best)]].sum() / len(RECALLS))


def match(
    truths: Sequence[Sequence[TrueBox]],
    found: Sequence[Sequence[Prediction]],
    classes: Sequence[str],
    areas: int = len(_AREAS),
) -> list[list[_Matched]]:
    """Match boxes with labels by COCO's rules; return what came of it by size (the first: all) and class."""
    numbers = {name: i for i, name in enumerate(classes)}
    labels = _gather(
        [(i, numbers[one.label], one.box, float(one.crowd)) for i, every in enumerate(truths) for one in every]
    )
    boxes = _gather(
        [
            (i, numbers[one.label], one.box, -one.score)
            for i, every in enumerate(found)
            for one in every
            if one.label in numbers and one.box is not None
        ]
    )
    # Class by class and picture by picture, of a picture the surest first.
    labels = labels.take(np.lexsort((labels.picture, labels.number)))
    boxes = boxes.take(np.lexsort((boxes.value, boxes.picture, boxes.number)))
    pictures = len(truths)
    key_of_labels, key_of_boxes = (one.number * pictures + one.picture for one in (labels, boxes))
    places = np.arange(len(key_of_boxes))
    inside = places - np.searchsorted(key_of_boxes, key_of_boxes) < MOST
    boxes, key_of_boxes = boxes.take(inside), key_of_boxes[inside]
    limits = _AREAS[:areas]
    crowd = labels.value > 0
    ignored = np.stack([crowd | (labels.area < low) | (labels.area > high) for low, high in limits])
    outside = np.stack([(boxes.area < low) | (boxes.area > high) for low, high in limits])
    right = np.zeros((areas, len(THRESHOLDS), len(key_of_boxes)), bool)
    left_out = np.repeat(outside[:, None], len(THRESHOLDS), 1)
    of_box, of_label, overlaps = _find_overlaps(boxes, labels, key_of_boxes, key_of_labels, crowd)
    single = (np.bincount(of_box, minlength=len(key_of_boxes))[of_box] == 1) & (
        np.bincount(of_label, minlength=len(key_of_labels))[of_label] == 1
    )
    one_box, one_label = of_box[single], of_label[single]
    hit = overlaps[single] >= _LEAST[:, None]
    right[:, :, one_box] = hit
    left_out[:, :, one_box] = np.where(hit, ignored[:, None, one_label], left_out[:, :, one_box])
    several = ~single
    _choose(of_box[several], of_label[several], overlaps[several], key_of_boxes, crowd, ignored, right, left_out)
    found_by_class = []
    for number in range(len(classes)):
        mine = np.arange(*np.searchsorted(boxes.number, (number, number + 1)))
        # The same sort as theirs: of equal scores the first picture comes first.
        mine = mine[np.argsort(boxes.value[mine], kind="stable")]
        own = labels.number == number
        found_by_class.append(
            [
                _Matched(
                    right[area][:, mine],
                    ~left_out[area][:, mine],
                    boxes.picture[mine],
                    np.bincount(labels.picture[own & ~ignored[area]], minlength=pictures),
                )
                for area in range(areas)
            ]
        )
    return [list(one) for one in zip(*found_by_class, strict=True)] if classes else [[] for _ in range(areas)]


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Boxes of all pictures as columns, (n,) each."""

    picture: NDArray[np.int64]
    number: NDArray[np.int64]
    """Of the class."""
    box: NDArray[np.float64]
    """(n, 4): left, top, width, height."""
    value: NDArray[np.float64]
    """What they are sorted by, or whether they are a crowd."""

    @property
    def area(self) -> NDArray[np.float64]:
        return self.box[:, 2] * self.box[:, 3]

    def take(self, which: NDArray[Any]) -> _Boxes:
        return _Boxes(self.picture[which], self.number[which], self.box[which], self.value[which])


def _gather(rows: Sequence[tuple[int, int, Box, float]]) -> _Boxes:
    box = np.array([one for _, _, one, _ in rows], float).reshape(-1, 4)
    box[:, 2:] -= box[:, :2]
    picture, number = (np.array([one[i] for one in rows], np.int64) for i in (0, 1))
    return _Boxes(picture, number, box, np.array([one[3] for one in rows], float))


def _find_overlaps(
    boxes: _Boxes,
    labels: _Boxes,
    key_of_boxes: NDArray[np.int64],
    key_of_labels: NDArray[np.int64],
    crowd: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the pairs of box and label of a class and picture whose IoU may count, and that IoU."""
    first, end = (np.searchsorted(key_of_labels, key_of_boxes, side) for side in ("left", "right"))
    many = end - first
    of_box = np.repeat(np.arange(len(key_of_boxes)), many)
    of_label = np.arange(len(of_box)) - np.repeat(np.cumsum(many) - many - first, many)
    one, other = boxes.box[of_box], labels.box[of_label]
    far = np.minimum(one[:, :2] + one[:, 2:], other[:, :2] + other[:, 2:])
    sides = np.maximum(0, far - np.maximum(one[:, :2], other[:, :2]))
    both, area = sides[:, 0] * sides[:, 1], boxes.area[of_box]
    # Of a crowd: how much of the box lies in it.
    union = np.where(crowd[of_label], area, area + labels.area[of_label] - both)
    overlaps = np.divide(both, union, out=np.zeros(len(both)), where=union > 0)
    enough = overlaps >= _LEAST[0]
    return of_box[enough], of_label[enough], overlaps[enough]


def _choose(
    of_box: NDArray[np.int64],
    of_label: NDArray[np.int64],
    overlaps: NDArray[np.float64],
    key_of_boxes: NDArray[np.int64],
    crowd: NDArray[np.bool_],
    ignored: NDArray[np.bool_],
    right: NDArray[np.bool_],
    left_out: NDArray[np.bool_],
) -> None:
    """Match boxes and labels of which one may be matched to several, in place: the surest box chooses first.

    It takes the label that it overlaps most, one that counts before one that does not; a crowd any number of times.
    """
    starts = np.flatnonzero(np.diff(key_of_boxes[of_box], prepend=-1))
    for start, end in pairwise((*starts.tolist(), len(of_box))):
        pairs = list(zip(of_box[start:end].tolist(), of_label[start:end].tolist(), overlaps[start:end], strict=True))
        rows: dict[int, list[tuple[int, float]]] = {}
        for box, label, overlap in pairs:
            rows.setdefault(box, []).append((label, float(overlap)))
        for area in range(len(right)):
            skipped = {label: bool(ignored[area, label]) for _, label, _ in pairs}
            for step, least in enumerate(_LEAST.tolist()):
                taken: set[int] = set()
                for box, candidates in rows.items():
                    free = [
                        (not skipped[label], overlap, label)
                        for label, overlap in candidates
                        if overlap >= least and (label not in taken or crowd[label])
                    ]
                    if free:
                        # Of equal overlaps the last label is theirs, too.
                        label = max(free)[2]
                        taken.add(label)
                        right[area, step, box] = True
                        left_out[area, step, box] = skipped[label]


def _at_first_threshold(one: _Matched) -> _Matched:
    return _Matched(one.right[:1], one.counted[:1], one.picture, one.objects)


def _draw(pictures: int, seed: int) -> NDArray[np.int64]:
    """Return how often each picture counts in each redrawn set, (draws, pictures)."""
    # Of none there is no class that would use them.
    many = max(pictures, 1)
    return np.random.default_rng(seed).multinomial(many, np.full(many, 1 / many), DRAWS)


def _mean(values: NDArray[np.float64]) -> Any:
    """Return the mean over classes (first axis) of those that are numbers, nan of none."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)


def estimate(value: float, drawn: NDArray[np.float64], least: float = -1.0) -> Estimate:
    """Return a number with the basic bootstrap's 95 % interval, from the same number on redrawn pictures.

    The interval lies within `least` and 1.
    """
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Estimate(float(value), float("nan"), float("nan"))
    # Redrawn pictures repeat, which makes AP higher: the basic interval mirrors that, the percentiles would keep it.
    high, low = 2 * value - np.percentile(drawn, [2.5, 97.5])
    low, high = max(least, min(value, low)), min(1.0, max(value, high))
    return Estimate(float(value), float(low), float(high))
