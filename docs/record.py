"""Record the moving picture of the docs: `python docs/record.py` writes docs/sightglass.webp."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.viewer.browser import DASHBOARD, FLAGS, serving  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Page

SIZE = {"width": 1280, "height": 800}
WIDTH = 960
FRAME_MS = 100
SETTLE_MS = 500


class Film:
    """Frames of a page, each with how long it is shown."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._frames: list[Image.Image] = []
        self._milliseconds: list[int] = []

    def take(self, milliseconds: int = FRAME_MS) -> None:
        """Add what the page shows now."""
        frame = Image.open(io.BytesIO(self._page.screenshot())).convert("RGB")
        self._frames.append(frame.resize((WIDTH, WIDTH * frame.height // frame.width), Image.Resampling.LANCZOS))
        self._milliseconds.append(milliseconds)

    def save(self, path: Path) -> None:
        """Write all frames as an animated WebP that loops."""
        first, *rest = self._frames
        first.save(path, save_all=True, append_images=rest, duration=self._milliseconds, loop=0, quality=60, method=6)


def settle(page: Page) -> None:
    """Wait until no script runs and the viewer has drawn."""
    page.wait_for_selector("canvas")
    page.wait_for_function(
        "() => document.querySelector('[data-testid=stApp]')?.dataset.testScriptState === 'notRunning'"
        " && !document.querySelector('[data-testid=stSkeleton]')"
    )
    page.wait_for_timeout(SETTLE_MS)


def scenes(page: Page, film: Film) -> None:
    """Look at the first picture, choose another class, cover a part, use the instruments, and compare three models."""
    settle(page)
    film.take(2000)
    for label in ("cup", "espresso"):
        page.get_by_role("button", name=re.compile(f"^{label}")).first.click()
        settle(page)
        film.take(1500)
    box = page.locator(".stage").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.wait_for_timeout(SETTLE_MS)
    for step in range(20):
        page.mouse.move(box["x"] + (0.45 + 0.01 * step) * box["width"], box["y"] + 0.4 * box["height"])
        page.wait_for_timeout(FRAME_MS)
        film.take()
    page.mouse.up()
    page.wait_for_timeout(SETTLE_MS)
    film.take(2000)
    page.keyboard.press("Escape")
    threshold = page.locator("input[type=range][aria-label='Threshold']").first
    for hundredth in [*range(0, 62, 4), *range(60, -1, -6)]:
        threshold.fill(str(hundredth / 100))
        film.take()
    for name in ("turbo", "viridis", "inferno"):
        page.locator(f".swatches [data-name={name}]").click()
        page.wait_for_timeout(SETTLE_MS)
        film.take(900)
    page.get_by_role("link", name="Compare").first.click()
    page.locator(".viewer[data-shown] canvas.base").nth(2).wait_for()
    settle(page)
    film.take(3000)


def main() -> None:
    """Start the dashboard and Chromium, play the scenes, and write the film."""
    file = ROOT / "docs" / "sightglass.webp"
    with serving(DASHBOARD) as server, sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        page = browser.new_page(viewport=SIZE)
        page.goto(f"{server.address}/")
        film = Film(page)
        scenes(page, film)
        film.save(file)
        print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")
        browser.close()


if __name__ == "__main__":
    main()
