"""Similarity of unrelated maps: the threshold of tests that compare maps."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.maps.statistics import rank_correlations
from sightglass.explain.proof import controls

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.result import Result

NULL = 200
"""Random maps whose likeness to the true one is measured."""
QUANTILE = 0.95
UNRELATED = 0.2
"""The least threshold. On fine grids random maps reach next to nothing, 0.03 on the 80 by 60 cells of YOLO11n, but maps
by one method of different pictures reach more: the 95 % quantile of their rank correlations is 0.20 for GradCAM of
YOLO11n on 18 photographs, and 0.28 for that of demo-s on 20 scenes."""
SIDE = 64
"""Cells a side on which maps are compared: with 160, the quantile is the same to 0.003, in ten times the time."""


def chance_level(explanation: Result, heatmap: Heatmap) -> float:
    """Return the rank correlation with a map that unrelated maps stay below.

    As `chance_of` of its values.
    """
    return chance_of(heatmap.coarse, controls.grid_of(heatmap), explanation.image.sha256)


def chance_of(values: NDArray[np.float32], grid: tuple[int, int], sha256: str) -> float:
    """Return the rank correlation that unrelated maps stay below with values (h, w) in 0..1, computed on `grid`.

    It is the 95 % quantile over random maps as smooth as the map, `UNRELATED` at least. The same every time for a
    picture of that SHA-256.
    """
    # Twice as fine as the map: what is finer repeats its neighbours.
    fine = [min(2 * cells, side) for cells, side in zip(grid, values.shape, strict=True)]
    scale = min(1.0, SIDE / max(fine))
    rows, columns = (max(1, round(side * scale)) for side in fine)
    true = np.asarray(cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA))
    return _reached_by_chance(true.tobytes(), (rows, columns), grid, sha256)


@lru_cache(maxsize=64)
def _reached_by_chance(true: bytes, shape: tuple[int, int], grid: tuple[int, int], sha256: str) -> float:
    seeds = (controls.seed_of(sha256, 1000 + number) for number in range(NULL))
    values = np.frombuffer(true, np.float32).reshape(shape)
    found = rank_correlations(values, (controls.random_map(shape, grid, seed) for seed in seeds))
    return max(float(np.quantile(found, QUANTILE)), UNRELATED)
