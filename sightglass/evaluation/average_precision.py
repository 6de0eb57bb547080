"""COCO's average precision (AP) with a bootstrapped interval.

pycocotools matches boxes to labels; precision is averaged here, as it does, so that pictures can be drawn again.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Of the overlap (IoU) from which a box counts as right."""
SIZES = {"small": "< 32 px", "medium": "32 to 96 px", "large": "> 96 px"}
"""COCO's sizes of objects: the square root of the area."""
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
    evaluated = _evaluate(truths, found, classes)
    matched = [[_collect(evaluated, number, area, len(truths)) for number in range(len(classes))] for area in range(4)]
    draws = np.random.default_rng(seed).multinomial(len(truths), np.full(len(truths), 1 / len(truths)), DRAWS)
    once = np.ones((1, len(truths)), np.int64)
    exact = np.stack([average(one, once)[0] for one in matched[0]])
    drawn = np.stack([average(one, draws) for one in matched[0]])
    drawn_ap = _mean(drawn.mean(2))
    return DetectionScores(
        ap=estimate(_mean(exact.mean(1)), drawn_ap),
        ap50=estimate(_mean(exact[:, 0]), _mean(drawn[:, :, 0])),
        by_class={name: estimate(exact[i].mean(), drawn[i].mean(1)) for i, name in enumerate(classes)},
        by_size={
            name: float(_mean(np.stack([average(one, once)[0].mean() for one in matched[area]])))
            for area, name in enumerate(SIZES, 1)
        },
        objects=sum(not one.crowd for every in truths for one in every),
        pictures=len(truths),
        drawn=drawn_ap,
    )


def difference(one: DetectionScores, other: DetectionScores) -> Estimate:
    """Return by how much AP of one model is above another's on the same pictures, which were drawn in pairs."""
    return estimate(one.ap.value - other.ap.value, one.drawn - other.drawn)


def average(matched: _Matched, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return AP (draws, thresholds) where each picture counts as often as `weights` (draws, pictures) says.

    The mean of the precision at 101 recalls, as pycocotools takes it; nan for draws without a labelled object.
    """
    objects = weights @ matched.objects
    per_box = weights[:, matched.picture]
    averages = np.full((len(weights), len(THRESHOLDS)), np.nan)
    some = np.flatnonzero(objects)
    if not matched.right.shape[1] or not len(some):
        averages[some] = 0.0
        return averages
    # Rows are searched all at once: each lies above the one before it, in whole numbers.
    above = (int(objects.max()) + 1) * np.arange(len(some), dtype=np.int64)[:, None]
    wanted = (_count_for_recalls(objects[some]) + above).ravel()
    for threshold in range(len(THRESHOLDS)):
        right = matched.right[threshold] & matched.counted[threshold]
        wrong = ~matched.right[threshold] & matched.counted[threshold]
        true, false = np.cumsum(per_box[some] * right, 1), np.cumsum(per_box[some] * wrong, 1)
        precision = true / (true + false + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        boxes = true.shape[1]
        places = np.searchsorted((true + above).ravel(), wanted).reshape(len(some), -1)
        places -= boxes * np.arange(len(some))[:, None]
        reached = places < boxes
        values = np.take_along_axis(best, np.minimum(places, boxes - 1), 1)
        averages[some, threshold] = np.where(reached, values, 0).sum(1) / len(RECALLS)
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


def _evaluate(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], classes: Sequence[str]
) -> Any:
    """Return pycocotools' evaluation, whose `evalImgs` are by class, size and picture."""
    from pycocotools.coco import COCO  # type: ignore[import-untyped]
    from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

    numbers = {name: i for i, name in enumerate(classes)}
    annotations = [
        _entry(picture, numbers[one.label], one.box) | {"iscrowd": int(one.crowd)}
        for picture, every in enumerate(truths)
        for one in every
    ]
    detections = [
        _entry(picture, numbers[one.label], one.box) | {"score": one.score}
        for picture, every in enumerate(found)
        for one in every
        if one.label in numbers and one.box is not None
    ]
    images = [{"id": i} for i in range(len(truths))]
    # They print what they do.
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for entries in (annotations, detections):
            side = COCO()
            for i, entry in enumerate(entries, 1):
                entry["id"] = i
            side.dataset = {
                "images": images,
                "annotations": entries,
                "categories": [{"id": i, "name": name} for name, i in numbers.items()],
            }
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, "bbox")
        evaluation.evaluate()
    return evaluation


def _entry(picture: int, category: int, box: Sequence[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    return {"image_id": picture, "category_id": category, "bbox": [x0, y0, wide, high], "area": wide * high}


def _collect(evaluation: Any, number: int, area: int, pictures: int) -> _Matched:
    """Gather the boxes of a class and a size (0: all) over all pictures."""
    first = (number * len(evaluation.params.areaRng) + area) * pictures
    every = [(i, one) for i, one in enumerate(evaluation.evalImgs[first : first + pictures]) if one is not None]
    scores = np.concatenate([one["dtScores"][:MOST] for _, one in every] or [np.zeros(0)])
    # The same sort as theirs: of equal scores the first picture comes first.
    order = np.argsort(-scores, kind="mergesort")
    none = np.zeros((len(THRESHOLDS), 0))
    right = np.concatenate([none, *(one["dtMatches"][:, :MOST] for _, one in every)], 1)[:, order] > 0
    ignored = np.concatenate([none, *(one["dtIgnore"][:, :MOST] for _, one in every)], 1)[:, order] > 0
    picture = np.concatenate([np.zeros(0, np.int64), *(np.full(len(one["dtScores"][:MOST]), i) for i, one in every)])[
        order
    ]
    objects = np.zeros(pictures, np.int64)
    for i, one in every:
        objects[i] = int((np.asarray(one["gtIgnore"]) == 0).sum())
    return _Matched(right, ~ignored, picture, objects)


def _mean(values: NDArray[np.float64]) -> Any:
    """Return the mean over classes (first axis) of those that are numbers, nan of none."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)


def estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    """Return a number with the basic bootstrap's 95 % interval, from the same number on redrawn pictures."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Estimate(float(value), float("nan"), float("nan"))
    # Redrawn pictures repeat, which makes AP higher: the basic interval mirrors that, the percentiles would keep it.
    high, low = 2 * value - np.percentile(drawn, [2.5, 97.5])
    return Estimate(float(value), min(float(value), float(low)), max(float(value), float(high)))
