"""Measure how well a map, or a baseline, points at known pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from benchmarks.timing import SEED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.models.geometry import Box

    Map = NDArray[np.float32]
    Mask = NDArray[np.bool_]

MEASURES = ("hit", "energy", "iou", "auc")
EMPTY = (0.0, 0.0, 0.0, 0.5)
"""An empty map points nowhere and ranks nothing."""
GIVEN_BOX = "edges in its box"
"""The baseline that is given the object's box. The box is the very answer to "where", so it is no rival there."""


def measured(values: Map | None, mask: Mask, region: tuple[slice, slice] | None = None) -> list[float]:
    """Return `MEASURES` of a map for a mask; None: empty map.

    Its pixels are ranked among the rows and columns of `region`, None for all. Hit: whether the hottest pixel is on the
    mask (Zhang et al. 2018, arXiv:1608.00507). Energy: the share of the map's sum that is on it. IoU: of the mask and
    the hottest pixels, as many as it has. AUC: how often a pixel of the mask is hotter than one of the rest of its
    region. Pixels that are equally hot count by halves, or by the share needed.
    """
    if values is None or not (total := float(values.sum(dtype=np.float64))) > 0:
        return list(EMPTY)
    hottest, inside, count = int(values.argmax()), values[mask], int(mask.sum())
    ordered = np.sort(values, axis=None)
    threshold = ordered[-count]
    above = int(np.count_nonzero(inside > threshold))
    level = values.size - int(np.searchsorted(ordered, threshold, "left"))
    higher = values.size - int(np.searchsorted(ordered, threshold, "right"))
    shared = above + (count - higher) / (level - higher) * int(np.count_nonzero(inside == threshold))
    ranked = auc(inside, ordered if region is None else np.sort(values[region], axis=None))
    energy = float(inside.sum(dtype=np.float64)) / total
    return [float(mask.flat[hottest]), energy, shared / (2 * count - shared), ranked]


def auc(inside: NDArray[np.float32], ordered: NDArray[np.float32]) -> float:
    """Return the area under the ROC curve; .5 without a ranking.

    `inside` are the pixels that should be hot, (n,), and `ordered` those and all others, rising.
    """
    count, rest = len(inside), len(ordered) - len(inside)
    if not (count and rest):
        return 0.5
    below = np.searchsorted(ordered, inside, "left") + np.searchsorted(ordered, inside, "right")
    # Half of all pairs within the mask is counted above, and is no pair of this kind.
    return (float(below.sum()) - count**2) / 2 / count / rest


def box_of(box: Box, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Return a box's rows and columns, one pixel at least."""
    left, top, right, bottom = box
    y, x = min(max(round(top), 0), shape[0] - 1), min(max(round(left), 0), shape[1] - 1)
    return slice(y, max(round(bottom), y + 1)), slice(x, max(round(right), x + 1))


def baseline_maps(pixels: NDArray[np.uint8], box: Box, scene: int, cell: float = 4.0) -> dict[str, Map | None]:
    """Return the baselines of pixels (H, W, 3) by name; `cell`: the deviation of the smoothed edges."""
    (high, wide), grey = pixels.shape[:2], cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    edges: Map = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    inside = np.zeros((high, wide), np.float32)
    inside[box_of(box, (high, wide))] = 1
    return {
        "random map": _noise(np.random.default_rng([SEED, scene]), (high, wide)),
        "centre blob": _blob((high, wide), high / 2, wide / 2, high / 6, wide / 6),
        "edges": edges,
        "edges, smoothed": cv2.GaussianBlur(edges, (0, 0), cell),
        "edges in its box": edges * inside,
        "empty map": None,
    }


def _noise(generator: np.random.Generator, shape: tuple[int, int]) -> Map:
    """Return random 16x16 values, enlarged to (H, W), from 0."""
    coarse = torch.from_numpy(generator.random((16, 16), np.float32))
    enlarged = torch.nn.functional.interpolate(coarse[None, None], shape, mode="bicubic")[0, 0]
    values: Map = (enlarged - enlarged.min()).numpy()
    return values


def _blob(shape: tuple[int, int], y: float, x: float, high: float, wide: float) -> Map:
    """Return a Gaussian (H, W) around (y, x), in pixels."""
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5 for side in shape)
    values: Map = np.exp(-(((rows[:, None] - y) / high) ** 2 + ((columns - x) / wide) ** 2) / 2)
    return values
