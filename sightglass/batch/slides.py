"""Make pictures of a run's view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.batch import analysis
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks import describe_score
from sightglass.models.catalog import catalog
from sightglass.report.view import fraction
from sightglass.report.views import GalleryTile

if TYPE_CHECKING:
    from sightglass.common.files import Json

_SIDE = 1600
"""Pixels of the longer side of a picture, of which the middle is shown."""
_SIGNS: dict[object, str] = {False: "✓ ", True: "✗ "}
"""Before the answer of a labelled picture: right, and wrong."""


def tile(row: Json, image: Image, model: str) -> GalleryTile:
    """Return a picture of a run by its row of the table (`analysis.load`), with its answer and its map."""
    spec = catalog().get(model)
    label, answer = row["predicted"], "nothing found"
    if label:
        score = row["predicted_score"]
        answer = f"{label} {percent(score) if spec is None else describe_score(score, spec, label)}"
    name, cells = f"{_SIGNS.get(row['wrong'], '')}{answer}", row["cells"]
    # Several of the largest pictures at once are gigabytes.
    small = Image(image.thumbnail(_SIDE), image.name)
    # Without a map it is missing, which a table may call NaN.
    if not isinstance(cells, bytes) or not cells:
        return GalleryTile(small, name)
    seen = (row["seen_left"], row["seen_top"], row["seen_right"], row["seen_bottom"])
    return GalleryTile(small, name, analysis.cells(cells), fraction(seen, (image.width, image.height)))
