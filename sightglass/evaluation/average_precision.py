"""COCO's average precision (AP) with a bootstrapped interval.

Boxes are matched and averaged as pycocotools does it (the tests compare), but only where a picture has boxes of a
class, and for all thresholds and sizes at once: of 5,000 pictures that takes seconds, not a minute.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
"""Of all objects, and of each of `SIZES`, in pixels; both ends included."""
_LOW, _HIGH = np.array(_AREAS).T[..., None]
_LIMITS = np.minimum(THRESHOLDS, 1 - 1e-10)
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
    matched = _match_boxes(truths, found, classes)
    # Without pictures there is no class that would use them.
    draws = draw_pictures(len(truths) or 1, seed)
    once = np.ones((1, len(truths)), np.int64)
    nothing = np.full((1, len(THRESHOLDS)), np.nan)
    exact = np.stack([average(one, once)[0] for one in matched[0]] or [nothing[0]])
    drawn = np.stack([average(one, draws) for one in matched[0]] or [np.repeat(nothing, DRAWS, 0)])
    drawn_ap = mean_over_classes(drawn.mean(2))
    return DetectionScores(
        ap=estimate(mean_over_classes(exact.mean(1)), drawn_ap, least=0.0),
        ap50=estimate(mean_over_classes(exact[:, 0]), mean_over_classes(drawn[:, :, 0]), least=0.0),
        by_class={name: estimate(exact[i].mean(), drawn[i].mean(1), least=0.0) for i, name in enumerate(classes)},
        by_size={
            name: float(
                mean_over_classes(np.stack([average(one, once)[0].mean() for one in matched[area]] or [nothing.mean()]))
            )
            for area, name in enumerate(SIZES, 1)
        },
        objects=sum(not one.crowd for every in truths for one in every),
        pictures=len(truths),
        drawn=drawn_ap,
    )


def draw_pictures(many: int, seed: int) -> NDArray[np.int64]:
    """Return how often each picture is in each redrawn set of as many (DRAWS, pictures)."""
    return np.random.default_rng(seed).multinomial(many, np.full(many, 1 / max(many, 1)), DRAWS)


def difference(one: DetectionScores, other: DetectionScores) -> Estimate:
    """Return by how much AP of one model is above another's on the same pictures, which were drawn in pairs."""
    return estimate(one.ap.value - other.ap.value, one.drawn - other.drawn)


def average(matched: _Matched, weights: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return AP (draws, thresholds) where each picture counts as often as `weights` (draws, pictures) says.

    The mean of the precision at 101 recalls, as pycocotools takes it; nan for draws without a labelled object.
    """
    objects = weights @ matched.objects
    averages = np.full((len(weights), len(THRESHOLDS)), np.nan)
    known = np.flatnonzero(objects)
    if not len(known):
        return averages
    per_box = np.take(weights[known].astype(np.int32), matched.picture, 1)
    every = np.cumsum(per_box, 1, dtype=np.int32)
    # How many of the recalls are reached with 0, 1, 2… objects found: the same for all thresholds.
    most = int(objects.max()) + 1
    reached = np.searchsorted(RECALLS, np.arange(most) / objects[known, None], side="right").astype(np.int32).ravel()
    starts = most * np.arange(len(known))[:, None]
    for threshold, (right, counted) in enumerate(zip(matched.right, matched.counted, strict=True)):
        of_all = every if counted.all() else np.cumsum(per_box * counted, 1, dtype=np.int32)
        # Between two right boxes precision only falls, so that no recall takes it from there.
        places = np.flatnonzero(right & counted)
        if not len(places):
            averages[known, threshold] = 0
            continue
        true = np.cumsum(np.take(per_box, places, 1), 1, dtype=np.int32)
        precision = true / (np.take(of_all, places, 1) + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        recalls = np.take(reached, true + starts)
        # Those that are reached first at each box.
        first = recalls.copy()
        first[:, 1:] -= recalls[:, :-1]
        averages[known, threshold] = np.einsum("ij,ij->i", best, first) / len(RECALLS)
    return averages


def average_over_recalls(true: NDArray[np.int64], false: NDArray[np.int64], objects: int) -> float:
    """Return the mean over 101 recalls of the best precision from there on.

    `true`, `false`: (boxes,) how many of the surest boxes are right and wrong, the surest first.
    """
    precision = true / (true + false + np.spacing(1))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(true / objects, RECALLS, side="left")
    return float(best[places[places < len(best)]].sum() / len(RECALLS))


def _match_boxes(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], classes: Sequence[str]
) -> list[list[_Matched]]:
    """Return the matched boxes of each class, for objects of all sizes and then for each of `SIZES`."""
    gathered = {name: _Gathered(np.zeros((len(_AREAS), len(truths)), np.int64)) for name in classes}
    for picture, (true, boxes) in enumerate(zip(truths, found, strict=True)):
        of_class: defaultdict[str, tuple[list[TrueBox], list[Prediction]]] = defaultdict(lambda: ([], []))
        for one in true:
            of_class[one.label][0].append(one)
        for box in boxes:
            if box.label in gathered and box.box is not None:
                of_class[box.label][1].append(box)
        for name, (mine, said) in of_class.items():
            gathered[name].add(picture, mine, said)
    joined = [one.join() for one in gathered.values()]
    return [[matched[area] for matched in joined] for area in range(len(_AREAS))]


@dataclass(eq=False)
class _Gathered:
    """Boxes of one class, picture by picture."""

    objects: NDArray[np.int64]
    """(areas, pictures): labelled objects that count."""
    scores: list[float] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    pictures: list[int] = field(default_factory=list)
    parts: list[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]] = field(default_factory=list)
    """Of each picture with a box on an object: the first of its boxes, and (areas, thresholds, boxes) which of them are
    right, and of these which are on an object that does not count."""

    def add(self, picture: int, truths: Sequence[TrueBox], found: Sequence[Prediction]) -> None:
        # The same sort as pycocotools': of equal scores the first box comes first.
        every = sorted(found, key=lambda one: -one.score)[:MOST]
        boxes = [one.box for one in every if one.box is not None]
        if truths:
            crowd = np.array([one.crowd for one in truths], bool)
            labelled = np.array([one.box for one in truths], np.float64)
            ignored = crowd | _leave_out(_measure_areas(labelled))
            self.objects[:, picture] = (~ignored).sum(1)
            if boxes:
                overlaps = _overlap(np.array(boxes, np.float64), labelled, crowd)
                if overlaps.max() >= _LIMITS[0]:
                    self.parts.append((len(self.scores), *_match_picture(overlaps, crowd, ignored)))
        self.scores += [one.score for one in every]
        self.boxes += boxes
        self.pictures += [picture] * len(every)

    def join(self) -> list[_Matched]:
        """Return the boxes of all pictures, the surest first, for each size."""
        outside = _leave_out(_measure_areas(np.array(self.boxes, np.float64).reshape(-1, 4)))
        right = np.zeros((len(_AREAS), len(THRESHOLDS), len(self.scores)), bool)
        on_ignored = np.zeros_like(right)
        for start, hit, ignored in self.parts:
            right[..., start : start + hit.shape[2]], on_ignored[..., start : start + hit.shape[2]] = hit, ignored
        counted = np.where(right, ~on_ignored, ~outside[:, None])
        # Of equal scores the first picture comes first.
        order = np.argsort(-np.array(self.scores, np.float64), kind="mergesort")
        picture = np.array(self.pictures, np.int64)[order]
        right, counted = right[..., order], counted[..., order]
        return [_Matched(right[i], counted[i], picture, self.objects[i]) for i in range(len(_AREAS))]


def _match_picture(
    overlaps: NDArray[np.float64], crowd: NDArray[np.bool_], ignored: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (areas, thresholds, boxes) which boxes are right, and which of these are on an object that is ignored.

    `overlaps`: (boxes, objects) of one class in one picture; `ignored`: (areas, objects).
    """
    shape = len(_AREAS), len(THRESHOLDS), len(overlaps)
    right, on_ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    near = overlaps[:, None, :] >= _LIMITS[None, :, None]
    if overlaps.shape[1] == 1 and not crowd[0]:
        # The first box that is near enough has the only object.
        hit, first = near[..., 0].any(0), near[..., 0].argmax(0)
        thresholds = np.flatnonzero(hit)
        right[:, thresholds, first[thresholds]] = True
        return right, right & ignored[:, :, None]
    taken = np.zeros((len(_AREAS), len(THRESHOLDS), len(crowd)), bool)
    for i in np.flatnonzero(near[:, 0].any(1)):
        free = near[i] & (~taken | crowd)
        mine = free & ~ignored[:, None]
        # An object that counts comes before any that does not; of equal ones the last is taken.
        choice = np.where(mine.any(2)[..., None], mine, free)
        hit = choice.any(2)
        best = len(crowd) - 1 - np.where(choice, overlaps[i], -1.0)[..., ::-1].argmax(2)
        area, threshold = np.nonzero(hit)
        which = best[area, threshold]
        right[area, threshold, i] = True
        on_ignored[area, threshold, i] = ignored[area, which]
        taken[area, threshold, which] = True
    return right, on_ignored


def _measure_areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _leave_out(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return (areas, boxes) which boxes are of another size."""
    return np.asarray((areas < _LOW) | (areas > _HIGH))


def _overlap(boxes: NDArray[np.float64], others: NDArray[np.float64], crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (boxes, others) the IoU; with a crowd the share of the box that lies in it."""
    mine, theirs = boxes[:, None], others[None]
    sides = np.minimum(mine[..., 2:], theirs[..., 2:]) - np.maximum(mine[..., :2], theirs[..., :2])
    sides = np.maximum(sides, 0)
    both, area = sides[..., 0] * sides[..., 1], _measure_areas(boxes)[:, None]
    whole = np.where(crowd, area, area + _measure_areas(others)[None] - both)
    return np.asarray(both / np.maximum(whole, np.finfo(float).tiny))


def mean_over_classes(values: NDArray[np.float64]) -> Any:
    """Return the mean over classes (first axis) of those that are numbers, nan of none."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(0) / known.sum(0)


def estimate(value: float, drawn: NDArray[np.float64], least: float = -1.0) -> Estimate:
    """Return a number from `least` to 1 with the basic bootstrap's interval."""
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        return Estimate(float(value), float("nan"), float("nan"))
    # Redrawn pictures repeat, which makes AP higher: the basic interval mirrors that, the percentiles would keep it.
    high, low = 2 * value - np.percentile(drawn, [2.5, 97.5])
    # Mirrored, an interval can leave the values that there are.
    return Estimate(float(value), min(float(value), max(least, float(low))), max(float(value), min(1.0, float(high))))
