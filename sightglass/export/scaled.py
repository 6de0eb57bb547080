"""Scale an explanation to a page's size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Kind, Pixels, Style

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.picture.image import Image
    from sightglass.models.geometry import Geometry


def fit(width: int, height: int, longest: int) -> tuple[int, int]:
    """Return (width, height) with the same proportions, neither above `longest` and never enlarged."""
    scale = min(1.0, longest / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def reduce(pixels: Pixels, longest: int) -> Pixels:
    """Return the picture, uint8 (H, W, 3), with no side above `longest`."""
    size = fit(pixels.shape[1], pixels.shape[0], longest)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def field(heatmap: Heatmap, size: tuple[int, int]) -> Field:
    """Return a map placed over the picture scaled to `size` (width, height)."""
    return place_field(heatmap.content, heatmap.geometry, size, heatmap.kind)


def place_field(content: NDArray[np.float32], geometry: Geometry, size: tuple[int, int], kind: Kind = "heat") -> Field:
    """Return values (h, w) of what the model saw of a picture, placed over it scaled to `size` (width, height)."""
    width, height = size
    across, down = width / geometry.original[1], height / geometry.original[0]
    x0, y0, x1, y1 = (edge * by for edge, by in zip(geometry.extent, (across, down) * 2, strict=True))
    left, top, right, bottom = geometry.seen
    left, top = min(round(left * across), width - 1), min(round(top * down), height - 1)
    seen = left, top, max(left + 1, round(right * across)), max(top + 1, round(bottom * down))
    return Field(content, (x0, y0, x1, y1), seen, kind)


def overlay(heatmap: Heatmap, image: Image, longest: int, style: Style) -> Pixels:
    """Return the scaled picture under a map, as the viewer draws it."""
    small = reduce(image.pixels, longest)
    return paint(small, field(heatmap, (small.shape[1], small.shape[0])), style)
