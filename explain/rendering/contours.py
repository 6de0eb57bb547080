"""Resample maps to the pixels of a picture, and trace and draw contour lines.

Points are (x, y) in cells or in pixels; the centre of sample or pixel i is at i + 0.5.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from sightglass.common.style import OVERLAY
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


DARK, WHITE = 20, 255
_HALO_MORE, _HALO_ALPHA = 1.75, 0.75
# Level, pixels of the screen.
_LINES = {"overlay": ((0.5, 1.75), (0.8, 1.75)), "contour": ((0.25, 0.9), (0.5, 1.4), (0.75, 2.2))}
DASH = 6
"""Pixels of the screen of a dash, and of the gap after it, around what lowers."""
_FRAME = ((0.75, 0.75), (2.0, 1.25))
"""Width of the frame around what the model saw and of its corners, and of the halo besides, in pixels of the screen."""
_CORNER, _INSET = 0.06, 2.0
"""Length of a corner as a share of the frame's shorter side; pixels of the screen between the frame and the edge."""
_FINE = 320  # approximate number of cells a side of the traced field


def line_coverage(
    samples: Samples, field: Field, style: Style, shape: tuple[int, int], unit: float
) -> tuple[Pixels, Pixels] | None:
    """Return each pixel's coverage by halo and by line, uint8 (H, W) each, or None where no line is drawn.

    `unit`: pixels of the picture per pixel of the screen. Lines around what lowers, in a signed map, are dashed.
    There is a frame where the model did not see the whole picture.
    """
    is_lined = _is_lined(field, style)
    is_framed = field.seen != (0, 0, shape[1], shape[0]) and style.alpha > 0
    if not (is_lined or is_framed):
        return None
    coverage = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    if is_framed:
        _cover_frame(coverage, field.seen, unit)
    if is_lined:
        _cover_levels(coverage, _traced_field(samples, field), field, style, unit)
    return coverage


def _is_lined(field: Field, style: Style) -> bool:
    if style.mode == "overlay":
        return field.kind != "difference" and not style.cells and bool(style.alpha)
    return style.mode in _LINES


def _traced_field(samples: Samples, field: Field) -> npt.NDArray[np.float32]:
    """Return a map with about `_FINE` cells a side, in 0..1 or -1..1."""
    longest = max(samples.shape)
    scale = 1 if _FINE / 2 <= longest <= _FINE else _FINE / longest
    rows, columns = (max(1, math.floor(side * scale + 0.5)) for side in samples.shape)
    heat = drawn_over_extent(samples, field, (rows, columns))
    traced = heat / 65535 if field.kind == "heat" else heat / 32767.5 - 1
    return traced.astype(np.float32)


def _cover_levels(
    coverage: Sequence[Pixels], traced: npt.NDArray[np.float32], field: Field, style: Style, unit: float
) -> None:
    """Draw the lines at a map's levels, of both signs if it has them."""
    signs = (1,) if field.kind == "heat" else (1, -1)
    rows, columns = traced.shape
    x0, y0, x1, y1 = field.extent
    levels = _LINES[style.mode]
    if style.mode == "overlay" and style.threshold > 0:
        levels = ((style.threshold, levels[0][1]),)
    for level, thick in levels:
        halves = ((thick + _HALO_MORE) * unit / 2, thick * unit / 2)
        for sign in signs:
            one_sided = sign * traced
            if style.mode == "overlay":
                one_sided = drop_small(one_sided, level)
            in_cells = trace(one_sided, level)
            lines = [line / (columns, rows) * (x1 - x0, y1 - y0) + (x0, y0) for line in in_cells]
            is_dashed = sign < 0 and field.kind == "signed"
            cover(coverage, lines, halves, DASH * unit if is_dashed else 0.0)


def _cover_frame(coverage: Sequence[Pixels], seen: Box, unit: float) -> None:
    """Draw a frame with corner brackets just inside `seen`."""
    inset = _INSET * unit
    x0, y0, x1, y1 = seen[0] + inset, seen[1] + inset, seen[2] - inset, seen[3] - inset
    arm = _CORNER * min(x1 - x0, y1 - y0)
    sides = [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])]
    corners = [(x0, y0, arm, arm), (x1, y0, -arm, arm), (x1, y1, -arm, -arm), (x0, y1, arm, -arm)]
    brackets = [np.array([(x + dx, y), (x, y), (x, y + dy)]) for x, y, dx, dy in corners]
    for lines, (thick, more) in zip((sides, brackets), _FRAME, strict=True):
        cover(coverage, lines, ((thick + more) * unit / 2, thick * unit / 2))


def drop_small(field: npt.NDArray[np.float32], level: float) -> npt.NDArray[np.float32]:
    """Return a field without small regions above the level, except the largest."""
    _, regions, statistics, _ = cv2.connectedComponentsWithStats((field >= level).astype(np.uint8), connectivity=8)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    if not len(areas):
        return field
    small = (areas < OVERLAY["region"] * field.size) & (areas < areas.max())
    # Just below the level, so that the region leaves no line.
    return np.where(np.r_[False, small][regions], np.float32(level - 1e-3), field)


def stroke(out: Pixels, halo: Pixels, line: Pixels) -> None:
    """Draw the dark halo and the white line into a picture."""
    # Lines cover few pixels: indices take a tenth of a full mask's time.
    if (points := cv2.findNonZero(halo)) is None:
        return
    # OpenCV 4 returns (n, 1, 2), OpenCV 5 (n, 2).
    x, y = points.reshape(-1, 2).T
    dark, white = _HALO_ALPHA * halo[y, x, None] / 255, line[y, x, None] / 255
    # Of each pixel alone, as its three colours have these in common.
    keep, add = (1 - dark) * (1 - white), DARK * dark * (1 - white) + WHITE * white
    out[y, x] = np.rint(out[y, x] * keep + add)


def trace(field: npt.NDArray[np.float32], level: float) -> Sequence[Floats]:
    """Trace a field's level lines: the points (n, 2) of each, in cells.

    The field is extended unchanged over its edge, so lines reach the edge and none runs along it.
    """
    from contourpy import contour_generator

    across, down = (np.clip(np.arange(-1, side + 1) + 0.5, 0, side) for side in field.shape[::-1])
    # Turned over, as what is at the level counts as above it.
    turned = -np.pad(field.astype(np.float64), 1, mode="edge")
    lines: Any = contour_generator(across, down, turned, name="serial").lines(-level)
    return tuple(lines)


def cover(coverage: Sequence[Pixels], lines: Sequence[Floats], halves: Sequence[float], dash: float = 0.0) -> None:
    """Draw lines, points (n, 2) each, into each coverage (H, W) by its half width, by maximum.

    `dash`: the length of dashes and of the gaps between them, in pixels; 0 for none.
    """
    if not lines:
        return
    # Slow to import.
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.path import Path
    from matplotlib.transforms import Affine2D

    height, width = coverage[0].shape
    path = Path.make_compound_path(*map(Path, lines))
    path.should_simplify = False
    # Widths are in points, of which 72 make an inch.
    renderer: Any = RendererAgg(width, height, 72)  # type: ignore[no-untyped-call]
    from_top = Affine2D().scale(1, -1).translate(0, height)
    pen = renderer.new_gc()
    pen.set_capstyle("round")
    pen.set_joinstyle("round")
    pen.set_snap(False)
    if dash:
        pen.set_dashes(0, (dash, dash))
    for plane, half in zip(coverage, halves, strict=True):
        renderer.clear()
        pen.set_linewidth(2 * half)
        renderer.draw_path(pen, path, from_top)
        np.maximum(plane, np.asarray(renderer.buffer_rgba())[..., 3], out=plane)
