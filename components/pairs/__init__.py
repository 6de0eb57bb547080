"""Two pictures beside each other with what makes them alike to a model; pointing at a place joins it to its match.

Nothing here runs the page again: maps, best matches and how alike every two places are go to the browser once.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from components.viewer import joined
from components.viewer.payload import LONGEST, deflated, joined_bytes, jpeg
from explain.phrases import pixels
from explain.rendering.colormaps import lut

if TYPE_CHECKING:
    from explain.similarity.matches import Grid
    from explain.similarity.similarity import Side, Similarity

_HERE = Path(__file__).parent
_WORDS = {
    "cosine": {"both": "Alike and apart", "upper": "Alike", "low": "Sets apart", "high": "Makes alike"},
    "product": {"both": "For and against", "upper": "For", "low": "Takes from the score", "high": "Adds to it"},
}
"""What the signs of a map are called, by what it is of."""
_SHARED, _MODULES = ("table.js", "unpack.js", "sample.js"), ("cells.js", "pairs.js")


def pairs(found: Similarity, texts: tuple[str, str], line: str, *, key: str, height: int = 496) -> None:
    """Show the two; `texts`: a sentence for each that says where its map lies, `line`: what stands below while nothing
    is pointed at. `height` is a picture's at a window height of 900 px."""
    _component(key=key, data=pack(found, texts, line, height=height))


def pack(found: Similarity, texts: tuple[str, str], line: str, *, height: int) -> bytes:
    """The payload: [u32 header length][JSON][JPEG][JPEG][maps and cells, deflated as the viewer's are]."""
    matches = found.matches
    grids = [*((side.signed, "difference") for side in found.sides), (matches.scores, "difference")]
    cells = (matches.query.shape[1], matches.gallery.shape[1])
    head: dict[str, Any] = {
        "sides": [
            _told(side, grid, text)
            for side, grid, text in zip(found.sides, (matches.query, matches.gallery), texts, strict=True)
        ],
        "cells": list(matches.scores.shape),
        "pairs": [
            [pair.query[0] * cells[0] + pair.query[1], pair.gallery[0] * cells[1] + pair.gallery[1], pair.score]
            for pair in matches.pairs[:6]
        ],
        "line": line,
        "words": _WORDS[found.of],
        "height": height,
        "lut": base64.b64encode(lut("inferno").tobytes()).decode(),
    }
    blobs = [_picture(side) for side in found.sides]
    blobs.append(deflated(grids))  # type: ignore[arg-type]
    digest = hashlib.blake2b(json.dumps(head, sort_keys=True).encode(), digest_size=12)
    for blob in blobs:
        digest.update(blob)
    return joined_bytes(head | {"id": digest.hexdigest()}, blobs)


def _told(side: Side, grid: Grid, text: str) -> dict[str, Any]:
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


def _picture(side: Side) -> bytes:
    image = side.image
    fits = image.jpeg if max(image.width, image.height) <= LONGEST else b""
    return fits or jpeg(image.pixels, LONGEST, image.sha256)


_component = st.components.v2.component(
    "sightglass_pairs",
    html=(_HERE / "pairs.html").read_text("utf-8"),
    css=(_HERE / "pairs.css").read_text("utf-8"),
    js="\n".join((joined(_HERE.parent / "viewer", _SHARED), joined(_HERE, _MODULES))),
)
