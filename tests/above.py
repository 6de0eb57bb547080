"""What of a map is above a level, as the browser's `statistics.js` has it."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray


class Above(NamedTuple):
    """Shares of the map's cells and of its evidence, 0..1, and connected areas; cells at a corner are connected."""

    area: float
    evidence: float
    regions: int


def describe_above(values: NDArray[np.float32], level: float) -> Above:
    """Describe what of a map (h, w), 0..1, is above a level."""
    above = values > level
    total = float(values.sum(dtype=np.float64))
    evidence = float(values[above].sum(dtype=np.float64)) / (total or 1)
    count, _ = cv2.connectedComponents(above.view(np.uint8), connectivity=8)
    return Above(float(np.count_nonzero(above)) / values.size, evidence, count - 1)
