"""Match the cells of two pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.geometry import Geometry

MAX_CELLS = 24
"""Maximum number of cells a side: finer grids are averaged, as smaller cells are hard to point at."""
SHOWN = 12
"""Number of pairs that are drawn by default."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two mutually best matching cells, one of each picture."""

    query: tuple[int, int]
    """Row and column."""
    gallery: tuple[int, int]
    score: float
    """Cosine, -1..1, after subtracting the mean of all cells of both pictures."""


@dataclass(frozen=True, eq=False)
class CellEdges:
    """Edges of a picture's cells in its original pixels, (rows + 1,) and (columns + 1,).

    Next to the bars of a letterbox the outer edges lie outside the picture.
    """

    down: NDArray[np.float32]
    across: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.down) - 1, len(self.across) - 1

    def cell_at(self, x: float, y: float) -> int:
        """Return the cell at a place in original pixels, row by row; the nearest one outside."""
        row, column = np.searchsorted(self.down[1:-1], y, "right"), np.searchsorted(self.across[1:-1], x, "right")
        return int(row) * self.shape[1] + int(column)


@dataclass(frozen=True, eq=False)
class Matches:
    """The similarity of each query cell to each gallery cell."""

    query: CellEdges
    gallery: CellEdges
    scores: NDArray[np.float32]
    """Cosines of the query's cells with the gallery's, float32 (n, m), cells in row-major order."""
    pairs: tuple[Pair, ...]
    """Best first, by their cosine and their contribution to the two pictures' score."""

    def find_match(self, side: int, cell: int) -> tuple[int, float]:
        """Return a cell's best match in the other picture and its cosine; `side`: 0 for a cell of the query."""
        scores = self.scores[cell] if side == 0 else self.scores[:, cell]
        best = int(scores.argmax())
        return best, float(scores[best])


def matches(query: Evidence, gallery: Evidence, carried: list[Tensor]) -> Matches:
    """Match two pictures' cells; `carried`: each cell's contribution, (h, w)."""
    (query_edges, a, w), (gallery_edges, b, v) = (_cells(query, carried[0]), _cells(gallery, carried[1]))
    with torch.no_grad():
        # The common mean does not distinguish cells.
        mean = torch.cat([a, b]).mean(0)
        first, second = F.normalize(a - mean, dim=1), F.normalize(b - mean, dim=1)
        scores = np.nan_to_num((first @ second.T).cpu().numpy())
    return Matches(query_edges, gallery_edges, scores, _pairs(scores, w, v, query_edges, gallery_edges))


def _pairs(
    scores: NDArray[np.float32], w: NDArray[np.float32], v: NDArray[np.float32], query: CellEdges, gallery: CellEdges
) -> tuple[Pair, ...]:
    best, back = scores.argmax(1), scores.argmax(0)
    pairs = [(i, int(j)) for i, j in enumerate(best) if back[j] == i and scores[i, j] > 0]
    # Two empty corners are similar and contribute nothing.
    pairs.sort(key=lambda pair: -scores[pair] * float(np.sqrt(max(w[pair[0]], 0.0) * max(v[pair[1]], 0.0))))
    columns = query.shape[1], gallery.shape[1]
    return tuple(Pair(_locate(i, columns[0]), _locate(j, columns[1]), float(scores[i, j])) for i, j in pairs[:SHOWN])


def _locate(cell: int, columns: int) -> tuple[int, int]:
    return cell // columns, cell % columns


def _cells(evidence: Evidence, carried: Tensor) -> tuple[CellEdges, Tensor, NDArray[np.float32]]:
    """Return the grid of the cells with any picture, their activations (n, C) and contributions (n,)."""
    edges, rows, inside = read_cells(evidence)
    carried = _pool(carried.float()[None], MAX_CELLS)[0]
    return edges, rows, carried[inside].flatten().cpu().numpy()


def read_cells(evidence: Evidence, most: int = MAX_CELLS) -> tuple[CellEdges, Tensor, tuple[slice, slice]]:
    """Return the first layer's cells with content, and activations, float32 (n, C).

    Also which rows and columns of all cells these are. Of more than `most` a side, neighbours are averaged.
    """
    activation = _pool(evidence.activations[0][0].float(), most)  # (C, h, w)
    path = evidence.paths[0]
    (y0, y1, down), (x0, x1, across) = (
        _edges(evidence.geometry, path, axis, cells) for axis, cells in enumerate(activation.shape[1:])
    )
    inside = slice(y0, y1), slice(x0, x1)
    return CellEdges(down, across), activation[:, *inside].flatten(1).T, inside


def _pool(values: Tensor, most: int) -> Tensor:
    """Return values (C, h, w) of at most `most` rows and columns."""
    h, w = values.shape[1:]
    return values if max(h, w) <= most else F.adaptive_avg_pool2d(values, (min(h, most), min(w, most)))


def _edges(geometry: Geometry, path: str, axis: int, cells: int) -> tuple[int, int, NDArray[np.float32]]:
    """Return the first and end cell with content, and the edges in pixels."""
    size, original = geometry.input[axis], geometry.original[axis]
    places = np.arange(cells + 1) + geometry.cell_offset(path)[axis]
    edges = (places * size / cells - geometry.offset[axis]) / geometry.scale[axis]
    inside = [i for i in range(cells) if edges[i + 1] > 0.5 and edges[i] < original - 0.5]
    first, last = (inside[0], inside[-1] + 1) if inside else (0, cells)
    return first, last, edges[first : last + 1].astype(np.float32)
