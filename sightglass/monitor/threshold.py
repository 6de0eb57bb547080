"""Learn the confidence limit of unsure answers.

`threshold` alone decides, at two moments. When a picture comes, it says what the monitor logs in full: from the
operator's number or the reference, and without both it is `DEFAULT`, so that the log holds whatever may turn out to be
odd. When the log is read, by `watch` or on the Watch page, it can also learn from the log's first pictures; what is
learned is never above `DEFAULT`, so the log has all that a report without an operator's number calls unsure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.monitor.entry import Entry
    from sightglass.monitor.observation import Observation
    from sightglass.monitor.reference import Known

DEFAULT = 0.5
"""Until there is something to learn from; a learned one is never higher."""
QUANTILE = 0.05
"""The share of the pictures it is learned from that would count as unsure."""
ENOUGH, FIRST = 30, 100
"""Minimum number of pictures to learn from, and how many of a log are taken where there is no reference."""
UNSURE = "low confidence"
"""The kind of reason (`sightglass.monitor.KINDS`) that the threshold decides."""


@dataclass(frozen=True)
class Threshold:
    """`value`: 0..1. `origin`: what it comes from, in words."""

    value: float
    origin: str


def learn(confidences: Sequence[float] | NDArray[np.float64]) -> float | None:
    """Return a threshold below which one in twenty of these confidences are, 0..0.5 in steps of 0.01; None of fewer
    than `ENOUGH`.

    >>> learn([0.2] * 2 + [0.9] * 98), learn([0.1] * 10 + [0.9] * 90)
    (0.5, 0.1)
    """
    if len(confidences) < ENOUGH:
        return None
    return min(DEFAULT, math.floor(100 * float(np.quantile(confidences, QUANTILE)) + 1e-6) / 100)


def threshold(model: str, fixed: float | None, known: Known | None, seen: Sequence[Observation] = ()) -> Threshold:
    """Return a model's threshold: the operator's, else that of the reference, else that of its first pictures.

    `seen`: the log, oldest first; none when a picture comes.
    """
    found = _find(model, fixed, known, seen)
    return found or Threshold(DEFAULT, "until there are enough pictures to learn it from")


def thresholds(
    models: Iterable[str], fixed: float | None, known: Mapping[str, Known], seen: Sequence[Observation]
) -> dict[str, Threshold]:
    """Return the thresholds by which a report judges these models anew; a model with too few pictures to learn from has
    none: what was said of it when its pictures came stays."""
    each = {model: _find(model, fixed, known.get(model), seen) for model in models}
    return {model: found for model, found in each.items() if found is not None}


def _find(model: str, fixed: float | None, known: Known | None, seen: Sequence[Observation]) -> Threshold | None:
    if fixed is not None:
        return Threshold(fixed, "set by whoever runs this server")
    share = f"lowest {QUANTILE:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
    if known is not None and (found := learn(known.numbers.get("confidence", ()))) is not None:
        return Threshold(found, f"{share} of the reference")
    first = [one.confidence for one in seen if one.model == model and one.confidence is not None][:FIRST]
    if (found := learn(first)) is not None:
        return Threshold(found, f"{share} of the first {len(first)}")
    return None


def judge(seen: Sequence[Observation], thresholds: Mapping[str, float]) -> list[Observation]:
    """Return the observations as these thresholds judge them, by model; other reasons stay."""
    return [replace(one, odd=_odd(one, thresholds[one.model])) if one.model in thresholds else one for one in seen]


def still_odd(entry: Entry, thresholds: Mapping[str, float]) -> bool:
    """Return whether an entry of the log is odd with these thresholds, too."""
    if entry.why != (UNSURE,) or entry.confidence is None:
        return True
    return entry.confidence < thresholds.get(entry.model, 1.0)


def _odd(one: Observation, threshold: float) -> tuple[str, ...]:
    if one.confidence is None:
        return one.odd
    others = tuple(kind for kind in one.odd if kind != UNSURE)
    return (UNSURE, *others) if one.confidence < threshold else others
