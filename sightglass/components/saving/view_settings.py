"""Read the viewer's settings from the browser."""

from __future__ import annotations

import json

from sightglass.components.declare import declare, no_callback
from sightglass.components.viewer import SETTINGS, Look

_component = declare("view_files", __file__)


def view_settings(key: str, *, quiet: bool = False) -> Look:
    """Draw the files of the view, which the viewer makes, and return its settings as the browser reports them.

    `quiet`: draw nothing. The first run returns none: once the browser has told them, there is another one.
    """
    result = _component(key=key, data={"quiet": quiet}, on_settings_change=no_callback)
    try:
        given = json.loads(result.settings or "{}")
    except (TypeError, ValueError):
        return {}
    known = given.items() if isinstance(given, dict) else ()
    return {name: value for name, value in known if name in SETTINGS and isinstance(value, bool | int | float | str)}
