"""Why a detector does not show a candidate, in one sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sightglass.explain.phrases import NBSP, article, finely, percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.models.adapter import CandidateReason, Prediction


@dataclass(frozen=True, slots=True)
class Missing:
    """A raw candidate, and why it is shown or not."""

    candidate: Prediction
    reason: CandidateReason
    confidence: float
    """The threshold in use."""
    shown: tuple[Prediction, ...] = field(repr=False)
    """All boxes above the threshold, before the class filter; `reason.by` indexes these."""
    listed: tuple[Prediction, ...] = field(repr=False)
    """The boxes that pass the class filter."""

    @property
    def words(self) -> str:
        """One sentence: what it is, its score, and why it is not shown."""
        return self.describe()

    def describe(self, *, named: bool = False) -> str:
        """Return `words`; `named`: the candidate was chosen by its number and need not be the strongest."""
        candidate, reason = self.candidate, self.reason
        text = score_format(self.confidence)
        start = f"{article(candidate.label).capitalize()} at {text(candidate.score)}"
        if reason.kind == "shown":
            if reason.by is not None and self.shown[reason.by] not in self.listed:
                return f"{start} is not shown: the class filter hides it."
            return f"{start} is already shown: it is {self._box(reason.by)}."
        if reason.kind == "below":
            which = "is" if named else "is the strongest candidate here:"
            return f"{start} {which} not shown because it is below {text(self.confidence)}."
        if reason.kind == "class":
            assert reason.winner is not None
            where = f": {self._box(reason.by)}" if reason.by is not None else ""
            winner = f"{reason.winner.label} at {percent(reason.winner.score)}"
            return f"{start} is not shown because {winner} scores higher at the same place{where}."
        if reason.kind == "suppressed":
            return f"{start} is not shown: {self._box(reason.by)} covers it with {percent(reason.overlap)} overlap."
        return f"{start} is not shown: the maximum number of boxes is reached."

    def _box(self, index: int | None) -> str:
        if index is None:
            return "another box"
        box = self.shown[index]
        if box not in self.listed:
            return f"{article(box.label)} at {percent(box.score)} hidden by the class filter"
        return f"box {self.listed.index(box) + 1} ({box.label})"


def score_format(confidence: float) -> Callable[[float], str]:
    """Return the formatter for scores beside this threshold.

    Below 1 %, `< 1 %` would say nothing; and a score just below the threshold must not read like it.
    """
    plain = finely if confidence < 0.01 else percent

    def text(score: float) -> str:
        phrase = plain(score)
        if score < confidence and phrase == plain(confidence) and confidence >= 0.01:
            return f"{math.floor(score * 1000) / 10:.1f}{NBSP}%"
        return phrase

    return text
