"""Decide what of a map a slide enlarges or draws coarser, so that the back of a room sees it.

Places are xyxy in shares of the picture. Nothing here knows how a slide is written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from sightglass.explain.rendering.style import Field, Pixels, Values

Place = tuple[float, float, float, float]
WHOLE: Place = (0.0, 0.0, 1.0, 1.0)

SMALL = 0.05
"""Share of a map that holds half of its evidence, below which the place of that is shown enlarged."""
SPECKS = 20
"""Regions that hold half of its evidence, above which a map is drawn coarser."""
BLUR = 0.04
"""Standard deviation of the blur of such a map, as a share of its longer side."""
SIDE = 0.4
"""Side of an inset, as a share of the picture's shorter side."""
LEAST, MOST = 0.12, 0.25
"""Bounds of the side of the place that it shows, as shares of the same."""
MARGIN = 1.3
"""Side of that place by the longer side of the evidence in it."""
_PREVIEW = 96
"""Pixels of the longer side of the picture whose corners are compared."""


@dataclass(frozen=True)
class Inset:
    """An enlarged part of a picture, and where on the picture it stands."""

    place: Place
    """What it shows."""
    corner: Place
    """Where it is drawn."""

    def size_in(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return its width and height on a picture of a size, in pixels."""
        left, top, right, bottom = self.corner
        return max(1, round((right - left) * size[0])), max(1, round((bottom - top) * size[1]))


def coarsen(field: Field) -> Field:
    """Return a map blurred if its evidence is in many specks.

    Its maximum is as before. Any other map, and a difference, is returned as it is.
    """
    if field.kind == "difference" or len(_regions(field.values)) <= SPECKS:
        return field
    blurred = cv2.GaussianBlur(field.values, (0, 0), BLUR * max(field.values.shape))
    scale = np.abs(field.values).max() / np.abs(blurred).max()
    return replace(field, values=np.clip(blurred * scale, -1, 1))


def find_inset(field: Field, pixels: Pixels) -> Inset | None:
    """Return the inset of a map with evidence in one small place.

    `pixels`: the picture, uint8 (H, W, 3). None for other maps, and where the place leaves no corner free.
    """
    height, width = pixels.shape[:2]
    place = None if field.kind == "difference" else _small_place(field, width, height)
    if place is None:
        return None
    corners = [corner for corner in _corners(width, height) if not _overlap(corner, place)]
    return Inset(place, min(corners, key=lambda corner: _detail(pixels, corner))) if corners else None


def crop(field: Field, before: tuple[int, int], place: Place, size: tuple[int, int]) -> Field:
    """Return the field over a part of a picture.

    `before`: the picture's size; `place`: the part; `size`: that at which it is drawn. Sizes are (width, height).
    """
    if place == WHOLE:
        return field.scaled(before, size)
    start = place[0] * before[0], place[1] * before[1]
    factors = [size[i] / (before[i] * (place[i + 2] - place[i])) for i in (0, 1)]

    def move(box: Sequence[float]) -> list[float]:
        return [(edge - start[i % 2]) * factors[i % 2] for i, edge in enumerate(box)]

    x0, y0, x1, y1 = move(field.extent)
    left, top, right, bottom = (round(edge) for edge in move(field.seen))
    left, top = min(max(left, 0), size[0] - 1), min(max(top, 0), size[1] - 1)
    right, bottom = max(left + 1, min(right, size[0])), max(top + 1, min(bottom, size[1]))
    return replace(field, extent=(x0, y0, x1, y1), seen=(left, top, right, bottom))


def nearest_corners(one: Sequence[int], other: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the corner of each of two boxes nearest to the other.

    Boxes are xyxy.
    """
    pairs = product(product(one[::2], one[1::2]), product(other[::2], other[1::2]))
    return min(pairs, key=lambda pair: math.dist(*pair))


def _strongest_half(values: Values) -> npt.NDArray[np.bool_]:
    """Return the fewest samples that hold half of a map's evidence, bool (h, w)."""
    strengths = np.abs(values)
    falling = np.sort(strengths, axis=None)[::-1]
    if not falling[0] > 0:
        return np.zeros(values.shape, bool)
    count = int(np.searchsorted(np.cumsum(falling, dtype=np.float64), falling.sum(dtype=np.float64) / 2))
    return np.asarray(strengths >= falling[min(count, falling.size - 1)])


def _regions(values: Values) -> list[tuple[float, tuple[int, int, int, int]]]:
    """Return the evidence and the box of each region.

    Regions are those of the strongest half; boxes are xyxy in samples.
    """
    half = _strongest_half(values)
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(half.astype(np.uint8), connectivity=8)
    sums = np.bincount(labels.ravel(), weights=np.abs(values).ravel())
    boxes: Any = statistics[:, :4].tolist()
    regions = []
    # The first is what is outside all of them.
    for index in range(1, len(boxes)):
        left, top, width, height = boxes[index]
        box = (left, top, left + width, top + height)
        regions.append((float(sums[index]), box))
    return regions


def _small_place(field: Field, width: int, height: int) -> Place | None:
    """Return the square around a map's evidence, if that is small.

    The strongest half must be on less than `SMALL` of the map, with at least half of it in one region, and the
    square within `MOST` of the picture's shorter side. Else None. `width`, `height`: of the picture.
    """
    regions = _regions(field.values)
    if not regions or _strongest_half(field.values).mean() >= SMALL:
        return None
    evidence, (left, top, right, bottom) = max(regions)
    rows, columns = field.values.shape
    x0, y0, x1, y1 = field.extent
    across, down = (x1 - x0) / columns, (y1 - y0) / rows
    shorter = min(width, height)
    side = max(MARGIN * max((right - left) * across, (bottom - top) * down), LEAST * shorter)
    if side > MOST * shorter or evidence < sum(each for each, _ in regions) / 2:
        return None
    x = min(max(x0 + (left + right) / 2 * across - side / 2, 0), width - side)
    y = min(max(y0 + (top + bottom) / 2 * down - side / 2, 0), height - side)
    return x / width, y / height, (x + side) / width, (y + side) / height


def _corners(width: int, height: int) -> list[Place]:
    """Return the places of an inset in the corners of a picture."""
    side = SIDE * min(width, height)
    across = side / width
    down = side / height
    corners = []
    for x in (0.0, 1 - across):
        for y in (0.0, 1 - down):
            corners.append((x, y, x + across, y + down))
    return corners


def _overlap(one: Place, other: Place) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _detail(pixels: Pixels, place: Place) -> float:
    """Return how much there is to see in a part of a picture.

    The mean of its edges, in a small copy.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _PREVIEW / max(height, width))
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    edges = np.abs(cv2.Laplacian(small, cv2.CV_32F))
    rows, columns = edges.shape[:2]
    left, top, right, bottom = place
    across = slice(round(left * columns), round(right * columns))
    down = slice(round(top * rows), round(bottom * rows))
    return float(edges[down, across].mean())
