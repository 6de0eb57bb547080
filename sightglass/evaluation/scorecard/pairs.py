"""Compare two models object by object: sets, negative flips, agreement in place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.common.errors import Problem
from sightglass.evaluation import average_precision, error_types
from sightglass.evaluation.average_precision import SIZES, Estimate, estimate
from sightglass.evaluation.error_types import FOREGROUND
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.intervals import Z, wilson
from sightglass.evaluation.scorecard.rows import draw_pictures
from sightglass.evaluation.scorecard.run import overlap
from sightglass.evaluation.slices import correct
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import DetectionScores
    from sightglass.evaluation.evaluation import EvaluatedPicture, Evaluation
    from sightglass.evaluation.scorecard.rows import ModelScore
    from sightglass.models.adapter import Prediction

Which = Literal["both", "only_first", "only_second", "neither"]
SETS: tuple[Which, ...] = ("both", "only_first", "only_second", "neither")
LEAST = 10
"""Objects of a slice that is compared."""
LEVEL = 0.05
"""Share of the gaps called real that are not (Benjamini and Hochberg)."""
TOSSES = 4000
SIDES = (32, 96)
"""Pixels at which COCO's sizes meet: the square root of the area."""
SAME_PLACE = 0.1
"""Quantile of a model's overlaps with its own maps on moved pictures, from which a place counts as the same."""
LEAST_FLOOR = 0.05
"""Below it, a model's maps agree with its own no better than maps of different objects do: nothing can be told."""
MANY = 4
"""Objects from which a picture is crowded."""


@dataclass(frozen=True, slots=True)
class JudgedObject:
    """One labelled object, or one labelled picture, on which models are right or wrong."""

    picture: int
    """Index of its picture."""
    label: str
    truth: TrueBox | None = None
    """None of a whole picture."""


@dataclass(frozen=True)
class SliceGap:
    """How often each of two models is right in a part of the objects."""

    kind: str
    """What the parts differ in, such as `class` or `size`."""
    name: str
    units: tuple[int, ...] = field(repr=False)
    """Indices of the objects."""
    first: int
    """Of these, right by the first model."""
    second: int
    negative: int
    """Right by the second model and wrong by the first."""
    gap: Estimate
    """The first model's share of right ones less the second's; from redrawn pictures."""
    real: bool = False
    """Whether it is no chance, all slices taken together (`LEVEL`)."""


@dataclass(frozen=True)
class SamePlace:
    """How often two models look at the same place in what both get right."""

    overlaps: Mapping[int, float] = field(repr=False)
    """IoU of the strongest evidence, by the index of the object."""
    floor: float | None
    """The overlap from which a place counts as the same; None where the second model's noise is not known, or too
    large to tell."""
    noise: tuple[float, ...] = field(default=(), repr=False)

    @property
    def median(self) -> float:
        """Of the overlaps."""
        return float(np.median([*self.overlaps.values()]))

    @property
    def share(self) -> Estimate | None:
        """Of the objects, those with the same place."""
        if self.floor is None:
            return None
        count = sum(one >= self.floor for one in self.overlaps.values())
        return Estimate(count / len(self.overlaps), *wilson(count, len(self.overlaps)))

    @property
    def itself(self) -> float | None:
        """The share of the second model's maps that agree as well with its own after the picture was moved."""
        return None if self.floor is None else float(np.mean(np.array(self.noise) >= self.floor))


@dataclass(frozen=True, eq=False)
class ModelPair:
    """A model beside the one that it is to replace, on the same pictures."""

    first: ModelScore
    second: ModelScore
    """The larger or older one."""

    @cached_property
    def units(self) -> list[JudgedObject]:
        """What both are judged on."""
        return list_units(self.second.evaluation)

    @cached_property
    def sets(self) -> Mapping[Which, NDArray[np.int64]]:
        """Indices of the objects that both, one alone, or neither gets right."""
        first, second = self.first.right, self.second.right
        masks = (first & second, first & ~second, ~first & second, ~first & ~second)
        return {name: np.flatnonzero(mask) for name, mask in zip(SETS, masks, strict=True)}

    @cached_property
    def gap(self) -> Estimate:
        """By how much the second model's AP or accuracy is above the first's, on the same redrawn pictures."""
        gap = estimate(self.second.score.value - self.first.score.value, self.second.drawn - self.first.drawn)
        return _widen(gap, len(self.second.evaluation.pictures))

    @cached_property
    def gaps_from(self) -> Mapping[int, Estimate]:
        """The gap of detectors on objects from some size in pixels on, by that size, where it leaves some out."""
        sizes = [_side(unit.truth) for unit in self.units if unit.truth is not None]
        found = {}
        for side in SIDES:
            if min(sizes, default=0) < side <= max(sizes, default=0):
                of = [measure_large(row.evaluation.pictures, side) for row in (self.second, self.first)]
                having = {unit.picture for unit in self.units if _side(unit.truth) >= side}
                found[side] = _widen(average_precision.difference(*of), len(having))
        return found

    @property
    def error(self) -> float:
        """The standard error of the gap."""
        drawn = self.second.drawn - self.first.drawn
        return float(np.nanstd(drawn))

    @cached_property
    def same_answers(self) -> float:
        """How far the answers agree, 0..1.

        Of detectors twice the boxes that both draw over all boxes of both, each at its own threshold; of classifiers
        the share of pictures with the same answer.
        """
        if not self.second.detects:
            pairs = zip(self.first.evaluation.pictures, self.second.evaluation.pictures, strict=True)
            same = [[each.label for each in a.found[:1]] == [each.label for each in b.found[:1]] for a, b in pairs]
            return float(np.mean(same))
        assert self.first.threshold is not None and self.second.threshold is not None
        least = self.second.threshold.score
        boxes = [
            [TrueBox(each.label, each.box) for each in one.found if each.box is not None and each.score >= least]
            for one in self.second.evaluation.pictures
        ]
        matched = error_types.match_boxes(boxes, self.first.evaluation.found, self.first.threshold.score)
        shared = sum(len(one.right) for one in matched)
        of_first = shared + sum(error.predicted is not None for one in matched for error in one.errors)
        every = of_first + sum(map(len, boxes))
        return 2 * shared / every if every else 1.0

    @cached_property
    def same_place(self) -> SamePlace | None:
        """How alike they look at what both get right; None where no such object has both maps."""
        found = {}
        for unit in self.sets["both"].tolist():
            maps = [row.map_of(unit, self.units[unit].picture) for row in (self.first, self.second)]
            if maps[0] is not None and maps[1] is not None:
                found[unit] = overlap(maps[0], maps[1])
        if not found:
            return None
        noise = self.second.noise
        floor = float(np.quantile(noise, SAME_PLACE)) if noise else 0.0
        return SamePlace(found, floor if floor >= LEAST_FLOOR else None, noise)

    @cached_property
    def slices(self) -> list[SliceGap]:
        """Parts of the objects, those with the most lost first; of kinds with at least two parts of `LEAST` objects."""
        large = [
            (kind, name, units)
            for kind, parts in _list_parts(self.units, self.second.evaluation).items()
            if sum(len(units) >= LEAST for units in parts.values()) > 1
            for name, units in parts.items()
            if len(units) >= LEAST
        ]
        if not large:
            return []
        right = np.stack([self.first.right, self.second.right])
        at = np.array([unit.picture for unit in self.units], np.int64)
        pictures = len(self.second.evaluation.pictures)
        ahead = right[0].astype(np.float64) - right[1]
        each = np.stack([np.bincount(at[units], ahead[units], pictures) for _, _, units in large], 1)
        counts = np.stack([np.bincount(at[units], minlength=pictures) for _, _, units in large], 1)
        draws = draw_pictures(pictures)
        with np.errstate(invalid="ignore", divide="ignore"):
            drawn = (draws @ each) / (draws @ counts)
        real = correct(_test_gaps(each.astype(np.float64))) <= LEVEL
        found = [
            _compare(*part, right, drawn[:, i], pictures=int(np.count_nonzero(counts[:, i])), real=bool(real[i]))
            for i, part in enumerate(large)
        ]
        return sorted(found, key=lambda one: (not one.real, one.gap.value, one.kind, one.name))


def list_units(found: Evaluation) -> list[JudgedObject]:
    """Return what models are judged on: every labelled object that is no crowd, or every picture of a classifier."""
    if found.task == "classify":
        return [JudgedObject(i, one.truth or "") for i, one in enumerate(found.pictures)]
    return [JudgedObject(i, of.label, of) for i, one in enumerate(found.pictures) for of in one.truths if not of.crowd]


def check_alike(rows: Sequence[ModelScore]) -> None:
    """Raise Problem unless all models were judged on the same labels of the same pictures."""
    if len({row.evaluation.task for row in rows}) > 1:
        raise Problem("Detectors and classifiers cannot be compared on one scorecard: choose models of one kind.")
    for row in rows[1:]:
        for one, other in zip(rows[0].evaluation.pictures, row.evaluation.pictures, strict=True):
            same = [of.box for of in one.truths] == [of.box for of in other.truths]
            if one.key != other.key or not same:
                raise Problem(f"{row.model} was judged by other labels of {one.key}: run both on the same ones.")


def name_size(one: TrueBox) -> str:
    """Return COCO's name of an object's size: small, medium or large."""
    return [*SIZES][sum(_side(one) >= edge for edge in SIDES)]


def measure_large(pictures: Sequence[EvaluatedPicture], side: int) -> DetectionScores:
    """Return AP of objects from a size in pixels on; smaller labels and boxes count as neither right nor wrong."""
    truths, found = [], []
    for one in pictures:
        small = [of for of in one.truths if _side(of) < side]
        truths.append([of for of in one.truths if _side(of) >= side])
        found.append([box for box in one.found if _counts(box, side, small, truths[-1])])
    return average_precision.measure(truths, found)


def _find_least_half(pictures: int) -> float:
    """Return half of the interval of a gap between models that agree on all of some pictures, 0..1.

    Redrawn pictures show no difference there, though others may; after Bonett and Price (2012,
    doi:10.3102/1076998611411915).
    """
    return Z * math.sqrt(2) / (pictures + 2)


def _widen(gap: Estimate, pictures: int) -> Estimate:
    """Return a gap whose interval is no narrower than so few pictures allow."""
    half = _find_least_half(pictures)
    # In this order, nan stays nan.
    return Estimate(gap.value, min(gap.low, gap.value - half), max(gap.high, gap.value + half))


def _side(one: TrueBox | Prediction | None) -> float:
    if one is None or one.box is None:
        return 0.0
    x0, y0, x1, y1 = one.box
    return math.sqrt(max(0.0, x1 - x0) * max(0.0, y1 - y0))


def _counts(box: Prediction, side: int, small: Sequence[TrueBox], large: Sequence[TrueBox]) -> bool:
    """Return whether a box is about a large object, or large and about no small one."""
    return _overlap(box, large) >= FOREGROUND or (_side(box) >= side and _overlap(box, small) < FOREGROUND)


def _overlap(box: Prediction, objects: Sequence[TrueBox]) -> float:
    if box.box is None:
        return 0.0
    return max((intersection_over_union(box.box, of.box) for of in objects), default=0.0)


def _list_parts(units: Sequence[JudgedObject], found: Evaluation) -> dict[str, dict[str, list[int]]]:
    parts: dict[str, dict[str, list[int]]] = {}
    for i, unit in enumerate(units):
        picture = found.pictures[unit.picture]
        of = {"class": unit.label, "folder": picture.folder}
        if unit.truth is not None:
            of["size"] = f"{name_size(unit.truth)} objects"
            count = sum(not one.crowd for one in picture.truths)
            of["crowding"] = (
                "alone" if count == 1 else f"{MANY} or more in a picture" if count >= MANY else "two or three"
            )
        for kind, name in of.items():
            parts.setdefault(kind, {}).setdefault(name, []).append(i)
    return parts


def _compare(
    kind: str,
    name: str,
    units: Sequence[int],
    right: NDArray[np.bool_],
    drawn: NDArray[np.float64],
    *,
    pictures: int,
    real: bool,
) -> SliceGap:
    first, second = right[:, units]
    gap = _widen(estimate(float(first.mean() - second.mean()), drawn), pictures)
    lost = int((second & ~first).sum())
    return SliceGap(kind, name, tuple(units), int(first.sum()), int(second.sum()), lost, gap, real)


def _test_gaps(ahead: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how probable (slices,) gaps as large are, in either direction, if it were a coin's toss who is ahead.

    `ahead`: (pictures, slices) by how many objects of a picture the first model is ahead. A coin is tossed for each
    picture, as its objects are not independent.
    """
    coins = np.random.default_rng(0).choice([-1.0, 1.0], (TOSSES, len(ahead)))
    measured = np.abs(ahead.sum(0))
    return np.asarray((1 + (np.abs(coins @ ahead) >= measured - 1e-9).sum(0)) / (1 + TOSSES))
