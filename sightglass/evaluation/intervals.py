"""Wilson's confidence interval of a share."""

from __future__ import annotations

import math

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
