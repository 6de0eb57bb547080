"""Maps of boxes of trained detectors: they lie where their objects are, whatever its shape."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.maps.boxes import parse_place
from sightglass.explain.replaying import replay
from tests.weights import picture, real

REAL = [real(name) for name in ("yolo11n", "yolo26n", "yolo11n-seg", "yolox_nano")]


def explained(name: str, given: Any, **options: Any) -> Any:
    return Explainer(name)(given, **({"per": "detection"} | options))


def on_grey(name: str, side: int, *places: tuple[int, int, float]) -> np.ndarray:
    """One thing that the model knows on a grey ground, its upper left corner and its scale for each place."""
    pixels = picture(name).pixels
    thing = pixels[180:380, 120:320] if name.startswith("demo") else pixels[220:780]
    out = np.full((side, side, 3), 114, np.uint8)
    for top, left, scale in places:
        small = cv2.resize(thing, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        out[top : top + small.shape[0], left : left + small.shape[1]] = small
    return out


@pytest.mark.parametrize("name", ["demo-s", *REAL])
def test_every_box_is_hottest_in_itself_and_a_recipe_makes_the_map_again(name: str) -> None:
    made = explained(name, picture(name), confidence=0.5)
    assert len(made.predictions) >= (3 if name == "demo-s" else 4)
    numbers = [made.box_numbers(i) for i in range(len(made.heatmaps))]
    assert all(one is not None and one.hit for one in numbers)
    # An even map would have 1.
    assert all(one.ratio > 1.5 for one in numbers)
    again = replay(made.recipe, picture(name))
    for one, other in zip(made.heatmaps, again.heatmaps, strict=True):
        np.testing.assert_array_equal(one.values, other.values)


BUSES = ((40, 100, 0.5), (350, 130, 0.5))


@pytest.mark.parametrize(
    ("name", "label", "places"),
    [
        ("demo-s", "ball-dots", ((20, 60, 1.0), (300, 290, 1.0))),
        real("yolo11n", "bus", BUSES),
        real("yolo26n", "bus", BUSES),
        real("yolox_nano", "bus", BUSES),
    ],
)
def test_two_of_a_kind_have_two_maps_each_in_its_own_box(name: str, label: str, places: Any) -> None:
    made = explained(name, on_grey(name, 640, *places), targets=(label,), confidence=0.3)
    assert len(made.heatmaps) == 2
    for i in (0, 1):
        numbers = made.box_numbers(i)
        assert numbers.hit
        assert numbers.inside > 2 * numbers.elsewhere
    a, b = (heatmap.values for heatmap in made.heatmaps)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.5


@pytest.mark.parametrize(
    "where", [(1, 2, 3), (), (1, float("nan")), (0, 0, float("inf"), 9), 5, "dog", (None, 1), [(1, 2)]]
)
def test_what_is_no_place_is_one_sentence(where: Any) -> None:
    with pytest.raises(ModelProblem, match=r"^The place is .*: give a point \(x, y\) or a rectangle"):
        parse_place(where, 100, 50)


@pytest.mark.parametrize("where", [(101, 5), (5, 51), (-9, 0, -1, 40), (0, -9, 40, -1), (200, 200, 300, 300)])
def test_a_place_beside_the_picture_is_one_sentence(where: Any) -> None:
    with pytest.raises(ModelProblem, match="is not in the picture: it is 100 px wide and 50 px high"):
        parse_place(where, 100, 50)
