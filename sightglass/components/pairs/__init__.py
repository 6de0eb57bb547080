"""Two pictures with their matching places, and pictures in patches with what is like the chosen one.

Nothing here reruns the page: maps, best matches and the similarity of every two places go to the browser once.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.style import DEFAULTS
from sightglass.components.declare import declare, no_callback, packed_by_content
from sightglass.components.session.markdown import escape, shorten
from sightglass.components.viewer.payload import deflate, picture
from sightglass.explain.phrases import percent, pixels, signed
from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.style import lut
from sightglass.explain.similarity import patches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain.rendering.style import Pixels
    from sightglass.explain.similarity.patches import PatchColours, PatchGrid
    from sightglass.explain.similarity.similarity import CellEdges, ComparedImage, Similarity


_WORDS = {
    "cosine": {"both": "Similar and different", "upper": "Similar", "low": "Lowers similarity", "high": "Raises it"},
    "product": {"both": "For and against", "upper": "For", "low": "Lowers the score", "high": "Raises it"},
}
"""What the signs of a map are called, by what it explains."""
_pairs = declare("pairs", __file__)


def pairs(found: Similarity, texts: tuple[str, str], line: str, *, key: str, height: int = 496) -> None:
    """Show both; `texts`: places of their heat; `line`: without a pointer.

    `height` is a picture's at a window height of 900 px.
    """
    _pairs(key=key, data=pack(found, texts, line, height=height))


def pack(found: Similarity, texts: tuple[str, str], line: str, *, height: int) -> bytes:
    """Return the payload: [u32 header length][JSON][JPEG][JPEG][maps and cells, deflated]."""
    matches = found.matches
    grids = [*((side.signed, "difference") for side in found.sides), (matches.scores, "difference")]
    cells = (matches.query.shape[1], matches.gallery.shape[1])
    head: Json = {
        "sides": [
            _describe(side, grid, text)
            for side, grid, text in zip(found.sides, (matches.query, matches.gallery), texts, strict=True)
        ],
        "cells": list(matches.scores.shape),
        "pairs": [
            [pair.query[0] * cells[0] + pair.query[1], pair.gallery[0] * cells[1] + pair.gallery[1], pair.score]
            for pair in matches.pairs[:6]
        ],
        "line": line,
        "words": _WORDS[found.of] | {"lines": "Outlines"},
        # Persons are told by the colours of their clothes.
        "outlined": found.subject == "persons",
        "height": height,
        "lut": base64.b64encode(lut(DEFAULTS["colormap"]).tobytes()).decode(),
    }
    blobs = [picture(side.image.pixels, side.image.sha256, side.image.jpeg) for side in found.sides]
    blobs.append(deflate(grids))  # type: ignore[arg-type]
    return packed_by_content(head, blobs)[1]


def _describe(side: ComparedImage, grid: CellEdges, text: str) -> Json:
    image = side.image
    return {
        "name": image.name,
        "note": pixels(image.width, image.height),
        "text": text,
        "size": [image.width, image.height],
        "seen": list(side.seen),
        "extent": [float(edge) for edge in side.geometry.extent],
        "shape": list(side.signed.shape),
        "down": [round(float(edge), 2) for edge in grid.down],
        "across": [round(float(edge), 2) for edge in grid.across],
    }


_component = declare(
    "patches",
    __file__,
    html='<div class="component patches"><canvas tabindex="0" role="application"></canvas>'
    '<p class="line" aria-live="polite"></p></div>',
)
HEIGHT = 420
"""CSS pixels of the picture, at most."""


def choose_patch(pixels: Pixels, edges: CellEdges, size: tuple[int, int], text: str, *, key: str) -> int | None:
    """Show a picture, uint8 (h, w, 3), and return the chosen patch.

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
    clicked = result.cell
    return clicked if isinstance(clicked, int) and 0 <= clicked < count else None


def draw_patches(grids: Sequence[PatchGrid], colours: PatchColours, *, key: str) -> None:
    """Draw the first picture with choosable patches and the others below."""
    first = grids[0]
    left, right = st.columns(2, gap="medium")
    with left:
        drawn = patches.draw_colours(first, colours.colours[0], colours.foreground[0])
        size = first.image.width, first.image.height
        text = f"{first.image.name} in {first.shape[0]} by {first.shape[1]} patches. Arrow keys move, Enter chooses."
        cell = choose_patch(drawn, first.edges, size, text, key=key)
    with right:
        st.markdown("### What the colours mean")
        st.caption("Patches of one colour are alike to the model, in all pictures here.")
        st.caption("Grey is what lies below 0 on the first principal component: often the background.")
        st.caption(f"The three colours show {percent(sum(colours.shares))} of how the other patches differ.")
    if cell is None:
        st.markdown("### The same colours in the other pictures")
        coloured = zip(grids, colours.colours, colours.foreground, strict=True)
        others = [patches.draw_colours(*grid) for grid in coloured][1:]
        _draw_row(grids[1:], others, [""] * len(others))
        return
    st.markdown("### Like the chosen patch")
    alike = patches.find_alike(grids, 0, cell)
    pictures = [
        patches.draw_alike(grid, hit, cell if place == 0 else None)
        for place, (grid, hit) in enumerate(zip(grids, alike, strict=True))
    ]
    words = [f"best {'patch' if place else 'other patch'}: {signed(hit.score)}" for place, hit in enumerate(alike)]
    _draw_row(grids, pictures, words)
    st.caption("1.00 is the same, 0.00 unrelated: the cosine, less what all patches here have in common.")


def _draw_row(grids: Sequence[PatchGrid], pictures: Sequence[Pixels], words: Sequence[str]) -> None:
    # Not columns: on a phone each would be as wide as the page.
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        for grid, pixels, note in zip(grids, pictures, words, strict=True):
            name = grid.image.name
            with st.container(width=240):
                caption = "  \n".join(filter(None, (escape(shorten(name, 24)), note)))
                st.image(pixels, caption=caption, width="stretch", alt=f"{name}: {note or 'its patches in colours'}")
