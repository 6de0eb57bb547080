"""Edits of a picture: which pixels a mark covers, what they become, and what no mark may do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sightglass.common.errors import ImageProblem
from sightglass.explain.picture.image import Image
from sightglass.explain.whatif import edits
from sightglass.explain.whatif.edits import Edit, EditMark, edited, parse

RAMP = np.stack(
    [
        np.tile(np.arange(40, dtype=np.uint8) * 6, (20, 1)),
        np.tile(np.arange(20, dtype=np.uint8)[:, None] * 12, (1, 40)),
        np.full((20, 40), 90, np.uint8),
    ],
    axis=2,
)
PICTURE = Image(RAMP, "ramp.jpg")


def rectangle(x0: float, y0: float, x1: float, y1: float) -> EditMark:
    return EditMark("rectangle", ((x0, y0), (x1, y1)))


def covered(marks: list[EditMark], *, keep: bool = False, picture: Image = PICTURE) -> np.ndarray:
    return edited(picture, Edit(tuple(marks), "grey", keep)).hidden


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros((20, 40), bool)
    mask[top:bottom, left:right] = True
    return mask


def test_a_rectangle_covers_the_pixels_between_its_corners_in_any_order():
    expected = box(5, 15, 10, 30)
    np.testing.assert_array_equal(covered([rectangle(0.25, 0.25, 0.75, 0.75)]), expected)
    np.testing.assert_array_equal(covered([rectangle(0.75, 0.25, 0.25, 0.75)]), expected)
    # Of no size, it is a pixel; beyond the picture it ends there.
    np.testing.assert_array_equal(covered([rectangle(0.5, 0.5, 0.5, 0.5)]), box(10, 11, 20, 21))
    np.testing.assert_array_equal(covered([rectangle(0.9, 0.9, 1.5, 2)]), box(18, 20, 36, 40))
    np.testing.assert_array_equal(covered([rectangle(1.5, 1.5, 2, 2)]), box(19, 20, 39, 40))


def test_a_brush_covers_what_lies_within_half_its_width_of_its_path():
    side, size, path = 400, 0.1, ((0.2, 0.3), (0.7, 0.45), (0.6, 0.8))
    picture = Image(np.zeros((side, side, 3), np.uint8))
    mask = covered([EditMark("brush", path, size)], picture=picture)
    rows, columns = np.mgrid[:side, :side] + 0.5

    def distance(a: tuple[float, float], b: tuple[float, float]) -> np.ndarray:
        (ax, ay), (dx, dy) = (a[0] * side, a[1] * side), ((b[0] - a[0]) * side, (b[1] - a[1]) * side)
        along = np.clip(((columns - ax) * dx + (rows - ay) * dy) / (dx**2 + dy**2), 0, 1)
        return np.hypot(columns - ax - along * dx, rows - ay - along * dy)

    away = np.minimum(distance(*path[:2]), distance(*path[1:]))
    radius = size * side / 2
    assert mask[away < radius - 1.5].all()
    assert not mask[away > radius + 1.5].any()


def test_what_is_kept_is_the_opposite_and_nothing_painted_keeps_all():
    half = rectangle(0, 0, 0.5, 1)
    np.testing.assert_array_equal(covered([half], keep=True), box(0, 20, 20, 40))
    assert not covered([], keep=True).any()
    assert edited(PICTURE, Edit((), "grey", True)).image is PICTURE


def test_each_filling_is_what_it_says_and_nothing_else_changes():
    middle = rectangle(0.25, 0.25, 0.75, 0.75)
    inside = box(5, 15, 10, 30)
    for fill in edits.FILLS:
        made = edited(PICTURE, Edit((middle,), fill)).image
        np.testing.assert_array_equal(made.pixels[~inside], RAMP[~inside])
    grey = edited(PICTURE, Edit((middle,), "grey")).image.pixels[inside]
    assert (grey == 128).all()
    mean = edited(PICTURE, Edit((middle,), "mean")).image.pixels[inside]
    np.testing.assert_array_equal(mean, np.tile(np.rint(RAMP.mean((0, 1))), (200, 1)))
    # A ramp blurred is the same ramp, away from its ends.
    blurred = edited(PICTURE, Edit((rectangle(0.4, 0.4, 0.6, 0.6),))).image.pixels[8:12, 16:24].astype(int)
    assert np.abs(blurred - RAMP[8:12, 16:24]).max() <= 2


def test_a_picture_that_is_not_rgb_is_refused_in_a_sentence():
    planes = np.zeros((20, 40, 5), np.uint8)
    with pytest.raises(ImageProblem, match=r"not an RGB picture.*choose another"):
        edited(Image(RAMP, planes=planes), Edit())
    with pytest.raises(ImageProblem, match="no fill called linear: use one of blur, grey, mean"):
        edited(PICTURE, Edit((rectangle(0, 0, 1, 1),), "linear"))


def test_what_a_browser_sends_is_read_as_it_was_drawn():
    given = {
        "marks": [
            {"kind": "brush", "points": [0.1, 0.2, 0.3, 0.4], "size": 0.1},
            {"kind": "rectangle", "points": [0, 0, 1, 1]},
            {"kind": "patch", "points": [0, 0, 0.5, 0.5, 0.2, 0.2]},
        ],
        "fill": "mean",
        "keep": True,
    }
    brush = EditMark("brush", ((0.1, 0.2), (0.3, 0.4)), 0.1)
    # Patches, which former versions moved, are left out.
    assert parse(given) == Edit((brush, rectangle(0, 0, 1, 1)), "mean", True)


@pytest.mark.parametrize(
    "given",
    [
        None,
        {"marks": "x", "fill": ["blur"], "keep": "yes"},
        {"marks": [1, None, {}, {"kind": "eraser", "points": [0, 0]}, {"kind": ["brush"], "points": [0, 0]}]},
        {"marks": [{"kind": "brush", "points": "no"}, {"kind": "brush", "points": [1]}]},
        {"marks": [{"kind": "brush", "points": [0.5, math.nan]}, {"kind": "brush", "points": [math.inf, 0]}]},
        {"marks": [{"kind": "brush", "points": [True, False]}, {"kind": "brush", "points": [10**400, 0]}]},
        {"marks": [{"kind": "brush", "points": [0.5] * (2 * edits.MAX_POINTS + 2)}]},
    ],
)
def test_what_is_no_edit_changes_nothing(given):
    assert parse(given) == Edit()


def test_hostile_marks_are_bounded():
    wide = parse({"marks": [{"kind": "brush", "points": [-9, 1e8, 0.5, 0.5], "size": 1e8}], "fill": "grey"})
    assert wide.marks[0].points == ((-1, 2), (0.5, 0.5))
    assert wide.marks[0].size == edits.SIZES[1]
    assert edited(PICTURE, wide).hidden.any()
    many = parse({"marks": [{"kind": "brush", "points": [0.5, 0.5]}] * 10_000})
    assert len(many.marks) == edits.MAX_MARKS
