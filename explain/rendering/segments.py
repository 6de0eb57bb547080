"""Draw a segmentation over a picture, and depth in colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.rendering.contact_sheet import add_names
from sightglass.explain.rendering.render import HALO, line_width, picture
from sightglass.explain.rendering.style import lut

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from sightglass.explain.rendering.style import Pixels

COLORS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
"""Okabe and Ito's, which the colour-blind tell apart too (https://jfly.uni-koeln.de/color/)."""
HATCHES = ("diagonal", "other diagonal", "level", "upright", "dotted")
"""Of each class the next one, so that no two of 35 have colour and hatching in common."""
TINTED, HATCHED = 0.45, 0.9
"""Opacity of a class's colour, and of the lines of its hatching."""
SMALLEST = 0.002
"""Share of the picture below which a region is drawn without its name."""
COLORMAP = "viridis"
"""Its lightness rises all the way, so that it reads without colours too."""


def color_of(index: int) -> tuple[int, int, int]:
    """Return the colour of a class, RGB."""
    return COLORS[index % len(COLORS)]


def hatch_of(index: int) -> str:
    """Return the hatching of a class, one of `HATCHES`."""
    return HATCHES[index % len(HATCHES)]


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
    out = picture(pixels).copy()
    line = line_width(out.shape)
    shown = [int(index) for index in np.unique(classes) if index >= 0 and index not in plain]
    names: list[tuple[tuple[int, int], str]] = []
    for index in shown:
        mask = (classes == index).astype(np.uint8)
        tint = TINTED * mask + (HATCHED - TINTED) * (mask & _hatching(hatch_of(index), mask.shape, 3 * line))
        out[:] = np.round(out * (1 - tint[..., None]) + np.array(color_of(index)) * tint[..., None])
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, contours, -1, HALO, line + 1)
        cv2.drawContours(out, contours, -1, color_of(index), max(1, line // 2))
        names += _find_places(mask, labels[index])
    if chosen is not None:
        contours, _ = cv2.findContours(chosen.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, contours, -1, HALO, 3 * line)
        cv2.drawContours(out, contours, -1, (255, 255, 255), 2 * line)
    return add_names(out, names)


def _find_places(mask: NDArray[np.uint8], name: str) -> list[tuple[tuple[int, int], str]]:
    """Return the name of each larger region of a class with the point (x, y) in it that is farthest from its edges."""
    count, numbers, statistics, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    found = []
    for number in range(1, count):
        if statistics[number, cv2.CC_STAT_AREA] < SMALLEST * mask.size:
            continue
        inside = np.pad((numbers == number).astype(np.uint8), 1)
        y, x = divmod(int(cv2.distanceTransform(inside, cv2.DIST_L2, 3).argmax()), inside.shape[1])
        found.append(((x - 1, y - 1), name))
    return found


def _hatching(kind: str, shape: tuple[int, ...], step: int) -> NDArray[np.uint8]:
    """Return lines or dots, 1 in 4 of `step` pixels, uint8 (H, W) of 0 and 1."""
    y, x = np.mgrid[: shape[0], : shape[1]] // max(1, step // 3)
    lines = {
        "diagonal": (x + y) % 4 == 0,
        "other diagonal": (x - y) % 4 == 0,
        "level": y % 4 == 0,
        "upright": x % 4 == 0,
        "dotted": (x % 4 == 0) & (y % 4 == 0),
    }
    return np.asarray(lines[kind], np.uint8)


def ends_of(numbers: NDArray[np.float32]) -> tuple[float, float]:
    """Return the least and the largest of numbers (H, W), NaN left out; 0 and 0 where there is none."""
    known = numbers[np.isfinite(numbers)]
    return (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)


def draw_numbers(
    numbers: NDArray[np.float32],
    scale: tuple[str, str],
    *,
    chosen: NDArray[np.bool_] | None = None,
    other: NDArray[np.bool_] | None = None,
) -> Pixels:
    """Draw numbers (H, W) from dark, the least, to bright, the largest, uint8 (H, W, 3) RGB; NaN is grey.

    `scale`: what stands at both ends of the scale that is drawn at the bottom. `chosen` and `other`: pixels with a
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
