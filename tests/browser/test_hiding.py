"""Hover to hide: the disc follows pointer, keys and finger, the bars follow the disc, and everything ends it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from playwright.sync_api import expect
from screen import headline, settled, until

from sightglass.components.session.pictures import image_source
from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from sightglass.explain.whatif.hiding import Disc, DiscHider
from sightglass.export.proof.chart import draw_fillings

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
MOVED = re.compile("^62\u00a0% → ")
LABEL = re.compile("^Hiding what is under the pointer: minibus 62\u00a0% → ")


def score(page: Page) -> Locator:
    return page.locator(".rows .text").first


def button(page: Page) -> Locator:
    return page.locator(".viewer .hide")


def picture(page: Page) -> Locator:
    return page.locator(".viewer canvas.base").last


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """A place of the picture, in shares of it, in the window."""
    box = picture(page).bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def colour(page: Page, x: float, y: float) -> list[int]:
    """What is drawn over the pixels there: RGBA."""
    return page.locator(".viewer canvas.lines").last.evaluate(
        "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x * canvas.width, y * canvas.height, 1, 1).data]",
        [x, y],
    )


def test_the_bars_follow_the_pointer_and_keys_and_go_back(visit) -> None:
    page = visit("/")
    expect(headline(page)).to_contain_text("minibus")
    settled(page)
    expect(score(page)).to_have_text("62\u00a0%")
    shown = page.locator(".viewer").get_attribute("data-shown")
    page.mouse.move(*place(page, 0.5, 0.55))
    page.keyboard.press("h")
    expect(score(page)).to_have_text(MOVED)
    expect(page.locator(".viewer .line")).to_have_text(LABEL)
    expect(page.locator(".viewer .note").last).to_have_text(re.compile("^Hiding: 62\u00a0% → "))
    expect(page.locator(".rows .was").first).to_be_visible()
    first = score(page).text_content()
    page.mouse.move(*place(page, 0.3, 0.45))
    made = Explainer()(image_source.example("bus"))
    change = DiscHider(made).changes(Disc(0.3 * 810, 0.45 * 1080, 108))[0]
    expect(score(page)).to_have_text(f"{percent(change.before or 0)} → {percent(change.after or 0)}")
    assert score(page).text_content() != first
    # The disc is the picture as the engine blurs it.
    left, top, right, bottom = made.evidence.geometry.seen
    soft, _ = draw_fillings(made.image.pixels[top:bottom, left:right], (224, 224))
    at = soft[round((0.45 * 1080 - top) / (bottom - top) * 224), round((0.3 * 810 - left) / (right - left) * 224)]
    until(page, lambda: colour(page, 0.3, 0.45)[3] == 255, "there is no disc")
    assert np.abs(np.array(colour(page, 0.3, 0.45)[:3]) - at).max() < 12

    # Beside the picture nothing is hidden; then by keys alone.
    page.mouse.move(*place(page, 0.5, -0.2))
    expect(score(page)).to_have_text("62\u00a0%")
    page.keyboard.press("ArrowDown")
    expect(score(page)).to_have_text(MOVED)
    before = score(page).text_content()
    for _ in range(4):
        page.keyboard.press("+")
    expect(score(page)).not_to_have_text(before or "")
    page.keyboard.press("Escape")
    expect(score(page)).to_have_text("62\u00a0%")
    expect(page.locator(".rows .was").first).to_be_hidden()
    expect(button(page)).to_have_attribute("aria-pressed", "false")
    assert colour(page, 0.5, 0.55)[3] < 255
    assert page.locator(".viewer").get_attribute("data-shown") == shown
