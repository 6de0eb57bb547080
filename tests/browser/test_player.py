"""A clip's player: exact times, the line on its chart, the frame that is opened."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from screen import coarse, expect_picture, settled, until

from sightglass import examples
from sightglass.video.clip import Clip
from sightglass.video.results import CLIP

pytestmark = pytest.mark.browser
SHOWN = """() => {
    const video = document.querySelector("video"), canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    return canvas.toDataURL();
}"""
LABEL = re.compile(r"Open the frame at 0:0(\d\.\d\d) on Explore")
RATE = 15
"""Frames a second of the packaged clip."""


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    """The frames of the packaged drawn clip."""
    return [coarse(frame.pixels) for frame in Clip(examples.find(examples.CLIP) / CLIP).frames()]


@pytest.fixture
def page(visit) -> Page:
    opened = visit("/video?model=demo-cls-s")
    opened.locator(".playhead").wait_for()
    return opened


def frame_shown(page: Page, frames: list[np.ndarray]) -> int:
    """The number of the frame that the player shows, by its pixels."""
    data = base64.b64decode(page.evaluate(SHOWN).split(",")[1])
    shown = coarse(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    return int(np.argmin([np.abs(frame - shown).mean() for frame in frames]))


def frame_named(page: Page) -> int:
    """The number of the frame that the button opens."""
    name = LABEL.search(page.locator(".player .open").inner_text())
    assert name is not None
    return round(RATE * float(name[1]))


def line_at(page: Page) -> float:
    """Where the line is on the chart, 0 to 1."""
    plot, line = page.locator(".nsewdrag").first.bounding_box(), page.locator(".playhead").bounding_box()
    assert plot is not None and line is not None
    return (line["x"] + line["width"] / 2 - plot["x"]) / plot["width"]


def expect_frame(page: Page, frames: list[np.ndarray], number: int) -> None:
    until(page, lambda: frame_named(page) == number, f"frame {number} is not named")
    # A video draws the frame a moment after it names it.
    until(page, lambda: frame_shown(page, frames) == number, f"frame {number} is not shown")
    assert line_at(page) == pytest.approx(number / RATE / 3, abs=0.005)


def test_moments_and_the_chart_lead_to_their_very_frames(page, frames):
    page.locator(".moments button", has_text="rod-ring 4 comes").click()
    expect_frame(page, frames, 14)
    page.locator(".moments button", has_text="rod-ring 4 goes").click()
    expect_frame(page, frames, 38)
    expect(page.locator('.moments [aria-current="true"]')).to_have_text(re.compile("rod-ring 4 goes"))
    # Anywhere on either part of the chart.
    for plot, share, number in [(0, 0.5, 22), (1, 0.25, 11)]:
        x, y, width, height = page.locator(".nsewdrag").nth(plot).bounding_box().values()
        page.mouse.click(x + share * width, y + 0.6 * height)
        expect_frame(page, frames, number)
    page.wait_for_url(re.compile(r"[?&]moment=0\.733"))
    page.reload()
    page.locator(".playhead").wait_for()
    expect_frame(page, frames, 11)


def test_line_follows_the_player_and_the_paused_frame_opens(page, frames):
    page.locator("video").evaluate("video => video.play()")
    until(page, lambda: line_at(page) > 0.1, "the line does not move")
    page.locator("video").evaluate("video => video.pause()")
    until(page, lambda: frame_named(page) == frame_shown(page, frames), "another frame than the shown one is named")
    number = frame_named(page)
    assert 0 < number < len(frames) - 1
    page.locator(".player .open").click()
    expect_picture(page, f"scene 0.0{number / RATE:.2f} s.png")
    # By the clip's model, not the chosen one.
    page.wait_for_url(re.compile(r"[?&]model=demo-m(&|$)"))


def test_the_frame_is_explored_in_place_of_the_clip(page, frames):
    page.locator(".moments button", has_text="rod-ring 4 comes").click()
    expect_frame(page, frames, 14)
    page.get_by_role("radio", name="Explore the frame").click()
    numbers = page.locator(".instruments .numbers .value")
    expect(numbers).to_have_count(7)
    settled(page)
    parts = [page.locator(f".instruments {part}") for part in (".plot canvas", ".threshold", ".alpha", ".percent")]
    swatches = page.locator(".instruments .swatches button")
    expect(swatches).to_have_count(6)
    for part in (*parts, *swatches.all(), *numbers.all()[:4], *page.locator("canvas.base").all()):
        expect(part).to_be_visible()
        box = part.bounding_box()
        assert box["y"] + box["height"] <= 900
    # The threshold's number is another one, and nobody is asked for it.
    sent, before = page.evaluate("window.socketTimes.sent"), numbers.all_inner_texts()
    page.locator(".instruments .from").fill("0.9")
    page.locator(".instruments .from").press("Enter")
    until(page, lambda: numbers.all_inner_texts() != before, "the same numbers")
    assert page.evaluate("window.socketTimes.sent") == sent
    # The player is out of sight, and follows the moments.
    expect(page.locator('[data-testid="stElementContainer"]:has(video)')).to_have_css("opacity", "0")
    page.locator(".moments button", has_text="rod-ring 4 goes").click()
    page.wait_for_url(re.compile(r"[?&]moment=2\.533(&|$)"))
    expect(page.locator(".instruments .from")).to_have_value("0.90")
    page.get_by_role("radio", name="Clip").click()
    # With the chart, which takes its other place.
    settled(page)
    page.locator(".playhead").wait_for()
    expect_frame(page, frames, 38)
