"""Defaults, choices and bounds of how a map is drawn."""

from typing import Any

from sightglass.browser import constants

_CONSTANTS = constants("common/style.js")
DEFAULTS: dict[str, Any] = _CONSTANTS["DEFAULTS"]
"""Default of each setting of a view, by name; the viewer has the same."""
OVERLAY: dict[str, float] = _CONSTANTS["OVERLAY"]
"""How an overlay changes the picture; each number is explained in `style.js`."""
TINT: dict[str, list[float]] = _CONSTANTS["TINT"]
"""How its colours change with the picture's lightness, at the level 0 and at 1."""
ENDS: dict[str, list[float]] = _CONSTANTS["ENDS"]
"""Shares of a colormap at which an overlay's colours begin and end, by its name, or `others`."""
SIGNED: dict[str, dict[str, list[list[int]]]] = _CONSTANTS["SIGNED"]
"""Colours of a signed map, RGB, from 0 to what `raises` or `lowers` most, on a `light` and on a `dark` ground."""
COLOURLESS: dict[str, str] = _CONSTANTS["COLOURLESS"]
"""What a sentence calls the strongest place of a map by its mode, where that is no colour."""
HUE_NAMES: dict[str, list[Any]] = _CONSTANTS["HUE_NAMES"]
"""`names` of hues, and the degrees `from` which each is called so."""
CHOICES: dict[str, list[str]] = _CONSTANTS["CHOICES"]
