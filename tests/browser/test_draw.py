"""Drawing as a hand does it: the map comes while the pen moves, no point of a line is lost, and keys do as well."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect
from screen import ARTEFACTS, go_to, settled, until

from sightglass.models import drawing

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
PAPER = ".pad canvas"
STAR = [
    (
        0.5 + (0.4 if i % 2 == 0 else 0.16) * math.sin(i * math.pi / 5),
        0.52 - (0.4 - 0.24 * (i % 2)) * math.cos(i * math.pi / 5),
    )
    for i in range(11)
]


@pytest.fixture
def draws(visit):
    """Explore with a paper on it."""

    def go(**context: object) -> Page:
        page = visit(**context)
        page.get_by_text("Predictions").wait_for()
        page.get_by_role("button", name="Draw", exact=True).click()
        page.locator(PAPER).wait_for()
        settled(page)
        return page

    return go


def paper(page: Page) -> np.ndarray:
    """What is on the paper, float (h, w) in 0..1, black is 0."""
    values = page.locator(PAPER).evaluate(
        """canvas => {
            const side = 112, small = document.createElement("canvas");
            small.width = small.height = side;
            const paint = small.getContext("2d");
            paint.drawImage(canvas, 0, 0, side, side);
            return [...paint.getImageData(0, 0, side, side).data].filter((_, i) => i % 4 === 0);
        }"""
    )
    return np.array(values, float).reshape(112, 112) / 255


def until_drawn(page: Page, expected: np.ndarray) -> None:
    """Smooth edges differ a little; a point that was lost or shifted would move a whole arm of the star."""
    until(page, lambda: np.abs(paper(page) - expected).mean() < 0.01, "the paper does not show the drawing")


def places(page: Page, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    box = page.locator(PAPER).bounding_box()
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]


def test_a_line_is_explained_while_it_is_drawn_and_lies_where_the_hand_was(draws, measured):
    page = draws()
    until(page, lambda: paper(page).min() == 1, "the paper is not empty")
    path = places(page, STAR)
    page.mouse.move(*path[0])
    page.mouse.down()
    for place in path[1:6]:
        page.mouse.move(*place, steps=6)
    # The pen is still down.
    page.get_by_text("drawing.png").first.wait_for()
    for place in path[6:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
    settled(page)
    page.locator("h2").first.wait_for()
    expected = drawing.draw([drawing.Stroke(tuple(STAR))], "black on white", 112)[:, :, 0] / 255
    until_drawn(page, expected)
    expect(page.get_by_text("1 line, across the whole canvas.")).to_have_count(1)
    page.screenshot(path=ARTEFACTS / "draw.png")

    page.get_by_role("button", name="Clear").click()
    until(page, lambda: paper(page).min() == 1, "the paper is not cleared")
    settled(page)
    assert paper(page).min() == 1
    page.get_by_role("button", name="Undo").click()
    until_drawn(page, expected)
    settled(page)
    until_drawn(page, expected)
    # Another screen and back: the same drawing, on a paper that is mounted anew.
    go_to(page, "Look", "Top-k")
    page.wait_for_url("**/topk*")
    page.get_by_text("drawing.png").first.wait_for()
    settled(page)
    go_to(page, "Look", "Explore")
    page.locator(PAPER).wait_for()
    settled(page)
    until_drawn(page, expected)
    page.get_by_role("button", name="Eraser").click()
    (x, y), *_ = places(page, [STAR[0]])
    page.mouse.click(x, y)
    rubbed = (round(112 * STAR[0][1]), 56)
    until(page, lambda: paper(page)[rubbed] == 1, "the eraser does not rub out")


def test_it_is_drawn_by_keys_alone(draws):
    page = draws(color_scheme="dark")
    page.locator(PAPER).focus()
    for key in ["Shift+ArrowLeft"] * 3 + [" "] + ["Shift+ArrowRight"] * 6 + [" "]:
        page.keyboard.press(key)
    page.get_by_text("drawing.png").first.wait_for()
    settled(page)
    until(page, lambda: (paper(page) < 0.2).any(), "nothing is drawn")
    rows, columns = np.nonzero(paper(page) < 0.2)
    assert abs(rows.mean() - 55.5) < 1.5
    assert columns.min() < 26 and columns.max() > 86
    expect(page.locator(PAPER)).to_have_attribute("aria-label", "Canvas to draw on. 1 line, in the middle.")
    page.keyboard.press("u")
    expect(page.locator(PAPER)).to_have_attribute("aria-label", re.compile("empty"))
    page.screenshot(path=ARTEFACTS / "draw-dark.png")


def test_a_finger_draws_on_a_phone_and_nothing_is_cut_off(draws):
    page = draws(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.locator(PAPER).scroll_into_view_if_needed()
    at = []

    def rests() -> bool:
        at.append((page.evaluate("scrollY"), page.locator(PAPER).bounding_box()))
        return len(at) > 4 and all(place == at[-1] for place in at[-4:])

    until(page, rests, "the page does not come to rest", pause=150)
    before = page.evaluate("scrollY")
    touch = page.context.new_cdp_session(page)
    path = places(page, [(0.2, 0.2), (0.5, 0.5), (0.8, 0.8)])
    for kind, place in (("touchStart", path[0]), ("touchMove", path[1]), ("touchMove", path[2]), ("touchEnd", None)):
        points = [{"x": place[0], "y": place[1]}] if place else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    until(page, lambda: paper(page)[56, 56] < 0.2, "a finger draws nothing")
    assert page.evaluate("scrollY") == before
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = page.locator(".pad").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.screenshot(path=ARTEFACTS / "draw-phone.png")
