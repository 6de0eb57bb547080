"""What a slide enlarges, draws coarser, and keeps free of words."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.explain.picture.image import to_jpeg
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style
from sightglass.report.drawing import draw_layers
from sightglass.report.focus import coarsen, crop, find_inset, nearest_corners
from sightglass.report.layouts import DARK, Rect, Text, Visual, pages
from sightglass.report.view import Map, Picture, View
from tests.unit.report.slides import spot

SIZE = (300, 200)
PLAIN = np.full((SIZE[1], SIZE[0], 3), 110, np.uint8)


def over(values: np.ndarray, kind: str = "heat") -> Field:
    return Field(values.astype(np.float32), (0, 0, *SIZE), (0, 0, *SIZE), kind)


def small(x: float, y: float) -> Field:
    return over(spot(x, y) ** 20)


def specks() -> Field:
    values = np.zeros((100, 150))
    values[5::10, 5::10] = np.linspace(0.5, 1, 150).reshape(10, 15)
    return over(values)


@pytest.mark.parametrize(("x", "y"), [(0.9, 0.9), (0.1, 0.2), (0.5, 0.5), (0.99, 0.01)])
def test_small_evidence_is_enlarged_beside_its_place(x: float, y: float) -> None:
    inset = find_inset(small(x, y), PLAIN)
    assert inset is not None
    left, top, right, bottom = inset.place
    assert 0 <= left <= x <= right <= 1 and 0 <= top <= y <= bottom <= 1
    assert inset.corner[2] <= left or inset.corner[0] >= right or inset.corner[3] <= top or inset.corner[1] >= bottom
    across, down = inset.size_in(SIZE)
    assert across == down and across / SIZE[0] >= 1.5 * (right - left), "it is hardly larger"


def test_large_and_scattered_evidence_and_differences_are_not() -> None:
    scattered = over(np.maximum(spot(0.1, 0.1) ** 20, spot(0.9, 0.9) ** 20))
    for field in (over(spot(0.5, 0.5)), specks(), over(np.zeros((20, 30))), over(small(0.9, 0.9).values, "difference")):
        assert find_inset(field, PLAIN) is None
    assert find_inset(scattered, PLAIN) is not None, "half of it is in one small place"


def test_the_inset_stands_where_the_picture_shows_least() -> None:
    busy = np.random.default_rng(0).integers(0, 255, PLAIN.shape).astype(np.uint8)
    busy[:90, 200:] = 110
    inset = find_inset(small(0.2, 0.8), busy)
    assert inset is not None and inset.corner[0] > 0.5 and inset.corner[1] == 0


def test_many_specks_are_drawn_coarser_with_the_same_maximum() -> None:
    drawn = coarsen(specks())
    assert drawn.values.max() == pytest.approx(1, abs=1e-5) and (drawn.values > 0.1).mean() > 0.5
    for field in (over(spot(0.5, 0.5)), over(specks().values, "difference")):
        assert coarsen(field) is field


def test_a_part_is_drawn_as_the_whole_enlarged() -> None:
    field, place = replace(small(0.5, 0.4), seen=(30, 0, 300, 200)), (0.4, 0.25, 0.6, 0.55)
    whole = paint(np.full((800, 1200, 3), 110, np.uint8), crop(field, SIZE, (0, 0, 1, 1), (1200, 800)), Style("map"))
    part = paint(np.full((240, 240, 3), 110, np.uint8), crop(field, SIZE, place, (240, 240)), Style("map"))
    assert np.abs(whole[200:440, 480:720].astype(int) - part).max() <= 2


def test_the_line_joins_the_nearest_corners() -> None:
    assert nearest_corners((80, 80, 90, 90), (0, 0, 40, 40)) == ((80, 80), (40, 40))


def view(*fields: Field, caption: str = "EfficientNet-Lite0: star 98 %") -> View:
    pictures = [Picture("Model", to_jpeg(PLAIN), SIZE, caption, Map("star", field)) for field in fields]
    return View("It looked at the stamp", "68 % of its evidence is on the stamp.", tuple(pictures))


def test_a_slide_shows_the_inset_with_and_without_the_map() -> None:
    slide = view(small(0.9, 0.9))
    item = Visual("picture", Rect(0, 0, 90, 60), mapped=True)
    plain, heat = (
        np.asarray(Pillow.open(BytesIO(layer.file)).convert("RGB")).astype(int)
        for layer in draw_layers(slide, item, DARK)
    )
    inset = find_inset(slide.pictures[0].map.field, PLAIN)
    left, top, right, bottom = (round(share * side) for share, side in zip(inset.corner, SIZE * 2, strict=True))
    factor = plain.shape[1] / SIZE[0]
    middle = round(factor * (top + bottom) / 2), round(factor * (left + right) / 2)
    assert plain[middle].tolist() == pytest.approx([110] * 3, abs=4)
    assert heat[middle][0] > 150 and heat[middle][2] < 90, "the hottest place is no colour of the map"
    assert (plain.min(axis=2) > 200).any(), "it has no frame"


@pytest.mark.parametrize("count", [3, 4])
def test_the_meaning_of_a_difference_is_whole(count: int) -> None:
    sides = "more EfficientNet-Lite0 at 224 px", "more soft-coated wheaten terrier, a dog"
    (slide,) = pages(replace(view(*[small(0.9, 0.95)] * count), sides=sides))
    (key,) = (item for item in slide.items if isinstance(item, Text) and item.name == "Key")
    assert key.text == f"Red: {sides[0]}\nBlue: {sides[1]}"
