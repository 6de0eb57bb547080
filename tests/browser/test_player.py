"""A clip's player: exact times, the line on its chart, the frame that is opened."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from screen import coarse, expect_picture, until

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
    assert frame_shown(page, frames) == number
    assert line_at(page) == pytest.approx(number / RATE / 3, abs=0.005)


def test_moments_and_the_chart_lead_to_their_very_frames(page, frames):
    page.locator(".moments button", has_text="rod-ring 4 comes").click()
    expect_frame(page, frames, 14)
    page.locator(".moments button", has_text="rod-ring 6 comes").click()
    expect_frame(page, frames, 36)
    expect(page.locator('.moments [aria-current="true"]')).to_have_text(re.compile("rod-ring 6 comes"))
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
