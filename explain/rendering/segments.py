"""Draw a segmentation over a picture, and depth in colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.rendering.marks import Mark, add_names, draw_marks
from sightglass.explain.rendering.render import HALO, line_width
from sightglass.explain.rendering.style import lut

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from sightglass.explain.rendering.style import Pixels

COLORMAP = "viridis"
"""Its lightness rises all the way, so that it reads without colours too."""


def draw_segments(
    pixels: Pixels,
    classes: NDArray[np.int64],
    labels: Sequence[str],
    *,
    plain: Collection[int] = (),
    chosen: NDArray[np.bool_] | None = None,
) -> Pixels:
    """Draw the class of each pixel over a picture, uint8 (H, W, 3) RGB.

    `classes`: (H, W), by index in `labels`, -1 for none. `plain`: classes that are left as they are, such as a
    background. `chosen`: pixels with a bold white outline, bool (H, W).
    """
    indices = [int(index) for index in np.unique(classes) if index >= 0 and index not in plain]
    items = [((Mark("mask", mask=classes == index, fill=index),), labels[index]) for index in indices]
    return draw_marks(pixels, items if chosen is None else [*items, ((Mark("mask", mask=chosen),), "")])


def ends_of(numbers: NDArray[np.float32]) -> tuple[float, float]:
    """Return the range of numbers (H, W) without NaN; 0, 0 if empty."""
    known = numbers[np.isfinite(numbers)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def draw_numbers(
    numbers: NDArray[np.float32],
    scale: tuple[str, str],
    *,
    chosen: NDArray[np.bool_] | None = None,
    other: NDArray[np.bool_] | None = None,
) -> Pixels:
    """Draw numbers (H, W) from dark to bright, uint8 RGB; NaN is grey.

    `scale`: the labels at both ends of the scale at the bottom. `chosen` and `other`: pixels with a
    bold and with a thin white outline, bool (H, W).
    """
    low, high = ends_of(numbers)
    share = (numbers - low) / (high - low) if high > low else np.zeros_like(numbers)
    known = np.isfinite(share)
    out: Pixels = lut(COLORMAP)[np.where(known, share * 255, 0).round().astype(np.uint8)].copy()
    out[~known] = (118, 118, 118)
    line, (height, width) = line_width(out.shape), out.shape[:2]
    for mask, thick in ((chosen, 2 * line), (other, line)):
        if mask is not None:
            # A single pixel would not be seen.
            contours, _ = cv2.findContours(
                cv2.dilate(mask.astype(np.uint8), np.ones((2 * line + 1,) * 2, np.uint8)),
                cv2.RETR_CCOMP,
                cv2.CHAIN_APPROX_NONE,
            )
            cv2.drawContours(out, contours, -1, HALO, thick + line + 1)
            cv2.drawContours(out, contours, -1, (255, 255, 255), thick)
    tall, left, right = max(3, height // 40), width // 8, width - width // 8
    bar = lut(COLORMAP)[np.linspace(0, 255, max(1, right - left)).round().astype(np.uint8)]
    out[height - tall - 1 : height - 1, left:right] = bar
    cv2.rectangle(out, (left - 1, height - tall - 2), (right, height - 1), HALO, 1)
    above = max(0, height - 3 * tall)
    return add_names(out, [((left, above), scale[0]), ((right, above), scale[1])])
