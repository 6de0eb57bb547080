"""Decide whether a smaller model can be shipped, with intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sightglass.evaluation.intervals import Z
from sightglass.explain.phrases import percent, plural

if TYPE_CHECKING:
    from sightglass.evaluation.scorecard.pairs import ModelPair, SliceGap

Kind = Literal["ship", "ship where", "do not ship", "cannot be told"]
MOST = 50
"""Times as many pictures as there are, beyond which no number of them is named."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """Whether one model can take the place of another, within what a person tolerates."""

    pair: ModelPair
    tolerance: float
    """Of AP or accuracy, 0..1."""

    @property
    def kind(self) -> Kind:
        """`ship` only where the upper end of the gap's interval is within the tolerance."""
        gap = self.pair.gap
        if gap.high <= self.tolerance:
            return "ship"
        if self.least_side is not None:
            return "ship where"
        return "do not ship" if gap.low > self.tolerance else "cannot be told"

    @property
    def least_side(self) -> int | None:
        """The size in pixels from which on the gap of detectors is within the tolerance; None of no such."""
        if self.pair.gap.high <= self.tolerance:
            return None
        return next((side for side, gap in self.pair.gaps_from.items() if gap.high <= self.tolerance), None)

    @property
    def more_pictures(self) -> int | None:
        """How many more pictures would settle it if the gap stayed as it is; None where it is settled, or too many.

        The standard error is taken to fall with the square root of the number of pictures.
        """
        if self.kind != "cannot be told":
            return None
        gap, have = self.pair.gap, len(self.pair.second.evaluation.pictures)
        apart = abs(self.tolerance - gap.value)
        needed = max(have * (Z * self.pair.error / apart) ** 2, Z * math.sqrt(2) / apart - 2) if apart else math.inf
        return max(1, math.ceil(needed - have)) if needed <= MOST * have else None

    @property
    def lost(self) -> SliceGap | None:
        """The part of the objects in which most is lost, where that is no chance."""
        return next((one for one in self.pair.slices if one.real and one.gap.value < 0 and one.gap.high < 0), None)

    @property
    def sentences(self) -> list[str]:
        """The verdict: the gap and the times, what is lost, where it looks, what to do."""
        return [*filter(None, (self.headline, self._lost, self._place, self.advice))]

    @property
    def headline(self) -> str:
        """By how much the first is behind, with its interval, and the two times where they are apart."""
        first, second, gap = self.pair.first, self.pair.second, self.pair.gap
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
        if self.kind == "ship where":
            where = f"where objects are larger than {self.least_side} pixels"
            return f"Ship it only {where}: there the gap is within {within}."
        if self.kind == "do not ship":
            return f"Do not ship it: the gap is above {within}."
        more = self.more_pictures
        told = f"Whether the gap is within {within} cannot be told"
        if more is None:
            return f"{told} with these pictures."
        return f"{told}: about {plural(_round_up(more), 'more picture')} would settle it."

    @property
    def _times(self) -> str:
        first, second = self.pair.first.speed, self.pair.second.speed
        if first is None or second is None or not first.apart(second):
            return ""
        share = first.p50 / second.p50
        return f", at {percent(share)} of the time" if share < 1 else f", at {share:.1f} times the time"

    @property
    def _lost(self) -> str:
        if (one := self.lost) is None:
            return ""
        what = one.name if one.kind == "size" else f"{one.kind} {one.name}" if one.kind != "class" else one.name
        verb = "found" if self.pair.second.detects else "right"
        count = len(one.units)
        return f"It loses most among {what}: {one.first} of {count} {verb} instead of {one.second}."

    @property
    def _place(self) -> str:
        place = self.pair.same_place
        if place is None or place.share is None or place.itself is None:
            return ""
        what = "find" if self.pair.second.detects else "get right"
        return (
            f"It looks at the same place in {percent(place.share.value)} of what both {what} "
            f"({self.pair.second.model} beside itself, moved: {percent(place.itself)})."
        )


def _points(share: float) -> str:
    """`1.3`, with a true minus sign."""
    return f"{100 * share:.1f}".replace("-", "−")


def _round_up(count: int) -> int:
    """Round up to one digit and a half: what is extrapolated is not known better."""
    step: int = 10 ** max(0, len(str(count)) - 2) * (5 if count >= 100 else 1)
    return math.ceil(count / step) * step
