"""Paint a map over a frame, fast.

A clip is encoded with losses, and nobody compares its pixels with the viewer's. So levels are interpolated and colours
blended in bytes, by OpenCV alone, and the line at half of the heat is found by its distance, not traced.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.rendering import color_tables, contours, render
from sightglass.explain.rendering.style import Style

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.rendering.style import Field, Pixels, Values

_CELLS = 160
"""Cells a side, at most, of the grid on which distances from the line are computed."""
_LINE, _HALO = (0.5, 1.25), 1.75
"""Value at the line, its width and how much wider its halo is, in pixels of the screen, as in the viewer's overlay."""
_FAR = 8.0
"""Pixels from the line up to which distances are told apart."""
_FLAT = 1e-4
"""Slope, a pixel, that counts as flat."""


def paint_map(pixels: Pixels, field: Field, style: Style) -> Pixels:
    """Return a frame, uint8 (H, W, 3), with the map over it; what the model did not see is faded."""
    plain = Style(colormap=style.colormap, alpha=style.alpha, threshold=style.threshold, even=style.even)
    if style != plain or field.kind != "heat" or not style.alpha:
        return render.paint(pixels, field, style)
    x0, y0, x1, y1 = field.seen
    out = np.empty_like(pixels)
    for strip in (np.s_[:y0], np.s_[y1:], np.s_[y0:y1, :x0], np.s_[y0:y1, x1:]):
        if pixels[strip].size:
            out[strip] = render.fade(pixels[strip], "light")
    keep, add = _tables(style)
    levels = _grow(cv2.convertScaleAbs(field.values, alpha=255), field, (y1 - y0, x1 - x0))
    inside = cv2.multiply(pixels[y0:y1, x0:x1], cv2.applyColorMap(levels, keep), scale=1 / 255)
    cv2.add(inside, cv2.applyColorMap(levels, add), inside)
    _outline(inside, field, style, max(pixels.shape))
    out[y0:y1, x0:x1] = inside
    return out


@lru_cache(maxsize=8)
def _tables(style: Style) -> tuple[Pixels, Pixels]:
    """Return what of 255 is kept of a pixel, and what is added, at each level: uint8 (256, 1, 3) each."""
    table = color_tables.of("heat", style, 228)
    assert table is not None
    return _table(table[0].astype(np.float64) * 255), np.rint(table[1]).astype(np.uint8)[:, None]


def _grow(values: Pixels, field: Field, shape: tuple[int, ...]) -> Pixels:
    """Return values of the map's extent, bilinear over the part that the model saw, uint8 (h, w)."""
    x0, y0 = field.seen[:2]
    left, top, right, bottom = field.extent
    across, down = values.shape[1] / (right - left), values.shape[0] / (bottom - top)
    # From the centre of a pixel of what is drawn to the map's own cells.
    place = np.array([[across, 0, (x0 + 0.5 - left) * across - 0.5], [0, down, (y0 + 0.5 - top) * down - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grown = cv2.warpAffine(values, place, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(grown, np.uint8)


def _outline(inside: Pixels, field: Field, style: Style, longest: int) -> None:
    """Draw the line over the part that the model saw: where the distance from it, value by slope, is small."""
    values = _coarse(field.values)
    left, top, right, bottom = field.extent
    slope = cv2.magnitude(
        cv2.Sobel(values, cv2.CV_32F, 1, 0, ksize=1, scale=0.5 * values.shape[1] / (right - left)),
        cv2.Sobel(values, cv2.CV_32F, 0, 1, ksize=1, scale=0.5 * values.shape[0] / (bottom - top)),
    )
    away = (values - np.float32(style.threshold or _LINE[0])) / np.maximum(slope, _FLAT)
    keep, add = _line_tables(max(1.0, longest / 500))
    steps = cv2.convertScaleAbs(np.clip(away, -_FAR, _FAR) + _FAR, alpha=255 / (2 * _FAR))
    steps = _grow(steps, field, inside.shape)
    cv2.multiply(inside, cv2.applyColorMap(steps, keep), inside, scale=1 / 255)
    cv2.add(inside, cv2.applyColorMap(steps, add), inside)


@lru_cache(maxsize=8)
def _line_tables(unit: float) -> tuple[Pixels, Pixels]:
    """Return what is kept of a pixel and what is added at each step of distance: a white line over a dark halo."""
    away = abs(np.arange(256) - 127.5) * (2 * _FAR / 255)
    halo, line = (np.clip(width * unit / 2 + 0.5 - away, 0, 1) for width in (_LINE[1] + _HALO, _LINE[1]))
    dark = 0.75 * halo
    keep, add = (1 - dark) * (1 - line), contours.DARK * dark * (1 - line) + contours.WHITE * line
    return _table(keep * 255), _table(add)


def _table(values: NDArray[np.float64]) -> Pixels:
    return np.repeat(np.rint(values).astype(np.uint8)[:, None, None], 3, 2)


def _coarse(values: Values) -> Values:
    scale = _CELLS / max(values.shape)
    if scale >= 1:
        return values
    size = max(1, round(values.shape[1] * scale)), max(1, round(values.shape[0] * scale))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
