"""A map lands on the pixels that it speaks of: a dot there and back, through every way of preparing a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from sightglass.models import geometry
from sightglass.models.preprocess import CLASSIFIER_WAYS, Preprocessing, fit_picture, prepare

if TYPE_CHECKING:
    from sightglass.models.geometry import Geometry

PREPROCESSINGS = {
    "square": Preprocessing((224, 224), 256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "odd": Preprocessing((225, 193), 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}
SHAPES = {
    "portrait": (400, 300),
    "landscape": (211, 337),
    "small": (40, 31),
    "large": (700, 901),
    "1 px wide": (90, 1),
    "1 px high": (1, 90),
}

every = pytest.mark.parametrize("way", CLASSIFIER_WAYS)
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
kinds = pytest.mark.parametrize("preprocessing", PREPROCESSINGS.values(), ids=PREPROCESSINGS)


def geometry_of(shape: tuple[int, int], preprocessing: Preprocessing, way: str) -> Geometry:
    return fit_picture(np.zeros((*shape, 3), np.uint8), preprocessing, way)[1]


def points(geometry: Geometry) -> list[tuple[int, int]]:
    """Original pixels near the corners of what the model saw."""
    left, top, right, bottom = geometry.seen
    ys, xs = ({low + (high - low) * part // 10 for part in (1, 7)} for low, high in ((top, bottom), (left, right)))
    return [(y, x) for y in ys for x in xs]


@every
@shapes
@kinds
def test_a_dot_in_the_input_maps_back_to_its_pixel(
    way: str, shape: tuple[int, int], preprocessing: Preprocessing
) -> None:
    geometry = geometry_of(shape, preprocessing, way)
    rows, columns = (np.arange(size) + 0.5 for size in geometry.input)
    for y, x in points(geometry):
        at_y, at_x = ((p + 0.5) * geometry.scale[i] + geometry.offset[i] for i, p in enumerate((y, x)))
        # A pixel of the picture may be many of the input or a part of one; the blob is as wide as it is there.
        wide_y, wide_x = (max(scale, 1.0) for scale in geometry.scale)
        blob = np.exp(-(((rows[:, None] - at_y) / wide_y) ** 2) - ((columns - at_x) / wide_x) ** 2).astype(np.float32)
        found = np.unravel_index(geometry.to_original(blob).argmax(), shape)
        slack = [1 + 0.5 / scale if scale < 1 else 0 for scale in geometry.scale]
        assert abs(found[0] - y) <= slack[0]
        assert abs(found[1] - x) <= slack[1]


@every
@shapes
@kinds
def test_a_block_in_the_picture_is_where_the_geometry_says(
    way: str, shape: tuple[int, int], preprocessing: Preprocessing
) -> None:
    geometry = geometry_of(shape, preprocessing, way)
    left, top, right, bottom = geometry.seen
    y0, y1 = top + (bottom - top) * 3 // 10, max(top + (bottom - top) * 6 // 10, top + 1)
    x0, x1 = left + (right - left) * 4 // 10, max(left + (right - left) * 7 // 10, left + 1)
    pixels = np.zeros((*shape, 3), np.uint8)
    pixels[y0:y1, x0:x1] = 255
    given = prepare(pixels, preprocessing, way)
    assert given.tensor.shape == (1, 3, *preprocessing.size)
    assert given.tensor.dtype == torch.float32
    assert given.geometry == geometry
    mean, std = preprocessing.mean[0], preprocessing.std[0]
    bright = (given.tensor[0, 0].numpy() * std + mean) > 0.5
    for axis, (low, high) in enumerate(((y0, y1), (x0, x1))):
        hit = np.flatnonzero(bright.any(1 - axis))
        scale, offset, size = geometry.scale[axis], geometry.offset[axis], geometry.input[axis]
        # Half-way up an edge is less than a pixel from it; enlarged, a bicubic row of its own is a tenth wider.
        slack = max(1, 0.1 * scale)
        assert abs(hit[0] - np.clip(low * scale + offset, 0, size - 1)) <= slack
        assert abs(hit[-1] + 1 - np.clip(high * scale + offset, 1, size)) <= slack


@every
@shapes
@kinds
def test_what_was_not_seen_is_zero_and_all_that_was_seen_is_covered(
    way: str, shape: tuple[int, int], preprocessing: Preprocessing
) -> None:
    geometry = geometry_of(shape, preprocessing, way)
    left, top, right, bottom = geometry.seen
    back = geometry.to_original(np.ones((7, 7), np.float32))
    assert back.shape == shape
    assert back.dtype == np.float32
    inside = back[top:bottom, left:right]
    assert inside.size
    assert np.allclose(inside, 1, atol=1e-6)
    assert np.isclose(back.sum(), inside.sum())
    if way in ("squash", "letterbox"):
        assert (left, top, right, bottom) == (0, 0, shape[1], shape[0])
    x0, y0, x1, y1 = geometry.content
    assert geometry.box_to_original((x0, y0, x1, y1)) == pytest.approx((left, top, right, bottom), abs=1)
    assert geometry.box_to_original((-1e6, -1e6, 1e6, 1e6)) == (0, 0, shape[1], shape[0])


def test_overlaps_of_many_boxes_are_those_of_each_pair() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 20, (12, 2, 2)).astype(float)
    boxes = [(*one.min(0).tolist(), *one.max(0).tolist()) for one in corners]
    each = [[geometry.intersection_over_union(one, other) if one != other else 1.0 for other in boxes] for one in boxes]
    area = np.array([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes])
    found = geometry.measure_pairs(np.array(boxes)[:, None], np.array(boxes)[None])
    assert np.array_equal(found[area > 0], np.array(each)[area > 0])
    assert not found[area == 0].any()
