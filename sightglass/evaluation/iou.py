"""IoU of a segmentation per class, mean IoU, pixel accuracy.

Pixels are counted over all pictures, as in the benchmarks of segmentation networks, and intervals come from pictures
drawn again: pixels of one picture are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sightglass.evaluation.intervals import Estimate, average_classes, estimate, redraw

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pair = tuple[int, int, int]
"""A true class, the class that the model gives, and how many pixels have both."""


@dataclass(frozen=True)
class PixelScores:
    """How well segmentations fit their masks."""

    mean_iou: Estimate
    """Over the classes that any mask or any answer has."""
    accuracy: Estimate
    """Share of the counted pixels whose class is right."""
    by_class: Mapping[int, Estimate] = field(repr=False)
    """IoU by the index of a class."""
    pixels: int
    """That were counted."""
    right: int


def count_pairs(truth: NDArray[np.int64], answer: NDArray[np.int64]) -> list[Pair]:
    """Return how many pixels have each pair of classes; those with a negative class on either side are not counted."""
    counted = (truth >= 0) & (answer >= 0)
    if not counted.any():
        return []
    wide = int(max(truth.max(), answer.max())) + 1
    counts = np.bincount(truth[counted] * wide + answer[counted])
    return [(int(at // wide), int(at % wide), int(counts[at])) for at in np.flatnonzero(counts)]


def score_picture(pairs: Sequence[Pair]) -> tuple[float, float]:
    """Return one picture's mean IoU, over the classes that it has or is given, and its share of right pixels.

    >>> score_picture([(0, 0, 6), (0, 1, 2), (1, 1, 4)])
    (0.708..., 0.833...)
    """
    total = sum(count for *_, count in pairs)
    if not total:
        return float("nan"), float("nan")
    right, union = _count_classes([pairs], sorted({one for pair in pairs for one in pair[:2]}))
    return float((right / union).mean()), float(right.sum() / total)


def measure(pictures: Sequence[Sequence[Pair]], *, seed: int = 0) -> PixelScores:
    """Return IoU and accuracy over all pictures, with intervals from redrawn sets of pictures (basic bootstrap)."""
    # A picture without a counted pixel says nothing, and drawn again it would widen the intervals.
    pictures = [pairs for pairs in pictures if pairs]
    classes = sorted({one for pairs in pictures for pair in pairs for one in pair[:2]})
    right, union = _count_classes(pictures, classes)
    total = np.array([sum(count for *_, count in pairs) for pairs in pictures], np.float64)
    draws = redraw(len(pictures), seed) if pictures else np.zeros((1, 0), np.int32)
    with np.errstate(invalid="ignore"):
        exact = right.sum(0) / union.sum(0)
        drawn = (draws @ right) / (draws @ union)
        drawn_accuracy = (draws @ right.sum(1)) / (draws @ total)
        accuracy = right.sum() / total.sum()
    several = (union > 0).sum(0) > 1

    def tell(value: float, drawn: NDArray[np.float64], *, enough: bool) -> Estimate:
        # One picture drawn again and again is always the same: how sure it is cannot be told.
        return estimate(value, drawn if enough else drawn[:0], least=0.0)

    enough = len(pictures) > 1
    return PixelScores(
        mean_iou=tell(exact.mean() if classes else float("nan"), average_classes(drawn.T), enough=enough),
        accuracy=tell(float(accuracy), drawn_accuracy, enough=enough),
        by_class={index: tell(exact[i], drawn[:, i], enough=bool(several[i])) for i, index in enumerate(classes)},
        pixels=int(total.sum()),
        right=int(right.sum()),
    )


def _count_classes(
    pictures: Sequence[Sequence[Pair]], classes: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each picture's pixels of each class that are right, and those that are the class's by mask or answer."""
    places = {index: i for i, index in enumerate(classes)}
    right, union = np.zeros((2, len(pictures), len(classes)))
    for row, pairs in enumerate(pictures):
        for truth, answer, count in pairs:
            union[row, places[truth]] += count
            if truth == answer:
                right[row, places[truth]] += count
            else:
                union[row, places[answer]] += count
    return right, union
