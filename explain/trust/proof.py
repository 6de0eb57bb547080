"""The results of the hide and keep tests: effects of maps, their verdict, curves, and what follows from them.

Deletion and insertion curves as in Petsiuk et al. 2018, RISE, https://arxiv.org/abs/1806.07421.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightglass.explain.phrases import percent
from sightglass.explain.trust import Filling

SupportVerdict = Literal["supported", "not supported", "cannot be told"]
OTHERS, ALLOWED = 19, 1
"""Maps of other pictures, and how many of them may do as well: if this map were one more of them, that would be so in 2
of 20 cases. Most wrong maps are less like a right one than these are."""
SHOWN = 0.3
"""The share of the picture, or of the box, that is hidden, and alone kept."""
RANDOM = "random places"
"""How the names of random maps begin."""
LEAST = 1e-4
"""Scores nearer to 0 or 1 count as this near."""


@dataclass(frozen=True, slots=True)
class Effect:
    """The answer's score with a map's strongest share (`SHOWN`) hidden, and with it alone kept."""

    name: str
    """`this map`, or the control's."""
    hidden: float
    kept: float

    @property
    def size(self) -> float:
        """How much more likely the answer is with the share kept than hidden, in log-odds."""
        return _odds(self.kept) - _odds(self.hidden)


def _odds(score: float) -> float:
    score = min(max(score, LEAST), 1 - LEAST)
    return math.log(score / (1 - score))


def decide_verdict(effect: Effect, others: Sequence[Effect]) -> SupportVerdict | None:
    """Return the verdict once later maps cannot change it, else None."""
    won = sum(effect.size > other.size for other in others)
    lost = len(others) - won
    if lost > OTHERS // 2:
        return "not supported"
    return "cannot be told" if lost > ALLOWED and won > OTHERS // 2 else None


@dataclass(frozen=True, eq=False)
class Support:
    """How one map's effect compares with those of other maps."""

    label: str
    """Name of the target."""
    in_box: bool
    """Whether the maps are compared inside the target's box."""
    start: float
    """The score of the whole picture."""
    own: Effect
    others: tuple[Effect, ...]
    """Effects of maps of other pictures, as many as it took to tell; at most `OTHERS`."""
    copies: tuple[Effect, ...]
    """Effects of this map mirrored and moved, and of the middle; none where the others were enough to tell."""

    @property
    def beaten(self) -> int:
        """How many of all these the map beats."""
        return sum(self.own.size > control.size for control in self.controls)

    @property
    def controls(self) -> tuple[Effect, ...]:
        return (*self.others, *self.copies)

    @property
    def count(self) -> int:
        """The number of controls."""
        return len(self.controls)

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The map's own effect, then the controls'."""
        return (self.own, *self.controls)

    @property
    def verdict(self) -> SupportVerdict:
        """The verdict by the number of beaten control maps."""
        if (settled := decide_verdict(self.own, self.others)) is not None:
            return settled
        complete = len(self.others) == OTHERS and self.copies
        return "supported" if complete and all(self.own.size > copy.size for copy in self.copies) else "cannot be told"

    @property
    def strongest(self) -> Effect:
        """The control with the largest effect."""
        return max(self.controls, key=lambda control: control.size)

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
        part = f"{percent(SHOWN)}{' of the box' if self.in_box else ''}"
        return (
            f"{verdict}: hiding this map's top {part} leaves {percent(self.own.hidden)} of {percent(self.start)}; "
            f"{self.strongest_name} leaves {percent(self.strongest.hidden)}."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The answer at every step, from the whole picture on."""

    value: NDArray[np.float64]
    """(steps + 1,); see `Answers`."""
    score: NDArray[np.float64]
    stays: NDArray[np.bool_]

    @property
    def area(self) -> float:
        """The area under the values over the share of the picture, by trapezoids: their mean over all shares."""
        return float(np.trapezoid(self.value, dx=1 / (len(self.value) - 1)))


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The answer as pixels are hidden, or kept, in one map's order."""

    name: str
    number: int
    filling: Filling
    deletion: Trace
    """By the share that is hidden, hottest first."""
    insertion: Trace
    """By the share that is kept, hottest first."""

    @property
    def steps(self) -> int:
        return len(self.deletion.value) - 1


CONTROLS = {
    "strongest": "the strongest map of the verdict's test",
    "random": "random places, as smooth as this map",
}
"""The control maps, by name, in words."""
SUFFICIENT = 0.9
"""The share of the whole picture's value that is still the answer."""


@dataclass(frozen=True, eq=False)
class Proof:
    """The curves of a map and its controls, and what follows from them.

    >>> from sightglass import Explainer
    >>> proof = Explainer()("bus.jpg", top_k=1).prove(steps=4)
    >>> round(proof.start, 2), proof.support.verdict
    (0.62, 'cannot be told')
    """

    label: str
    """Name of the target."""
    part: str
    curves: tuple[Curve, ...]
    fillings: tuple[Filling, ...]
    """The first one's curves are drawn."""
    start: float
    """The score of the whole picture."""
    support: Support
    """What the verdict follows from."""

    def of(self, name: str = "map", filling: Filling | None = None) -> tuple[Curve, ...]:
        """Return the map's or a control's curves for one filling."""
        filling = filling or self.fillings[0]
        return tuple(curve for curve in self.curves if (curve.name, curve.filling) == (name, filling))

    @property
    def map(self) -> Curve:
        """The map's own curve for the first filling."""
        return self.of()[0]

    @property
    def controls(self) -> tuple[str, ...]:
        """The names of the controls that there are."""
        return tuple(dict.fromkeys(curve.name for curve in self.curves if curve.name != "map"))

    @cached_property
    def sufficiency(self) -> float | None:
        """The smallest hottest share keeping 90 % of the value, or None."""
        trace = self.map.insertion
        if trace.value[-1] <= 0:
            return None
        return _first(trace.value >= SUFFICIENT * trace.value[-1])

    @cached_property
    def necessity(self) -> float | None:
        """The smallest hottest share flipping the answer if hidden, or None."""
        stays = self.map.deletion.stays
        return _first(~stays) if stays[0] else None

    def at(self, share: float, name: str = "map") -> tuple[float, float]:
        """Return the scores with the hottest share hidden, and kept alone, at the nearest step."""
        curves = self.of(name)
        place = round(share * curves[0].steps)
        return _mean(curves, lambda trace: float(trace.score[place]))

    @property
    def sentence(self) -> str:
        """The verdict, and what hiding does beside the strongest control; see `Support.sentence`."""
        return self.support.sentence


def _first(holds: NDArray[np.bool_]) -> float | None:
    """Return the share at which something holds for the first time."""
    return float(holds.argmax() / (len(holds) - 1)) if holds.any() else None


COLUMNS = ("map", "hidden", "kept")
"""Columns of `rows`: areas under the curves of the first filling."""


def rows(proof: Proof) -> list[tuple[str, ...]]:
    """Return a row of `COLUMNS` for the map and each control."""
    names = {"map": "this map"} | {name: CONTROLS[name] for name in proof.controls}
    areas = {words: _mean(proof.of(name), lambda trace: trace.area) for name, words in names.items()}
    return [(words, f"{deletion:.2f}", f"{insertion:.2f}") for words, (deletion, insertion) in areas.items()]


def lines(proof: Proof) -> list[str]:
    """Return a sentence each on sufficiency and necessity."""
    sufficiency, most = proof.sufficiency, percent(SUFFICIENT)
    keeps = f"No part of the picture alone keeps {most} of the score."
    if sufficiency is not None and sufficiency < 1:
        keeps = f"The strongest {percent(sufficiency)} alone keeps {most} of the score."
    if sufficiency == 0:
        keeps = f"Even with nothing kept, {most} of the score is there."
    changes = "No share that was hidden changes the answer."
    if proof.necessity is not None:
        changes = f"Hiding the strongest {percent(proof.necessity)} changes the answer."
    return [keeps, changes]


def _mean(curves: Sequence[Curve], measure: Callable[[Trace], float]) -> tuple[float, float]:
    """Return the means of a measure over the curves of deletion, and of insertion."""
    deletion, insertion = ([measure(getattr(curve, kind)) for curve in curves] for kind in ("deletion", "insertion"))
    return float(np.mean(deletion)), float(np.mean(insertion))
