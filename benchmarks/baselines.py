"""Baseline maps that use no model: smooth noise, a blob, edges.

A map of a model has to beat them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Map = NDArray[np.float32]


def noise(generator: np.random.Generator, shape: tuple[int, int]) -> Map:
    """Return random numbers on a grid of 16x16, enlarged to (H, W); the smallest is 0."""
    coarse = torch.from_numpy(generator.random((16, 16), np.float32))
    grown = torch.nn.functional.interpolate(coarse[None, None], shape, mode="bicubic")[0, 0]
    found: Map = (grown - grown.min()).numpy()
    return found


def blob(shape: tuple[int, ...], y: float, x: float, high: float, wide: float) -> Map:
    """Return a Gaussian around (y, x) with these standard deviations, all in pixels, (H, W)."""
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5 for side in shape)
    found: Map = np.exp(-(((rows[:, None] - y) / high) ** 2 + ((columns - x) / wide) ** 2) / 2)
    return found


def centre_blob(shape: tuple[int, ...]) -> Map:
    return blob(shape, shape[0] / 2, shape[1] / 2, shape[0] / 6, shape[1] / 6)


def filled(area: Map) -> Map:
    """Return a map of 1 where `area` is, and hotter by a thousandth amid it, so that it has one hottest place."""
    (high, wide), (rows, columns) = area.shape, np.nonzero(area > 0.5)
    y, x = (float(rows.mean()) + 0.5, float(columns.mean()) + 0.5) if len(rows) else (high / 2, wide / 2)
    return area * (1 + np.float32(1e-3) * blob(area.shape, y, x, high / 4, wide / 4))


def edges(pixels: NDArray[np.uint8], blur: float = 0.0) -> Map:
    """Return the length of Sobel's gradient of the luma, (H, W); the luma is blurred by so many pixels first."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), blur) if blur else grey
    found: Map = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return found
