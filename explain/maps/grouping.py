"""Group similar maps (spectral clustering), find outliers.

After SpRAy (Lapuschkin et al. 2019, doi:10.1038/s41467-019-08987-4): maps are made small, and grouped by the spectrum
of their neighbourhood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NEIGHBOURS = 10
MOST_GROUPS = 8
FEWEST = 12
"""Minimum number of maps to group, and to call one an outlier."""
RANKED = 3
"""Minimum number of maps of which one can be farther from the others."""
COARSE = 16
"""Cells a side for grouping: a shift by a cell of the layer's own grid then still looks alike."""


def find_neighbours(maps: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """Return how far each map (h, w) lies from its nearest neighbours, among their principal components, and which
    these are, (n, neighbours).

    Of the distances (n,) 1 is usual, 2 twice as far; nan of fewer than `RANKED` maps. The second is None of fewer than
    `FEWEST`, which are too few to group.
    """
    if len(maps) < RANKED:
        return np.full(len(maps), np.nan), None
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    flat = np.stack([cv2.resize(one, (COARSE, COARSE), interpolation=cv2.INTER_AREA).ravel() for one in maps])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    reduced = PCA(min(16, len(flat) - 1), random_state=0).fit_transform(flat)
    found, nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(flat) - 1)).fit(reduced).kneighbors()
    distances = found.mean(1)
    oddness = distances / max(float(np.median(distances)), 1e-9)
    return oddness, nearest if len(flat) >= FEWEST else None


def group(nearest: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the group (n,) of each map by spectral clustering of its neighbours (`find_neighbours`).

    The eigengap sets the number of groups.
    """
    from scipy.sparse import csr_matrix, identity
    from scipy.sparse.csgraph import laplacian
    from scipy.sparse.linalg import eigsh
    from sklearn.cluster import KMeans

    count, each = nearest.shape
    graph = csr_matrix((np.ones(nearest.size), nearest.ravel(), np.arange(0, nearest.size + 1, each)), (count, count))
    symmetric = (graph + graph.T) / 2
    many = min(MOST_GROUPS + 1, count - 2)
    # The smallest of the Laplacian are the largest of what is left of 2.
    values, vectors = eigsh(
        2 * identity(count) - laplacian(symmetric, normed=True), many, which="LA", v0=np.ones(count)
    )
    values, vectors = 2 - values[::-1], vectors[:, ::-1]
    groups = int(np.argmax(np.diff(values))) + 1
    if groups == 1:
        return np.zeros(count, np.intp)
    rows = vectors[:, :groups] / np.maximum(np.linalg.norm(vectors[:, :groups], axis=1, keepdims=True), 1e-9)
    return np.asarray(KMeans(groups, n_init=4, random_state=0).fit_predict(rows), np.intp)
