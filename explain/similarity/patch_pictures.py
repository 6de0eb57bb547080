"""Draw patches in colours over their picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sightglass.explain.rendering.colormaps import lut
from sightglass.explain.rendering.style import VIEWER_STYLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.rendering.style import Pixels
    from sightglass.explain.similarity.patches import AlikePatches, PatchGrid

SIDE = 640
"""Pixels of the longer side of what is drawn, at most."""
OPACITY = 0.8
_UNSEEN = 0.3
"""What is left of a pixel that the model did not see."""


def draw_colours(
    grid: PatchGrid, colours: NDArray[np.uint8], foreground: NDArray[np.bool_], side: int = SIDE
) -> Pixels:
    """Return the picture with its patches in colours, uint8 (h, w, 3); the background is the picture in grey.

    `colours` and `foreground` are those of `PatchColours` for this picture.
    """
    small, cells, seen = _place_cells(grid, side)
    grey = np.repeat(small.mean(2, keepdims=True), 3, axis=2)
    over = (1 - OPACITY) * grey + OPACITY * colours.reshape(-1, 3)[cells]
    return _finish(np.where((foreground.ravel()[cells] & seen)[..., None], over, grey), seen)


def draw_alike(grid: PatchGrid, alike: AlikePatches, chosen: int | None = None, side: int = SIDE) -> Pixels:
    """Return the picture under the cosines of its patches, uint8 (h, w, 3): 0 and below is clear, 1 is the hottest.

    `chosen`: the patch that all are compared with, where it is in this picture; it and the best one have a frame.
    """
    small, cells, seen = _place_cells(grid, side)
    share = np.clip(alike.scores.ravel(), 0, 1)
    heat = lut(VIEWER_STYLE.colormap)[np.rint(share * 255).astype(int)].astype(np.float64)
    cover = ((OPACITY * share)[cells] * seen)[..., None]
    out = (1 - cover) * small + cover * heat[cells]
    columns = grid.shape[1]
    for cell, ink in ((alike.best[0] * columns + alike.best[1], 255), (chosen, 0)):
        if cell is not None:
            _frame(out, (cells == cell) & seen, ink)
    return _finish(out, seen)


def _place_cells(grid: PatchGrid, side: int) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.bool_]]:
    """Return the small picture, the patch of each of its pixels, and whether the model saw it."""
    small = grid.image.thumbnail(side).astype(np.float64)
    places, inside = [], []
    for edges, pixels, whole in zip(
        (grid.edges.down, grid.edges.across), small.shape, (grid.image.height, grid.image.width), strict=False
    ):
        at = (np.arange(pixels) + 0.5) * whole / pixels
        found = np.searchsorted(edges, at, side="right") - 1
        inside.append((found >= 0) & (found < len(edges) - 1))
        places.append(np.clip(found, 0, len(edges) - 2))
    return small, places[0][:, None] * grid.shape[1] + places[1], inside[0][:, None] & inside[1]


def _frame(out: NDArray[np.float64], mask: NDArray[np.bool_], ink: int) -> None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not (len(rows) and len(columns)):
        return
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    # A dark line and a light one, so that it is seen on any picture.
    for inset, value in ((0, 255 - ink), (2, ink)):
        part = out[y0 + inset : y1 - inset, x0 + inset : x1 - inset]
        if min(part.shape[:2]) > 4:
            part[:2], part[-2:], part[:, :2], part[:, -2:] = value, value, value, value


def _finish(out: NDArray[np.float64], seen: NDArray[np.bool_]) -> Pixels:
    out = np.where(seen[..., None], out, 255 - _UNSEEN * (255 - out))
    return np.rint(out).astype(np.uint8)
