"""A picture dropped anywhere on the page, or pasted: the whole window is the drop zone."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import streamlit as st

_HERE = Path(__file__).parent
_component = st.components.v2.component(
    "sightglass_intake",
    html='<div class="veil" hidden>Drop it anywhere</div>',
    css=(_HERE / "intake.css").read_text(),
    js=(_HERE / "intake.js").read_text(),
)


def intake(*, key: str) -> list[tuple[str, bytes]]:
    """(name, bytes) of the files that were just dropped or pasted; empty on every other run."""
    result = _component(key=key, height=1, on_files_change=lambda: None)
    found = []
    for file in result.files or ():
        try:
            found.append((str(file["name"]), base64.b64decode(file["data"], validate=True)))
        except (KeyError, TypeError, binascii.Error):
            continue
    return found
