"""Declare components for the browser: modules joined into one script, a shared style, and payloads of bytes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.packing import packed
from common.scripts import joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.components.v2.types import ComponentRenderer

_HERE = Path(__file__).parent


def declare(
    name: str, folder: Path, modules: Sequence[str], *, html: str | None = None, styles: Sequence[str] = ()
) -> ComponentRenderer:
    """Register a component: its last module has the default export, and it takes the HTML and CSS beside that.

    `styles`: more CSS of this folder, for what some components have in common.
    """
    page, style = (folder / f"{Path(modules[-1]).stem}.{kind}" for kind in ("html", "css"))
    common = "\n".join((_HERE / name).read_text("utf-8") for name in ("shared.css", *styles))
    return st.components.v2.component(
        f"sightglass_{name}",
        html=page.read_text("utf-8") if page.exists() else html,
        css=f"{common}\n{style.read_text('utf-8')}" if style.exists() else None,
        js=joined(folder, modules),
    )


def packed_by_content(head: dict[str, Any], blobs: Sequence[bytes]) -> tuple[str, bytes]:
    """Return an id of the content and the payload that carries it: the same content is not sent or shown again."""
    digest = hashlib.blake2b(json.dumps(head, sort_keys=True).encode(), digest_size=12)
    for blob in blobs:
        digest.update(blob)
    return digest.hexdigest(), packed(head | {"id": digest.hexdigest()}, blobs)


def no_callback() -> None:
    """Do nothing: Streamlit returns only values that have a callback."""
