"""Bootstrap confidence intervals over pictures, for paired comparisons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.timing import SEED

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray

Line = tuple[str, str, str]
"""Method, layers, part; a baseline is (its name, "", "") or has the part of the maps that it is compared with."""
RESAMPLES = 2000
Interval = tuple[float, float, float]
"""A mean and the ends of its 95 % interval."""


class Samples:
    """What several models' maps got, object by object; each model has the same weight."""

    def __init__(
        self, pictures: Sequence[Sequence[Hashable]], values: Callable[[Line, str], list[NDArray[np.float64]]]
    ) -> None:
        """`pictures`: the picture of each object, by model. `values`: a line's figures of a measure, likewise."""
        self.values = values
        names = sorted({name for of in pictures for name in of}, key=str)
        count = max(len(names), 1)
        weights = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
        at = {name: i for i, name in enumerate(names)}
        self._weights = [weights[:, [at[name] for name in of]] for of in pictures]
        """How often each object counts in each resample, (R, n); pictures are drawn, for all models alike."""

    def mean(self, line: Line, measure: str) -> float:
        return float(np.mean([np.nanmean(one) for one in self.values(line, measure)]))

    def interval(self, line: Line, measure: str) -> Interval:
        return self._interval(self.values(line, measure))

    def difference(self, line: Line, other: Line, measure: str) -> Interval:
        pairs = zip(self.values(line, measure), self.values(other, measure), strict=True)
        return self._interval([one - two for one, two in pairs])

    def ranked(self, lines: Sequence[Line], measures: Sequence[str]) -> list[tuple[float, Line]]:
        """Return lines by their mean rank over the measures, best first; ties stay in the given order."""
        means = np.array([[self.mean(line, measure) for measure in measures] for line in lines])
        ranks = np.stack([(-column[:, None] < -column[None, :]).sum(0) + 1 for column in means.T], 1).mean(1)
        return [(float(ranks[i]), lines[i]) for i in np.argsort(ranks, kind="stable")]

    def _interval(self, values: Sequence[NDArray[np.float64]]) -> Interval:
        """Return the mean over models of each one's mean over what was measured, and the ends of its interval."""
        means, drawn = [], []
        for given, weight in zip(values, self._weights, strict=True):
            known = np.isfinite(given)
            if not known.any():
                return (float("nan"),) * 3
            means.append(given[known].mean())
            drawn.append((weight[:, known] @ given[known]) / np.maximum(weight[:, known].sum(1), 1e-9))
        low, high = np.percentile(np.mean(drawn, 0), (2.5, 97.5)).tolist()
        return float(np.mean(means)), low, high
