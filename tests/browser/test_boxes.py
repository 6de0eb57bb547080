"""Boxes in a real browser: a click chooses, and beside all boxes asks what is missing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from screen import (
    asked,
    at_rest,
    headline,
    new_page,
    until_changed,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
SCENE = "detect?model=demo-s&example=scene%203"
"""A packaged model, and a drawn scene in which it finds 1 ball-dots, 2 gear, 3 ball-dots and 4 rod-cross."""


def opened(browser: Browser, address: str, **context: object) -> Page:
    page = new_page(browser, **context)
    page.goto(address)
    headline(page).wait_for()
    page.locator("canvas.base").last.wait_for()
    at_rest(page)
    return page


def click(page: Page, x: float, y: float) -> None:
    """Click in the first panel, at a share of its width and height."""
    box = page.locator("canvas.base").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_a_click_shows_the_map_of_a_box_and_beside_all_asks_what_is_missing(browser: Browser, server: str):
    page = opened(browser, f"{server}/detect?model=demo-s&example=scene%201")
    before = at_rest(page)
    # It lies in two boxes: the smaller one is meant.
    click(page, 0.225, 0.7)
    page.get_by_role("button", name="3 moon-inside", pressed=True).wait_for()
    until_changed(page, before)
    asked(page, "box", "3")
    page.get_by_text("Evidence for").filter(has_text="moon-inside 3").wait_for()
    page.get_by_role("button", name="1 star").click()
    asked(page, "box")
    page.get_by_text("Evidence for").filter(has_text="star 1").wait_for()
    page.goto(f"{server}/{SCENE}")
    page.locator("canvas.base").last.wait_for()
    at_rest(page)
    candidate = page.get_by_role("button", name=re.compile(r"^\?"))
    expect(candidate).to_have_count(0)
    click(page, 0.25, 0.75)
    page.get_by_text("is the strongest candidate here").wait_for()
    expect(candidate).to_have_count(1)
