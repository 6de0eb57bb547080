"""The sentence that every screen opens with. It follows the viewer: what it calls hot is what looks hot."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

HOT = "{hot}"
"""Stands in a sentence for whatever looks hot in the viewer: a colour, or the inside of lines."""

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "sightglass_headline",
    html="<h2></h2>",
    css=(_HERE / "headline.css").read_text("utf-8"),
    js=(_HERE / "headline.js").read_text("utf-8"),
)


def headline(text: str, *, key: str, hot: str = "Yellow") -> None:
    """Show the sentences; those with `{hot}` are left out while the viewer shows no map. `hot`: until it says."""
    _component(key=key, data={"text": text, "hot": hot})
