"""Draw maps over pictures, by pure functions over arrays.

A value v becomes the level round(255 v), and a table of 256 entries turns the level into a colour and an opacity.
Pixels are uint8 (H, W, 3) RGB; values are float32 (H, W) in 0..1, or -1..1 with a sign, of the same size. `seen` is
(x0, y0, x1, y1) in whole pixels, x1 and y1 excluded: the part of the picture the model was given. The rest is dimmed,
unless `unseen` is "keep", for a picture already dimmed; "light" and "dark" name the theme around it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from sightglass.common.style import OVERLAY
from sightglass.explain.rendering import color_tables, contours
from sightglass.explain.rendering.style import (
    Box,
    Field,
    Kind,
    Pixels,
    Style,
    Unseen,
    Values,
    check_fraction,
    lut,
)

Mask = npt.NDArray[np.bool_]

HALO = (contours.DARK,) * 3
GROUNDS = {"light": 228, "dark": 48}
"""Grey of a map alone where nothing is shown, in the two themes."""
WHITE = (255, 255, 255)


def paint(pixels: Pixels, field: Field, style: Style, *, unseen: Unseen = "light", unit: float | None = None) -> Pixels:
    """Draw a field over the picture as the viewer does.

    `unit`: pixels of the picture per pixel of the screen, for the width of lines; by default as if the picture were
    shown 500 pixels long.
    """
    height, width = picture(pixels).shape[:2]
    x0, y0, x1, y1 = seen = _inside(field.seen, pixels.shape)
    unit = max(1.0, max(height, width) / 500) if unit is None else unit
    if not 0 < unit < math.inf:
        raise ValueError(f"unit must be above 0, got {unit}.")
    out = pixels.copy()
    if style.mode == "picture":
        return out
    values = samples(field.values, field.kind)
    _fade(out, pixels, seen, unseen, color_tables.greyness(field.kind, style))
    inside = out[y0:y1, x0:x1]
    table = color_tables.of(field.kind, style, GROUNDS["dark" if unseen == "dark" else "light"])
    if table is not None:
        keep, light, add = table[0], table[1][:, None], table[2][:, None]
        for rows, levels in contours.levels(values, field, style, seen, (height, width)):
            under, channels = inside[rows], cv2.merge([levels] * 3)
            drawn = cv2.LUT(channels, add)
            if keep.any():
                drawn += cv2.multiply(under, cv2.LUT(channels, keep), dtype=cv2.CV_32F)
            if light.any():
                drawn += cv2.multiply(in_grey(under), cv2.LUT(channels, light), dtype=cv2.CV_32F)
            inside[rows] = cv2.add(drawn, 0, dtype=cv2.CV_8U)
    planes = contours.planes(values, field, style, (height, width), unit)
    if planes is not None:
        contours.stroke(inside, *(plane[y0:y1, x0:x1] for plane in planes))
    return out


def samples(values: Values, kind: Kind = "heat") -> contours.Samples:
    """Return values as the browser gets them: uint16 (h, w), 0..65535 over the kind's range."""
    low = 0 if kind == "heat" else -1
    shares = np.clip(check(values, low=low), low, 1)
    shares -= low
    shares /= 1 - low
    shares *= 65535
    return np.rint(shares, out=shares).astype(np.uint16)


def map_lut(kind: Kind, colormap: str, *, over: bool = False) -> Pixels:
    """Return a map's colours, uint8 (256, 3); `over`: over a picture.

    Of these 1 is what lowers most, 128 is 0, and 255 what raises most.
    """
    if kind == "heat":
        return color_tables.overlay_colours(colormap) if over else lut(colormap)
    return np.rint(color_tables.sided_colours(GROUNDS["light"])).astype(np.uint8)


def hottest_mask(values: Values, fraction: float) -> Mask:
    """Return the hottest fraction of the picture, bool (H, W).

    Equal values are treated alike: those at the threshold are all in or all out, whichever is nearer to the fraction
    (out if equally near). So a flat map gives nothing up to a half, and everything above.
    """
    values = check(values)
    check_fraction(fraction, "fraction")
    count = round(fraction * values.size)
    if not count:
        return np.zeros(values.shape, dtype=np.bool_)
    edge = np.partition(values, values.size - count, axis=None)[values.size - count]
    above, with_edge = values > edge, values >= edge
    nearer = np.count_nonzero(with_edge) - count < count - np.count_nonzero(above)
    return np.asarray(with_edge if nearer else above)


def share_difference(a: Values, b: Values) -> Values:
    """Subtract maps as shares of their sums, at most 1.

    Returns float32 (H, W) in -1..1, positive where a has the larger share, 0 where both are equal. A map without heat
    has a share of 0 everywhere; of a signed map the strength counts, whatever its sign.
    """
    a, b = check(np.abs(a)), check(np.abs(b))
    if a.shape != b.shape:
        raise ValueError(f"Both maps must have the same shape, got {a.shape} and {b.shape}.")
    shares = [values / (values.sum(dtype=np.float64) or 1.0) for values in (a, b)]
    gap = shares[0] - shares[1]
    return np.asarray(gap / (abs(gap).max() or 1.0), np.float32)


def check(values: Values, *, low: float = 0) -> Values:
    """Return valid values as contiguous float32; raise ValueError for others."""
    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"A map must have the shape (H, W), got {array.shape}.")
    lowest, highest = float(array.min()), float(array.max())  # both NaN if any value is
    if not (lowest >= low - 1e-5 and highest <= 1 + 1e-5):
        raise ValueError(f"A map's values must lie within {low:g}..1, got {lowest:.4g} to {highest:.4g}.")
    return array


def picture(pixels: Pixels) -> Pixels:
    """Return the pixels; raise ValueError unless they are uint8 (H, W, 3)."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise ValueError(f"A picture must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}.")
    return pixels


def _inside(seen: Box, shape: tuple[int, ...]) -> Box:
    (height, width), (x0, y0, x1, y1) = shape[:2], seen
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"seen must be x0, y0, x1, y1 inside {width} x {height} pixels, got {seen}.")
    return x0, y0, x1, y1


def in_grey(pixels: Pixels) -> Pixels:
    """Return the pixels without their colours."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def _fade(out: Pixels, source: Pixels, seen: Box, unseen: Unseen, greyness: float) -> None:
    """Overwrite the part of `out` outside `seen` with the faded source, which loses a share of its colours."""
    x0, y0, x1, y1 = seen
    for strip in (np.s_[:y0], np.s_[y1:], np.s_[y0:y1, :x0], np.s_[y0:y1, x1:]):
        part = source[strip]
        if part.size and greyness:
            part = cv2.addWeighted(part, 1 - greyness, in_grey(part), greyness, 0)
        if part.size and unseen != "keep":
            part = dim(part)
        out[strip] = part


def dim(pixels: Pixels) -> Pixels:
    """Darken the pixels of the unseen part a little."""
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=OVERLAY["unseen"]), np.uint8)


def line_width(shape: tuple[int, ...]) -> int:
    """Return a line's width in pixels, about 1.25 on the screen."""
    return max(1, round(max(shape[:2]) / 400))
