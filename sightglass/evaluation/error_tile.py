"""Draw an error: its picture, label, answer and map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.rendering import render

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.errors import ErrorUnit
    from sightglass.models.geometry import Box

ROOM = 1.8
"""Of what is shown around the boxes, as a multiple of them."""
LEAST = 96
"""Pixels of the picture that are shown at least, of the shorter side."""
TRUTH, ANSWER, HALO = (255, 255, 255), (255, 176, 59), (20, 20, 20)
"""Colours of the label's box, which is drawn through, and of the answer's, which is dashed."""
DASH = 7


def frame_boxes(boxes: list[Box], picture: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of a picture to show around boxes, xyxy in its pixels; without any the whole picture.

    `picture`: its width and height; `shape`: those of the tile, whose proportions the part has where the picture does.
    """
    wide, high = picture
    if not boxes:
        return 0, 0, wide, high
    x0, y0 = min(one[0] for one in boxes), min(one[1] for one in boxes)
    x1, y1 = max(one[2] for one in boxes), max(one[3] for one in boxes)
    aspect = shape[0] / shape[1]
    height = max(ROOM * (y1 - y0), ROOM * (x1 - x0) / aspect, LEAST)
    width, height = min(wide, math.ceil(height * aspect)), min(high, math.ceil(height))
    left = min(max(0, round((x0 + x1 - width) / 2)), wide - width)
    top = min(max(0, round((y0 + y1 - height) / 2)), high - height)
    return left, top, left + width, top + height


def draw_tile(
    pixels: NDArray[np.uint8], unit: ErrorUnit, shape: tuple[int, int], *, mapped: bool = True
) -> NDArray[np.uint8]:
    """Draw the part of a picture that an error is in, uint8 (h, w, 3) RGB, no larger than `shape` (width, height).

    `pixels`: the whole picture, uint8 (H, W, 3), of any size. `mapped`: with its map, if it has one.
    """
    size = unit.picture.size
    answer = unit.answer.box if unit.answer is not None else None
    boxes = [one for one in (unit.truth.box if unit.truth else None, answer) if one is not None]
    part = frame_boxes(boxes, size, shape)
    x0, y0, x1, y1 = part
    scale = min(shape[0] / (x1 - x0), shape[1] / (y1 - y0))
    out = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    across, down = pixels.shape[1] / size[0], pixels.shape[0] / size[1]
    cut = pixels[
        math.floor(y0 * down) : max(math.floor(y0 * down) + 1, math.ceil(y1 * down)),
        math.floor(x0 * across) : max(math.floor(x0 * across) + 1, math.ceil(x1 * across)),
    ]
    way = cv2.INTER_AREA if cut.shape[1] > out[0] else cv2.INTER_LINEAR
    drawn = np.ascontiguousarray(cv2.resize(cut, out, interpolation=way), np.uint8)
    if mapped and (values := unit.map) is not None:
        drawn = render.overlay(drawn, _cut_map(values, part, size, out), weighted=True)
    for box, colour, dashed in ((unit.truth.box if unit.truth else None, TRUTH, False), (answer, ANSWER, True)):
        if box is not None:
            corners = [((x - x0) * scale, (y - y0) * scale) for x, y in (box[:2], box[2:])]
            _draw_box(drawn, corners, colour, dashed=dashed)
    return drawn


def _cut_map(
    values: NDArray[np.uint8], part: tuple[int, int, int, int], picture: tuple[int, int], out: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the part of a map over the whole picture at the tile's size, float32 (h, w) in 0..1."""
    rows, columns = values.shape
    x0, y0, x1, y1 = part
    across, down = (x1 - x0) / out[0] / picture[0] * columns, (y1 - y0) / out[1] / picture[1] * rows
    # Of the middles of pixels and of cells.
    matrix = np.array(
        [
            [across, 0, x0 / picture[0] * columns + across / 2 - 0.5],
            [0, down, y0 / picture[1] * rows + down / 2 - 0.5],
        ],
        np.float64,
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grown = cv2.warpAffine(values.astype(np.float32) / 255, matrix, out, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(grown, 0, 1), np.float32)


def _draw_box(
    pixels: NDArray[np.uint8], corners: list[tuple[float, float]], colour: tuple[int, int, int], *, dashed: bool
) -> None:
    """Draw a box of two corners on a tile, in place, with a dark line around its own."""
    height, width = pixels.shape[:2]
    (a, b), (c, d) = ((min(max(1, round(x)), width - 2), min(max(1, round(y)), height - 2)) for x, y in corners)
    sides = (((a, b), (c, b)), ((c, b), (c, d)), ((c, d), (a, d)), ((a, d), (a, b)))
    for ink, thick in ((HALO, 4), (colour, 2)):
        for start, end in sides:
            for one, other in _cut_line(start, end) if dashed else [(start, end)]:
                cv2.line(pixels, one, other, ink, thick, cv2.LINE_AA)


def _cut_line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the dashes of a line."""
    length = math.dist(start, end)
    count = max(1, round(length / (2 * DASH)))

    def at(share: float) -> tuple[int, int]:
        return round(start[0] + share * (end[0] - start[0])), round(start[1] + share * (end[1] - start[1]))

    return [(at(i / count), at((i + 0.5) / count)) for i in range(count)]
