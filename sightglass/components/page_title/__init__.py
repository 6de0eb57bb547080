"""The page's heading, and fixes of Streamlit's layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.declare import declare

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAYOUT = Path(__file__).with_name("layout.css").read_text("utf-8")
_component = declare("page_title", __file__, html="<h1></h1>")


def page_title(text: str, *, links: Sequence[str] = ()) -> None:
    """Name the page for screen readers. `links`: the menus of the bar that hold one page and open it at once."""
    # No theme sets these, and an element that is only a style takes no place.
    st.html(f"<style>{_LAYOUT}</style>")
    _component(key="page-title", data={"text": text, "links": list(links)}, height=1)
