"""Declare Streamlit components from JavaScript modules."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.browser import BROWSER, join
from sightglass.common.files.packing import pack_data

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer


def declare(name: str, beside: str | Path, *sent: str, html: str | None = None) -> ComponentRenderer:
    """Return a component's function; its files are read at first use.

    `NAME.js` has the default export; it, its HTML and CSS are in the folder of the file `beside`. `sent`: names
    of the values that the browser sends. The function takes `data`, packed or to be packed. `html`: without a file.
    """
    path = Path(beside).with_name(f"{name}.js")
    # Streamlit returns only values with a callback.
    callbacks: Any = dict.fromkeys((f"on_{value}_change" for value in sent), lambda: None)

    def draw(*, data: Any = None, **more: Any) -> Any:
        # In a dict Streamlit would look for tables, and import pandas to do so.
        data = pack_data(data) if isinstance(data, dict) else data
        return _register(name, path, html)(data=data, **callbacks, **more)

    return draw


@cache
def _register(name: str, script: Path, html: str | None) -> ComponentRenderer:
    page, style = (script.with_suffix(f".{kind}") for kind in ("html", "css"))
    html = page.read_text("utf-8") if page.exists() else html
    styles = [path.read_text("utf-8") for path in (BROWSER / "shared.css", style) if path.exists()]
    return st.components.v2.component(
        f"sightglass_{name}", html=html, css="\n".join(styles) if html else None, js=join(script)
    )
