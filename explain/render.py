"""From heat to pixels: pure functions over arrays, with the same formula as the viewer in the browser.

Everything goes through one table of 256 entries: a value v becomes the level round(255 v), the level becomes a
colour and an opacity. Pixels are uint8 (H, W, 3) RGB; values are float32 (H, W) within 0..1 on the same grid.
`seen` is (x0, y0, x1, y1) in whole pixels, x1 and y1 excluded: the part of the picture the model was given. What
lies outside it is faded as `unseen` says ("light", "dark", or "keep" for a picture faded before) and never coloured.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from explain.colormaps import lut

if TYPE_CHECKING:
    from collections.abc import Sequence

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]
Unseen = Literal["light", "dark", "keep"]

FIRST_RGB, SECOND_RGB = (0x1F, 0x5F, 0xD0), (0xC8, 0x32, 0x1F)  # a difference: more in the first, in the second map
WHITE, HALO = (255, 255, 255), (20, 20, 20)
_GROUND = {"light": 255, "dark": 20}  # the page behind the picture, which the unseen part fades into


def quantise(values: Values) -> Pixels:
    """The level of each value, round(255 v): uint8 of the same shape."""
    return _u8(cv2.convertScaleAbs(values, alpha=255))


def opacity(alpha: float, *, weighted: bool = False, gamma: float = 1.5, threshold: float = 0.0) -> Values:
    """How opaque each of the 256 levels is: alpha, or alpha * v**gamma if weighted; 0 below the threshold."""
    _fraction(alpha, "alpha")
    _fraction(threshold, "threshold")
    if not 0 < gamma < math.inf:
        raise ValueError(f"gamma must be above 0, got {gamma}.")
    levels = np.arange(256, dtype=np.float32) / 255
    table = alpha * levels**gamma if weighted else np.full(256, alpha)
    table[: quantise(np.full((1, 1), threshold, np.float32))[0, 0]] = 0
    return table.astype(np.float32)


def overlay(
    pixels: Pixels,
    values: Values,
    *,
    colormap: str = "inferno",
    alpha: float = 0.9,
    weighted: bool = False,
    gamma: float = 1.5,
    threshold: float = 0.0,
    seen: Box | None = None,
    unseen: Unseen = "light",
) -> Pixels:
    """The heat over the picture: pixels * (1 - a) + colour * a, with `opacity` for a.

    Where a is 0 the picture's pixel comes out exactly, where it is 1 the colormap's colour does.
    """
    values = checked(values, pixels)
    table = opacity(alpha, weighted=weighted, gamma=gamma, threshold=threshold)
    levels = quantise(values)
    return _fade(_blend(pixels, levels, lut(colormap), table), pixels, seen, unseen)


def heatmap_only(
    values: Values, colormap: str = "inferno", *, seen: Box | None = None, unseen: Unseen = "light"
) -> Pixels:
    """The coloured map alone; what the model did not see is hatched, in the dark for "dark", else in the light."""
    values = checked(values)
    out = _paint(quantise(values), lut(colormap))
    height, width = values.shape
    stripe = max(2, round(max(height, width) / 160))
    rows, columns = np.ogrid[:height, :width]
    dark = unseen == "dark"
    hatch = np.where((rows + columns) // stripe % 4 == 0, *((62, 34) if dark else (205, 238))).astype(np.uint8)
    return _fade(out, _u8(cv2.merge([hatch] * 3)), seen, "keep")


def contour(
    pixels: Pixels,
    values: Values,
    levels: Sequence[float] = (0.5,),
    *,
    seen: Box | None = None,
    unseen: Unseen = "light",
    width: int | None = None,
) -> Pixels:
    """A white line with a dark halo where the heat crosses each level; `width` in pixels, by default from the size.

    Where a hot area meets the edge of what was seen no line is drawn: the heat does not end there. Of a map that is
    all specks only the 1000 longest lines of a level are drawn.
    """
    values = checked(values, pixels)
    x0, y0, x1, y1 = _inside(seen, values.shape)
    out = _fade(pixels.copy(), pixels, seen, unseen)
    lines = [line + np.array((x0, y0)) for level in levels for line in _isolines(values[y0:y1, x0:x1], level)]
    fixed = [np.rint(line * 16).astype(np.int32) for line in lines]  # four binary places, which `shift` undoes
    thick = width or line_width(values.shape)
    for colour, size in ((HALO, thick + 2 * max(1, round(thick / 3))), (WHITE, thick)):
        # OpenCV draws smooth lines of two and more some two pixels wider than asked.
        cv2.polylines(out, fixed, False, colour, 1 if size < 3 else max(2, size - 2), cv2.LINE_AA, shift=4)
    return out


def hottest_mask(values: Values, fraction: float, seen: Box | None = None) -> Mask:
    """The hottest fraction of the (seen) picture: bool (H, W), False outside `seen`.

    Equal values are never told apart: those at the edge come in all or none, whichever is nearer to the fraction
    (none if both are). So a flat map gives nothing up to a half, everything above.
    """
    values = checked(values)
    _fraction(fraction, "fraction")
    x0, y0, x1, y1 = _inside(seen, values.shape)
    part = values[y0:y1, x0:x1]
    mask = np.zeros(values.shape, dtype=np.bool_)
    count = round(fraction * part.size)
    if count:
        edge = np.partition(part, part.size - count, axis=None)[part.size - count]
        above, with_edge = part > edge, part >= edge
        nearer = np.count_nonzero(with_edge) - count < count - np.count_nonzero(above)
        mask[y0:y1, x0:x1] = with_edge if nearer else above
    return mask


def hottest(
    pixels: Pixels, values: Values, fraction: float = 0.2, *, seen: Box | None = None, unseen: Unseen = "light"
) -> Pixels:
    """Only the hottest fraction of the (seen) picture as it is, the rest grey and dark."""
    values = checked(values, pixels)
    mask = hottest_mask(values, fraction, seen).astype(np.uint8)
    out = _u8(cv2.addWeighted(pixels, 0.14, _grey(pixels), 0.2, 0))
    cv2.copyTo(pixels, mask, out)
    return _fade(out, pixels, seen, unseen)


def share_difference(a: Values, b: Values, seen: Box | None = None) -> Values:
    """Where a has more heat than b: each divided by its sum over the seen part, the largest gap scaled to 1.

    float32 (H, W) within -1..1, positive where a has more, 0 outside `seen` and where both have the same share. A
    map with no heat has no share anywhere.
    """
    a, b = checked(a), checked(b)
    if a.shape != b.shape:
        raise ValueError(f"Both maps must have the same shape, got {a.shape} and {b.shape}.")
    x0, y0, x1, y1 = _inside(seen, a.shape)
    shares = [part / (part.sum(dtype=np.float64) or 1.0) for part in (a[y0:y1, x0:x1], b[y0:y1, x0:x1])]
    gap = shares[0] - shares[1]
    out = np.zeros(a.shape, dtype=np.float32)
    out[y0:y1, x0:x1] = gap / (abs(gap).max() or 1.0)
    return out


def difference(
    pixels: Pixels, a: Values, b: Values, *, alpha: float = 0.9, seen: Box | None = None, unseen: Unseen = "light"
) -> Pixels:
    """Two maps against each other on a grey picture: blue where a has more of its heat, red where b has."""
    checked(a, pixels)
    _fraction(alpha, "alpha")
    levels = (np.rint(share_difference(a, b, seen) * 127) + 128).astype(np.uint8)  # 128: no difference
    side = np.arange(256) - 128
    colours = np.where(side[:, None] > 0, FIRST_RGB, SECOND_RGB).astype(np.uint8)
    table = (alpha * np.minimum(abs(side) / 127, 1) ** 0.6).astype(np.float32)  # linear hides the broader map's share
    return _fade(_blend(_grey(pixels), levels, colours, table), pixels, seen, unseen)


def checked(values: Values, pixels: Pixels | None = None) -> Values:
    """The values as contiguous float32, or a ValueError that says what is wrong with them (or with the picture)."""
    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"A map must have the shape (H, W), got {array.shape}.")
    low, high = float(array.min()), float(array.max())  # both NaN if any value is
    if not (low >= -1e-5 and high <= 1 + 1e-5):
        raise ValueError(f"A map's values must lie within 0..1, got {low:.4g} to {high:.4g}.")
    if pixels is not None and picture(pixels).shape[:2] != array.shape:
        raise ValueError(f"Picture and map must be of one size, got {pixels.shape} and {array.shape}.")
    return array


def picture(pixels: Pixels) -> Pixels:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"A picture must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}.")
    return pixels


def _fraction(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie within 0..1, got {value}.")


def _inside(seen: Box | None, shape: tuple[int, ...]) -> Box:
    height, width = shape[:2]
    x0, y0, x1, y1 = seen or (0, 0, width, height)
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"seen must be x0, y0, x1, y1 inside {width} x {height} pixels, got {seen}.")
    return x0, y0, x1, y1


def _fade(out: Pixels, source: Pixels, seen: Box | None, unseen: Unseen) -> Pixels:
    """Overwrite what lies outside `seen` in `out` with the faded source."""
    x0, y0, x1, y1 = _inside(seen, out.shape)
    for strip in (np.s_[:y0], np.s_[y1:], np.s_[y0:y1, :x0], np.s_[y0:y1, x1:]):
        part = source[strip]
        if part.size:
            faded = (
                part if unseen == "keep" else cv2.convertScaleAbs(_grey(part), alpha=0.34, beta=0.66 * _GROUND[unseen])
            )
            out[strip] = faded
    return out


def _blend(under: Pixels, levels: Pixels, colours: Pixels, table: Values) -> Pixels:
    weights = cv2.LUT(levels, table)
    return _u8(cv2.blendLinear(_paint(levels, colours), under, weights, 1 - weights))


def _paint(levels: Pixels, colours: Pixels) -> Pixels:
    return _u8(cv2.applyColorMap(levels, colours[:, None]))


def _grey(pixels: Pixels) -> Pixels:
    return _u8(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))


def _isolines(values: Values, level: float) -> list[npt.NDArray[np.float64]]:
    """Open and closed lines (N, 2) of x, y where the values cross the level, to a fraction of a pixel."""
    _fraction(level, "level")
    bottom, right = values.shape[0] - 1, values.shape[1] - 1
    traced, _ = cv2.findContours((values >= level).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    lines = []
    for points in sorted(traced, key=len, reverse=True)[:1000]:
        x, y = points[:, 0, 0], points[:, 0, 1]
        slope_x = (values[y, np.minimum(x + 1, right)] - values[y, np.maximum(x - 1, 0)]) / 2
        slope_y = (values[np.minimum(y + 1, bottom), x] - values[np.maximum(y - 1, 0), x]) / 2
        steep = np.hypot(slope_x, slope_y) + 1e-12
        # The traced pixels are the last ones above the level: one Newton step down the slope reaches the level itself.
        step = np.clip((values[y, x] - level) / steep, 0, 1) / steep
        line = np.stack([x - step * slope_x, y - step * slope_y], axis=1).astype(np.float64)
        edge = (x == 0) | (y == 0) | (x == right) | (y == bottom)
        line, edge = np.append(line, line[:1], axis=0), np.append(edge, edge[0])
        along = edge[1:] & edge[:-1]
        pieces = np.split(np.arange(len(along)), np.flatnonzero(np.diff(along)) + 1)
        lines += [line[piece[0] : piece[-1] + 2] for piece in pieces if not along[piece[0]]]
    return lines


def line_width(shape: tuple[int, ...]) -> int:
    """A line's width in pixels: about 1.25 on a screen where the picture is shown 500 high."""
    return max(1, round(max(shape[:2]) / 400))


def _u8(array: Any) -> Pixels:
    """OpenCV's loosely typed result as what it is."""
    return np.asarray(array, dtype=np.uint8)
