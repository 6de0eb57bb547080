"""Resample and quantise maps.

Samples are uint16 (h, w), 0..65535. The map is bilinear between their centres and constant beyond its edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.explain.rendering.style import Box, Field, Kind, Style

Pixels = npt.NDArray[np.uint8]
Samples = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float64]

_AT_ONCE = 2**17  # pixels per band of rows, so that it stays in the processor's cache


def levels(
    samples: Samples, field: Field, style: Style, seen: Box, shape: tuple[int, int]
) -> Iterator[tuple[slice, Pixels]]:
    """Yield the levels of the visible part of a picture (H, W) in bands: its rows, and uint8 (rows, columns)."""
    x0, y0, x1, y1 = seen
    left, top, right, bottom = field.extent
    across, down = (shape[1], 0, shape[1], left, right), (shape[0], 0, shape[0], top, bottom)
    step = max(1, _AT_ONCE // (x1 - x0))
    bands = [slice(row, min(row + step, y1 - y0)) for row in range(0, y1 - y0, step)]
    if style.cells and field.cells:
        cells = _level(np.floor(over_extent(samples, field, field.cells) + 0.5), field.kind, style)
        x, y = nearest(*across, cells.shape[1])[x0:x1], nearest(*down, cells.shape[0])[y0:y1]
        for band in bands:
            yield band, cells[y[band]][:, x]
    else:
        columns, rows = axis(*across, samples.shape[1])[:, x0:x1], axis(*down, samples.shape[0])[:, y0:y1]
        for band in bands:
            yield band, _level(bilinear(samples, columns, rows[:, band]), field.kind, style)


def over_extent(samples: Samples, field: Field, shape: tuple[int, int]) -> Floats:
    """Return the whole map on another grid: float64 of that shape, 0..65535."""
    left, top, right, bottom = field.extent
    across = axis(shape[1], left, right, left, right, samples.shape[1])
    return bilinear(samples, across, axis(shape[0], top, bottom, top, bottom, samples.shape[0]))


def _level(values: Floats, kind: Kind, style: Style) -> Pixels:
    """Quantise 0..65535 to 0..255 or, for what has a sign, to 1..255 around 128; overwrites the values."""
    # What has a sign is 0 in the middle.
    offset = style.offset if kind == "heat" else (1 - style.gain) / 2
    if kind != "difference" and (style.gain, offset) != (1, 0):
        values *= style.gain
        values += offset * 65535
        np.clip(values, 0, 65535, out=values)
    if kind != "heat":
        values *= 254
        values /= 65535
        values += 0.5
        return values.astype(np.uint8) + np.uint8(1)
    values /= 257
    values += 0.5
    return values.astype(np.uint8)


def axis(count: int, start: float, stop: float, low: float, high: float, size: int) -> Floats:
    """Place `count` equal targets over `start` to `stop` among `size` samples over `low` to `high`, by their centres.

    Returns float64 (3, count): the two samples on either side of each, and its weight of the second.
    """
    place = np.clip(_along(count, start, stop, low, high, size) - 0.5, 0, size - 1)
    first = np.floor(place)
    return np.stack([first, np.minimum(first + 1, size - 1), (place - first).astype(np.float32)])


def nearest(count: int, start: float, stop: float, low: float, high: float, size: int) -> npt.NDArray[np.intp]:
    """As `axis`, but return the one sample that contains each target's centre: (count,)."""
    return np.clip(np.floor(_along(count, start, stop, low, high, size)), 0, size - 1).astype(np.intp)


def _along(count: int, start: float, stop: float, low: float, high: float, size: int) -> Floats:
    at = start + ((np.arange(count) + 0.5) / count) * (stop - start)
    return np.asarray(((at - low) / (high - low)) * size, dtype=np.float64)


def bilinear(samples: Samples, across: Floats, down: Floats) -> Floats:
    """Interpolate the samples at each pair of targets of two axes: float64 (targets down, targets across)."""
    needed, rows = np.unique(down[:2].astype(np.intp), return_inverse=True)
    left, right = across[:2].astype(np.intp)
    taken = samples[needed]
    first = taken[:, left].astype(np.float64)
    wide = first + across[2] * (taken[:, right] - first)
    upper, lower = wide[rows.reshape(2, -1)[0]], wide[rows.reshape(2, -1)[1]]
    lower -= upper
    lower *= down[2][:, None]
    lower += upper
    return np.asarray(lower, dtype=np.float64)
