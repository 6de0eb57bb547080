"""Watch in a browser: an empty log shows an example, what is new shows up without a click, and a phone has it all."""

from __future__ import annotations

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from screen import ARTEFACTS, LIMIT, new_page, serious, still

from sightglass.monitor import Monitor, Observation

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
TILES = '[class*="st-key-watch-open-"] button:visible'

FRAMES = """() => {
    window.frames_seen = [];
    const look = () => {
        const charts = document.querySelectorAll(".js-plotly-plot > .plot-container");
        const worst = [...document.querySelectorAll("h3")].find((one) => one.innerText.startsWith("Worst"));
        window.frames_seen.push([charts.length, Math.round(worst.getBoundingClientRect().top)]);
        requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
}"""


@pytest.fixture(scope="module")
def log() -> Path:
    """The server's log; nothing is in it before a test puts it there."""
    folder = Path(os.environ["SIGHTGLASS_MONITOR"])
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def add(log: Path, *confidences: float) -> None:
    """As another process does it."""
    log.mkdir(exist_ok=True)
    with (log / "trend-000001.jsonl").open("a") as file:
        for value in confidences:
            odd = ("low confidence",) if value < 0.5 else ()
            one = Observation("m", "classify", "bus", "ok", {"confidence": value}, "api", None)
            line = one.line() | {"time": datetime.now(UTC).isoformat(timespec="microseconds"), "odd": odd}
            file.write(json.dumps(line) + "\n")


def overflow(page: Page) -> int:
    """Pixels that the page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


@pytest.mark.parametrize(("width", "scheme"), [pytest.param(1440, "light", marks=pytest.mark.slow), (390, "dark")])
def test_an_empty_log_shows_an_example_and_leads_to_ones_own(browser: Browser, server: str, width: int, scheme: str):
    from playwright.sync_api import expect

    # axe judges no colours of what is scrolled out of the window.
    page = new_page(browser, viewport={"width": width, "height": 4200}, color_scheme=scheme)
    page.goto(f"{server}/watch")
    page.get_by_role("button", name="Monitor your own model").wait_for(timeout=2 * LIMIT)
    expect(page.get_by_text("Nothing of yours is monitored yet.")).to_be_visible()
    # What the first run sets has reached the browser.
    expect(page.get_by_role("switch", name="Live")).to_be_checked()
    expect(page.get_by_role("radio", name="All", exact=True)).to_be_checked()
    expect(page.get_by_role("slider", name="Unsure below")).not_to_have_attribute("aria-valuenow", "0")
    expect(page.get_by_role("heading", level=2)).to_have_text(re.compile("measures changed, most: "))
    expect(page.get_by_text(re.compile("^64 pictures; "))).to_be_visible()
    expect(page.locator(".js-plotly-plot")).to_have_count(2)
    expect(page.locator(".js-plotly-plot").first.locator(".scatterlayer .trace")).not_to_have_count(0)
    expect(page.get_by_role("table")).to_be_visible()
    expect(page.locator(TILES).first).to_be_visible()
    pictures = page.locator('[data-testid="stMain"] [data-testid="stImage"] img')
    expect(pictures.first).to_be_visible()
    still(page)
    expect(pictures.first).to_have_js_property("naturalWidth", 336)
    assert overflow(page) <= 0
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"watch-{width}-{scheme}.png")
    assert serious(page) == []
    # One of them, with its numbers, and the picture itself again on Explore.
    page.locator(TILES).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Raw map")).to_be_visible()
    expect(page).to_have_url(re.compile("entry="))
    still(page)
    page.screenshot(path=ARTEFACTS / f"watch-entry-{width}-{scheme}.png")
    assert serious(page) == []
    dialog.get_by_role("button", name="Open in Explore").click()
    page.wait_for_url(re.compile(r"//[^/]+/(explore|start)?(\?.*)?$"))
    expect(page.get_by_text("Predictions")).to_be_visible()
    page.goto(f"{server}/watch")
    page.get_by_role("button", name="Monitor your own model").click()
    expect(page.get_by_role("heading", level=2)).to_have_text("Nothing monitored yet")
    expect(page.get_by_role("button", name="Try it on the bundled pictures")).to_be_visible()
    expect(page.get_by_text("Loading the model")).to_have_count(0)
    still(page)
    assert serious(page) == []


def test_what_is_new_shows_up_by_itself(browser: Browser, server: str, log: Path):
    from playwright.sync_api import expect

    add(log, *np.linspace(0.6, 0.9, 20).tolist())
    page = new_page(browser, viewport={"width": 1440, "height": 900})
    page.goto(f"{server}/watch")
    title = page.get_by_role("heading", level=2)
    expect(title).to_have_text("20 pictures in the last 24 hours; none was odd.")
    expect(page.get_by_text("Loading the model")).to_have_count(0)
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    still(page)
    # Every frame from here on: nothing goes away to come again, and nothing jumps.
    page.evaluate(FRAMES)
    add(log, 0.2)
    expect(title).to_have_text("21 pictures in the last 24 hours; 1 was odd: unsure.")
    expect(page.locator(".js-plotly-plot").first.get_by_text("unsure")).to_be_visible()
    frames = page.evaluate("window.frames_seen")
    assert len(frames) > 2
    assert min(charts for charts, _ in frames) >= 1
    tops = [top for _, top in frames]
    assert max(tops) - min(tops) <= 2
    page.get_by_text("Live", exact=True).click()
    expect(page.get_by_role("switch", name="Live")).not_to_be_checked()
    still(page)
    add(log, 0.2)
    page.wait_for_timeout(5000)
    expect(title).to_have_text("21 pictures in the last 24 hours; 1 was odd: unsure.")
    page.get_by_text("Live", exact=True).click()
    expect(title).to_have_text("22 pictures in the last 24 hours; 2 were odd, all of them unsure.")
    assert len(Monitor(log).observations()) == 22
