"""Rank a picture's pixels by a map, hottest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def ranking(values: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the share of pixels that are hotter than each one, float32 (h, w) in 0..1; None for a constant map.

    `values`: finite, (h, w). Pixels as cold as the coldest have no order of their own, and there are many where a map
    is clipped at 0: those nearest to a hotter one come first, so that what is hidden stays in one piece. Scattered
    pixels would cost a model more than a region of their size, whatever the map.
    """
    lowest = values.min()
    above = values > lowest
    if not above.any():
        return None
    away = cv2.distanceTransform((~above).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    order = np.lexsort((away.ravel(), -values.ravel()))
    places = np.empty(values.size, np.float32)
    places[order] = np.arange(values.size, dtype=np.float32) / values.size
    return places.reshape(values.shape)
