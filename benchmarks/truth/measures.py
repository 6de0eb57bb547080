"""How well a map points at pixels that are known to be the answer, and maps that know nothing of any model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks.classifiers.case import SEED
from benchmarks.detectors.pointing import smooth

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.demo.scenes import Object
    from models.geometry import Box

    Map = NDArray[np.float32]
    Mask = NDArray[np.bool_]

MEASURES = ("hit", "energy", "iou", "auc")
EMPTY = (0.0, 0.0, 0.0, 0.5)
"""An empty map points nowhere and ranks nothing."""
BLIND = ("random map", "centre blob", "edges", "edges, smoothed", "edges in its box", "box fill", "empty map")
"""Baselines, by name."""
TOLD = ("edges in its box", "box fill")
"""Those of them that are told the object's box. The box is the very answer to "where", so they are no rivals there."""
CELL = 4.0
"""Standard deviation in pixels of the smoothed edges: maps are smooth too, half a cell of stride 8."""


Asked = tuple["Mask", "tuple[slice, slice] | None"]
"""A mask, and where its pixels are ranked: rows and columns, or everywhere."""


def measured(values: Map | None, *asked: Asked) -> list[list[float]]:
    """`MEASURES` of a map (H, W), 0 or more, against masks of the same shape; None for an empty map.

    Hit: whether the hottest pixel is on the mask (Zhang et al. 2018, arXiv:1608.00507). Energy: the share of the map's
    sum that is on it. IoU: of the mask and the hottest pixels, as many as it has. AUC: how often a pixel of the mask is
    hotter than one of the rest of its region. Pixels that are equally hot count by halves, or by the share that is
    asked for.
    """
    if values is None or not (total := float(values.sum())) > 0:
        return [list(EMPTY) for _ in asked]
    hottest = int(values.argmax())
    ordered = np.sort(values, axis=None)
    found = []
    for mask, region in asked:
        inside, count = values[mask], int(mask.sum())
        threshold = ordered[-count]
        above = int(np.count_nonzero(inside > threshold))
        level = values.size - int(np.searchsorted(ordered, threshold, "left"))
        higher = values.size - int(np.searchsorted(ordered, threshold, "right"))
        share = (count - higher) / (level - higher)
        shared = above + share * int(np.count_nonzero(inside == threshold))
        ranked = auc(inside, ordered) if region is None else auc(inside, np.sort(values[region], axis=None))
        energy = float(inside.sum()) / total
        found.append([float(mask.flat[hottest]), energy, shared / (2 * count - shared), ranked])
    return found


def auc(inside: NDArray[np.float32], ordered: NDArray[np.float32]) -> float:
    """The area under the curve of true over false positives, equal values by halves; .5 with nothing to rank.

    `inside` are the pixels that should be hot, (n,), and `ordered` those and all others, rising.
    """
    count, rest = len(inside), len(ordered) - len(inside)
    if not (count and rest):
        return 0.5
    below = np.searchsorted(ordered, inside, "left") + np.searchsorted(ordered, inside, "right")
    # Of all pairs within the mask one half counts, and belongs to nobody.
    return (float(below.sum()) - count**2) / 2 / count / rest


def box_of(found: Box, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of whole pixels that a box covers, one at least."""
    left, top, right, bottom = found
    y, x = min(max(round(top), 0), shape[0] - 1), min(max(round(left), 0), shape[1] - 1)
    return slice(y, max(round(bottom), y + 1)), slice(x, max(round(right), x + 1))


def near(mask: Mask, pixels: int) -> Mask:
    """The mask and all that is at most so many pixels away."""
    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    found: Mask = away <= pixels
    return found


def baselines(pixels: NDArray[np.uint8], thing: Object, box: Box | None, scene: int) -> dict[str, Map | None]:
    """A map by each of `BLIND`: pixels (H, W, 3), uint8, and at most a box. `box` is the model's, where it has one."""
    shape = pixels.shape[:2]
    edges = edge_filter(pixels)
    its, made = box_of(thing.box, shape), np.zeros((2, *shape), np.float32)
    made[0][its] = edges[its]
    found: dict[str, Map | None] = {
        "random map": smooth(np.random.default_rng([SEED, scene]).random((16, 16), np.float32), shape),
        "centre blob": blob(shape, shape[0] / 2, shape[1] / 2, shape[0] / 6, shape[1] / 6),
        "edges": edges,
        "edges, smoothed": cv2.GaussianBlur(edges, (0, 0), CELL),
        "edges in its box": made[0],
        "empty map": None,
    }
    if box is not None:
        rows, columns = box_of(box, shape)
        # A hair hotter amid it, so that it has one hottest place.
        middle = (rows.start + rows.stop) / 2, (columns.start + columns.stop) / 2
        made[1][rows, columns] = 1 + 1e-3 * blob(shape, *middle, shape[0] / 4, shape[1] / 4)[rows, columns]
        found["box fill"] = made[1]
    return found


def edge_filter(pixels: NDArray[np.uint8]) -> Map:
    """Sobel's gradient of the luma, its length, (H, W)."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    found: Map = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    return found


def blob(shape: tuple[int, ...], y: float, x: float, high: float, wide: float) -> Map:
    """A Gaussian around (y, x) with these standard deviations, all in pixels, (H, W)."""
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5 for side in shape)
    found: Map = np.exp(-(((rows[:, None] - y) / high) ** 2 + ((columns - x) / wide) ** 2) / 2)
    return found
