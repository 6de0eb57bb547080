"""95 % intervals: exact ones of shares, and those of numbers over redrawn pictures, where these are enough."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sightglass.explain.phrases import NBSP, percent, plural, signed
from sightglass.report.results import Number

DRAWS = 300
"""Number of bootstrap samples of the pictures for an interval."""
LEVEL = 0.95
"""Level of all intervals and tests."""
Z = 1.959964
"""Standard deviations of a normal distribution's middle 95 %."""
LEAST_PICTURES = 10
"""Fewest redrawn pictures with an interval: sets of fewer ones differ too little to say how far a number may be off."""
SPREAD = 1.15
"""How much more sets of other pictures vary than redrawn ones, where objects differ much in size: measured."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; all nan where no picture counts, and the ends where too few do."""

    value: Number
    low: Number
    high: Number
    pictures: int
    """How many pictures it rests on."""

    @property
    def has_interval(self) -> bool:
        return not math.isnan(self.low)

    @property
    def ends(self) -> tuple[float, float]:
        """Of its interval; without one twice the number."""
        return (self.low, self.high) if self.has_interval else (self.value, self.value)

    @property
    def points(self) -> str:
        """`61.2`: in hundredths; `–` of no number."""
        return "–" if math.isnan(self.value) else f"{100 * self.value:.1f}"

    @property
    def range(self) -> str:
        """`55.0 to 66.1`, rounded outwards; `–` of no interval."""
        if not self.has_interval:
            return "–"
        low, high = _round_outwards(self.low, self.high, 1000)
        return f"{signed(low, '.1f')} to {signed(high, '.1f')}"

    @property
    def range_or_pictures(self) -> str:
        """`55.0 to 66.1`, or `4 pictures` where these give no interval."""
        return self.range if self.has_interval else plural(self.pictures, "picture")

    @property
    def percent(self) -> str:
        """`71 %`; `–` of no number."""
        return "–" if math.isnan(self.value) else percent(self.value)

    @property
    def percent_range(self) -> str:
        """`64 to 77 %`, rounded outwards; `–` of no interval."""
        if not self.has_interval:
            return "–"
        low, high = _round_outwards(self.low, self.high, 100)
        return f"{low:.0f} to {high:.0f}{NBSP}%"

    @property
    def turned(self) -> Self:
        """The same difference seen from the other side."""
        return type(self)(-self.value, -self.high, -self.low, self.pictures)

    def describe(self, number: str, range: str) -> str:
        """Return `61.2 (95 % interval: 55.0 to 66.1)`, or `61.2 (no interval from 4 pictures)`."""
        if math.isnan(self.value):
            return "–"
        if not self.has_interval:
            return f"{number} (no interval from {plural(self.pictures, 'picture')})"
        return f"{number} (95 % interval: {range})"


@dataclass(frozen=True)
class EstimateSoFar(Estimate):
    """A number of a stopped run: its pictures are no random sample, so that it has no interval."""

    @classmethod
    def of(cls, estimate: Estimate) -> Self:
        """Return an estimate without its interval."""
        return cls(estimate.value, math.nan, math.nan, estimate.pictures)

    def describe(self, number: str, range: str) -> str:
        """Return the number alone."""
        return "–" if math.isnan(self.value) else number


def _round_outwards(low: float, high: float, steps: int) -> tuple[float, float]:
    """Return the ends in hundredths, the lower one rounded down and the upper one up to a whole number of steps."""
    # Sums of binary fractions reach beyond a round number by some 1e-16.
    below, above = math.floor(round(low * steps, 9)), math.ceil(round(high * steps, 9))
    return 100 * below / steps, 100 * above / steps


def estimate_share(count: int, total: int) -> Estimate:
    """Return a share with its exact 95 % interval (Clopper and Pearson 1934, doi:10.2307/2331986); nan of nothing."""
    if not total:
        return Estimate(math.nan, math.nan, math.nan, 0)
    share = count / total
    return Estimate(share, *_bound_share(share, total), total)


def _bound_share(share: float, answers: float) -> tuple[float, float]:
    """Return the exact interval of a share of some right and wrong answers, also of no whole number of them."""
    from scipy.special import betaincinv

    right, wrong = share * answers, (1 - share) * answers
    tail = (1 - LEVEL) / 2
    low = betaincinv(right, wrong + 1, tail) if right > 0 else 0.0
    high = betaincinv(right + 1, wrong, 1 - tail) if wrong > 0 else 1.0
    return float(low), float(high)


def estimate_median(values: NDArray[np.float64]) -> Estimate:
    """Return the median of numbers, one of each picture, with an interval that holds however they are distributed.

    Its ends are two of the numbers (Thompson 1936, doi:10.1214/aoms/1177732523). Fewer than six have none.
    """
    from scipy.stats import binom

    ordered = np.sort(values)
    median, count = float(np.median(ordered)), len(ordered)
    # So many at either end may be on one side of the median by chance.
    outside = int(binom.ppf((1 - LEVEL) / 2, count, 0.5))
    if not outside:
        return Estimate(median, math.nan, math.nan, count)
    return Estimate(median, float(ordered[outside - 1]), float(ordered[-outside]), count)


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


def quantile(pictures: int, intervals: int = 1) -> float:
    """Return the standard errors in half an interval over pictures, by Student's t.

    `intervals`: how many hold at once, by Bonferroni's correction.
    """
    from scipy.special import stdtrit

    return float(stdtrit(pictures - 1, 1 - (1 - LEVEL) / 2 / intervals))


def standard_error(samples: NDArray[np.float64], pictures: int) -> float:
    """Return a number's standard error by its values on redrawn sets of pictures (draws,), without nan."""
    return float(np.nanstd(samples)) * math.sqrt(pictures / (pictures - 1))


def count_pictures(sizes: NDArray[Any]) -> Any:
    """Return how many pictures of one size vary as much as these, of each class.

    Kish's effective number (1965, Survey Sampling). `sizes`: (pictures, classes), what each picture counts for.
    """
    sizes = sizes.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return sizes.sum(0) ** 2 / (sizes**2).sum(0)


def count_answers(pictures: NDArray[Any], in_all: float = math.inf) -> float:
    """Return of how many pictures a share varies as much as the mean of classes' shares.

    `pictures`: (classes,), those of each class, at least one. `in_all`: the most, where a picture has several classes:
    one on which a model fails is wrong in all of them at once. Where a class is right and wrong alike often, its share
    varies by one over its pictures, and the mean of independent shares by the sum of these over the squared number.
    """
    if not len(pictures):
        return 0.0
    return min(float(len(pictures) ** 2 / (1 / pictures).sum()), in_all)


def estimate(
    value: float,
    samples: NDArray[np.float64],
    pictures: int,
    *,
    least: int = LEAST_PICTURES,
    most: float | None = None,
) -> Estimate:
    """Return a number from 0 to 1 with its 95 % interval, of fewer than `least` pictures without one.

    The interval is that of as many right and wrong answers as would vary as much (Korn and Graubard 1998, Survey
    Methodology 24, 193-201), around the number without what redrawing adds to it: repeated pictures raise AP.
    `samples`: (draws,), the number on redrawn sets of `pictures`; nan where it has none.
    `most`: right and wrong answers that it rests on at most, by default one a picture: where all are right, redrawn
    sets do not vary.
    """
    value = float(value)
    if pictures < least or np.isnan(samples).all():
        return Estimate(value, math.nan, math.nan, pictures)
    unbiased = min(max(2 * value - float(np.nanmean(samples)), 0.0), 1.0)
    error = SPREAD * standard_error(samples, pictures) * quantile(pictures) / Z
    most = float(pictures) if most is None else most
    answers = min(unbiased * (1 - unbiased) / error**2, most) if error else most
    low, high = _bound_share(unbiased, answers or most)
    return Estimate(value, min(low, value), max(high, value), pictures)


@dataclass(frozen=True, eq=False)
class Metrics:
    """How well a model's answers fit the labels."""

    scores: Mapping[str, Estimate]
    """Under `kinds.NAMES`: first the number that models are compared by."""
    drawn: NDArray[np.float64] = field(repr=False)
    """(DRAWS,): that number on redrawn sets of pictures, which are the same for every model."""
    by_class: Mapping[str, Estimate] = field(repr=False)
    """The same metric, or another one, for each class with labels."""

    @property
    def without_intervals(self) -> Self:
        """The numbers of pictures that are no random sample."""
        scores, by_class = (
            {name: EstimateSoFar.of(score) for name, score in numbers.items()}
            for numbers in (self.scores, self.by_class)
        )
        return replace(self, scores=scores, by_class=by_class)
