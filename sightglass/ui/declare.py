"""Declare Streamlit components from JavaScript modules."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.browser import BROWSER, join
from sightglass.common.files.packing import pack_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.components.v2.types import ComponentRenderer

    from sightglass.common.files import Json


def declare(name: str, beside: str | Path, *, html: str | None = None) -> ComponentRenderer:
    """Return a component's function; its files are read at first use.

    `NAME.js` has the default export; it, its HTML and CSS are in the folder of the file `beside`. What draws it takes
    `data`, packed or to be packed.
    """
    path = Path(beside).with_name(f"{name}.js")

    def draw(*, data: Any = None, **more: Any) -> Any:
        # In a dict Streamlit would look for tables, and import pandas to do so.
        data = pack_data(data) if isinstance(data, dict) else data
        return _register(name, path, html)(data=data, **more)

    return draw


@cache
def _register(name: str, script: Path, html: str | None) -> ComponentRenderer:
    page, style = (script.with_suffix(f".{kind}") for kind in ("html", "css"))
    html = page.read_text("utf-8") if page.exists() else html
    styles = [path.read_text("utf-8") for path in (BROWSER / "shared.css", style) if path.exists()]
    return st.components.v2.component(
        f"sightglass_{name}", html=html, css="\n".join(styles) if html else None, js=join(script)
    )


def packed_by_content(head: Json, blobs: Sequence[bytes]) -> tuple[str, bytes]:
    """Return the content's id and payload: equal content is sent once."""
    digest = hashlib.blake2b(json.dumps(head, sort_keys=True).encode(), digest_size=12)
    for blob in blobs:
        digest.update(blob)
    return digest.hexdigest(), pack_data(head | {"id": digest.hexdigest()}, blobs)


def no_callback() -> None:
    """Do nothing: Streamlit returns only values with a callback."""
