"""Drawing as a hand does it: the map comes while the pen moves, no point of a line is lost, and keys do as well."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect
from screen import go_to, settled, until

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


def test_a_line_is_explained_while_it_is_drawn_by_hand_and_lies_where_it_was(visit):
    page = visit("/?model=demo-cls-s")
    page.get_by_text("Predictions").wait_for()
    page.get_by_role("button", name="Draw", exact=True).click()
    page.locator(PAPER).wait_for()
    settled(page)
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
    page.get_by_role("button", name="Clear").click()
    page.locator(PAPER).focus()
    for key in ["Shift+ArrowLeft"] * 3 + [" "] + ["Shift+ArrowRight"] * 6 + [" "]:
        page.keyboard.press(key)
    until(page, lambda: (paper(page) < 0.2).any(), "nothing is drawn by keys")
    rows, columns = np.nonzero(paper(page) < 0.2)
    assert abs(rows.mean() - 55.5) < 1.5
    assert columns.min() < 26 and columns.max() > 86
