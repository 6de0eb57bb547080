"""Resample maps to the pixels of a picture, as the browser does.

A map arrives as `Samples`, uint16 (h, w) in 0..65535 over its range, and leaves as levels, uint8. The centre of sample
i is at i + 0.5.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sightglass.explain.rendering.style import Box, Field, Kind, Pixels, Style

Floats = npt.NDArray[np.float64]
Samples = npt.NDArray[np.uint16]
_AT_ONCE = 2**17  # pixels per block, so that it stays in the processor's cache


def levels(
    samples: Samples, field: Field, style: Style, seen: Box, shape: tuple[int, int]
) -> Iterator[tuple[slice, Pixels]]:
    """Yield the visible levels in bands: rows, and uint8 (rows, columns)."""
    x0, y0, x1, y1 = seen
    left, top, right, bottom = field.extent
    across, down = (shape[1], 0, shape[1], left, right), (shape[0], 0, shape[0], top, bottom)
    step = max(1, _AT_ONCE // (x1 - x0))
    bands = [slice(row, min(row + step, y1 - y0)) for row in range(0, y1 - y0, step)]
    if style.cells and field.cells:
        cells = _level(np.floor(over_extent(samples, field, field.cells) + 0.5), field.kind)
        x, y = nearest(*across, cells.shape[1])[x0:x1], nearest(*down, cells.shape[0])[y0:y1]
        for band in bands:
            yield band, cells[y[band]][:, x]
    elif (coarse := cells_of(samples, field)) is not None:
        middle = coarse @ cubic(*across, coarse.shape[1])[x0:x1].T
        rows = cubic(*down, coarse.shape[0])[y0:y1]
        for band in bands:
            yield band, _level(np.clip(rows[band] @ middle, 0, 65535), field.kind)
    else:
        columns, rows = axis(*across, samples.shape[1])[:, x0:x1], axis(*down, samples.shape[0])[:, y0:y1]
        for band in bands:
            yield band, _level(bilinear(samples, columns, rows[:, band]), field.kind)


def cells_of(samples: Samples, field: Field) -> Floats | None:
    """Return the map's cells, float64 of `field.cells`, 0..65535.

    None for maps without cells, and for those with hardly fewer cells than samples.
    """
    if field.cells is None or 2 * field.cells[0] > samples.shape[0] or 2 * field.cells[1] > samples.shape[1]:
        return None
    return np.asarray(np.floor(over_extent(samples, field, field.cells) + 0.5))


@lru_cache(maxsize=64)
def cubic(count: int, start: float, stop: float, low: float, high: float, cells: int) -> Floats:
    """Return the (count, cells) matrix of cubic enlargement; arguments as of `axis`.

    Each cell keeps its value at its centre, and there are no edges between cells, as there are in a bilinear map.
    Beyond its ends a row is as its last cell. Keys, "Cubic convolution interpolation for digital image processing",
    1981, with a = -1/2.
    """
    place = np.clip(_along(count, start, stop, low, high, cells) - 0.5, -1, cells)
    first = np.floor(place).astype(np.intp)
    matrix, targets = np.zeros((count, cells)), np.arange(count)
    for step in (-1, 0, 1, 2):
        away = abs(place - (first + step))
        weights = np.where(away <= 1, 1.5 * away**3 - 2.5 * away**2 + 1, -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2)
        np.add.at(matrix, (targets, np.clip(first + step, 0, cells - 1)), weights)
    return matrix


def drawn_over_extent(samples: Samples, field: Field, shape: tuple[int, int]) -> Floats:
    """Return the whole map for drawing on another grid, float64 0..65535."""
    if (cells := cells_of(samples, field)) is None:
        return over_extent(samples, field, shape)
    left, top, right, bottom = field.extent
    down = cubic(shape[0], top, bottom, top, bottom, cells.shape[0])
    return np.clip(down @ cells @ cubic(shape[1], left, right, left, right, cells.shape[1]).T, 0, 65535)


def over_extent(samples: Samples, field: Field, shape: tuple[int, int]) -> Floats:
    """Return the whole map on another grid, float64 0..65535."""
    left, top, right, bottom = field.extent
    across = axis(shape[1], left, right, left, right, samples.shape[1])
    return bilinear(samples, across, axis(shape[0], top, bottom, top, bottom, samples.shape[0]))


def _level(values: Floats, kind: Kind) -> Pixels:
    """Quantise 0..65535 to 0..255, or signed to 1..255, in place."""
    # What has a sign is 0 in the middle.
    if kind != "heat":
        values *= 254
        values /= 65535
        values += 0.5
        return values.astype(np.uint8) + np.uint8(1)
    values /= 257
    values += 0.5
    return values.astype(np.uint8)


def axis(count: int, start: float, stop: float, low: float, high: float, size: int) -> Floats:
    """Place `count` targets (`start` to `stop`) among `size` samples (`low` to `high`).

    Returns float64 (3, count): the two samples on either side of each, and its weight of the second.
    """
    place = np.clip(_along(count, start, stop, low, high, size) - 0.5, 0, size - 1)
    first = np.floor(place)
    return np.stack([first, np.minimum(first + 1, size - 1), (place - first).astype(np.float32)])


def nearest(count: int, start: float, stop: float, low: float, high: float, size: int) -> npt.NDArray[np.intp]:
    """As `axis`, but return the sample around each target's centre: (count,)."""
    return np.clip(np.floor(_along(count, start, stop, low, high, size)), 0, size - 1).astype(np.intp)


def _along(count: int, start: float, stop: float, low: float, high: float, size: int) -> Floats:
    at = start + ((np.arange(count) + 0.5) / count) * (stop - start)
    return np.asarray(((at - low) / (high - low)) * size, dtype=np.float64)


def bilinear(samples: Samples, across: Floats, down: Floats) -> Floats:
    """Interpolate samples bilinearly: float64 (targets down, targets across)."""
    needed, rows = np.unique(down[:2].astype(np.intp), return_inverse=True)
    left, right = across[:2].astype(np.intp)
    selected = samples[needed]
    first = selected[:, left].astype(np.float64)
    wide = first + across[2] * (selected[:, right] - first)
    upper, lower = wide[rows.reshape(2, -1)[0]], wide[rows.reshape(2, -1)[1]]
    lower -= upper
    lower *= down[2][:, None]
    lower += upper
    return np.asarray(lower, dtype=np.float64)
