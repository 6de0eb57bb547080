"""Files opened from a disk with the network off: a report with its maps live, a deck that is presented."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from playwright.sync_api import Browser, Page
from screen import LIMIT, serious, still, until

from sightglass.explain import Explainer, Explanation
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Style
from sightglass.report import html_report
from sightglass.report.deck_html import deck_html
from tests.corpus import zip_of
from tests.unit.report.slides import TITLE, deck
from training.demo.showcase import write_scenes

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
def from_disk(browser: Browser) -> Iterator[Callable[[Path, int, int], Page]]:
    """Open a file in a browser that is offline; nothing may go wrong in it, and nothing may be asked for."""
    wrong: list[str] = []
    context = browser.new_context(offline=True)

    def go(file: Path, width: int, height: int) -> Page:
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": height})
        page.set_default_timeout(LIMIT)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda asked: wrong.append(asked.url) if asked.url[:5] not in ("file:", "data:") else None)
        page.goto(file.as_uri())
        return page

    yield go
    context.close()
    assert wrong == []


def until_near(page: Page, expected: np.ndarray) -> None:
    """The page shows these pixels, but for what being a JPEG does to the picture."""

    def near() -> bool:
        shown = Pillow.open(io.BytesIO(page.locator(".stage").first.screenshot())).convert("RGB")
        # The stage may begin between two pixels.
        height, width = expected.shape[:2]
        return float(np.abs(np.asarray(shown, int)[:height, :width] - expected).mean()) < NEAR

    until(page, near, "the page does not show the engine's pixels", pause=100)


def over(made: Explanation, index: int, alpha: float) -> np.ndarray:
    """Return the picture under a map."""
    return paint(made.image.pixels, made.heatmaps[index].field, Style(alpha=alpha)).astype(int)


def test_report_from_disk_is_live(from_disk, made, tmp_path):
    (file := tmp_path / "report.html").write_text(html_report.html([made], index=1), "utf-8")
    page, proof, other = from_disk(file, 1300, 950), made.proofs[0], made.heatmaps[1].target.label
    until_near(page, over(made, 1, Style().alpha))
    page.locator("input[name=alpha]").fill("0.4")
    sync.expect(page.locator(".controls output")).to_have_text("40 %")
    until_near(page, over(made, 1, 0.4))
    # Of this map nothing was proved.
    sections = page.locator("section")
    sync.expect(sections.first).to_contain_text(f"evidence for {other}")
    assert sections.first.locator(".tables img").count() == 0
    curves = sections.nth(1).locator(".tables img")
    assert curves.get_attribute("alt") == proof.sentence
    assert curves.evaluate("image => image.naturalWidth") > 100
    page.locator("input[name=alpha]").fill("0")
    until_near(page, over(made, 1, 1 / 256))
    assert page.locator("b", has_text="picture").count() == 0 and page.get_by_text(NAME).count() > 0


VIEWS = deck()
LONG = replace(
    VIEWS[1],
    title="A title of as many words as a title may have, " * 2,
    sentence="A sentence of as many words as one may have, which nobody should write. " * 5,
    charts=(
        replace(VIEWS[1].charts[0], label="streetcar, tram, tramcar", sentence="A verdict that goes on and on. " * 25),
    ),
)
PAGES = 10
SMALLEST = 18 / 0.75 / 720
"""Size of the smallest letters by the height of the slide: 18 points at 1280 x 720."""
WINDOWS = ((1280, 720), (1366, 700), (1920, 1080), (3840, 2160), (1024, 768), (390, 844))
# Every text of the slide that is shown: its size by the slide's height, and whether it is cut off or off the slide.
_TEXTS = """() => {
    const slide = document.querySelector("section.present"), room = slide.getBoundingClientRect();
    return [...slide.querySelectorAll(".words span, svg text")].map(node => {
        const part = node.closest(".part").getBoundingClientRect(), box = node.getBoundingClientRect();
        const scale = room.height / 900, drawn = node.ownerSVGElement && node.getScreenCTM();
        const zoom = drawn ? Math.hypot(drawn.a, drawn.b) / scale : 1;
        const size = (parseFloat(getComputedStyle(node).fontSize) * zoom) / 900;
        const out = box.left < room.left - 1 || box.right > room.right + 1 || box.bottom > room.bottom + 1;
        const cut = box.height > part.height + 4 * scale || box.width > part.width + 4 * scale;
        return { words: node.textContent, size, cut, out };
    });
}"""


@pytest.fixture
def page(from_disk: Callable[..., Page], tmp_path: Path) -> Page:
    """A deck."""
    (file := tmp_path / "deck.html").write_bytes(deck_html([*VIEWS, LONG], TITLE))
    page = from_disk(file, 1920, 1080)
    page.locator("html[data-ready]").wait_for(state="attached")
    return page


def at(page: Page) -> int:
    number: int = page.evaluate("Reveal.getIndices().h")
    return number


def test_every_slide_is_read_from_ten_metres_at_any_size(page: Page) -> None:
    for size in WINDOWS:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.keyboard.press("Home")
        for number in range(PAGES):
            texts: list[dict[str, Any]] = page.evaluate(_TEXTS)
            assert at(page) == number and texts
            assert [text for text in texts if text["size"] < 0.999 * SMALLEST or text["cut"] or text["out"]] == [], size
            page.keyboard.press("PageDown")
        assert at(page) == PAGES - 1
    assert serious(page) == []


def test_map_number_and_black_screen_have_keys(page: Page) -> None:
    page.keyboard.press("ArrowRight")
    heat = "getComputedStyle(document.querySelector('.present .heat')).opacity"
    assert page.evaluate(heat) == "1"
    page.keyboard.press("m")
    assert page.evaluate(heat) == "0"
    page.keyboard.press("m")
    assert page.evaluate(heat) == "1"
    page.keyboard.press(".")
    page.locator(".reveal.paused").wait_for(state="attached")
    page.keyboard.press(".")
    page.keyboard.press("g")
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    page.wait_for_function("() => Reveal.getIndices().h === 3")
    page.keyboard.press("Shift+?")
    page.get_by_text("Heat map on or off").wait_for()


def test_view_is_added_and_presented_full_screen(visit: Callable[..., Page]) -> None:
    page = visit("/", reduced_motion="reduce")
    page.get_by_role("button", name="Add to deck").click()
    page.frame_locator("iframe").last.locator("section.present h2").wait_for()
    # Into the deck of another test of this process, if there is one.
    add = page.get_by_role("dialog").get_by_role("button", name="Add the slide")
    sync.expect(add).to_be_in_viewport(ratio=1)
    add.click()
    page.get_by_role("link", name=re.compile("^Slide .* of ")).click()
    page.get_by_role("button", name="Earlier").wait_for()
    # Streamlit's own message has no name.
    sync.expect(page.get_by_test_id("stToast")).to_have_count(0)
    still(page)
    assert serious(page) == []
    page.get_by_role("button", name="Present", exact=True).click()
    page.wait_for_function("() => document.fullscreenElement")
    page.frame_locator("iframe").last.locator("section.present h2").wait_for()
    # The key is not Streamlit's, which would ask whether to clear its caches.
    page.keyboard.press("c")
    sync.expect(page.get_by_role("dialog")).to_have_count(0)
    page.evaluate("document.exitFullscreen()")
    page.get_by_role("button", name="Earlier").wait_for()


# Every element of a slide, and what lies over the stage at the corners and in the middle of the window.
_CUT = """() => {
    const stage = document.querySelector(".st-key-slide-stage-play iframe"), { x, y } = stage.getBoundingClientRect();
    const slide = stage.contentDocument.querySelector("section.present");
    const out = [...slide.querySelectorAll("*")].filter(node => {
        const box = node.getBoundingClientRect();
        const edges = [box.left + x, box.top + y, innerWidth - box.right - x, innerHeight - box.bottom - y];
        return Math.min(...edges) < -1;
    });
    const places = [[1, 1], [innerWidth - 1, innerHeight - 1], [innerWidth / 2, 20], [1, innerHeight / 2]];
    const over = places.map(at => document.elementFromPoint(...at)).filter(node => node !== stage);
    return [...out, ...over].map(node => node?.outerHTML.slice(0, 90));
}"""


def test_labelled_folder_becomes_a_deck_in_four_actions(visit: Callable[..., Page], tmp_path: Path) -> None:
    write_scenes(tmp_path / "scenes", 8, task="classify")
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*.*")}
    first, *_, last = sorted(files)
    files[f"{last.rpartition('/')[0]}/wrong.png"] = files.pop(first)
    page = visit("/pictures?model=demo-cls-s")
    page.locator('[class*="st-key-pictures-drop"] input[type="file"]').set_input_files(
        {"name": "scenes.zip", "mimeType": "application/zip", "buffer": zip_of(files)}
    )
    page.get_by_role("heading", name="8 pictures: press Run.").wait_for()
    page.get_by_role("button", name="Demo-cls-s").click()
    for name in ("Demo-cls-m", "Demo-cls-l"):
        page.get_by_role("button", name=name, exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_role("button", name=re.compile("^Open .*wrong.png")).click()
    page.get_by_role("button", name="Label is wrong").click()
    sync.expect(page.get_by_text("1 label corrected.")).to_be_visible()
    page.get_by_role("button", name="Make deck").click()
    page.get_by_role("heading", name="scenes.zip").wait_for()
    slides = page.locator('[class*="st-key-deck-slide-"]')
    sync.expect(slides.last).to_contain_text("8 labelled pictures")
    sync.expect(page.frame_locator("iframe").locator("svg text").first).to_be_visible()
    assert slides.count() >= 3


def test_presented_deck_fits_every_window(visit: Callable[..., Page]) -> None:
    page = visit("/saved?deck=cheat&play=2")
    stage = page.frame_locator("iframe")
    stage.locator("html[data-ready]").wait_for(state="attached")
    for number, (width, height) in enumerate(WINDOWS, 2):
        page.set_viewport_size({"width": width, "height": height})
        sync.expect(stage.locator("section.present p").last).to_have_text(re.compile(f"{number}$"))
        until(page, lambda: page.evaluate(_CUT) == [], f"{width} x {height}")
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Earlier").wait_for()
