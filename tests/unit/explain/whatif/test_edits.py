"""Edits of a picture: which pixels a mark covers, what they become, and what no mark may do."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from sightglass.common.errors import ImageProblem
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.detect import match
from sightglass.explain.tasks.parts import Change, union
from sightglass.explain.whatif import edits
from sightglass.explain.whatif.edits import Edit, EditMark, edited, parse, sentence
from sightglass.models.adapter import Prediction

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


def test_rectangle_from_any_corner():
    expected = box(5, 15, 10, 30)
    np.testing.assert_array_equal(covered([rectangle(0.25, 0.25, 0.75, 0.75)]), expected)
    np.testing.assert_array_equal(covered([rectangle(0.75, 0.25, 0.25, 0.75)]), expected)
    # Of no size, it is a pixel; beyond the picture it ends there.
    np.testing.assert_array_equal(covered([rectangle(0.5, 0.5, 0.5, 0.5)]), box(10, 11, 20, 21))
    np.testing.assert_array_equal(covered([rectangle(0.9, 0.9, 1.5, 2)]), box(18, 20, 36, 40))
    np.testing.assert_array_equal(covered([rectangle(1.5, 1.5, 2, 2)]), box(19, 20, 39, 40))


def test_brush_covers_half_its_width():
    side, size, path = 400, 0.1, ((0.2, 0.3), (0.7, 0.45), (0.6, 0.8))
    mask = covered([EditMark("brush", path, size)], picture=Image(np.zeros((side, side, 3), np.uint8)))
    rows, columns = np.mgrid[:side, :side] + 0.5

    def distance(a: tuple[float, float], b: tuple[float, float]) -> np.ndarray:
        (ax, ay), (dx, dy) = (a[0] * side, a[1] * side), ((b[0] - a[0]) * side, (b[1] - a[1]) * side)
        along = np.clip(((columns - ax) * dx + (rows - ay) * dy) / (dx**2 + dy**2), 0, 1)
        return np.hypot(columns - ax - along * dx, rows - ay - along * dy)

    away = np.minimum(distance(*path[:2]), distance(*path[1:]))
    radius = size * side / 2
    assert mask[away < radius - 1.5].all() and not mask[away > radius + 1.5].any()


def test_keep_inverts_marks():
    np.testing.assert_array_equal(covered([rectangle(0, 0, 0.5, 1)], keep=True), box(0, 20, 20, 40))
    assert not covered([], keep=True).any()
    assert edited(PICTURE, Edit((), "grey", True)).image is PICTURE


def test_each_filling_changes_its_area_only():
    middle = rectangle(0.25, 0.25, 0.75, 0.75)
    inside = box(5, 15, 10, 30)
    for fill in edits.FILLS:
        np.testing.assert_array_equal(edited(PICTURE, Edit((middle,), fill)).image.pixels[~inside], RAMP[~inside])
    assert (edited(PICTURE, Edit((middle,), "grey")).image.pixels[inside] == 128).all()
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
    marks = [
        {"kind": "brush", "points": [0.1, 0.2, 0.3, 0.4], "size": 0.1},
        {"kind": "rectangle", "points": [0, 0, 1, 1]},
        {"kind": "erase", "points": [0.5, 0.5]},
    ]
    expected = EditMark("brush", ((0.1, 0.2), (0.3, 0.4)), 0.1), rectangle(0, 0, 1, 1), EditMark("erase", ((0.5, 0.5),))
    assert parse({"marks": marks, "fill": "mean", "keep": True}) == Edit(expected, "mean", True)


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
    assert wide.marks[0].size == edits.SIZES[1] and edited(PICTURE, wide).hidden.any()
    assert len(parse({"marks": [{"kind": "brush", "points": [0.5, 0.5]}] * 10_000}).marks) == edits.MAX_MARKS


# What an edit changes: what is compared and said.


ALL = EditMark("rectangle", ((0, 0), (1, 1)))
PAINTED = Edit((ALL,))


def classes(**scores: float) -> list[Prediction]:
    return [Prediction(label, i, score) for i, (label, score) in enumerate(sorted(scores.items()))]


def at(label: str, score: float, left: float) -> Prediction:
    return Prediction(label, ["bus", "person", "car"].index(label), score, (left, 0.0, left + 10, 10.0))


def text(task: str, differences: list[Change], edit: Edit = PAINTED, best: str = "") -> str:
    predictions = (Prediction(best, 0, 0.62),) if best else ()
    before = SimpleNamespace(model=SimpleNamespace(unit_of=lambda _: ""), predictions=predictions, task=task_of(task))
    return plain_text(sentence(before, differences, edit))


def test_the_best_classes_of_both_pictures_are_compared():
    old, new = classes(bus=0.6, cab=0.3, car=0.1, van=0.0), classes(bus=0.1, cab=0.2, car=0.0, van=0.7)
    assert union(old, new, 2) == (Change("bus", 0.6, 0.1), Change("cab", 0.3, 0.2), Change("van", 0.0, 0.7))
    assert [change.points for change in union(old, new, 2)] == [-50, -10, 70]
    cranes = [Prediction("crane", 134, 0.6), Prediction("crane", 517, 0.3)]
    assert union(cranes, cranes) == (Change("crane", 0.6, 0.6), Change("crane", 0.3, 0.3))


def test_boxes_match_by_class_and_overlap():
    old = [at("bus", 0.9, 0), at("bus", 0.8, 2), at("person", 0.7, 50)]
    new = [at("bus", 0.5, 1.8), at("car", 0.4, 50), at("bus", 0.3, 100)]
    # IoU of 10 wide boxes 3.4 apart: 6.6 / 13.4 = 0.49.
    assert match(old, new) == (
        Change("bus", 0.9, None),
        Change("bus", 0.8, 0.5),
        Change("person", 0.7, None),
        Change("car", None, 0.4),
        Change("bus", None, 0.3),
    )
    assert match([at("bus", 0.9, 0)], [at("bus", 0.5, 3.3)])[0].after == 0.5
    assert match([at("bus", 0.9, 0)], [at("bus", 0.5, 3.4)])[0].after is None


def test_the_sentence_on_classes_has_the_numbers():
    fell = [Change("minibus", 0.62, 0.11), Change("trolleybus", 0.05, 0.23)]
    assert text("classify", fell) == (
        "Without what you painted over, minibus falls from 62 % to 11 %; now it says trolleybus, 23 %."
    )
    assert text("classify", fell, Edit((ALL,), keep=True)).startswith("With only what you kept, minibus falls")
    still = "Without what you painted over, minibus rises from 62 % to 70 % and is still the answer."
    assert text("classify", [Change("minibus", 0.62, 0.7)]) == still
    assert text("classify", [Change("minibus", 0.621, 0.622)]).endswith("minibus stays at 62 %.")
    assert text("classify", fell, Edit(), "minibus").startswith("Minibus, 62 %. Paint over something")


def test_sentence_on_changed_boxes():
    changed = [Change("bus", 0.9, None), Change("person", 0.8, 0.7), Change("dog", None, 0.4), Change("dog", None, 0.3)]
    assert text("detect", changed) == "Without what you painted over, 1 bus vanishes; 2 dogs appear; 1 box stays."
    assert text("detect", [Change("bus", 0.9, 0.9)] * 3).endswith(", all 3 boxes stay.")
    assert text("detect", [Change("bus", 0.9, 0.9)]).endswith(", 1 box stays.")
    fell = [Change("bus", 0.94, 0.93), Change("person", 0.86, 0.74)]
    assert text("detect", fell).endswith(", all 2 boxes stay; person falls most, from 86 % to 74 %.")
    assert text("detect", [Change("bus", 0.5, 0.6)]).endswith(", 1 box stays; bus rises from 50 % to 60 %.")
    assert text("detect", []).endswith(", there is still no box.")
    assert text("detect", changed, Edit()).endswith("which boxes vanish?")
