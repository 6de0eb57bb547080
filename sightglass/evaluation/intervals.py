"""Confidence intervals of rates of clustered objects (Wilson, Newcombe).

Objects of one picture are not independent: a rate of them is as sure as that of fewer independent ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Z = 1.959964
"""Standard deviations of a normal distribution's middle 95 %."""


def wilson(count: float, total: float) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927, doi:10.2307/2276774); 0 to 1 of nothing.

    >>> wilson(8, 10)
    (0.490..., 0.943...)
    """
    if not total:
        return 0.0, 1.0
    share, extra = count / total, Z * Z / total
    middle = (share + extra / 2) / (1 + extra)
    half = Z * math.sqrt(share * (1 - share) / total + extra / (4 * total)) / (1 + extra)
    # Rounding could leave the share itself outside.
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def clustered(wrong: NDArray[np.float64], counts: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return a rate over clusters, and its 95 % interval.

    `wrong`, `counts`: (clusters,) objects that are wrong, and all, of each picture. Wilson's interval of as many
    independent objects as give the rate's cluster-robust variance (Korn and Graubard 1998), never more than there are.
    """
    total = float(counts.sum())
    if not total:
        return float("nan"), 0.0, 1.0
    rate = float(wrong.sum()) / total
    effective = total / _design_effect(wrong, counts, rate)
    return rate, *wilson(rate * effective, effective)


def count_clustered(wrong: NDArray[np.bool_], cluster: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return `clustered` of objects (n,) and the number of each one's cluster."""
    counts = np.bincount(cluster)
    return clustered(np.bincount(cluster, wrong, len(counts)).astype(np.float64), counts.astype(np.float64))


def difference(one: tuple[float, float, float], other: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return by how much a rate is above another, with its 95 % interval (Newcombe 1998, his method 10).

    Both are rates with the ends of their intervals, of different objects.
    """
    (a, low_a, high_a), (b, low_b, high_b) = one, other
    gap = a - b
    return gap, gap - math.hypot(a - low_a, high_b - b), gap + math.hypot(high_a - a, b - low_b)


def _design_effect(wrong: NDArray[np.float64], counts: NDArray[np.float64], rate: float) -> float:
    """Return by how many times the variance of a rate is above that of independent objects, 1 at least."""
    total, clusters = float(counts.sum()), int(np.count_nonzero(counts))
    plain = rate * (1 - rate) / total
    if plain <= 0:
        # Where all are alike nothing shows how alike objects of a picture are: each picture counts once.
        return total / clusters
    return max(1.0, float(((wrong - rate * counts) ** 2).sum()) / total**2 / plain)
