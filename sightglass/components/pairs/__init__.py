"""Two pictures with their matching places.

Nothing here reruns the page: maps, best matches and the similarity of every two places go to the browser once.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from sightglass.common.style import DEFAULTS
from sightglass.components.declare import declare, packed_by_content
from sightglass.components.viewer.payload import deflate, picture
from sightglass.explain.phrases import pixels
from sightglass.explain.rendering.style import lut

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.explain.similarity.matches import CellEdges
    from sightglass.explain.similarity.similarity import ComparedImage, Similarity

_WORDS = {
    "cosine": {"both": "Similar and different", "upper": "Similar", "low": "Lowers similarity", "high": "Raises it"},
    "product": {"both": "For and against", "upper": "For", "low": "Lowers the score", "high": "Raises it"},
}
"""What the signs of a map are called, by what it explains."""
_component = declare("pairs", __file__)


def pairs(found: Similarity, texts: tuple[str, str], line: str, *, key: str, height: int = 496) -> None:
    """Show the two; `texts`: for each, where the heat of its map is; `line`: shown while nothing is pointed at.

    `height` is a picture's at a window height of 900 px.
    """
    _component(key=key, data=pack(found, texts, line, height=height))


def pack(found: Similarity, texts: tuple[str, str], line: str, *, height: int) -> bytes:
    """Return the payload: [u32 header length][JSON][JPEG][JPEG][maps and cells, deflated as the viewer's are]."""
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
