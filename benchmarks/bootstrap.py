"""Intervals by drawing pictures again with replacement, so that what is compared stays paired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.classifiers.case import SEED

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

RESAMPLES = 2000
Interval = tuple[float, float, float]
"""A mean and the ends of its 95 % interval."""


def redrawn(pictures: Sequence[Sequence[Hashable]]) -> list[NDArray[np.float64]]:
    """By model how often each of its objects counts in each resample, (R, n); pictures are drawn, for all alike.

    `pictures` says of each model which picture each of its objects is of.
    """
    names = sorted({name for of in pictures for name in of}, key=str)
    count = max(len(names), 1)
    weights = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)
    at = {name: i for i, name in enumerate(names)}
    return [weights[:, [at[name] for name in of]] for of in pictures]


def interval(values: Sequence[NDArray[np.float64]], weights: Sequence[NDArray[np.float64]]) -> Interval:
    """The mean over models of each one's mean over what was measured, and the ends of its 95 % interval."""
    means, drawn = [], []
    for given, weight in zip(values, weights, strict=True):
        known = np.isfinite(given)
        if not known.any():
            return (float("nan"),) * 3
        means.append(given[known].mean())
        drawn.append((weight[:, known] @ given[known]) / np.maximum(weight[:, known].sum(1), 1e-9))
    low, high = np.percentile(np.mean(drawn, 0), (2.5, 97.5)).tolist()
    return float(np.mean(means)), low, high
