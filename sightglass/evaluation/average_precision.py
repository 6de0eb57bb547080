"""COCO's average precision (AP) with a bootstrapped interval.

Boxes are matched to labels, and precision is averaged, as pycocotools does; but all pictures at once, which takes
seconds of thousands of pictures instead of minutes, and so that pictures can be drawn again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.evaluation.intervals import DRAWS, Estimate, average_classes, estimate, redraw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction

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
_BLOCK = 1_000_000
"""Boxes times redrawn sets of pictures that are in memory at once."""
_AT_ONCE = 1000
"""Pictures whose pairs of boxes and labels are in memory at once."""


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
    draws, once = redraw(len(truths), seed), np.ones((1, len(truths)), np.int32)
    nothing = np.full((1, len(THRESHOLDS)), np.nan)
    exact = np.stack([average(one, once)[0] for one in matched[0]] or [nothing[0]])
    drawn = np.stack([average(one, draws) for one in matched[0]] or [np.repeat(nothing, DRAWS, 0)])
    drawn_ap = average_classes(drawn.mean(2))
    return DetectionScores(
        ap=estimate(average_classes(exact.mean(1)), drawn_ap, least=0.0),
        ap50=estimate(average_classes(exact[:, 0]), average_classes(drawn[:, :, 0]), least=0.0),
        by_class={name: estimate(exact[i].mean(), drawn[i].mean(1), least=0.0) for i, name in enumerate(classes)},
        by_size={
            name: float(
                average_classes(np.stack([average(one, once)[0].mean() for one in matched[area]] or [nothing.mean()]))
            )
            for area, name in enumerate(SIZES, 1)
        },
        objects=sum(not one.crowd for every in truths for one in every),
        pictures=len(truths),
        drawn=drawn_ap,
    )


def average(matched: _Matched, weights: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return AP (draws, thresholds) where each picture counts as often as `weights` (draws, pictures) says.

    The mean of the precision at 101 recalls, as pycocotools takes it; nan for draws without a labelled object.
    """
    # So few at once that the processor's cache holds them.
    parts = -(-matched.right.shape[1] * len(weights) // _BLOCK)
    return np.concatenate([_average_part(matched, part) for part in np.array_split(weights, max(1, parts))])


def _average_part(matched: _Matched, weights: NDArray[np.int32]) -> NDArray[np.float64]:
    objects = weights @ matched.objects
    averages = np.full((len(weights), len(matched.right)), np.nan)
    some = np.flatnonzero(objects)
    averages[some] = 0.0
    if not matched.right.shape[1] or not len(some):
        return averages
    # Of boxes after the last right one nothing depends.
    end = int(np.flatnonzero(matched.right.any(0)).max(initial=-1)) + 1
    per_box = (weights if len(some) == len(weights) else weights[some]).take(matched.picture[:end], 1)
    # Rows are searched all at once: each lies above the one before it, in whole numbers.
    above = ((int(objects.max()) + 1) * np.arange(len(some), dtype=np.int64))[:, None]
    if int(objects.max() + 1) * len(some) <= np.iinfo(np.int32).max:
        above = above.astype(np.int32)
    wanted = (_count_for_recalls(objects[some]) + above).astype(above.dtype).ravel()
    every: NDArray[np.int32] = np.zeros(0, np.int32)
    of: NDArray[np.bool_] = np.zeros(0, np.bool_)
    row = np.repeat(np.arange(len(some)), len(RECALLS))
    for threshold, (right, counted) in enumerate(zip(matched.right, matched.counted, strict=True)):
        # Precision is highest at a right box: between two it falls.
        hits, counted = np.flatnonzero(right & counted), counted[:end]
        if not len(hits):
            continue
        if not np.array_equal(of, counted):
            every, of = np.cumsum(per_box if counted.all() else per_box * counted, 1, np.int32), counted
        true = np.cumsum(per_box.take(hits, 1), 1, np.int32)
        # After the last one there is no recall, and no precision.
        best = np.zeros((len(some), len(hits) + 1))
        np.divide(true, every.take(hits, 1) + np.spacing(1), out=best[:, :-1])
        np.maximum.accumulate(best[:, -2::-1], 1, out=best[:, -2::-1])
        places = np.searchsorted((true + above).ravel(), wanted)
        averages[some, threshold] = best.take(places + row).reshape(len(some), -1).sum(1) / len(RECALLS)
    return averages


def _count_for_recalls(objects: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many objects must be found for each of 101 recalls, (draws, recalls)."""
    of = objects[:, None]
    count = np.ceil(RECALLS * of).astype(np.int64)
    # As a division says it, which pycocotools compares.
    count -= (count > 0) & ((count - 1) / of >= RECALLS)
    return count + (count / of < RECALLS)


def match(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], classes: Sequence[str]
) -> list[list[_Matched]]:
    """Match boxes with labels by COCO's rules; return what came of it by size (the first: all) and class."""
    labels, boxes, names = gather(truths, found)
    # Of other classes nothing is labelled.
    numbers = {name: i for i, name in enumerate(classes)}
    known = np.array([numbers.get(name, -1) for name in names], np.int64)
    labels, boxes = (replace(one, number=known[one.number]) for one in (labels, boxes))
    boxes = boxes.take(boxes.number >= 0)
    # Class by class and picture by picture, of a picture the surest first.
    labels = labels.take(np.lexsort((labels.picture, labels.number)))
    boxes = boxes.take(np.lexsort((-boxes.value, boxes.picture, boxes.number)))
    pictures = len(truths)
    key_of_labels, key_of_boxes = (one.number * pictures + one.picture for one in (labels, boxes))
    places = np.arange(len(key_of_boxes))
    inside = places - np.searchsorted(key_of_boxes, key_of_boxes) < MOST
    boxes, key_of_boxes = boxes.take(inside), key_of_boxes[inside]
    crowd = labels.value > 0
    (of_labels, of_boxes) = (np.prod(one.extent[:, 2:], 1) for one in (labels, boxes))
    ignored = np.stack([crowd | (of_labels < low) | (of_labels > high) for low, high in _AREAS])
    outside = np.stack([(of_boxes < low) | (of_boxes > high) for low, high in _AREAS])
    right = np.zeros((len(_AREAS), len(THRESHOLDS), len(key_of_boxes)), bool)
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
        mine = mine[np.argsort(-boxes.value[mine], kind="stable")]
        own = labels.number == number
        found_by_class.append(
            [
                _Matched(
                    right[area][:, mine],
                    ~left_out[area][:, mine],
                    boxes.picture[mine],
                    np.bincount(labels.picture[own & ~ignored[area]], minlength=pictures),
                )
                for area in range(len(_AREAS))
            ]
        )
    return [list(one) for one in zip(*found_by_class, strict=True)] if classes else [[] for _ in _AREAS]


@dataclass(frozen=True, eq=False)
class BoxColumns:
    """Boxes of all pictures as columns, (n,) each, picture by picture."""

    picture: NDArray[np.int64]
    place: NDArray[np.int64]
    """Its index among those of its picture."""
    number: NDArray[np.int64]
    """Of the class."""
    box: NDArray[np.float64]
    """(n, 4): xyxy."""
    value: NDArray[np.float64]
    """Of a label 1 for a crowd; of an answer its score."""

    def take(self, which: NDArray[Any]) -> BoxColumns:
        """Return some of them, in another order."""
        return BoxColumns(*(getattr(self, name)[which] for name in ("picture", "place", "number", "box", "value")))

    @property
    def extent(self) -> NDArray[np.float64]:
        """(n, 4): left, top, width, height."""
        return np.concatenate([self.box[:, :2], self.box[:, 2:] - self.box[:, :2]], 1)


GatheredBoxes = tuple[BoxColumns, BoxColumns, tuple[str, ...]]
"""Labels, answers, and the names of their classes."""


def gather(truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]]) -> GatheredBoxes:
    """Return labels and answers with boxes as columns, and the names of their classes, those of labels first."""
    numbers: dict[str, int] = {}
    labels = _gather(truths, numbers, [float(one.crowd) for every in truths for one in every])
    boxes = _gather(found, numbers, [one.score for every in found for one in every])
    return labels, boxes, tuple(numbers)


def _gather(rows: Sequence[Sequence[Any]], numbers: dict[str, int], values: Sequence[float]) -> BoxColumns:
    flat = [one for every in rows for one in every]
    counts = np.array([len(every) for every in rows], np.int64)
    picture = np.repeat(np.arange(len(rows)), counts)
    place = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    number = np.array([numbers.setdefault(one.label, len(numbers)) for one in flat], np.int64)
    has = np.array([one.box is not None for one in flat], bool)
    box = np.fromiter(chain.from_iterable(one.box for one in flat if one.box is not None), float)
    value = np.array(values, float)
    return BoxColumns(picture[has], place[has], number[has], box.reshape(-1, 4), value[has])


def cut_pictures(picture: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last row of so many whole pictures that all pairs of theirs are in memory at once."""
    last = int(picture[-1]) + 1 if len(picture) else 0
    yield from pairwise(np.searchsorted(picture, np.arange(0, last + _AT_ONCE, _AT_ONCE)).tolist())


def pair_up(keys: NDArray[np.int64], others: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return all pairs of rows with the same key, as indices; both are sorted by their keys."""
    first, end = (np.searchsorted(others, keys, side) for side in ("left", "right"))
    many = end - first
    of_one = np.repeat(np.arange(len(keys)), many)
    return of_one, np.arange(len(of_one)) - np.repeat(np.cumsum(many) - many - first, many)


def _find_overlaps(
    boxes: BoxColumns,
    labels: BoxColumns,
    key_of_boxes: NDArray[np.int64],
    key_of_labels: NDArray[np.int64],
    crowd: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the pairs of box and label of a class and picture whose IoU may count, and that IoU."""
    of_box, of_label = pair_up(key_of_boxes, key_of_labels)
    # By widths and heights, as pycocotools has them.
    one, other = boxes.extent[of_box], labels.extent[of_label]
    far = np.minimum(one[:, :2] + one[:, 2:], other[:, :2] + other[:, 2:])
    sides = np.maximum(0, far - np.maximum(one[:, :2], other[:, :2]))
    both, area = sides[:, 0] * sides[:, 1], one[:, 2] * one[:, 3]
    # Of a crowd: how much of the box lies in it.
    union = np.where(crowd[of_label], area, area + other[:, 2] * other[:, 3] - both)
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
