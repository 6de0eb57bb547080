"""Defaults, choices and bounds of how a map is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightglass.browser import constants

_FOUND = constants("common/style.js")
DEFAULTS: dict[str, Any] = _FOUND["DEFAULTS"]
"""Default of each setting of a view, by name; the viewer has the same."""
OVERLAY: dict[str, float] = _FOUND["OVERLAY"]
"""How an overlay changes the picture; each number is explained in `style.js`."""
ENDS: dict[str, list[float]] = _FOUND["ENDS"]
"""Shares of a colormap at which an overlay's colours begin and end, by its name, or `others`."""
SIGNED: dict[str, dict[str, list[list[int]]]] = _FOUND["SIGNED"]
"""Colours of a signed map, RGB, from 0 to what `raises` or `lowers` most, on a `light` and on a `dark` ground."""
CHOICES: dict[str, list[str]] = _FOUND["CHOICES"]
PACKAGE = Path(__file__).parents[1]
CHECKOUT = None if (PACKAGE / "explain").is_dir() else PACKAGE.parent
"""The repository's folder, where `explain`, `models` and `pages` stand beside the package; None in an installation."""
DASHBOARD = CHECKOUT or PACKAGE / "dashboard"
"""Folder of `dashboard.py` and `assets`."""
PAGES = (CHECKOUT or PACKAGE) / "pages"
