"""The scorecard of two to six models: AP or accuracy, time, size, verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.common.errors import Problem
from sightglass.evaluation.intervals import Estimate, Z, estimate
from sightglass.evaluation.kinds import kind_of
from sightglass.evaluation.scorecard import MOST, TOLERANCE
from sightglass.explain.phrases import listing, percent, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.boxes import Threshold
    from sightglass.evaluation.intervals import Metrics
    from sightglass.evaluation.kinds import Classes
    from sightglass.evaluation.stored import Evaluation

ENOUGH = 50
"""Times as many pictures as there are, beyond which no number of them is named."""

Kind = Literal["ship", "do not ship", "cannot be told"]


@dataclass(frozen=True)
class ModelFacts:
    """What a model weighs; None of what is unknown."""

    parameters: int | None = None
    memory_bytes: int | None = None
    """Of the loaded model."""
    file_bytes: int | None = None


@dataclass(frozen=True)
class Speed:
    """Milliseconds of one picture from decoded pixels to answers, over all pictures."""

    p25: float
    p50: float
    p75: float
    p95: float

    def apart(self, other: Speed) -> bool:
        """Return whether the middle halves do not overlap."""
        return self.p75 < other.p25 or other.p75 < self.p25


@dataclass(frozen=True, eq=False)
class ModelScore:
    """A row of the scorecard: one model on labelled pictures."""

    evaluation: Evaluation = field(repr=False)
    metrics: Metrics = field(repr=False)
    facts: ModelFacts
    threshold: Threshold | None = None
    """Of a detector."""
    speed: Speed | None = None
    """None where it was not measured."""

    @property
    def score(self) -> Estimate:
        """AP of a detector, accuracy of a classifier, 0..1."""
        return next(iter(self.metrics.scores.values()))

    @property
    def model(self) -> str:
        """What a sentence calls the model."""
        return self.evaluation.called

    @property
    def kind(self) -> Classes:
        """The evaluation kind of its answers."""
        return kind_of(self.evaluation.task)

    @property
    def measure(self) -> str:
        """The name of `score`."""
        return self.kind.measure

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Right objects or pictures at its threshold, (objects,)."""
        return self.kind.find_right(self.evaluation, self.threshold)

    @property
    def found(self) -> int:
        """Right objects or pictures at its threshold, as a number."""
        return int(self.right.sum())


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether one model can take the place of another, within what a person tolerates."""

    first: ModelScore
    second: ModelScore
    """The larger or older one."""
    tolerance: float
    """Of AP or accuracy, 0..1."""

    @property
    def _drawn(self) -> NDArray[np.float64]:
        return self.second.metrics.drawn - self.first.metrics.drawn

    @cached_property
    def gap(self) -> Estimate:
        """Advantage of the second model's AP or accuracy, on redrawn pictures."""
        value = self.second.score.value - self.first.score.value
        gap = estimate(value, self._drawn)
        # Models that agree on all of few pictures may differ on others; after Bonett and Price (2012,
        # doi:10.3102/1076998611411915).
        half = Z * math.sqrt(2) / (len(self.second.evaluation.pictures) + 2)
        # In this order, nan stays nan.
        return Estimate(gap.value, min(gap.low, gap.value - half), max(gap.high, gap.value + half))

    @property
    def kind(self) -> Kind:
        """`ship` only for an interval within the tolerance."""
        if self.gap.high <= self.tolerance:
            return "ship"
        return "do not ship" if self.gap.low > self.tolerance else "cannot be told"

    @property
    def more_pictures(self) -> int | None:
        """Pictures needed to settle the gap; None if settled or too many.

        The standard error is taken to fall with the square root of the number of pictures.
        """
        if self.kind != "cannot be told":
            return None
        have, apart = len(self.second.evaluation.pictures), abs(self.tolerance - self.gap.value)
        error = float(np.nanstd(self._drawn))
        needed = max(have * (Z * error / apart) ** 2, Z * math.sqrt(2) / apart - 2) if apart else math.inf
        return max(1, math.ceil(needed - have)) if needed <= ENOUGH * have else None

    @property
    def sentences(self) -> list[str]:
        """The verdict: the gap, the times, and a recommendation."""
        return [self.headline, self.advice]

    @property
    def headline(self) -> str:
        """The gap with its interval, and the two times if apart."""
        first, second, gap = self.first, self.second, self.gap
        if gap.value != gap.value:
            return f"{first.model} and {second.model} cannot be compared: nothing is labelled."
        if gap.low <= 0 <= gap.high:
            return (
                f"{first.model} and {second.model} cannot be told apart by {first.measure} "
                f"[{_points(gap.low)} to {_points(gap.high)} points]{self._times}."
            )
        size, low, high = (gap.value, gap.low, gap.high) if gap.value > 0 else (-gap.value, -gap.high, -gap.low)
        points = f"{_points(size)} points of {first.measure}"
        where = "behind" if gap.value > 0 else "ahead of"
        return f"{first.model} is {points} {where} {second.model} [{_points(low)} to {_points(high)}]{self._times}."

    @property
    def advice(self) -> str:
        """What to do, within the tolerance."""
        size = _points(self.tolerance).removesuffix(".0")
        within = f"{size} {'point' if size == '1' else 'points'}"
        if self.kind == "ship":
            return f"Ship it on pictures like these: the gap is within {within}."
        if self.kind == "do not ship":
            return f"Do not ship it: the gap is above {within}."
        more = self.more_pictures
        told = f"Whether the gap is within {within} cannot be told"
        if more is None:
            return f"{told} with these pictures."
        return f"{told}: about {plural(_round_up(more), 'more picture')} would settle it."

    @property
    def _times(self) -> str:
        first, second = self.first.speed, self.second.speed
        if first is None or second is None or not first.apart(second):
            return ""
        share = first.p50 / second.p50
        return f", at {percent(share)} of the time" if share < 1 else f", at {share:.1f} times the time"


@dataclass(frozen=True, eq=False)
class Scorecard:
    """Models on the same labelled pictures."""

    rows: tuple[ModelScore, ...]
    largest: ModelScore
    """The one that the others are to replace."""
    others: tuple[ModelScore, ...] = field(repr=False)
    """All but the largest, the smallest first; the fastest where parameters are not known."""
    tolerance: float = TOLERANCE
    """Of AP or accuracy that may be lost, 0..1."""

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Those of the other models, each beside the largest."""
        return tuple(Verdict(row, self.largest, self.tolerance) for row in self.others)

    @property
    def verdict(self) -> Verdict | None:
        """The verdict of the first shippable model, else of the first."""
        return next((verdict for verdict in self.verdicts if verdict.kind == "ship"), next(iter(self.verdicts), None))

    @property
    def words(self) -> str:
        """The verdict in a few short sentences; empty for a single model."""
        return " ".join(self.verdict.sentences) if self.verdict else ""

    def is_efficient(self, row: ModelScore) -> bool:
        """Return whether no other model is both faster and better."""
        speed = row.speed
        if speed is None:
            return False
        timed = ((other.speed, other.score.value) for other in self.rows if other is not row and other.speed)
        return not any(
            other.p50 <= speed.p50 and value >= row.score.value and (other.p50 < speed.p50 or value > row.score.value)
            for other, value in timed
        )


def score(evaluation: Evaluation, facts: ModelFacts | None = None) -> ModelScore:
    """Return the row of an evaluated model."""
    kind, facts = kind_of(evaluation.task), facts or ModelFacts()
    times = [picture.milliseconds for picture in evaluation.pictures if picture.milliseconds > 0]
    speed = Speed(*map(float, np.percentile(times, [25, 50, 75, 95]))) if times else None
    return ModelScore(evaluation, kind.measure_fit(evaluation), facts, kind.find_threshold(evaluation), speed)


def compare(rows: Sequence[ModelScore], *, tolerance: float = TOLERANCE, against: str = "") -> Scorecard:
    """Return the scorecard of models on the same labels.

    `against`: the model that the others are to replace; empty: the one with the most parameters, or the best where
    these are not known. Raises Problem for more than `MOST` models, two of one name, other labels, detectors beside
    classifiers, or no such model.
    """
    names = [row.model for row in rows]
    check_number(names)
    _check_alike(rows)
    if against and against not in names:
        raise Problem(f"{against} is none of the models of this scorecard: {listing(names)}.")
    known = all(row.facts.parameters is not None for row in rows)
    largest = max(rows, key=lambda row: ((row.facts.parameters or 0) if known else 0, row.score.value))
    if against:
        largest = rows[names.index(against)]
    others = [row for row in rows if row is not largest]
    if all(row.facts.parameters is not None for row in others):
        others.sort(key=lambda row: row.facts.parameters or 0)
    else:
        others.sort(key=lambda row: row.speed.p50 if row.speed is not None else float("inf"))
    return Scorecard(tuple(rows), largest, tuple(others), tolerance)


def check_number(names: Sequence[str]) -> None:
    """Raise Problem for too many models, or two of one name."""
    if len(names) > MOST:
        raise Problem(f"A scorecard compares at most {MOST} models: leave some out.")
    if len(set(names)) < len(names):
        raise Problem("Two of these have the same name: a scorecard tells models apart by their names.")


def _check_alike(rows: Sequence[ModelScore]) -> None:
    """Raise Problem for models on different labels or pictures."""
    if len({row.evaluation.task for row in rows}) > 1:
        raise Problem("Detectors and classifiers cannot be compared on one scorecard: choose models of one kind.")
    for row in rows[1:]:
        for picture, other in zip(rows[0].evaluation.pictures, row.evaluation.pictures, strict=True):
            same = [of.box for of in picture.truths] == [of.box for of in other.truths]
            if picture.key != other.key or not same:
                raise Problem(f"{row.model} was judged by other labels of {picture.key}: run both on the same ones.")


def _points(share: float) -> str:
    """`1.3`, with a true minus sign."""
    return f"{100 * share:.1f}".replace("-", "−")


def _round_up(count: int) -> int:
    """Round up to one digit and a half."""
    step: int = 10 ** max(0, len(str(count)) - 2) * (5 if count >= 100 else 1)
    return math.ceil(count / step) * step
