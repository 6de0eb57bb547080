"""Draw maps over pictures, by pure functions over arrays.

A value v becomes the level round(255 v), and a table of 256 entries turns the level into a colour and an opacity.
Pixels are uint8 (H, W, 3) RGB; a map's values are float32 (h, w) in 0..1, or -1..1 with a sign, on a grid of their own
(`style.Field`). `seen` is (x0, y0, x1, y1) in whole pixels, x1 and y1 excluded: the part that the model was given. The
rest is dimmed, unless `unseen` is "keep", for a picture already dimmed; "light" and "dark" name the theme.
"""

import math

import cv2
import numpy as np
import numpy.typing as npt

from sightglass.common.style import ENDS, OVERLAY, SIGNED
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
Table = tuple[Values, Values, Values]

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
    grey, brightness = _fading(field.kind, style)
    _fade(out, pixels, seen, grey, brightness * (1 if unseen == "keep" else OVERLAY["unseen"]))
    inside = out[y0:y1, x0:x1]
    table = color_table(field.kind, style, GROUNDS["dark" if unseen == "dark" else "light"])
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


def _fade(out: Pixels, source: Pixels, seen: Box, greyness: float, brightness: float) -> None:
    """Overwrite the part of `out` outside `seen` with the faded source, which loses a share of its colours."""
    x0, y0, x1, y1 = seen
    for strip in (np.s_[:y0], np.s_[y1:], np.s_[y0:y1, :x0], np.s_[y0:y1, x1:]):
        part = source[strip]
        if part.size and greyness:
            part = cv2.addWeighted(part, 1 - greyness, in_grey(part), greyness, 0)
        out[strip] = cv2.convertScaleAbs(part, alpha=brightness) if part.size else part


def line_width(shape: tuple[int, ...]) -> int:
    """Return a line's width in pixels, about 1.25 on the screen."""
    return max(1, round(max(shape[:2]) / 400))


def color_table(kind: Kind, style: Style, ground: int) -> Table | None:
    """Return the table of a style; None for an uncoloured picture.

    A pixel becomes pixel * keep[level] + grey * light[level] + add[level], where `grey` is the pixel without its
    colours: `keep` is float32 (256,), `light` and `add` are float32 (256, 3). Levels of a difference and of a signed
    map are 1 to 255, and 128 is 0. `ground` is the grey of what is below the threshold in a map alone.
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
    """Return the shares of its colours that the picture loses where there is no map, and of its light that it keeps."""
    if kind == "heat" and style.mode == "overlay":
        return OVERLAY["grey"] * style.alpha, 1 - (1 - OVERLAY["bright"]) * style.alpha
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
    deepen, lighten = (1 + (OVERLAY[name] - 1) * _LEVELS[:, None] / 255 for name in ("deepen", "lighten"))
    return 255 * OVERLAY["dark"] * colours**deepen, 255 * (1 - (1 - colours) ** lighten)


def sided_colours(ground: int) -> Floats:
    """Return the 256 colours of a map with two sides, float64 (256, 3): of a difference red is more in the first."""
    arms = SIGNED["dark" if ground < 128 else "light"]
    positions = np.linspace(0, 1, len(arms["raises"]))
    raises, lowers = (
        np.stack([np.interp(_DISTANCES, positions, channel) for channel in np.transpose(arm)], axis=1)
        for arm in (arms["raises"], arms["lowers"])
    )
    return np.where(_LEVELS[:, None] > 128, raises, lowers)


def _mix(shares: Floats, dark: Floats, white: Floats | None = None, grey: float = 0.0, keeps: float = 1.0) -> Table:
    """Return the table that lays shares of colours over a picture.

    `dark`, `white`: the colours over black and over white, by default the same. `grey`: share of its own colours that
    the picture loses. `keeps`: share of its light that it keeps where `shares` are 0.
    """
    # What is coloured the most loses no light, so that its detail remains.
    left = (1 - shares) * (1 - (1 - keeps) * (1 - shares / (shares.max() or 1)))
    shares = shares[:, None]
    light = left[:, None] * grey + shares * ((dark if white is None else white) - dark) / 255
    return (left * (1 - grey)).astype(np.float32), light.astype(np.float32), (shares * dark).astype(np.float32)


def _smooth(rise: Floats) -> Floats:
    return rise * rise * (3 - 2 * rise)
