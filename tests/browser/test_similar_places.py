"""Similarity in a real browser: pointing joins what matches, without the page running again; keys, phone, dark."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect
from screen import new_page, settled, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


def opened(browser: Browser, address: str, sent: list[object]) -> Page:
    """The screen, whole; `sent` hears of everything that the browser sends."""
    page = new_page(browser)
    page.on("websocket", lambda socket: socket.on("framesent", lambda frame: sent.append(frame)))
    page.goto(f"{address}/similarity")
    page.locator(".pairs .line").filter(has_text="Point at a place").wait_for()
    page.get_by_text("For comparison, unrelated").wait_for()
    # The rest of the page moves what is pointed at until it is there.
    page.get_by_text("The most similar pictures, and why").wait_for()
    settled(page)
    steady(page)
    return page


def steady(page: Page) -> None:
    """Until every canvas is drawn, and has stayed as it is and where it is for a while."""
    last, same = None, 0

    def still() -> bool:
        nonlocal last, same
        now = page.locator(".pairs canvas").evaluate_all(
            "all => all.map(c => [c.toDataURL(), ...Object.values(c.getBoundingClientRect().toJSON())])"
        )
        same = same + 1 if now and now == last else 0
        last = now
        return same >= 3

    until(page, still, "the pictures do not come to rest")


def shown(page: Page, place: int) -> np.ndarray:
    """The pixels of one canvas, (h, w, 4)."""
    # As numbers, one by one, they would take seconds on their way.
    file = page.locator(".pairs canvas").nth(place).evaluate("canvas => canvas.toDataURL()").split(",")[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(file))).convert("RGBA"))


def point(page: Page, place: int, x: float, y: float) -> None:
    box = page.locator(".pairs canvas").nth(place).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_pointing_and_keys_join_a_place_to_its_match_and_run_nothing(browser: Browser, server: str) -> None:
    sent: list[object] = []
    page = opened(browser, server, sent)
    line, before = page.locator(".pairs .line"), shown(page, 1)
    assert int(before[..., 3].min()) == 255
    told = len(sent)
    assert told
    point(page, 0, 0.5, 0.55)
    line.filter(has_text="matches").wait_for()
    expect(line).to_contain_text("bus, part.jpg best")
    expect(page.locator(".pairs svg line")).to_have_count(2)  # a dark one and a light one on it
    until(page, lambda: (shown(page, 1) != before).any(), "the match is not shown")
    point(page, 1, 0.5, 0.6)
    line.filter(has_text="of bus.jpg best").wait_for()
    page.mouse.move(5, 5)
    line.filter(has_text="Point at a place").wait_for()
    until(page, lambda: (shown(page, 1) == before).all(), "the match stays when nothing is pointed at")
    assert len(sent) == told
    # Arrow keys say what the mouse shows.
    page.locator(".pairs canvas").first.focus()
    page.keyboard.press("ArrowRight")
    line.filter(has_text="Middle of bus.jpg matches").wait_for()
    page.keyboard.press("Escape")
    line.filter(has_text="Point at a place").wait_for()
