"""Live: a camera's frames have maps, a frozen one goes on to Explore as it is, and what goes wrong is one sentence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import provide
import pytest
from playwright.sync_api import expect
from screen import LIMIT, at_rest, coarse, drawn, leaves, pixels, until

from benchmarks.viewer.browser import FLAGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Locator, Page

pytestmark = pytest.mark.browser
FAKE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own that has a fake camera."""
    started = browser.browser_type.launch(executable_path=provide.find(), args=[*FLAGS, *FAKE])
    context = started.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    yield context
    started.close()


@pytest.fixture
def page(context: BrowserContext, server: str) -> Iterator[Page]:
    """The page Live, whose camera is on."""
    made, wrong = context.new_page(), []
    made.set_default_timeout(LIMIT)
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("request", lambda request: wrong.append(request.url) if leaves(request.url) else None)
    made.goto(f"{server}/live")
    live(made).get_by_role("button", name="Start the camera").click()
    goes_on(made)
    yield made
    made.close()
    assert wrong == []


def live(page: Page) -> Locator:
    return page.locator(".live")


def goes_on(page: Page, frames: int = 3) -> None:
    """Wait until more frames are shown."""
    count = int(live(page).get_attribute("data-shown") or 0)
    until(page, lambda: int(live(page).get_attribute("data-shown") or 0) >= count + frames, "no frames come")


def screen(page: Page) -> np.ndarray:
    return coarse(drawn(live(page).locator("canvas")))


def test_the_camera_plays_and_what_is_frozen_goes_on_to_explore(page):
    expect(live(page).locator(".speed")).to_have_text(re.compile(r"^\d+ ms behind the camera"))
    expect(live(page).locator("canvas")).to_have_attribute("aria-label", re.compile("^The camera with its map"))
    live(page).locator(".rows button").nth(1).click()
    until(page, lambda: live(page).locator(".follows").inner_text().startswith("Following"), "nothing is followed")
    name = live(page).locator('.rows [aria-pressed="true"] .label').inner_text()
    live(page).get_by_role("button", name="Freeze").click()
    frozen = screen(page)
    # The made-up camera's picture is green.
    assert frozen[:, :, 1].mean() > frozen[:, :, 2].mean() + 40
    live(page).get_by_role("button", name="Open on Explore").click()
    page.wait_for_url(re.compile("class="))
    at_rest(page)
    expect(page.locator('[aria-pressed="true"] .label')).to_have_text(name)
    assert np.abs(coarse(pixels(page)) - frozen).mean() < 3
