"""95 % intervals: Wilson's of shares, and the basic bootstrap's over redrawn pictures."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightglass.explain.phrases import NBSP, percent
from sightglass.report.results import Number

DRAWS = 300
"""Number of bootstrap samples of the pictures for an interval."""
LEVEL = 0.95
"""Level of all intervals and tests."""
Z = 1.959964
"""Standard deviations of a normal distribution's middle 95 %."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; all nan where no picture counts."""

    value: Number
    low: Number
    high: Number

    @property
    def points(self) -> str:
        """`61.2`: in hundredths; `–` of no number."""
        return "–" if math.isnan(self.value) else f"{100 * self.value:.1f}"

    @property
    def range(self) -> str:
        """`55.0 to 66.1`; `–` of no number."""
        return "–" if math.isnan(self.low) else f"{100 * self.low:.1f} to {100 * self.high:.1f}"

    @property
    def percent(self) -> str:
        """`71 %`; `–` of no number."""
        return "–" if math.isnan(self.value) else percent(self.value)

    @property
    def percent_range(self) -> str:
        """`64 to 77 %`; `–` of no number."""
        return "–" if math.isnan(self.value) else f"{100 * self.low:.0f} to {100 * self.high:.0f}{NBSP}%"


def estimate_share(count: int, total: int) -> Estimate:
    """Return a share with its 95 % Wilson interval (1927, doi:10.2307/2276774); nan of nothing."""
    from scipy.stats import binomtest

    if not total:
        return Estimate(math.nan, 0.0, 1.0)
    interval = binomtest(count, total).proportion_ci(method="wilson")
    return Estimate(count / total, float(interval.low), float(interval.high))


def sign_test(leads: Iterable[int], alternative: str = "two-sided") -> float:
    """Return the exact sign test's p-value; differences of 0 do not count."""
    from scipy.stats import binomtest

    signs = [lead > 0 for lead in leads if lead]
    return float(binomtest(sum(signs), len(signs), alternative=alternative).pvalue) if signs else 1.0


def redraw(pictures: int) -> NDArray[np.int32]:
    """Return how often each picture counts in each redrawn set, (draws, pictures)."""
    if not pictures:
        return np.zeros((DRAWS, 0), np.int32)
    return np.random.default_rng(0).multinomial(pictures, np.full(pictures, 1 / pictures), DRAWS).astype(np.int32)


def average_classes(values: NDArray[np.float64]) -> Any:
    """Return the mean over classes (first axis), without nan."""
    valid = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(valid, values, 0).sum(0) / valid.sum(0)


def estimate(value: float, samples: NDArray[np.float64], least: float = -1.0, pictures: int | None = None) -> Estimate:
    """Return a number with its 95 % basic bootstrap interval, within `least` and 1; of one of `pictures` none."""
    samples = samples[~np.isnan(samples)]
    # Resampling a single picture gives no interval.
    if pictures == 1 or not len(samples):
        return Estimate(float(value), float("nan"), float("nan"))
    # Repeated pictures raise AP: the basic interval mirrors this bias, percentiles would keep it.
    high, low = 2 * value - np.percentile(samples, [2.5, 97.5])
    low, high = max(least, min(value, low)), min(1.0, max(value, high))
    return Estimate(float(value), float(low), float(high))


@dataclass(frozen=True, eq=False)
class Metrics:
    """How well a model's answers fit the labels."""

    scores: Mapping[str, Estimate]
    """Under `kinds.NAMES`: first the number that models are compared by."""
    drawn: NDArray[np.float64] = field(repr=False)
    """(DRAWS,): that number on redrawn sets of pictures, which are the same for every model."""
    by_class: Mapping[str, Estimate] = field(repr=False)
    """The same metric, or another one, for each class with labels."""
