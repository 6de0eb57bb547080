"""Make pictures of a run's view."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sightglass.batch import analysis
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks import describe_score
from sightglass.models.catalog import catalog
from sightglass.report.view import Map, Picture, fraction

if TYPE_CHECKING:
    from sightglass.common.files import Json

_SIDE = 1600
"""Pixels of the longer side of a picture, of which the middle is shown."""
_SIGNS: dict[object, str] = {False: "✓ ", True: "✗ "}
"""Before the answer of a labelled picture: right, and wrong."""


def tile(row: Json, image: Image, model: str) -> Picture:
    """Return the middle of a run's picture by its row of the table (`analysis.load`), with its answer and its map."""
    spec = catalog().get(model)
    label, answer = row["predicted"], "nothing found"
    if label:
        score = row["predicted_score"]
        answer = f"{label} {percent(score) if spec is None else describe_score(score, spec, label)}"
    name, cells = f"{_SIGNS.get(row['wrong'], '')}{answer}", row["cells"]
    # Several of the largest pictures at once are gigabytes.
    pixels = image.thumbnail(_SIDE)
    height, width = pixels.shape[:2]
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    picture = Picture.of(Image(square, image.name), name, caption=name)
    # Without a map it is missing, which a table may call NaN.
    if not isinstance(cells, bytes) or not cells:
        return picture
    corners = fraction(
        [row[f"seen_{edge}"] for edge in ("left", "top", "right", "bottom")], (image.width, image.height)
    )
    edges = [edge * of for edge, of in zip(corners, (width, height) * 2, strict=True)]
    seen = fraction([edge - start for edge, start in zip(edges, (left, top) * 2, strict=True)], (side, side))
    extent = -left / side, -top / side, (width - left) / side, (height - top) / side
    values = analysis.cells(cells)
    return replace(picture, map=Map("", values, None, extent, None if seen == (0, 0, 1, 1) else seen))
