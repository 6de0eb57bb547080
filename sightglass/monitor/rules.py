"""Rules for odd explanations."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.monitor.observation import Observation

KINDS: dict[str, str] = {
    "low confidence": "The model's best answer is below the threshold.",
    "nothing found": "A detector shows no box.",
    "border": "Most of the evidence is along the edges of the picture.",
    "even": "The evidence is spread nearly evenly: the map points nowhere.",
    "off the box": "The boxes hold less of the evidence than an even map would put there.",
    "flat": "The map is the same everywhere.",
    "no evidence": "Nothing in the picture speaks for the answer by this method.",
    "not a number": "The map broke down.",
}
"""The kinds of reasons, in words."""
_BROKEN = ("flat", "no evidence", "not a number")


@dataclass(frozen=True)
class Reason:
    """Why an explanation is odd."""

    kind: str
    """One of `KINDS`."""
    text: str
    """One sentence with the numbers."""
    beyond: float
    """How far beyond its limit, 0 to 1: 1 is as bad as it can be."""


@dataclass(frozen=True)
class Rules:
    """The limits; None or False switches a rule off. For measured typical values see docs/monitoring.md."""

    border: float | None = 0.5
    """Share of the heat in the outer tenth along the edges, above which a map is odd; even heat has 0.36 there."""
    even: float | None = 0.35
    """Smallest share of the area with half of the heat, above which a map is odd; even heat has 0.5."""
    off_box: float | None = 1.0
    """How much more heat its boxes hold than an even map would put there, below which a map is odd; only of methods
    whose map is of a class, and so of its boxes."""
    nothing_found: bool = True
    broken: bool = True
    """A map that is flat, has no evidence at all, or is not a number."""

    def __post_init__(self) -> None:
        for name, most in (("border", 1.0), ("even", 0.5), ("off_box", math.inf)):
            limit = getattr(self, name)
            if limit is not None and not (isinstance(limit, int | float) and 0 <= limit <= most):
                to = f" to {most:g}" if most < math.inf else " on"
                raise Problem(f"The limit {name} is {limit!r}: give a number from 0{to}, or None to switch it off.")

    @staticmethod
    def off() -> Rules:
        """Return rules that are all off; only the confidence threshold remains."""
        return Rules(None, None, None, False, False)

    def settings(self) -> Json:
        """Return the limits by name, for JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def check(seen: Observation, threshold: float, rules: Rules) -> tuple[Reason, ...]:
    """Return why an explanation is odd, in the order of `KINDS`; empty if it is not."""
    numbers = seen.numbers
    found: list[Reason] = []
    confidence = numbers.get("confidence")
    if confidence is not None and confidence < threshold:
        text = f"It is {percent(confidence)} sure of {seen.label}, below {percent(threshold)}."
        found.append(Reason("low confidence", text, (threshold - confidence) / threshold))
    if rules.nothing_found and seen.task == "detect" and not numbers.get("found"):
        found.append(Reason("nothing found", "It found no box.", 1.0))
    border, even, ratio = (numbers.get(name) for name in ("border_share", "half_heat_area", "box_ratio"))
    if rules.border is not None and border is not None and border > rules.border:
        text = f"{percent(border)} of the evidence is on the outer border, above {percent(rules.border)}."
        found.append(Reason("border", text, _beyond(border, rules.border, 1.0)))
    if rules.even is not None and even is not None and even > rules.even:
        text = f"Half of the evidence needs {percent(even)} of the area, above {percent(rules.even)}."
        found.append(Reason("even", text, _beyond(even, rules.even, 0.5)))
    if rules.off_box is not None and ratio is not None and ratio < rules.off_box and _of_a_class(seen.way):
        inside, area = percent(numbers["box_inside"]), percent(seen.box_area or 0.0)
        text = f"The boxes take up {area} of the area and hold {inside} of the evidence."
        found.append(Reason("off the box", text, (rules.off_box - ratio) / rules.off_box))
    if rules.broken and seen.state in _BROKEN:
        found.append(Reason(seen.state, KINDS[seen.state], 1.0))
    return tuple(found)


def _of_a_class(way: str) -> bool:
    known = METHODS.get(way.partition(" ")[0])
    return known is None or known.per_class


def _beyond(value: float, limit: float, most: float) -> float:
    return min(1.0, (value - limit) / (most - limit)) if most > limit else 1.0
