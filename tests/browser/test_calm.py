"""Each page shows few words and few controls above the fold, as a person counts them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from screen import CANVAS, go_to, new_page, settled

from tests.rooms import menu

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = pytest.mark.browser

COUNT = Path(__file__).with_name("count.js").read_text("utf-8")
WORDS, CONTROLS = {"Explore": 80}, {"Explore": 30}
"""The most of a page; 100 and 35 of every other one."""


def test_no_page_has_more_words_or_controls_than_it_may(browser: Browser, server: str) -> None:
    page, over = new_page(browser, viewport={"width": 1440, "height": 900}), []
    page.goto(server)
    page.locator(CANVAS).first.wait_for()
    for name in menu().values():
        go_to(page, name)
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        settled(page)
        count = page.evaluate(COUNT)
        words, controls = len(count["words"]), len(count["controls"])
        if words > WORDS.get(name, 100) or controls > CONTROLS.get(name, 35):
            over.append(f"{name}: {words} words, {controls} controls: {count}")
    assert not over, "\n".join(over)


def test_the_model_is_chosen_in_the_first_row_and_a_crop_undone_in_sight(browser: Browser, server: str) -> None:
    page = new_page(browser, viewport={"width": 1440, "height": 900})
    page.goto(server)
    page.locator(CANVAS).first.wait_for()

    def end(part: Locator) -> float:
        box = part.bounding_box()
        assert box is not None
        return box["y"] + box["height"]

    assert end(page.get_by_role("button", name="Show it all")) <= 900
    for name in ("Explore", "Top-k", "Compare", "Pictures", "Video"):
        go_to(page, name)
        expect(page.get_by_role("heading", level=1)).to_have_text(name)
        settled(page)
        assert end(page.locator(".st-key-choices")) < 120, name
