"""The sentence at the top of a page."""

from __future__ import annotations

from sightglass.components.declare import declare

HOT = "{hot}"
"""Placeholder in a sentence for whatever looks hot in the viewer: a colour, or the inside of lines."""

_component = declare("headline", __file__, html="<h2></h2>")


def headline(text: str, *, key: str, hot: str = "Yellow") -> None:
    """Show the sentences; those with `{hot}` are left out while the viewer shows no map. `hot`: its first value."""
    _component(key=key, data={"text": text, "hot": hot})
