"""Boxes in a real browser: a click chooses, a tool asks what is missing, a photo of the camera is explained."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import provide
import pytest
from playwright.sync_api import expect
from screen import (
    asked,
    at_rest,
    headline,
    new_page,
    settled,
    until_changed,
)

from benchmarks.viewer.browser import FLAGS
from sightglass.explain.phrases import pixels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
SCENE = "detect?model=demo-s&example=scene%203"
"""A packaged model, and a drawn scene in which it finds 1 ball-dots, 2 gear, 3 ball-dots and 4 rod-cross."""
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


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


def test_a_click_shows_the_map_of_a_box_and_a_tool_asks_what_is_missing(browser: Browser, server: str):
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
    # The tool that asks tells what is missing, and a stray click changes nothing.
    page.goto(f"{server}/{SCENE}")
    page.locator("canvas.base").last.wait_for()
    at_rest(page)
    candidate = page.get_by_role("button", name=re.compile(r"^\?"))
    click(page, 0.25, 0.75)
    settled(page)
    expect(candidate).to_have_count(0)
    page.get_by_role("button", name="Ask what is missing").click()
    click(page, 0.25, 0.75)
    page.get_by_text("is the strongest candidate here").wait_for()
    asked(page, "ask", "144,432")
    expect(candidate).to_have_count(1)


@pytest.fixture
def camera(browser: Browser) -> Iterator[Browser]:
    """A browser with a camera that sends a made-up picture."""
    started = browser.browser_type.launch(executable_path=provide.find(), args=[*FLAGS, *CAMERA])
    yield started
    started.close()


def test_a_photo_is_explained(camera: Browser, server: str):
    page = opened(camera, f"{server}/{SCENE}", permissions=["camera"])
    for _ in range(2):
        page.get_by_role("button", name="Camera", exact=True).click()
        dialog = page.get_by_role("dialog", name="Take a photo")
        # Before anything is sent, what becomes of it.
        expect(dialog).to_contain_text("sent to the Sightglass server at 127.0.0.1")
        take = dialog.get_by_role("button", name="Take photo")
        expect(take).to_be_enabled()
        width, height = dialog.locator("video").evaluate("video => [video.videoWidth, video.videoHeight]")
        take.click()
        dialog.wait_for(state="hidden")
        page.get_by_text("camera.jpg").first.wait_for()
        # As large as the camera gives it, not as the dialog is.
        assert width >= 1920 and height >= 1080
        expect(page.locator(".about .size")).to_have_text(pixels(width, height))
        settled(page)
