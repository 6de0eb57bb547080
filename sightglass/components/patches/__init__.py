"""A picture whose patches can be chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.declare import declare, no_callback, packed_by_content
from sightglass.explain.picture.image import to_jpeg

if TYPE_CHECKING:
    from sightglass.explain.rendering.style import Pixels
    from sightglass.explain.similarity.matches import CellEdges

_component = declare("patches", __file__)
HEIGHT = 420
"""CSS pixels of the picture, at most."""


def choose_patch(pixels: Pixels, edges: CellEdges, size: tuple[int, int], text: str, *, key: str) -> int | None:
    """Show a drawn picture, uint8 (h, w, 3), and return the patch that a person chose, row by row; None before that.

    `edges` are in pixels of the picture itself, which has this `size` (width, height); `text` is its alternative.
    """
    count = edges.shape[0] * edges.shape[1]
    chosen = st.session_state.get(key, {}).get("cell")
    head = {
        "size": list(size),
        "down": [round(float(edge), 2) for edge in edges.down],
        "across": [round(float(edge), 2) for edge in edges.across],
        "text": text,
        "height": HEIGHT,
        "chosen": chosen if isinstance(chosen, int) and 0 <= chosen < count else None,
    }
    result = _component(key=key, data=packed_by_content(head, [to_jpeg(pixels)])[1], on_cell_change=no_callback)
    found = result.cell
    return found if isinstance(found, int) and 0 <= found < count else None
