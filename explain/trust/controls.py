"""Control maps for proofs, the ranking of pixels, similarity by chance."""

import math
import zlib
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from sightglass.explain.maps.heatmap import Heatmap
from sightglass.explain.maps.statistics import iou, rank_correlations
from sightglass.explain.rendering.style import Values

QUANTILE = 0.95
"""The quantile of random maps' similarity to the true map that is the threshold."""

SEEDS = 3
"""Random maps whose curves are averaged: the first numbers of `seed_of`."""
SIGMA = 0.02
"""Standard deviation of the smoothing of edges, as a share of the picture's longer side."""
RANDOM_MAPS = 200
"""Number of random maps whose similarity to the true map is measured."""
CHANCE_NUMBERS, OUTLINE_NUMBERS = range(1000, 1000 + RANDOM_MAPS), range(2000, 2000 + RANDOM_MAPS)
"""The numbers of their seeds: no test has the random maps of another."""
UNRELATED = 0.2
"""The least threshold. On fine grids random maps reach next to nothing, 0.03 on the 80 by 60 cells of YOLO11n, but maps
by one method of different pictures reach more: the 95 % quantile of their rank correlations is 0.20 for GradCAM of
YOLO11n on 18 photographs, and 0.28 for that of demo-s on 20 scenes. Outlines of two boxes' maps overlap by 0.13 to
0.34 there, for four methods of YOLO11n and YOLOX nano."""
SIDE = 64
"""Cells a side on which maps are compared: with 160, the quantile is the same to 0.003, in ten times the time."""


def seed_of(sha256: str, number: int) -> int:
    """Return a control map's reproducible seed by picture and number."""
    return zlib.crc32(f"{sha256}/{number}".encode())


def grid_of(heatmap: Heatmap) -> tuple[int, int]:
    """Return the (rows, columns) of a map's finest layer over the content."""
    rows, columns = max((layer.shape for layer in heatmap.raw), key=math.prod)
    left, top, right, bottom = heatmap.geometry.content
    height, width = heatmap.geometry.input
    return max(round(rows * (bottom - top) / height), 2), max(round(columns * (right - left) / width), 2)


def random_map(shape: tuple[int, int], grid: tuple[int, int], seed: int) -> Values:
    """Return random values (h, w), smooth like a map on `grid` cells."""
    cells = np.random.default_rng(seed).random(grid, np.float32)
    return np.asarray(cv2.resize(cells, shape[::-1], interpolation=cv2.INTER_LINEAR))


def random_maps(heatmap: Heatmap, sha256: str, shape: tuple[int, int], numbers: Iterable[int]) -> Iterator[Values]:
    """Yield random maps (h, w), as smooth as a map of this picture, each by the seed of a number."""
    grid = grid_of(heatmap)
    return (random_map(shape, grid, seed_of(sha256, number)) for number in numbers)


def centre(shape: tuple[int, int]) -> Values:
    """Return a map (h, w) falling from the middle to the corners."""
    down, across = (np.abs((np.arange(side) + 0.5) / side - 0.5) for side in shape)
    return np.asarray(-np.hypot(down[:, None], across[None, :]), np.float32)


def edges(picture: NDArray[np.float32]) -> Values:
    """Return the smoothed Sobel edges of a picture (C, h, w)."""
    channels = map(np.ascontiguousarray, picture)
    slopes = [np.hypot(*(cv2.Sobel(channel, cv2.CV_32F, x, 1 - x) for x in (1, 0))) for channel in channels]
    strength = np.max(slopes, 0)
    return np.asarray(cv2.GaussianBlur(strength, (0, 0), max(SIGMA * max(strength.shape), 1.0)))


def ranking(values: Values) -> Values | None:
    """Return each pixel's share of hotter pixels, or None for constant maps.

    `values`: finite, (h, w). The coldest pixels, many in a clipped map, are ordered by their distance to hotter ones,
    which keeps the hidden region in one piece: scattered pixels disturb a model more than a region of their size.
    """
    above = values > values.min()
    if not above.any():
        return None
    away = cv2.distanceTransform((~above).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    order = np.lexsort((away.ravel(), -values.ravel()))
    places = np.empty(values.size, np.float32)
    places[order] = np.arange(values.size, dtype=np.float32) / values.size
    return places.reshape(values.shape)


def chance_level(heatmap: Heatmap, sha256: str) -> float:
    """Return the rank correlation with a map that unrelated maps stay below.

    It is the 95 % quantile over equally smooth random maps, seeded by the picture's SHA-256; at least `UNRELATED`.
    """
    values = heatmap.coarse
    # Twice as fine as the map; finer cells repeat their neighbours.
    fine = [min(2 * cells, side) for cells, side in zip(grid_of(heatmap), values.shape, strict=True)]
    scale = min(1.0, SIDE / max(fine))
    rows, columns = (max(1, round(side * scale)) for side in fine)
    true = np.asarray(cv2.resize(values, (columns, rows), interpolation=cv2.INTER_AREA))
    unrelated = random_maps(heatmap, sha256, (rows, columns), CHANCE_NUMBERS)
    return max(float(np.quantile(rank_correlations(true, unrelated), QUANTILE)), UNRELATED)


def outline(values: Values) -> NDArray[np.bool_]:
    """Return the area above half of the scale, empty for an empty map."""
    return np.asarray(values > values.max() / 2)


def outline_chance(heatmap: Heatmap, inside: NDArray[np.bool_], sha256: str) -> float:
    """Return the overlap (IoU) exceeded by few unrelated outlines.

    It is the 95 % quantile over equally large outlines of equally smooth random maps, at least `UNRELATED`.
    `inside`: bool, on the grid of `coarse`.
    """
    step, shape = max(1, max(inside.shape) // (2 * SIDE)), heatmap.coarse.shape
    inside, true = inside[::step, ::step], outline(heatmap.coarse)[::step, ::step]
    chosen = true[inside]
    unrelated = (values[::step, ::step][inside] for values in random_maps(heatmap, sha256, shape, OUTLINE_NUMBERS))
    overlaps = [iou(chosen, values > np.quantile(values, 1 - chosen.mean())) for values in unrelated]
    return max(float(np.quantile(overlaps, QUANTILE)), UNRELATED)
