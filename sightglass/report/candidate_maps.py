"""Draw the maps behind a tested map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style

if TYPE_CHECKING:
    from sightglass.explain.methods.method import Candidate
    from sightglass.explain.rendering.style import Pixels
    from sightglass.explain.result import Result

SIDE = 480
"""Pixels of a drawing's longer side, at most."""


def draw_candidate(result: Result, index: int, candidate: Candidate) -> Pixels:
    """Return one of the maps behind the map at `index`, over the picture made small."""
    heatmap, image = result.heatmaps[index], result.image
    small = image.thumbnail(SIDE)
    height, width = small.shape[:2]
    field = Field(candidate.values, heatmap.geometry.extent, heatmap.seen)
    return paint(small, field.scaled((image.width, image.height), (width, height)), Style())
