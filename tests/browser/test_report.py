"""A report opened from a disk with the network off; a file that the browser draws carries its recipe."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image as Pillow
from screen import LIMIT, until

from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering import color_tables, contours
from sightglass.explain.rendering.render import dim, samples
from sightglass.explain.rendering.style import Style
from sightglass.report import html_report

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from sightglass.explain import Explanation

sync = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser
NAME = "a <b>picture</b> & more.png"
NEAR = 2.5
"""Levels of 255 that a picture is changed by as a JPEG, on average, and some more."""


@pytest.fixture(scope="module")
def made(bus: Path) -> Explanation:
    # Small enough to be on the page pixel by pixel, smooth enough to be the same as a JPEG, and seen whole.
    small = Pillow.fromarray(Image.open(bus).thumbnail(60)).resize((225, 300), Pillow.Resampling.BICUBIC)
    explained = Explainer("efficientnet-lite0")(Image(np.array(small), NAME), top_k=3, preprocessing="letterbox")
    explained.prove(0, steps=4, fillings=("mean",))
    return explained


@pytest.fixture
def opened(browser: Browser, made: Explanation, tmp_path: Path) -> Iterator[Page]:
    """The report in a browser that is offline; nothing may go wrong in it, and nothing may be asked for."""
    file, wrong = tmp_path / "report.html", []
    file.write_text(html_report.html([made]), "utf-8")
    context = browser.new_context(offline=True, viewport={"width": 1300, "height": 950})
    page = context.new_page()
    page.set_default_timeout(LIMIT)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.on("request", lambda asked: wrong.append(asked.url) if asked.url[:5] not in ("file:", "data:") else None)
    page.goto(file.as_uri())
    page.locator(".picture").wait_for()
    yield page
    context.close()
    assert wrong == []


def until_near(page: Page, expected: np.ndarray) -> None:
    """The page shows these pixels, but for what being a JPEG does to the picture."""

    def near() -> bool:
        shown = Pillow.open(io.BytesIO(page.locator(".stage").screenshot())).convert("RGB")
        # The stage may begin between two pixels.
        height, width = expected.shape[:2]
        return float(np.abs(np.asarray(shown, int)[:height, :width] - expected).mean()) < NEAR

    until(page, near, "the page does not show the engine's pixels", pause=100)


def over(made: Explanation, index: int, alpha: float) -> np.ndarray:
    """The picture under a map, without the line."""
    pixels, field, style = made.image.pixels, made.heatmaps[index].field, Style(alpha=alpha)
    left, top, right, bottom = field.seen
    keep, add = color_tables.of("heat", style, 228)
    drawn = dim(pixels).astype(float)
    for rows, levels in contours.levels(samples(field.values), field, style, field.seen, pixels.shape[:2]):
        drawn[top:bottom, left:right][rows] = (
            pixels[top:bottom, left:right][rows] * keep[levels][..., None] + add[levels]
        )
    return drawn.astype(int)


def test_a_report_works_from_a_disk_and_tells_how_it_was_made(opened: Page, made: Explanation) -> None:
    page = opened
    until_near(page, over(made, 0, 0.62))
    page.locator("input[name=alpha]").fill("0.4")
    sync.expect(page.locator(".controls output").first).to_have_text("40 %")
    until_near(page, over(made, 0, 0.4))
    other = made.heatmaps[1].target.label
    page.locator(".answers label").filter(has_text=other).click()
    until_near(page, over(made, 1, 0.4))
    sync.expect(page.locator(".sections:visible")).to_contain_text(f"evidence for {other}")
    page.locator("input[name=alpha]").fill("0")
    until_near(page, over(made, 1, 0.0))
    assert page.locator("b", has_text="picture").count() == 0 and page.get_by_text(NAME).count() > 0


def test_a_report_has_a_threshold_and_the_curves_of_the_proof(opened: Page, made: Explanation) -> None:
    page, proof = opened, made.proofs[0]
    page.locator("input[name=threshold]").fill("0.5")
    until_near(page, np.where(made.heatmaps[0].values[..., None] < 0.5, over(made, 0, 0.0), over(made, 0, 0.62)))
    curves = page.locator(".sections img").first
    assert curves.get_attribute("alt") == proof.sentence
    assert curves.evaluate("image => image.naturalWidth") > 100
    # Of another map nothing was proved.
    page.locator(".answers label").filter(has_text=made.heatmaps[1].target.label).click()
    sync.expect(curves).to_be_hidden()
