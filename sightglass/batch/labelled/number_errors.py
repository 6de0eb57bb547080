"""How far numbers are from the true ones, with an interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sightglass.evaluation.average_precision import redraw
from sightglass.explain.phrases import plural, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class NumberErrors:
    """How far a model's numbers are from the true ones, whichever way, in their unit."""

    pictures: int
    mean: float
    low: float
    high: float
    """The mean's 95 % interval; nan of fewer than two pictures."""
    median: float

    def describe(self, unit: str) -> str:
        """Return it as a sentence: by how much it is wrong, with the interval, and on how many pictures."""
        on = plural(self.pictures, "labelled picture")
        known = self.low == self.low
        interval = f" (95 % interval: {quantity(self.low)} to {quantity(self.high, unit)})" if known else ""
        mean, median = (quantity(value, unit) for value in (self.mean, self.median))
        return f"Wrong by {mean} in the mean{interval}, {median} in the median: {on}"


def measure_errors(errors: Sequence[float], *, seed: int = 0) -> NumberErrors:
    """Return the mean and the median of absolute errors, the mean with the interval of redrawn pictures (percentiles).

    `errors`: number minus true number, of one picture at least.

    >>> measure_errors([1.0, -3.0]).mean
    2.0
    """
    sizes = np.abs(np.asarray(errors, np.float64))
    low, high = float("nan"), float("nan")
    if len(sizes) > 1:
        low, high = np.percentile(redraw(len(sizes), seed) @ sizes / len(sizes), [2.5, 97.5])
    return NumberErrors(len(sizes), float(sizes.mean()), float(low), float(high), float(np.median(sizes)))
