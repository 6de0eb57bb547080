"""What if: a stroke changes the answer, keys and undo lead back, and the canvas shows what Python explains."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect
from screen import headline, settled, until

from sightglass.components.session.pictures import image_source
from sightglass.explain.whatif import edits

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
CANVAS = ".painter canvas"


def canvas(page: Page) -> np.ndarray:
    """What is on the canvas, in 16 rows of 12: int (16, 12, 3)."""
    values = page.locator(CANVAS).evaluate(
        """canvas => {
            const small = document.createElement("canvas");
            [small.width, small.height] = [60, 80];
            const paint = small.getContext("2d");
            paint.imageSmoothingQuality = "high";
            paint.drawImage(canvas, 0, 0, 60, 80);
            return [...paint.getImageData(0, 0, 60, 80).data];
        }"""
    )
    return coarse(np.array(values, int).reshape(80, 60, 4)[:, :, :3])


def coarse(pixels: np.ndarray) -> np.ndarray:
    """The means of 5 by 5 pixels: canvas and Pillow make pictures smaller in ways of their own."""
    return pixels.reshape(16, 5, 12, 5, 3).mean((1, 3)).astype(int)


def test_the_canvas_shows_what_python_explains_undo_leads_back_and_space_shows_the_original(visit):
    page = visit("/whatif")
    expect(headline(page)).to_have_text(re.compile("^Covering the strongest .* as much elsewhere leaves "))
    page.get_by_label("Fill with").select_option("grey")
    settled(page)
    # A stroke changes the bars.
    page.get_by_role("button", name="Clear").click()
    expect(headline(page)).to_have_text(re.compile("Paint over something"))
    bars = page.locator(".changes")
    first = bars.locator(".difference").first
    expect(first).to_have_text("±0")
    original = canvas(page)
    page.get_by_label("Fill with").select_option("grey")
    page.get_by_role("button", name="Rectangle").click()
    box = page.locator(CANVAS).bounding_box()
    for x, y in ((0.2, 0.3), (0.9, 0.65)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.down()
    page.mouse.up()
    expect(headline(page)).to_have_text(re.compile("^Without what you painted over, "))
    expect(first).to_have_text(re.compile("^\N{MINUS SIGN}"))
    settled(page)
    edit = edits.Edit((edits.EditMark("rectangle", ((0.2, 0.3), (0.9, 0.65))),), "grey")
    made = coarse(edits.edited(image_source.example("bus"), edit).image.thumbnail(80).astype(int))
    painted = canvas(page)
    assert np.abs(painted - made).mean() < 5 < np.abs(painted - original).mean()

    page.locator(CANVAS).focus()
    page.keyboard.down(" ")
    until(page, lambda: np.array_equal(canvas(page), original), "space does not show the original")
    page.keyboard.up(" ")
    until(page, lambda: np.array_equal(canvas(page), painted), "the edit does not come back")
    page.keyboard.press("u")
    expect(headline(page)).to_have_text(re.compile("Paint over something"))
    expect(first).to_have_text("±0")
    until(page, lambda: np.array_equal(canvas(page), original), "undo leaves something")
    # By keys alone: a line with the brush.
    for key in ("b", "Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(headline(page)).to_have_text(re.compile("^Without what you painted over, "))
    expect(page.locator(CANVAS)).to_have_attribute("aria-label", "bus.jpg, to paint on. 1 stroke.")
