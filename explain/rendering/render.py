"""Draw maps over pictures, by pure functions over arrays.

A value v becomes the level round(255 v), and a table of 256 entries turns the level into a colour and an opacity.
Pixels are uint8 (H, W, 3) RGB; a map's values are float32 (h, w) in 0..1, or -1..1 with a sign, on a grid of their own
(`style.Field`). `seen` is (x0, y0, x1, y1) in whole pixels, x1 and y1 excluded: the part that the model was given. The
rest is dimmed, unless `unseen` is "keep", for a picture already dimmed; "light" and "dark" name the theme.
"""

import functools
import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from sightglass.common.style import ENDS, OVERLAY, SIGNED, TINT
from sightglass.explain.rendering import contours
from sightglass.explain.rendering.style import (
    Box,
    Field,
    Kind,
    Pixels,
    Style,
    Unseen,
    Values,
    check_pixels,
    check_values,
    lut,
)

HALO = (contours.DARK,) * 3
GROUNDS = {"light": 228, "dark": 48}
"""Grey of a map alone where nothing is shown, in the two themes."""
WHITE = (255, 255, 255)
Floats = npt.NDArray[np.float64]
Weights = npt.NDArray[np.uint8]


class Table(NamedTuple):
    """What a pixel becomes by its level.

    pixel * keep + (the pixel by `mute`) * muted + (the pixel in grey) * light + add.
    """

    keep: Values
    """float32 (256,)."""
    muted: Values
    """float32 (256,)."""
    light: Values
    """float32 (256, 3)."""
    add: Values
    """float32 (256, 3)."""


HUES = 1536
"""Steps of the circle of hues: 256 between red and yellow."""
_NO_HUE = np.zeros(HUES + 1, np.uint8)

_DARKEST = 0.75
"""The most that a spotlight takes from the picture: a black one hides the map's place."""
_LEVELS = np.arange(256)
_DISTANCES = np.minimum(abs(_LEVELS - 128) / 127, 1)  # of a difference's or a signed map's level from 0, as 0..1


def paint(pixels: Pixels, field: Field, style: Style, *, unseen: Unseen = "light", unit: float | None = None) -> Pixels:
    """Draw a field over the picture as the viewer does.

    `unit`: picture pixels per screen pixel, for the width of lines; by default for a picture shown 500 pixels long.
    """
    height, width = check_pixels(pixels).shape[:2]
    x0, y0, x1, y1 = seen = field.seen
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"seen must be x0, y0, x1, y1 inside {width} x {height} pixels, got {seen}.")
    unit = max(1.0, max(height, width) / 500) if unit is None else unit
    if not 0 < unit < math.inf:
        raise ValueError(f"unit must be above 0, got {unit}.")
    out = pixels.copy()
    if style.mode == "picture":
        return out
    values = samples(field.values, field.kind)
    weights = hue_weights(style.colormap) if field.kind == "heat" else _NO_HUE
    share, brightness = _fading(field.kind, style)
    _fade(out, pixels, seen, weights, share, brightness * (1 if unseen == "keep" else OVERLAY["unseen"]))
    inside = out[y0:y1, x0:x1]
    table = color_table(field.kind, style, GROUNDS["dark" if unseen == "dark" else "light"])
    if table is not None:
        light, add = table.light[:, None], table.add[:, None]
        for rows, levels in contours.levels(values, field, style, seen, (height, width)):
            under = inside[rows]
            channels = cv2.merge([levels] * 3)
            drawn = cv2.LUT(channels, add)
            if table.keep.any():
                drawn += cv2.multiply(under, cv2.LUT(channels, table.keep), dtype=cv2.CV_32F)
            if table.muted.any():
                drawn += cv2.multiply(mute(under, weights), cv2.LUT(channels, table.muted), dtype=cv2.CV_32F)
            if light.any():
                drawn += cv2.multiply(in_grey(under), cv2.LUT(channels, light), dtype=cv2.CV_32F)
            inside[rows] = cv2.add(drawn, 0, dtype=cv2.CV_8U)
    coverage = contours.line_coverage(values, field, style, (height, width), unit)
    if coverage is not None:
        contours.stroke(inside, *(plane[y0:y1, x0:x1] for plane in coverage))
    return out


def samples(values: Values, kind: Kind = "heat") -> contours.Samples:
    """Return values as the browser gets them: uint16 (h, w), 0..65535 over the kind's range."""
    low = 0 if kind == "heat" else -1
    shares = np.clip(check_values(values, low=low), low, 1)
    shares -= low
    shares /= 1 - low
    shares *= 65535
    return np.rint(shares, out=shares).astype(np.uint16)


def map_lut(kind: Kind, colormap: str, *, over: bool = False) -> Pixels:
    """Return a map's colours by level, uint8 (256, 3); `over`: over a picture.

    Of kind "heat" 0 is no evidence and 255 the most; of others 1 is what lowers most, 128 is 0, 255 what raises most.
    """
    if kind == "heat":
        return overlay_colours(colormap) if over else lut(colormap)
    return np.rint(sided_colours(GROUNDS["light"])).astype(np.uint8)


def in_grey(pixels: Pixels) -> Pixels:
    """Return the pixels without their colours."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)


def mute(pixels: Pixels, weights: Weights) -> Pixels:
    """Return the pixels with their colours muted by hue.

    `weights`: the share of its colours that each hue keeps, as of `hue_weights`.
    """
    if not weights.any():
        return in_grey(pixels)
    kept = cv2.merge([weights.take(hues(pixels))] * 3)
    colours = cv2.multiply(pixels, kept, scale=1 / 255)
    return np.asarray(cv2.add(colours, cv2.multiply(in_grey(pixels), 255 - kept, scale=1 / 255)), np.uint8)


def hues(pixels: Pixels) -> npt.NDArray[np.int16]:
    """Return the hue of each pixel, int16 (H, W) in 0..1536.

    The hues go from red by yellow, green and blue to red; greys have 0.
    """
    degrees = cv2.extractChannel(cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2HSV), 0)
    return np.asarray(cv2.addWeighted(degrees, HUES / 360, degrees, 0, 0, dtype=cv2.CV_16S), np.int16)


@functools.cache
def hue_weights(colormap: str) -> Weights:
    """Return the share of its colour that each hue keeps under an overlay.

    uint8 (1537,) of 255. Hues of the colormap lose theirs, so that no place looks like evidence that is none; those
    far from it keep theirs.
    """
    colours = overlay_colours(colormap)[math.ceil(255 * OVERLAY["clear"]) :]
    coloured = colours[np.ptp(colours, axis=1) >= OVERLAY["chroma"]]
    if not len(coloured):
        return np.full(HUES + 1, 255, np.uint8)
    away = abs(np.arange(HUES + 1)[:, None] - hues(coloured[None]))
    distances = np.minimum(away, HUES - away).min(axis=1) * (360 / HUES)
    rise = (distances - OVERLAY["near"]) / (OVERLAY["far"] - OVERLAY["near"])
    return np.floor(255 * _smooth(np.clip(rise, 0, 1)) + 0.5).astype(np.uint8)


def _fade(out: Pixels, source: Pixels, seen: Box, weights: Weights, share: float, brightness: float) -> None:
    """Overwrite the part of `out` outside `seen` with the faded source.

    `share`: how much of its colours is muted by their `weights`; `brightness`: how much of its light is kept.
    """
    x0, y0, x1, y1 = seen
    for strip in (np.s_[:y0], np.s_[y1:], np.s_[y0:y1, :x0], np.s_[y0:y1, x1:]):
        part = source[strip]
        if part.size and share:
            part = cv2.addWeighted(part, 1 - share, mute(part, weights), share, 0)
        out[strip] = cv2.convertScaleAbs(part, alpha=brightness) if part.size else part


def line_width(shape: tuple[int, ...]) -> int:
    """Return a line's width in pixels, about 1.25 on the screen."""
    return max(1, round(max(shape[:2]) / 400))


def color_table(kind: Kind, style: Style, ground: int) -> Table | None:
    """Return the table of a style; None for an uncoloured picture.

    Levels of a difference and of a signed map are 1 to 255, and 128 is 0. `ground` is the grey of what is below the
    threshold in a map alone.
    """
    mode, alpha = style.mode, style.alpha
    levels = _LEVELS if kind == "heat" else np.floor(255 * _DISTANCES + 0.5)
    cold = levels < int(255 * style.threshold + 0.5)  # halves rounded up as in the browser
    if mode in ("contour", "picture"):
        return None
    if mode == "spotlight":
        dark = np.where(cold, 1, 1 - _smooth(np.minimum(1, levels / 255 / 0.7)))
        return _mix(min(_DARKEST, 1.25 * alpha) * dark, np.zeros((256, 3)))
    colours = lut(style.colormap).astype(np.float64) if kind == "heat" else sided_colours(ground)
    if mode == "map":
        # Below the threshold a flat ground outside of any colormap.
        return _mix(np.ones(256), np.where(cold[:, None], ground, colours))
    if kind != "heat":
        # Blended by its strength in the end's colour: the grey picture below is the neutral middle. Of a difference the
        # broader map could hardly be seen by a linear opacity.
        shares = np.where(cold, 0, alpha * _DISTANCES ** (1 if kind == "signed" else 0.6))
        return _mix(shares, np.where(_LEVELS[:, None] > 128, colours[255], colours[1]), None, *_fading(kind, style))
    if mode == "blend":
        return _mix(np.where(cold, 0, alpha), colours)
    return _mix(np.where(cold, 0, opacity(alpha)), *shades(style.colormap), *_fading(kind, style))


def _fading(kind: Kind, style: Style) -> tuple[float, float]:
    """Return how the picture is faded where there is no map.

    Two shares, 0..1: how much of it is muted, and how much of its light it keeps.
    """
    if kind == "heat" and style.mode == "overlay":
        return style.alpha, 1 - (1 - OVERLAY["bright"]) * style.alpha
    alone = style.mode == "map" or (style.mode in ("overlay", "blend") and style.alpha > 0)
    return float(kind != "heat" and alone), 1.0


def opacity(alpha: float) -> Floats:
    """Return each level's opacity, float64 (256,): clear below `OVERLAY["clear"]`, rising to alpha."""
    rise = (_LEVELS / 255 - OVERLAY["clear"]) / (OVERLAY["full"] - OVERLAY["clear"])
    return alpha * _smooth(np.clip(rise, 0, 1))


def overlay_colours(colormap: str) -> Pixels:
    """Return the part of a colormap that an overlay has, uint8 (256, 3) RGB."""
    first, last = ENDS.get(colormap, ENDS["others"])
    shares = first + (last - first) * (_LEVELS / 255) ** OVERLAY["rise"]
    return np.asarray(lut(colormap)[np.floor(255 * shares + 0.5).astype(np.intp)])


def shades(colormap: str) -> tuple[Floats, Floats]:
    """Return an overlay's colours where the picture is black and where it is white, float64 (256, 3), 0..255."""
    colours = overlay_colours(colormap) / 255
    shares = _LEVELS[:, None] / 255
    dark, deepen, lighten = (first + (last - first) * shares for first, last in TINT.values())
    return 255 * dark * colours**deepen, 255 * (1 - (1 - colours) ** lighten)


def sided_colours(ground: int) -> Floats:
    """Return the 256 colours of a map with two sides, float64 (256, 3): of a difference red is more in the first."""
    arms = SIGNED["dark" if ground < 128 else "light"]
    positions = np.linspace(0, 1, len(arms["raises"]))
    raises, lowers = (
        np.stack([np.interp(_DISTANCES, positions, channel) for channel in np.transpose(arm)], axis=1)
        for arm in (arms["raises"], arms["lowers"])
    )
    return np.where(_LEVELS[:, None] > 128, raises, lowers)


def _mix(shares: Floats, dark: Floats, white: Floats | None = None, muted: float = 0.0, keeps: float = 1.0) -> Table:
    """Return the table that lays shares of colours over a picture.

    `dark`, `white`: the colours over black and over white, by default the same. `muted`: share of the picture that is
    muted. `keeps`: share of its light that it keeps where `shares` are 0.
    """
    # What is coloured the most loses no light, so that its detail remains.
    left = (1 - shares) * (1 - (1 - keeps) * (1 - shares / (shares.max() or 1)))
    shares = shares[:, None]
    light = shares * ((dark if white is None else white) - dark) / 255
    return Table(*(part.astype(np.float32) for part in (left * (1 - muted), left * muted, light, shares * dark)))


def _smooth(rise: Floats) -> Floats:
    return rise * rise * (3 - 2 * rise)
