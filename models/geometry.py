"""Map coordinates and heatmaps between an original picture and a model's input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.models.layers import WHOLE, Cover

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

Box = tuple[float, float, float, float]
"""xyxy, in pixels of the original picture unless stated otherwise."""
CellOffset = tuple[str, float, float]
"""Path of a layer, and its cells' offset down and across from an even grid, in cells."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where the original picture lies in the model's input: `input = scale * original + offset`.

    Coordinates are pixel edges (pixel i covers i..i+1), order (y, x). Every way of preparing a picture (resize,
    centre crop, letterbox) is such an axis-aligned map, so one inverse serves them all.
    """

    original: tuple[int, int]
    """(H, W) of the picture."""
    input: tuple[int, int]
    """(h, w) of the model's input."""
    scale: tuple[float, float]
    offset: tuple[float, float]
    cell_offsets: tuple[CellOffset, ...] = ()
    """Offsets of layers where they were measured (benchmarks/results/alignment.md); others have an even grid."""
    covers: tuple[tuple[str, Cover], ...] = ()
    """Where grids lie in the input that end a little beside it, by the layer's path."""

    def cell_cover(self, path: str, h: int, w: int) -> Cover:
        """Return where a layer's grid (h, w) lies in the input."""
        for name, down, across in self.cell_offsets:
            if name == path:
                return (1.0, -down / h), (1.0, -across / w)
        return dict(self.covers).get(path, WHOLE)

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """The seen part without the crop, xyxy in whole original pixels."""
        (top, bottom), (left, right) = (self._span(axis, inverse=True) for axis in (0, 1))
        return left, top, right, bottom

    @property
    def content(self) -> tuple[int, int, int, int]:
        """The content without bars, xyxy in whole input pixels."""
        (top, bottom), (left, right) = (self._span(axis, inverse=False) for axis in (0, 1))
        return left, top, right, bottom

    @property
    def extent(self) -> Box:
        """The area of `content`, unrounded xyxy in original pixels."""
        left, top, right, bottom = self.content
        (sy, sx), (oy, ox) = self.scale, self.offset
        return (left - ox) / sx, (top - oy) / sy, (right - ox) / sx, (bottom - oy) / sy

    def _span(self, axis: int, *, inverse: bool) -> tuple[int, int]:
        scale, offset = self.scale[axis], self.offset[axis]
        if inverse:
            low, high, size = -offset / scale, (self.input[axis] - offset) / scale, self.original[axis]
        else:
            low, high, size = offset, scale * self.original[axis] + offset, self.input[axis]
        # A part narrower than a pixel (a 1-px-wide picture) is one pixel.
        first = min(max(round(low), 0), size - 1)
        return first, max(min(round(high), size), first + 1)

    def box_to_input(self, box: Box) -> Box:
        """Map an xyxy box of the original picture to pixels of the input."""
        (sy, sx), (oy, ox) = self.scale, self.offset
        return box[0] * sx + ox, box[1] * sy + oy, box[2] * sx + ox, box[3] * sy + oy

    def box_to_original(self, box: Box) -> Box:
        """Map an xyxy box of the input to original pixels, clipped to the picture."""
        x0, y0, x1, y1 = np.clip(self.points_to_original((box[:2], box[2:])), 0, self.original[::-1]).ravel().tolist()
        return x0, y0, x1, y1

    def points_to_original(self, points: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
        """Map points (x, y) of the input to original pixels, also outside the picture."""
        (sy, sx), (oy, ox) = self.scale, self.offset
        return tuple(((x - ox) / sx, (y - oy) / sy) for x, y in points)

    def to_input(self, content: NDArray[np.float32]) -> NDArray[np.float32]:
        """Place a map (h, w) of `content` on the whole input, 0 on a letterbox's bars."""
        left, top, right, bottom = self.content
        out = np.zeros(self.input, np.float32)
        out[top:bottom, left:right] = content
        return out

    def to_original(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Upsample an (h, w) map of the whole input to the picture.

        Returns float32 (H, W), bilinear; 0 where the model did not see (`seen` says where that is).
        """
        left, top, right, bottom = self.seen
        out = np.zeros(self.original, np.float32)
        rows = self._interpolation(0, values.shape[0], top, bottom)
        out[top:bottom, left:right] = rows @ values @ self._interpolation(1, values.shape[1], left, right).T
        return out

    def _interpolation(self, axis: int, cells: int, first: int, last: int) -> NDArray[np.float32]:
        """Return the (last - first, cells) matrix from cells to original pixels."""
        centres = (np.arange(first, last) + 0.5) * self.scale[axis] + self.offset[axis]
        at = np.clip(centres * cells / self.input[axis] - 0.5, 0, cells - 1)
        low = np.minimum(at.astype(np.intp), cells - 1)
        high = np.minimum(low + 1, cells - 1)
        share = (at - low).astype(np.float32)
        matrix = np.zeros((len(at), cells), np.float32)
        index = np.arange(len(at))
        matrix[index, low] = 1 - share
        matrix[index, high] += share
        return matrix


@dataclass(frozen=True, slots=True)
class ModelInput:
    """A picture as a model takes it: float32 (1, C, h, w), and the way back."""

    tensor: Tensor
    geometry: Geometry


def picture_cells(geometry: Geometry, h: int, w: int, cover: Cover = WHOLE) -> tuple[int, int, int, int]:
    """Return the first and last row and column of cells with content, of a grid (h, w) that lies in the input."""
    (height, width), (left, top, right, bottom) = geometry.input, geometry.content
    if cover == WHOLE:
        return top * h // height, -(-bottom * h // height), left * w // width, -(-right * w // width)
    (down, above), (across, before) = cover
    rows = np.array([top, bottom]) / height * down + above
    columns = np.array([left, right]) / width * across + before
    (first, last), (start, end) = (rows * h).clip(0, h), (columns * w).clip(0, w)
    return math.floor(first), math.ceil(last), math.floor(start), math.ceil(end)


def fill_polygon(corners: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the pixels within a polygon, bool (h, w), by even-odd rule.

    `corners`: (n, 2) as (x, y), in pixels of a grid of `size` (h, w).
    """
    height, width = size
    crossed = np.zeros((height, width + 1), np.int64)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        low, high = sorted((y0, y1))
        rows = np.arange(max(0, math.ceil(low - 0.5)), min(height, math.ceil(high - 0.5)))
        if len(rows):
            x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            crossed[rows, np.ceil(x - 0.5).clip(0, width).astype(int)] += 1
    return np.asarray(crossed.cumsum(1)[:, :width] % 2 == 1)


def intersection_over_union(a: Box, b: Box) -> float:
    """Return the overlap (IoU) of two xyxy boxes, 0..1."""
    return float(measure_pairs(np.array(a), np.array(b)))


def measure_pairs(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Return elementwise `intersection_over_union` of boxes (..., 4) and others, which are broadcast."""
    common = measure_common(boxes, others)
    areas = [(corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1]) for corners in (boxes, others)]
    return np.asarray(np.divide(common, areas[0] + areas[1] - common, out=np.zeros(common.shape), where=common > 0))


def measure_common(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """Return the intersection area of boxes (..., 4) and others, elementwise and broadcast."""
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(boxes[..., :2], others[..., :2])
    return np.asarray(np.maximum(0, sides).prod(-1))
