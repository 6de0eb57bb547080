"""The results of hiding and keeping: effects of maps, their verdict, curves, and what follows from them.

Deletion and insertion curves as in Petsiuk et al. 2018, RISE, https://arxiv.org/abs/1806.07421.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightglass.explain.phrases import listing, percent
from sightglass.explain.trust import Filling

SupportVerdict = Literal["supported", "not supported", "cannot be told"]
OTHERS = 19
"""Maps of other pictures, at most."""
ALLOWED = 2
"""How many of `OTHERS` may do as well."""
LEAST_OTHERS = 10
"""Other maps below which nothing is told."""
SHARES = (0.1, 0.3, 0.5)
"""The shares of the picture that are hidden, and then alone kept."""
SHARES_IN_WORDS = listing([percent(share) for share in SHARES])
LASTS = 0.8
"""The share of the score that is too much to tell: of what is left with everything hidden, or on average with a map's
strongest shares."""
STRONGEST = 0.25
"""Share of the picture that a map's strongest places are."""
ALIKE = 0.4
"""The share of their strongest places in common above which another map does not count."""
CLOSEST = 1e-4
"""Least distance of a score from 0 and 1 that counts."""
RANDOM = "random places"
"""How the names of random maps begin."""
EDGES, CENTRE = "the picture's edges", "a blob in its centre"
SAME = {EDGES: 0.75, CENTRE: 0.9}
"""Controls that look at no model, and the share of strongest places in common from which a map cannot be told from
them: edges smoothed by half and by double share three quarters and more; maps of an object in the centre up to 0.9."""


def log_odds(score: float) -> float:
    """Return a score 0..1 as log-odds: .9 to .99 is as far as .5 to .91."""
    inside = min(max(score, CLOSEST), 1 - CLOSEST)
    return math.log(inside / (1 - inside))


@dataclass(frozen=True, slots=True)
class Effect:
    """The answer's scores with a map's strongest shares hidden, and with nothing else kept."""

    name: str
    """`this map`, or the control's."""
    hidden: tuple[float, ...]
    """One score for each of `SHARES`."""
    kept: tuple[float, ...]
    """One score for each of `SHARES`."""

    @property
    def gap(self) -> float:
        """The mean log-odds with the shares kept less those with them hidden.

        The larger, the more of the answer is in the shares. May be negative.
        """
        return fmean(map(log_odds, self.kept)) - fmean(map(log_odds, self.hidden))


@dataclass(frozen=True, slots=True)
class Blind:
    """A control that looks at no model, beside the map."""

    effect: Effect
    shared: float
    """The share of the map's strongest places that are the control's, too."""

    def speaks_against(self, own: Effect) -> str:
        """Return what a map that beats others lacks beside this control; else empty."""
        name = self.effect.name
        if self.shared >= SAME[name]:
            return f"{percent(self.shared)} of its strongest places are those of {name}"
        if self.shared <= ALIKE and own.gap <= self.effect.gap:
            return f"a map of {name}, which looks at no model, does as well"
        return ""


def _round_as_printed(score: float) -> float:
    """Return a score as sentences print it, so that none contradicts a verdict."""
    return round(score, 2)


@dataclass(frozen=True, eq=False)
class Support:
    """How one map's effect compares with those of other maps.

    Of a box there are no others: no test told right maps of boxes from wrong ones.
    """

    label: str
    """Name of the target."""
    in_box: bool
    """Whether the map is tested inside the target's box."""
    start: float
    """The score of the whole picture."""
    floor: float
    """The score with the whole picture, or the whole box, blurred."""
    own: Effect
    others: tuple[Effect, ...]
    """Effects of maps of other pictures that mark other places, as many as it took to tell: up to `total`."""
    total: int = OTHERS
    """How many others there are."""
    blind: tuple[Blind, ...] = ()
    """The controls that look at no model; none of a box."""
    measure: str = ""
    """See `Wording.measure`."""
    hides: bool = False
    """Whether the map was made by hiding parts of the same picture (`Method.hides`)."""

    @property
    def beaten(self) -> int:
        """How many of the others have a smaller gap."""
        return sum(self.own.gap > other.gap for other in self.others)

    @property
    def count(self) -> int:
        """The number of others that were tried."""
        return len(self.others)

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The map's own effect, then the blind controls', then the others'."""
        return (self.own, *(control.effect for control in self.blind), *self.others)

    @property
    def settled(self) -> SupportVerdict | None:
        """The verdict once later maps cannot change it, else None."""
        if self._untestable:
            return "cannot be told"
        beaten, lost = self.beaten, self.count - self.beaten
        most_lost, allowed = self.total // 2, ALLOWED * self.total // OTHERS
        if lost > most_lost:
            return "not supported"
        if beaten >= self.total - allowed:
            return "cannot be told" if self._doubt else "supported"
        return "cannot be told" if lost > allowed and beaten >= self.total - most_lost else None

    @property
    def verdict(self) -> SupportVerdict:
        """The verdict by the number of beaten maps."""
        return self.settled or "cannot be told"

    @property
    def strongest(self) -> Effect | None:
        """The other map with the largest gap; None of a box."""
        return max(self.others, key=lambda other: other.gap, default=None)

    @property
    def strongest_name(self) -> str:
        """The strongest map's generic name: `another picture's map`; empty without one."""
        if self.strongest is None:
            return ""
        return "a random map" if self.strongest.name.startswith(RANDOM) else "another picture's map"

    @property
    def _untestable(self) -> str:
        """Why hiding tells nothing here; else empty."""
        if self.in_box:
            return "no test told right maps of boxes from wrong ones"
        if _round_as_printed(self.floor) >= LASTS * _round_as_printed(self.start):
            return f"the picture scores {percent(self.floor)} when all of it is blurred, and {self._score} as it is"
        if self.total < LEAST_OTHERS:
            return "nearly all maps of other pictures mark the same places"
        return ""

    @property
    def _doubt(self) -> str:
        """What speaks against a map that beats the others; else empty."""
        left = fmean(self.own.hidden)
        if _round_as_printed(left) >= LASTS * _round_as_printed(self.start):
            return f"hiding its top {SHARES_IN_WORDS} leaves {percent(left)} of {self._score} on average"
        return next(filter(None, (control.speaks_against(self.own) for control in self.blind)), "")

    @property
    def _score(self) -> str:
        return f"{percent(self.start)} {self.measure}".rstrip()

    @property
    def sentence(self) -> str:
        """The verdict, and the mean scores with the shares alone and without."""
        verdict = {
            "supported": "This map matters",
            "not supported": "This map shows no more than others do",
            "cannot be told": "It cannot be told whether this map matters",
        }[self.verdict]
        made = " The map was made by hiding parts of this picture, too: this is no independent check of it."
        return f"{verdict}: {self._reason}.{made if self.hides and not self._untestable else ''}"

    @property
    def _reason(self) -> str:
        """What the verdict follows from."""
        doubt = self._doubt if self.verdict == "cannot be told" else ""
        if self._untestable or doubt:
            return self._untestable or doubt
        left, kept = percent(fmean(self.own.hidden)), percent(fmean(self.own.kept))
        others = "random" if self.strongest_name == "a random map" else "other pictures'"
        return (
            f"hiding its top {SHARES_IN_WORDS} leaves {left} of {self._score} on average, and they alone score {kept}; "
            f"{self.beaten} of {self.count} {others} maps do worse"
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


CONTROLS = {"strongest": "the strongest map of the verdict's test", "random": "random places, as smooth as this map"}
"""The control maps, by name, in words."""
SUFFICIENT = 0.9
"""The share of the whole picture's value that is still the answer."""


@dataclass(frozen=True, eq=False)
class Proof:
    """The curves of a map and its controls, and what follows from them."""

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
        return _first(trace.value >= SUFFICIENT * trace.value[-1]) if trace.value[-1] > 0 else None

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
    """Return a sentence each on sufficiency, of the score or a contrast's margin, and on necessity."""
    sufficiency, most = proof.sufficiency, percent(SUFFICIENT)
    value = "contrast's margin" if proof.part == "contrast" else "score"
    keeps = f"No share that was tried keeps {most} of the {value}."
    if sufficiency is None:
        keeps = f"There is no {value} that could be kept."
    elif sufficiency == 0:
        keeps = f"Even with nothing kept, {most} of the {value} is there."
    elif sufficiency < 1:
        keeps = f"The strongest {percent(sufficiency)} alone keeps {most} of the {value}."
    changes = "No share that was hidden changes the answer."
    if not proof.map.deletion.stays[0]:
        changes = f"The answer is not {proof.label} to begin with."
    elif proof.necessity is not None:
        changes = f"Hiding the strongest {percent(proof.necessity)} changes the answer."
    return [keeps, changes]


def _mean(curves: Sequence[Curve], measure: Callable[[Trace], float]) -> tuple[float, float]:
    """Return the means of a measure over the curves of deletion, and of insertion."""
    deletion, insertion = ([measure(getattr(curve, kind)) for curve in curves] for kind in ("deletion", "insertion"))
    return float(np.mean(deletion)), float(np.mean(insertion))
