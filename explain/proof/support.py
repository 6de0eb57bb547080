"""Effect of a map on the answer, beside those of other maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json

Mark = Literal["yes", "no", "cannot be told"]
"""The answer of a test to its question."""
SupportVerdict = Literal["supported", "not supported", "cannot be told"]
MARKS: dict[SupportVerdict, Mark] = {"supported": "yes", "not supported": "no", "cannot be told": "cannot be told"}
OTHERS, ALLOWED = 19, 1
"""Maps of other pictures, and how many of them may do as well: if this map were one more of them, that would be so in 2
of 20 cases. Most wrong maps are less like a right one than these are."""
SHARES = (0.1, 0.2, 0.3, 0.5)
"""Of the picture, or of the box, that are hidden, and alone kept. One share alone supports fewer right maps: of 45
photographs with EfficientNet-Lite 0 these four gave 54 %, and 5 % of the wrong ones."""
SHOWN = 0.3
"""The share that is measured first, and that the sentence is about."""
RANDOM = "random places"
"""How the names of random maps begin."""
CLEAR = 2.0
"""Difference of two maps' effects at that share, in log-odds, from which the other shares are not asked."""
LEAST = 1e-4
"""Scores nearer to 0 or 1 count as this near."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The answer's score with a map's strongest shares hidden, and kept."""

    name: str
    """`this map`, or the control's."""
    shares: tuple[float, ...]
    """Those that were measured: `SHOWN` alone where that was enough."""
    hidden: tuple[float, ...]
    kept: tuple[float, ...]

    def size(self, share: float | None = None) -> float:
        """Return how much more likely the answer is with the strongest kept than hidden, in log-odds; their mean."""
        asked = self.shares if share is None else (share,)
        return float(np.mean([_odds(self.at(step)[1]) - _odds(self.at(step)[0]) for step in asked]))

    def at(self, share: float) -> tuple[float, float]:
        """Return the scores with a share hidden, and with only that kept."""
        place = self.shares.index(share)
        return self.hidden[place], self.kept[place]

    def beats(self, other: Effect) -> bool:
        """Return whether this effect is larger, at `SHOWN` or over all shares."""
        first = self.size(SHOWN) - other.size(SHOWN)
        return first > 0 if abs(first) >= CLEAR else self.size() > other.size()


def _odds(score: float) -> float:
    score = min(max(score, LEAST), 1 - LEAST)
    return math.log(score / (1 - score))


def settle(effect: Effect, others: Sequence[Effect]) -> SupportVerdict | None:
    """Return the verdict once later maps cannot change it, else None."""
    won = sum(map(effect.beats, others))
    lost = len(others) - won
    if lost > OTHERS // 2:
        return "not supported"
    return "cannot be told" if lost > ALLOWED and won > OTHERS // 2 else None


@dataclass(frozen=True, eq=False)
class Support:
    """How one map's effect compares with those of other maps."""

    label: str
    """Of the target."""
    in_box: bool
    """Whether the maps are compared inside the target's box."""
    start: float
    """The score of the whole picture."""
    own: Effect
    others: tuple[Effect, ...]
    """Of maps of other pictures, as many as it took to tell; at most `OTHERS`."""
    copies: tuple[Effect, ...]
    """Of this map mirrored and moved, and of the middle; none where the others were enough to tell."""
    start_share: float = SHOWN
    """`SHOWN` of what is compared, as a share of the content: less in a box."""

    @property
    def beaten(self) -> int:
        """How many of all these the map beats."""
        return sum(self.own.beats(control) for control in self.controls)

    @property
    def controls(self) -> tuple[Effect, ...]:
        return (*self.others, *self.copies)

    @property
    def pictures(self) -> int:
        """The number of pictures answered, without those of other maps."""
        return sum(2 * len(effect.shares) for effect in (self.own, *self.controls))

    @property
    def verdict(self) -> SupportVerdict:
        """The verdict by the number of beaten control maps."""
        if (settled := settle(self.own, self.others)) is not None:
            return settled
        complete = len(self.others) == OTHERS and self.copies
        return "supported" if complete and all(map(self.own.beats, self.copies)) else "cannot be told"

    @property
    def mark(self) -> Mark:
        """Whether the map matters to the answer."""
        return MARKS[self.verdict]

    @property
    def strongest(self) -> Effect:
        """The control with the largest effect at `SHOWN`."""
        return max(self.controls, key=lambda control: control.size(SHOWN))

    @property
    def strongest_name(self) -> str:
        """The strongest control's generic name: `another picture's map`."""
        name = self.strongest.name
        if self.strongest in self.copies:
            return name
        return "a random map" if name.startswith(RANDOM) else f"another {'box' if self.in_box else 'picture'}'s map"

    @property
    def sentence(self) -> str:
        """The verdict, and what hiding does beside the strongest control."""
        verdict = {
            "supported": "This map matters",
            "not supported": "This map shows no more than others do",
            "cannot be told": "Unclear",
        }[self.verdict]
        (hidden, _), (best, _) = self.own.at(SHOWN), self.strongest.at(SHOWN)
        part = f"{percent(SHOWN)}{' of the box' if self.in_box else ''}"
        return (
            f"{verdict}: hiding this map's top {part} leaves {percent(hidden)} of {percent(self.start)}; "
            f"{self.strongest_name} leaves {percent(best)}."
        )

    def summary(self) -> Json:
        """Return plain values, ready for JSON."""
        effects = [
            {"map": e.name, "shares": list(e.shares), "hidden": list(e.hidden), "kept": list(e.kept)}
            for e in (self.own, *self.controls)
        ]
        return {
            "target": self.label,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "beaten": self.beaten,
            "controls": len(self.controls),
            "strongest": self.strongest_name,
            "in_box": self.in_box,
            "score": self.start,
            "effects": effects,
        }
