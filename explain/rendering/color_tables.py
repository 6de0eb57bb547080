"""Build a style's table of 256 colours.

A pixel becomes pixel * keep[level] + add[level]: `keep` is float32 (256,), `add` float32 (256, 3). Levels of a
difference and of a signed map are 1 to 255, and 128 is 0. `first` is the lowest level that is shown, `ground` the grey
of those below.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sightglass.common.style import OVERLAY, SIGNED
from sightglass.explain.rendering.style import Kind, Pixels, Style, Values, check_fraction, lut

Floats = npt.NDArray[np.float64]
Table = tuple[Values, Values]

FIRST_RGB, SECOND_RGB = [0xC8, 0x32, 0x1F], [0x1F, 0x5F, 0xD0]  # more in the first, more in the second map
_DARKEST = 0.75
"""The most that a spotlight takes from the picture: a black one hides the map's place."""
_LEVELS = np.arange(256)
_DISTANCES = np.minimum(abs(_LEVELS - 128) / 127, 1)  # of a difference's or a signed map's level from 0, as 0..1


def of(kind: Kind, style: Style, ground: int) -> Table | None:
    """Return the table of a style; None for an uncoloured picture."""
    mode, alpha, threshold, first = style.mode, style.alpha, style.threshold, _first(style.threshold)
    if mode == "blend" and kind == "heat":
        return overlay(lut(style.colormap), np.where(np.less(_LEVELS, first), 0, np.float32(alpha)))
    mode = "overlay" if mode == "blend" else mode
    if mode in ("contour", "picture"):
        return None
    if mode == "spotlight":
        keep, add = spotlight(alpha, first)
        # Of two sides, by the distance from 0.
        return (keep, add) if kind == "heat" else (keep[np.floor(255 * _DISTANCES + 0.5).astype(np.intp)], add)
    if kind == "heat":
        if mode == "overlay":
            return overlay(overlay_colours(style.colormap), opacity(alpha, threshold))
        # Below the threshold a flat ground outside of any colormap.
        return _table(np.zeros(256), np.where(_LEVELS[:, None] < first, ground, lut(style.colormap)))
    cold, colours = np.less(_DISTANCES, threshold), sided_colours(kind, ground)
    if mode == "map":
        return _table(np.zeros(256), np.where(cold[:, None], ground, colours))
    # Blended by its strength in the end's colour: the grey picture below is the neutral middle. Of a difference the
    # broader map could hardly be seen by a linear opacity.
    shares = np.where(cold, 0, alpha * _DISTANCES ** (1 if kind == "signed" else 0.6))
    return _table(1 - shares, shares[:, None] * np.where(_LEVELS[:, None] > 128, colours[255], colours[1]))


def opacity(alpha: float, threshold: float = 0.0) -> Values:
    """Return each level's opacity, float32 (256,): clear below `OVERLAY["clear"]`, rising to alpha."""
    check_fraction(alpha, "alpha")
    check_fraction(threshold, "threshold")
    rise = np.clip((_LEVELS / 255 - OVERLAY["clear"]) / (OVERLAY["full"] - OVERLAY["clear"]), 0, 1)
    table = alpha * rise * rise * (3 - 2 * rise)
    table[: _first(threshold)] = 0
    return table.astype(np.float32)


def overlay_colours(colormap: str) -> Pixels:
    """Return the colormap without its dark end, uint8 (256, 3) RGB."""
    first = OVERLAY["first"]
    return np.asarray(lut(colormap)[np.floor(255 * first + (1 - first) * _LEVELS + 0.5).astype(np.intp)])


def _first(threshold: float) -> int:
    """Return the lowest level at or above the threshold, halves rounded up as in the browser."""
    return int(255 * threshold + 0.5)


def overlay(colours: Pixels, opacity: Values) -> Table:
    """Blend the colours over the picture."""
    shares = opacity.astype(np.float64)
    return _table(1 - shares, shares[:, None] * colours)


def spotlight(alpha: float, first: int) -> Table:
    """Darken the picture's cold parts, to a quarter at most."""
    warm = np.minimum(1, _LEVELS / 255 / 0.7)
    dark = np.where(np.less(_LEVELS, first), 1, 1 - warm * warm * (3 - 2 * warm))
    return _table(1 - min(_DARKEST, 1.25 * alpha) * dark, np.zeros((256, 3)))


def sided_colours(kind: Kind, ground: int) -> Floats:
    """Return the 256 colours of a signed map or a difference, float64 (256, 3)."""
    arms = {"raises": [[ground] * 3, FIRST_RGB], "lowers": [[ground] * 3, SECOND_RGB]}
    if kind == "signed":
        arms = SIGNED["dark" if ground < 128 else "light"]
    positions = np.linspace(0, 1, len(arms["raises"]))
    raises, lowers = (
        np.stack([np.interp(_DISTANCES, positions, channel) for channel in np.transpose(arm)], axis=1)
        for arm in (arms["raises"], arms["lowers"])
    )
    return np.where(_LEVELS[:, None] > 128, raises, lowers)


def _table(keep: Floats, add: Floats) -> Table:
    return keep.astype(np.float32), add.astype(np.float32)
