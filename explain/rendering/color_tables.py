"""Build a style's table of 256 colours.

A pixel becomes pixel * keep[level] + grey * light[level] + add[level], where `grey` is the pixel without its colours:
`keep` is float32 (256,), `light` and `add` are float32 (256, 3). Levels of a difference and of a signed map are 1 to
255, and 128 is 0. `ground` is the grey of what is below the threshold in a map alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sightglass.common.style import ENDS, OVERLAY, SIGNED
from sightglass.explain.rendering.style import Kind, Pixels, Style, Values, lut

Floats = npt.NDArray[np.float64]
Table = tuple[Values, Values, Values]

_DARKEST = 0.75
"""The most that a spotlight takes from the picture: a black one hides the map's place."""
_LEVELS = np.arange(256)
_DISTANCES = np.minimum(abs(_LEVELS - 128) / 127, 1)  # of a difference's or a signed map's level from 0, as 0..1


def of(kind: Kind, style: Style, ground: int) -> Table | None:
    """Return the table of a style; None for an uncoloured picture."""
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
    grey = greyness(kind, style)
    if kind != "heat":
        # Blended by its strength in the end's colour: the grey picture below is the neutral middle. Of a difference the
        # broader map could hardly be seen by a linear opacity.
        shares = np.where(cold, 0, alpha * _DISTANCES ** (1 if kind == "signed" else 0.6))
        return _mix(shares, np.where(_LEVELS[:, None] > 128, colours[255], colours[1]), grey=grey)
    if mode == "blend":
        return _mix(np.where(cold, 0, alpha), colours)
    return _mix(np.where(cold, 0, opacity(alpha)), *shades(style.colormap), grey)


def greyness(kind: Kind, style: Style) -> float:
    """Return the share of its colours that the picture loses where there is no map, 0..1."""
    if kind == "heat":
        return OVERLAY["grey"] * style.alpha if style.mode == "overlay" else 0.0
    return float(style.mode == "map" or (style.mode in ("overlay", "blend") and style.alpha > 0))


def opacity(alpha: float) -> Floats:
    """Return each level's opacity, float64 (256,): clear below `OVERLAY["clear"]`, rising to alpha."""
    rise = (_LEVELS / 255 - OVERLAY["clear"]) / (OVERLAY["full"] - OVERLAY["clear"])
    return alpha * _smooth(np.clip(rise, 0, 1))


def overlay_colours(colormap: str) -> Pixels:
    """Return the part of a colormap that an overlay has, uint8 (256, 3) RGB."""
    first, last = ENDS.get(colormap, ENDS["others"])
    return np.asarray(lut(colormap)[np.floor(255 * first + (last - first) * _LEVELS + 0.5).astype(np.intp)])


def shades(colormap: str) -> tuple[Floats, Floats]:
    """Return an overlay's colours where the picture is black and where it is white, float64 (256, 3), 0..255."""
    colours = overlay_colours(colormap) / 255
    dark = 255 * OVERLAY["dark"] * colours ** OVERLAY["deepen"]
    return dark, 255 * (1 - (1 - colours) ** OVERLAY["lighten"])


def sided_colours(ground: int) -> Floats:
    """Return the 256 colours of a map with two sides, float64 (256, 3): of a difference red is more in the first."""
    arms = SIGNED["dark" if ground < 128 else "light"]
    positions = np.linspace(0, 1, len(arms["raises"]))
    raises, lowers = (
        np.stack([np.interp(_DISTANCES, positions, channel) for channel in np.transpose(arm)], axis=1)
        for arm in (arms["raises"], arms["lowers"])
    )
    return np.where(_LEVELS[:, None] > 128, raises, lowers)


def _mix(shares: Floats, dark: Floats, white: Floats | None = None, grey: float = 0.0) -> Table:
    """Lay colours, `dark` where the picture is black, over a picture that loses a share of its own."""
    left, shares = 1 - shares, shares[:, None]
    light = left[:, None] * grey + shares * ((dark if white is None else white) - dark) / 255
    return (left * (1 - grey)).astype(np.float32), light.astype(np.float32), (shares * dark).astype(np.float32)


def _smooth(rise: Floats) -> Floats:
    return rise * rise * (3 - 2 * rise)
