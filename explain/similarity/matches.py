"""Which cells of two pictures look alike to a model: the cosine of what a layer has at each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from explain.evidence.evidence import Evidence
    from models.geometry import Geometry

MOST_CELLS = 24
"""Cells a side: finer grids are averaged to at most this, for nobody points at a smaller one."""
SHOWN = 12
"""Pairs that are drawn without being asked for."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A cell of the one picture and the cell of the other that it matches best, each of which is the other's best."""

    query: tuple[int, int]
    """Row and column."""
    gallery: tuple[int, int]
    score: float
    """Cosine, -1..1, after the mean of all cells of both pictures was taken away."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the cells of one picture lie, in its original pixels: (rows + 1,) and (columns + 1,) edges.

    Beside a letterbox's bars the outer ones reach over the picture's edge.
    """

    down: NDArray[np.float32]
    across: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.down) - 1, len(self.across) - 1


@dataclass(frozen=True, eq=False)
class Matches:
    """How alike each cell of one picture is to each of the other."""

    query: Grid
    gallery: Grid
    scores: NDArray[np.float32]
    """(n, m) cosines of the query's cells with the gallery's, row by row."""
    pairs: tuple[Pair, ...]
    """Best first, by how alike they are and how much of the two pictures' score they carry."""


def matches(query: Evidence, gallery: Evidence, carried: list[Tensor]) -> Matches:
    """Compare two pictures at the first of their layers; `carried` (h, w) of each: how much of their score a cell
    carries there."""
    (here, one, w), (there, other, v) = (_cells(query, carried[0]), _cells(gallery, carried[1]))
    with torch.no_grad():
        # What all cells share says nothing about which belong together.
        mean = torch.cat([one, other]).mean(0)
        first, second = F.normalize(one - mean, dim=1), F.normalize(other - mean, dim=1)
        scores = np.nan_to_num((first @ second.T).cpu().numpy())
    return Matches(here, there, scores, _pairs(scores, w, v, here, there))


def _pairs(
    scores: NDArray[np.float32], w: NDArray[np.float32], v: NDArray[np.float32], query: Grid, gallery: Grid
) -> tuple[Pair, ...]:
    there, back = scores.argmax(1), scores.argmax(0)
    found = [(i, int(j)) for i, j in enumerate(there) if back[j] == i and scores[i, j] > 0]
    # A pair of empty corners is alike and carries nothing.
    found.sort(key=lambda pair: -scores[pair] * float(np.sqrt(max(w[pair[0]], 0.0) * max(v[pair[1]], 0.0))))
    columns = query.shape[1], gallery.shape[1]
    return tuple(Pair(_place(i, columns[0]), _place(j, columns[1]), float(scores[i, j])) for i, j in found[:SHOWN])


def _place(cell: int, columns: int) -> tuple[int, int]:
    return cell // columns, cell % columns


def _cells(evidence: Evidence, carried: Tensor) -> tuple[Grid, Tensor, NDArray[np.float32]]:
    """The cells that hold any picture: where they are, (n, C) what is at each, and (n,) what each carries."""
    activation = evidence.activations[0][0].float()  # (C, h, w)
    carried = carried.float()
    h, w = activation.shape[1:]
    if max(h, w) > MOST_CELLS:
        size = (min(h, MOST_CELLS), min(w, MOST_CELLS))
        activation = F.adaptive_avg_pool2d(activation, size)
        carried = F.adaptive_avg_pool2d(carried[None], size)[0]
        h, w = size
    (y0, y1, down), (x0, x1, across) = (_edges(evidence.geometry, axis, cells) for axis, cells in enumerate((h, w)))
    rows = activation[:, y0:y1, x0:x1].flatten(1).T
    return Grid(down, across), rows, carried[y0:y1, x0:x1].flatten().cpu().numpy()


def _edges(geometry: Geometry, axis: int, cells: int) -> tuple[int, int, NDArray[np.float32]]:
    """First cell and the one after the last that hold any picture, and the edges between, in original pixels."""
    size, original = geometry.input[axis], geometry.original[axis]
    edges = (np.arange(cells + 1) * size / cells - geometry.offset[axis]) / geometry.scale[axis]
    inside = [i for i in range(cells) if edges[i + 1] > 0.5 and edges[i] < original - 0.5]
    first, last = (inside[0], inside[-1] + 1) if inside else (0, cells)
    return first, last, edges[first : last + 1].astype(np.float32)
