"""The instruments: they follow the viewer, change it without a run of the page, and say what Python says."""

import re

import pytest
from playwright.sync_api import Page, expect
from screen import CANVAS, settled, until

from sightglass import Explainer
from sightglass.explain.maps.statistics import format_value
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import load_bundled
from tests.above import describe_above

pytestmark = pytest.mark.browser
MODEL = "demo-cls-s"
PICTURE = "scene 3"
IN_SIGHT = [".alpha", ".plot canvas", ".threshold"]
WINDOWS = ((1920, 1080), (1440, 900), (1366, 768), (1280, 800))
NUMBERS = 4
"""Of a map, in sight."""


@pytest.fixture(scope="module")
def result():
    return Explainer(MODEL)(load_bundled(PICTURE))


@pytest.fixture
def page(visit) -> Page:
    page = visit(f"/?model={MODEL}&example={PICTURE.replace(' ', '+')}")
    page.locator(CANVAS).first.wait_for()
    expect(page.locator(".instruments .numbers .value")).to_have_count(6)
    settled(page)
    return page


def printed(page: Page) -> dict[str, str]:
    """The numbers that the page shows, by their labels."""
    labels = page.locator(".instruments .numbers .label").all_inner_texts()
    return dict(zip(labels, page.locator(".instruments .numbers .value").all_inner_texts(), strict=True))


@pytest.mark.parametrize(("path", "least"), [("", 0.2), ("topk", 0.1), ("compare", 0.1)])
def test_everything_is_in_sight_without_a_click(visit, path, least):
    page = visit(f"/{path}?example=china")
    page.locator(CANVAS).first.wait_for()
    # Below the fold there are more.
    numbers = page.locator(".instruments .numbers .label")
    expect(numbers.nth(NUMBERS - 1)).to_be_visible()
    settled(page)
    parts = [page.locator(f".instruments {part}") for part in IN_SIGHT]
    parts += page.locator(".instruments .swatches button").all()
    parts += numbers.all()[:NUMBERS]
    assert len(parts) == len(IN_SIGHT) + 6 + NUMBERS
    for part in parts:
        expect(part).to_be_visible()
        box = part.bounding_box()
        assert box["y"] + box["height"] <= 900, part
    for stage in page.locator(".stage").all():
        box = stage.bounding_box()
        assert box["width"] * box["height"] >= least * 1440 * 900


@pytest.mark.parametrize("example", ["china", "cameraman", "bus"])
def test_compared_maps_are_large_with_their_first_numbers_in_sight(visit, example):
    page = visit(f"/compare?example={example}")
    page.locator(CANVAS).first.wait_for()
    third = page.locator(".instruments .numbers .label").nth(2)
    third.wait_for()
    settled(page)
    for width, height in WINDOWS:
        page.set_viewport_size({"width": width, "height": height})

        def fits(width=width, height=height) -> bool:
            stages = [stage.bounding_box() for stage in page.locator(".stage").all()]
            number = third.bounding_box()
            large = [box["width"] * box["height"] >= 0.1 * width * height for box in stages]
            # None while the table is drawn anew.
            return large == [True] * 3 and number is not None and number["y"] + number["height"] <= height

        until(page, fits, f"maps are small or numbers out of sight at {width} by {height}")


def test_model_without_a_map_has_its_column_with_the_reason(visit):
    page = visit("/compare?example=bus&models=demo-cls-s,efficientnet-lite0,efficientnet-lite1")
    expect(page.locator(".instruments .numbers .why")).to_have_text("No map: minibus is none of its answers.")
    # The last three cells are of the row Parameters.
    cells = page.locator(".instruments .numbers > div")
    expect(cells.nth(-3).locator(".value")).to_have_text("67.0\N{NO-BREAK SPACE}k")
    expect(cells.nth(-2).locator(".value")).to_have_text("4.7\N{NO-BREAK SPACE}M")


def test_a_reload_keeps_the_tested_map(visit):
    page = visit("/?model=demo-cls-s&example=scene+1")
    switch = page.get_by_role("radiogroup", name="How the map is made")
    line = page.locator(".viewer .line")
    switch.get_by_role("radio", name="Tested").click()
    expect(line).to_have_text(re.compile("By LayerCAM until the tested map is known"))
    why = page.get_by_role("button", name="Why this map?")
    why.wait_for()
    expect(line).not_to_have_text(re.compile("until the tested map"))
    page.reload()
    why.wait_for()
    expect(switch.get_by_role("radio", name="Tested")).to_be_checked()
    why.click()
    expect(page.get_by_role("dialog").get_by_role("img", name=re.compile("^The map of .* by "))).to_have_count(6)


def test_shared_scale_is_named(visit):
    page = visit("/compare?example=bus")
    name = page.locator(".instruments .distribution .name")
    expect(name).to_have_text("EfficientNet-Lite0")
    page.locator(".viewer .more").click()
    page.get_by_label("Shared scale").check()
    expect(name).to_have_text("EfficientNet-Lite0, scale shared by all maps")


def test_numbers_on_a_shared_scale_are_those_of_each_map(visit, bus):
    page = visit("/topk?example=bus")
    explanation = Explainer()(bus, top_k=4)
    expected = [format_value("coverage_50", statistics.coverage_50) for statistics in explanation.statistics]
    values = page.locator(".instruments .numbers .value")
    until(page, lambda: values.all_inner_texts()[:4] == expected, "the areas of four maps")


def test_numbers_are_those_of_the_library(page, result):
    statistics = result.statistics[0]
    names = ("coverage_50", "evidence_50", "n_regions", "half_heat_area", "entropy_normalised", "peak")
    assert [*printed(page).values()] == [format_value(name, getattr(statistics, name)) for name in names]
    page.locator(".rows .answer").nth(1).click()
    half = percent(result.statistics[1].half_heat_area)
    until(page, lambda: printed(page)["Half lies on"] == half, "the numbers of another answer")


def test_threshold_and_opacity_follow_the_hand_without_a_run(page, result):
    sent = page.evaluate("window.socketTimes.sent")
    box = page.locator(".instruments .threshold").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 20, steps=8)
    page.mouse.up()
    level = float(page.locator(".instruments .from").input_value())
    assert 0.6 < level < 0.8
    above = describe_above(result.heatmaps[0].coarse, level)
    expected = [percent(above.area), percent(above.evidence), str(above.regions)]
    until(page, lambda: [*printed(page).values()][:3] == expected, "the numbers of another threshold")
    assert next(iter(printed(page))) == f"Area above {level:.2f}"
    page.keyboard.press("]")
    expect(page.locator(".instruments .percent")).to_have_text("90\N{NO-BREAK SPACE}%")
    page.locator(".instruments .from").fill("0")
    page.locator(".instruments .from").press("Enter")
    until(page, lambda: next(iter(printed(page))) == "Area above half", "no threshold")
    assert page.evaluate("window.socketTimes.sent") == sent


def test_colours_are_chosen_from_swatches_and_from_all(page):
    picture = page.locator(".panel .base").last
    before = picture.evaluate("canvas => canvas.toDataURL()")
    jet = page.get_by_role("radio", name="jet").first
    jet.click()
    expect(jet).to_be_checked()
    until(page, lambda: picture.evaluate("canvas => canvas.toDataURL()") != before, "another picture")
    page.get_by_role("button", name="All colours").click()
    everything = page.locator(".instruments .colormaps button")
    assert everything.count() > 20
    everything.filter(has_text="bone").click()
    expect(page.locator(".instruments .swatches [aria-checked=true]")).to_have_count(0)
    expect(everything.filter(has_text="bone")).to_be_checked()


@pytest.mark.parametrize("size", [(1440, 900), (1280, 800), (390, 844)])
def test_all_colours_leave_the_distribution_in_sight_and_take_the_keys(page, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    more = page.get_by_role("button", name="All colours")
    everything = page.locator(".instruments .colormaps")
    more.click()
    chosen = everything.get_by_role("radio", name="inferno")
    expect(chosen).to_be_focused()
    shown, plot = everything.bounding_box(), page.locator(".instruments .plot").bounding_box()
    apart = [shown["y"] + shown["height"] <= plot["y"], plot["y"] + plot["height"] <= shown["y"]]
    assert any(apart), f"the colours cover the distribution: {shown}, {plot}"
    assert shown["y"] >= 0 and shown["y"] + shown["height"] <= size[1] and shown["height"] > 150
    for key, checked in (("ArrowDown", False), ("ArrowUp", True)):
        page.keyboard.press(key)
        expect(chosen).to_be_checked(checked=checked)
        expect(everything.locator("[aria-checked=true]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(everything).to_be_hidden()
    expect(more).to_be_focused()
