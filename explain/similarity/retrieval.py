"""Judge rankings as Market-1501 does: the CMC curve and mean average precision.

Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015. Average precision is the mean of the precision
at each right picture, as torchreid, FastReID and most papers compute it since; the benchmark's first script took the
area under the curve by trapezoids, which is a little lower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]

MAX_RANK = 50
"""Ranks of a CMC curve, torchreid's default."""


def order(scores: NDArray[np.floating], left_out: Bools) -> NDArray[np.intp]:
    """Return the gallery's indices (n,), most similar first, without those that are left out; both arrays are (G,).

    Equal scores keep the gallery's order.
    """
    ranked = np.argsort(-scores, kind="stable")
    return ranked[~left_out[ranked]]


def average_precision(right: Bools) -> float:
    """Return the mean precision at each right picture of a ranking (n,), 0..1; NaN without any.

    AP = 1/R sum_k P(k) right(k), with P(k) the share of right ones among the first k.

        average_precision(np.array([True, False, True]))  # (1/1 + 2/3) / 2
    """
    places = np.flatnonzero(right)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1))) if len(places) else float("nan")


def cmc(rankings: Sequence[Bools], max_rank: int = MAX_RANK) -> NDArray[np.float64]:
    """Return for k = 1.. the share of rankings with a right picture among the first k, (max_rank,).

    A ranking without any right picture asks nothing and does not count. Raises ValueError where none has one.
    """
    firsts = np.array([int(right.argmax()) for right in rankings if right.any()])
    if not len(firsts):
        raise ValueError("No ranking holds a right picture.")
    return np.array((firsts[:, None] <= np.arange(max_rank)).mean(0))
