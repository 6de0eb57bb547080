"""Marks on a map: arrows, circles and words in the picture's own pixels, drawn in the browser and kept at once.

The browser holds the marks and every step back; Python hears of all of them after each step. What it is sent depends on
the picture and on when the record was opened, not on the marks since: nothing is drawn anew under a hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from components.viewer import joined
from components.viewer.payload import LONGEST, joined_bytes, jpeg

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_HERE = Path(__file__).parent
_SHARED, _MODULES = ("unpack.js", "geometry.js"), ("shapes.js", "steps.js", "figure.js", "markup.js")
_component = st.components.v2.component(
    "sightglass_markup",
    html=(_HERE / "markup.html").read_text("utf-8"),
    css=(_HERE / "markup.css").read_text("utf-8"),
    js="\n".join((joined(_HERE.parent / "viewer", _SHARED), joined(_HERE, _MODULES))),
)


@dataclass(frozen=True)
class Said:
    """`step`: another one each time that the browser tells of something. `marks`: all of them, not checked."""

    step: str
    marks: list[Any]


def markup(
    pixels: NDArray[np.uint8],
    marks: Sequence[dict[str, Any]],
    *,
    id: str,
    about: str,
    key: str,
    height: int = 496,
) -> Said | None:
    """Draw on uint8 (H, W, 3) pixels; what the browser said last of its marks, None while it said nothing.

    `marks`: as they were when the record was opened, each `kind`, `points`, `text` and `ink`. `id` changes with the
    pixels and each time that a record is opened: by it the browser knows its own marks again. `about`: a sentence for
    who does not see the picture. `height`: at most, at a window height of 900 px. What is returned came from a browser:
    it is to be checked.
    """
    said = _component(
        key=key, data=pack(pixels, marks, id=id, about=about, height=height), on_marks_change=_nothing
    ).marks
    if not isinstance(said, dict) or said.get("id") != id or not isinstance(said.get("marks"), list):
        return None
    step = said.get("step")
    return Said(step if isinstance(step, str) else "", said["marks"])


def pack(pixels: NDArray[np.uint8], marks: Sequence[dict[str, Any]], *, id: str, about: str, height: int) -> bytes:
    """The payload: [u32 header length][JSON][JPEG]."""
    size = [pixels.shape[1], pixels.shape[0]]
    head = {"id": id, "size": size, "marks": list(marks), "about": about, "height": height}
    return joined_bytes(head, [jpeg(pixels, LONGEST, f"markup {id}")])


def _nothing() -> None:
    """Streamlit returns only what has a callback."""
