"""The panel that proves a map: a slider that the picture and the score follow, curves that come, and a stop."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from screen import drawn, fits, serious, settled, still, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

sync = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser


def shown(page: Page) -> np.ndarray:
    """The panel's picture as it is on the screen."""
    return drawn(page.locator(".proof canvas"))


def test_the_slider_hides_and_keeps_the_curves_come_and_a_stop_keeps_them(visit: Callable[..., Page]) -> None:
    page = visit("/", reduced_motion="reduce")
    page.get_by_role("button", name="Can I trust this?").click()
    own, slider = page.locator(".proof .own b"), page.locator(".proof input[type=range]")
    # Controls follow the map's own curve; then the rest is stopped, and what there is stays.
    page.locator(".proof .chart .line.random").first.wait_for(state="attached")
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped: ").wait_for()
    settled(page)
    assert page.locator(".proof .legend li").count() >= 2
    # The arrow keys move by one step, and the picture follows without any request.
    slider.press("Home")
    sync.expect(page.locator(".proof canvas")).to_have_attribute("data-shown", "hidden 0\u00a0% blur")
    whole = shown(page)
    sync.expect(own).to_have_text("62\u00a0%")
    for _ in range(4):
        slider.press("ArrowRight")
    sync.expect(page.locator(".proof canvas")).to_have_attribute("data-shown", "hidden 20\u00a0% blur")
    hidden = shown(page)
    changed = (np.abs(hidden - whole).sum(2) > 0).mean()
    assert 0.12 < changed < 0.24
    page.get_by_label("Keep only the hottest").check(force=True)
    sync.expect(page.locator(".proof canvas")).to_have_attribute("data-shown", "kept 20\u00a0% blur")
    kept = shown(page)
    assert 0.6 < (np.abs(kept - whole).sum(2) > 0).mean() < 0.88
    # Each place is hidden in one of the two, and as it was in the other.
    assert (np.minimum(np.abs(kept - whole).sum(2), np.abs(hidden - whole).sum(2)) > 60).mean() < 0.02
    until(page, lambda: own.text_content() != "…", "the score at the slider is not there")
    still(page)
    assert serious(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    fits(page)
    page.get_by_role("button", name="Close the tests").click()
    page.locator(".proof").wait_for(state="detached")
    sync.expect(page).not_to_have_url(re.compile("prove"))
