"""Colour patches by PCA, and find patches that are alike.

The colours are those of DINOv2's first figure (Oquab et al., 2304.07193): the patches of all pictures, less their mean,
are projected on their first principal component, and those above 0 are the foreground; a second PCA of these alone
gives three components, which are red, green and blue. A component has no sign of its own: the first one points away
from the patches at the edges of the pictures, the others so that their largest weight is positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.style import VIEWER_STYLE, lut
from sightglass.explain.similarity.similarity import comparable, read_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.rendering.style import Pixels
    from sightglass.explain.similarity.similarity import CellEdges


COMPONENTS = 3
MAX_PATCHES = 64
"""Rows and columns, at most."""
FEWEST = 8
"""Patches of the foreground below which all patches are coloured."""
ENDS = (1, 99)
"""Percentiles of a component that are its darkest and its brightest."""


@dataclass(frozen=True, eq=False)
class PatchGrid:
    """The patches of one picture."""

    image: Image
    edges: CellEdges
    vectors: NDArray[np.float32]
    """What the model's layer says of each, float32 (n, D), row by row."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.edges.shape


@dataclass(frozen=True, eq=False)
class PatchColours:
    """The colours of several pictures' patches, comparable between them."""

    colours: tuple[NDArray[np.uint8], ...]
    """Of each picture, uint8 (rows, columns, 3)."""
    foreground: tuple[NDArray[np.bool_], ...]
    """Of each picture, bool (rows, columns)."""
    shares: tuple[float, ...]
    """Of the variance of the foreground's patches, what each of the three components has, 0..1."""


@dataclass(frozen=True, eq=False)
class AlikePatches:
    """How much each patch of one picture is like a chosen one."""

    scores: NDArray[np.float32]
    """Cosines, float32 (rows, columns), -1..1, after subtracting the mean of all patches of all pictures."""
    best: tuple[int, int]
    """Row and column of the most similar one, other than the chosen patch itself."""
    score: float


def read_patches(
    explainer: Explainer, sources: Sequence[Any], *, layers: Sequence[str] = (), preprocessing: str = "trained"
) -> list[PatchGrid]:
    """Return the patches of pictures at a layer, by default the model's.

    Pictures are anything that `Image.open` takes. Raises ModelProblem for a model without embeddings or layers.

        grids = read_patches(Explainer("efficientnet-lite0"), ["bus.jpg", "zidane.jpg"])
        colour_patches(grids).colours[0].shape  # (7, 7, 3)
    """
    images = [Image.open(source) for source in sources]
    options = Options(layers=tuple(layers), preprocessing=preprocessing)

    def work(resident: Resident, _more: tuple[str, ...]) -> list[PatchGrid]:
        comparable(resident)
        if not resident.gradients:
            raise ModelProblem(f"{explainer.model.id} exposes no internals, and so no patches: choose another model.")
        patch_grids = []
        for image in images:
            edges, rows, _ = read_cells(explainer.evidence(resident, image, options)[0], MAX_PATCHES)
            patch_grids.append(PatchGrid(image, edges, rows.cpu().numpy()))
        return patch_grids

    return explainer.with_oom_fallback(work)


def colour_patches(grids: Sequence[PatchGrid]) -> PatchColours:
    """Return the colours of all patches of these pictures; the background is grey."""
    vectors = np.concatenate([g.vectors for g in grids]).astype(np.float64)
    vectors -= vectors.mean(0)
    along = vectors @ _components(vectors, 1)[0][0]
    edges = np.concatenate([_on_edge(g.shape).ravel() for g in grids])
    # A component's sign is arbitrary: the middle of pictures is the foreground.
    if 0 < edges.sum() < len(edges) and along[edges].mean() > along[~edges].mean():
        along = -along
    front = along > 0
    if front.sum() < FEWEST:
        front = np.ones(len(vectors), bool)
    chosen = vectors[front] - vectors[front].mean(0)
    weights, shares = _components(chosen, COMPONENTS)
    projected = chosen @ weights.T
    low, high = np.percentile(projected, ENDS, axis=0)
    colours = np.full((len(vectors), COMPONENTS), 128, np.uint8)
    scaled = np.clip((projected - low) / np.maximum(high - low, 1e-12), 0, 1)
    colours[front, : scaled.shape[1]] = np.rint(scaled * 255).astype(np.uint8)
    starts = np.cumsum([len(g.vectors) for g in grids])[:-1]
    return PatchColours(
        tuple(part.reshape(*g.shape, COMPONENTS) for part, g in zip(np.split(colours, starts), grids, strict=True)),
        tuple(part.reshape(g.shape) for part, g in zip(np.split(front, starts), grids, strict=True)),
        shares,
    )


def find_alike(grids: Sequence[PatchGrid], picture: int, cell: int) -> list[AlikePatches]:
    """Return each patch's similarity to one patch, for every picture.

    The patch is number `cell` of `picture`, counted row by row.

    Raises ModelProblem where there is no such patch.
    """
    if not 0 <= picture < len(grids) or not 0 <= cell < len(grids[picture].vectors):
        raise ModelProblem(f"There is no patch {cell} in picture {picture}: both are counted from 0.")
    mean = np.concatenate([grid.vectors for grid in grids]).mean(0)
    centred = [grid.vectors - mean for grid in grids]
    units = [grid / np.maximum(np.linalg.norm(grid, axis=1, keepdims=True), 1e-12) for grid in centred]
    chosen = units[picture][cell]
    alike = []
    for place, (grid, unit) in enumerate(zip(grids, units, strict=True)):
        scores = unit @ chosen
        others = scores.copy()
        if place == picture and len(others) > 1:
            others[cell] = -np.inf
        best = int(others.argmax())
        columns = grid.shape[1]
        alike.append(AlikePatches(scores.reshape(grid.shape), (best // columns, best % columns), float(scores[best])))
    return alike


def _components(centred: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], tuple[float, ...]]:
    """Return the first principal components, (count, D), and the share of the variance of each."""
    _, lengths, weights = np.linalg.svd(centred, full_matrices=False)
    weights = weights[:count]
    signs = np.sign(weights[np.arange(len(weights)), np.abs(weights).argmax(1)])
    total = float((lengths**2).sum()) or 1.0
    return weights * signs[:, None], tuple(float(share) for share in lengths[:count] ** 2 / total)


def _on_edge(shape: tuple[int, int]) -> NDArray[np.bool_]:
    edge = np.ones(shape, bool)
    edge[1:-1, 1:-1] = False
    return edge


SIDE = 640
"""Pixels of the longer side of what is drawn, at most."""
OPACITY = 0.8
_UNSEEN = 0.3
"""What is left of a pixel that the model did not see."""


def draw_colours(grid: PatchGrid, colours: NDArray[np.uint8], foreground: NDArray[np.bool_]) -> Pixels:
    """Return the picture with coloured patches, uint8 (h, w, 3).

    `colours` and `foreground` are those of `PatchColours` for this picture.
    """
    small, cells, seen = _place_cells(grid)
    grey = np.repeat(small.mean(2, keepdims=True), 3, axis=2)
    over = (1 - OPACITY) * grey + OPACITY * colours.reshape(-1, 3)[cells]
    return _finish(np.where((foreground.ravel()[cells] & seen)[..., None], over, grey), seen)


def draw_alike(grid: PatchGrid, alike: AlikePatches, chosen: int | None = None) -> Pixels:
    """Draw the patches' cosines over the picture, uint8 (h, w, 3).

    `chosen`: the patch that all are compared with, where it is in this picture; it and the best one have a frame.
    """
    small, cells, seen = _place_cells(grid)
    share = np.clip(alike.scores.ravel(), 0, 1)
    heat = lut(VIEWER_STYLE.colormap)[np.rint(share * 255).astype(int)].astype(np.float64)
    cover = ((OPACITY * share)[cells] * seen)[..., None]
    out = (1 - cover) * small + cover * heat[cells]
    columns = grid.shape[1]
    for cell, ink in ((alike.best[0] * columns + alike.best[1], 255), (chosen, 0)):
        if cell is not None:
            _frame(out, (cells == cell) & seen, ink)
    return _finish(out, seen)


def _place_cells(grid: PatchGrid) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.bool_]]:
    """Return the thumbnail, its pixels' patches, and their visibility."""
    small = grid.image.thumbnail(SIDE).astype(np.float64)
    places, inside = [], []
    for edges, pixels, whole in zip(
        (grid.edges.down, grid.edges.across), small.shape, (grid.image.height, grid.image.width), strict=False
    ):
        at = (np.arange(pixels) + 0.5) * whole / pixels
        cells = np.searchsorted(edges, at, side="right") - 1
        inside.append((cells >= 0) & (cells < len(edges) - 1))
        places.append(np.clip(cells, 0, len(edges) - 2))
    return small, places[0][:, None] * grid.shape[1] + places[1], inside[0][:, None] & inside[1]


def _frame(out: NDArray[np.float64], mask: NDArray[np.bool_], ink: int) -> None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not (len(rows) and len(columns)):
        return
    y0, y1, x0, x1 = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    # Dark and light lines are visible on any picture.
    for inset, value in ((0, 255 - ink), (2, ink)):
        part = out[y0 + inset : y1 - inset, x0 + inset : x1 - inset]
        if min(part.shape[:2]) > 4:
            part[:2], part[-2:], part[:, :2], part[:, -2:] = value, value, value, value


def _finish(out: NDArray[np.float64], seen: NDArray[np.bool_]) -> Pixels:
    out = np.where(seen[..., None], out, 255 - _UNSEEN * (255 - out))
    return np.rint(out).astype(np.uint8)
