"""Sharpness and brightness of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 256
"""Pixels a side at which every picture is measured, so that those of different sizes compare."""
BRIGHTEST = 0.99
"""The quantile of the pixels that counts as the brightest: a dark scene has a lamp in it, a dark exposure has none."""


def measure_quality(pixels: NDArray[np.uint8]) -> tuple[float, float]:
    """Return the sharpness and the brightness of a picture, uint8 (h, w, 3) RGB.

    Sharpness is the standard deviation of the Laplacian over that of the picture, so that contrast does not count: 0
    of one that is even. Brightness, 0..1, is the grey level that one pixel in a hundred exceeds.

    >>> measure_quality(np.full((8, 8, 3), 255, np.uint8))
    (0.0, 1.0)
    """
    small = np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    spread = float(grey.std())
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).std()) / spread if spread > 1e-6 else 0.0
    return sharpness, float(np.quantile(grey, BRIGHTEST))
