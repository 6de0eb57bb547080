"""A deck opened from a disk with the network off: what a room can read of every slide, and what a presenter does."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from screen import LIMIT, serious, still

from sightglass.deck.html_file import deck_html
from tests.unit.deck.deck_scenes import TITLE, deck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page

sync = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser
SCENES = deck()
LONG = replace(
    SCENES[1],
    title="A title of as many words as a title may have, " * 2,
    sentence="A sentence of as many words as one may have, which nobody should write. " * 5,
    proof=replace(SCENES[1].proof, label="streetcar, tram, tramcar", sentence="A verdict that goes on and on. " * 25),
)
SMALLEST = 0.022
"""Of the height of the screen: what is read from ten metres where the screen is two metres high."""
LEGIBLE = 4.5
# Every text that is shown: its size by the stage's height, its contrast, and whether it is cut off or off the stage.
_TEXTS = """() => {
    const stage = document.querySelector(".stage"), room = stage.getBoundingClientRect();
    const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const rgba = colour => {
        pixel.clearRect(0, 0, 1, 1);
        pixel.fillStyle = colour;
        pixel.fillRect(0, 0, 1, 1);
        return [...pixel.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
        const [x, y, z] = [r, g, b].map(v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = node => {
        for (; node; node = node.parentElement) {
            const found = rgba(getComputedStyle(node).backgroundColor);
            if (found[3] > 250) return found;
        }
        return [0, 0, 0, 255];
    };
    const found = [], walk = document.createTreeWalker(stage, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode.parentElement, words = walk.currentNode.data.trim();
        if (!words || !node.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
        const style = getComputedStyle(node), svg = node.ownerSVGElement, box = node.getBoundingClientRect();
        const scale = svg ? svg.getScreenCTM().a : 1, colour = rgba(svg ? style.fill : style.color);
        const [a, b] = [light(colour), light(ground(node))].sort((x, y) => y - x);
        const block = !svg && style.textOverflow !== "ellipsis" && style.display !== "inline";
        // Letters reach a little beyond their line.
        const reach = 2 + 0.15 * parseFloat(style.fontSize);
        const cut = block && (node.scrollWidth > node.clientWidth + 1 || node.scrollHeight > node.clientHeight + reach);
        const wide = box.left < room.left - 1 || box.right > room.right + 1;
        const out = wide || box.top < room.top - 1 || box.bottom > room.bottom + 1;
        const size = parseFloat(style.fontSize) * scale / room.height, contrast = (a + 0.05) / (b + 0.05);
        found.push({ words, size, contrast, cut, out });
    }
    return found;
}"""
# Not every Chromium has the codec.
_PLAYS = """() => {
    const video = document.querySelector("video");
    return video.currentTime > 0 || !video.canPlayType('video/mp4; codecs="avc1.42E01E"');
}"""
_STILL = "() => !document.getAnimations().some(({ playState }) => playState === 'running')"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("deck") / "deck.html"
    path.write_bytes(deck_html([*SCENES, LONG], TITLE))
    return path.as_uri()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(offline=True, viewport={"width": 1920, "height": 1080})
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, file: str) -> Iterator[Page]:
    """The deck in a browser that is offline; nothing may go wrong in it, and nothing may be asked for."""
    wrong: list[str] = []
    page = context.new_page()
    page.set_default_timeout(LIMIT)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    asked = lambda asked: wrong.append(asked.url) if asked.url[:5] not in ("file:", "blob:") else None  # noqa: E731
    page.on("request", asked)
    page.goto(file)
    page.locator(".slide[data-ready]").wait_for()
    yield page
    assert wrong == []


def press(page: Page, key: str, slide: int, step: str) -> None:
    """Press a key, and wait until the stage shows that step of that slide, at rest."""
    page.keyboard.press(key)
    page.locator(f'.stage[data-slide="{slide}"][data-step="{step}"] .slide[data-ready]').wait_for()
    if step == "proof":
        page.locator(".slide[data-proof]").wait_for()
    page.wait_for_function(_STILL)


def unreadable(page: Page) -> list[dict[str, Any]]:
    texts = page.evaluate(_TEXTS)
    assert texts
    return [t for t in texts if t["size"] < SMALLEST or t["contrast"] < LEGIBLE or t["cut"] or t["out"]]


OF_SLIDES = (
    (1, "picture said looked proof"),
    (2, "picture said looked"),
    (3, "picture said looked proof"),
    (4, "picture looked looked"),
    (5, "clip"),
    (6, "picture said looked proof"),
)
STEPS = [(slide, step) for slide, steps in OF_SLIDES for step in steps.split()]


def test_every_step_of_every_kind_of_slide_is_read_from_ten_metres(page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 720})
    page.emulate_media(reduced_motion="reduce")
    # Laid out anew for this window.
    unit = "parseFloat(document.querySelector('.stage').style.getPropertyValue('--v'))"
    page.wait_for_function(f"() => Math.abs(90 * {unit} - innerHeight) < 1")
    assert unreadable(page) == []
    for at, (slide, step) in enumerate(STEPS):
        press(page, "PageDown", slide, step)
        # The bar is there while the pointer moves.
        page.mouse.move(700 + at, 300)
        assert unreadable(page) == [], (slide, step)
        if step == "clip":
            page.wait_for_function(_PLAYS)
        if (slide, step) in ((1, "looked"), (1, "proof"), (4, "looked")):
            assert serious(page) == []
    page.keyboard.press("?")
    page.locator(".help:visible").wait_for()
    assert unreadable(page) == []


def over(page: Page) -> str:
    data: str = page.evaluate("() => document.querySelector('.over').toDataURL()")
    return data


def changed(page: Page, before: str) -> str:
    page.wait_for_function("before => document.querySelector('.over').toDataURL() !== before", arg=before)
    return over(page)


def test_mode_opacity_threshold_colours_and_classes_work_offline(page: Page) -> None:
    press(page, "PageDown", 1, "picture")
    press(page, "2", 1, "looked")
    second = over(page)
    sync.expect(page.locator(".sentence")).to_have_text("The evidence for trolleybus is strongest at the top left.")
    press(page, "1", 1, "looked")
    now = changed(page, second)
    sync.expect(page.locator(".sentence")).to_have_text("It looked mainly at the bus.")
    for x, name, value in ((600, "alpha", "0.3"), (605, "threshold", "0.6")):
        # Controls hide from a mouse that rests.
        page.mouse.move(x, 400)
        page.locator(f"input.{name}").fill(value)
        now = changed(page, now)
    sync.expect(page.locator(".weak")).to_have_text("From 0.60")
    page.keyboard.press("c")
    now = changed(page, now)
    page.mouse.move(610, 400)
    page.get_by_role("button", name="Contour").click()
    changed(page, now)
    # The picture, for as long as it is pressed.
    heated = page.locator(".frame.heated")
    page.locator(".frame").first.hover()
    page.mouse.down()
    sync.expect(heated).to_have_count(0)
    page.mouse.up()
    sync.expect(heated).to_have_count(1)
    press(page, "p", 1, "proof")
    veil = page.locator(".page:not([hidden]) .frame:not(.plain) canvas.veil")
    sync.expect(veil).to_have_attribute("data-shown", "hidden 20")
    page.keyboard.press("ArrowDown")
    sync.expect(veil).to_have_attribute("data-shown", "hidden 25")
    sync.expect(page.locator(".figure.map b")).to_have_text("13\u00a0%")
    page.keyboard.press("k")
    sync.expect(veil).to_have_attribute("data-shown", "kept 25")
    # A slide is reached by its number, and the theme turned.
    page.keyboard.press("g")
    page.locator(".goto input:focus").wait_for()
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    page.locator('.stage[data-slide="3"]').wait_for()
    page.keyboard.press("t")
    ground = "getComputedStyle(document.querySelector('.slide')).backgroundColor"
    page.wait_for_function(f"() => {ground} === 'rgb(255, 255, 255)'")
    page.emulate_media(reduced_motion="reduce")
    assert unreadable(page) == []


def test_notes_in_a_second_window_follow_the_stage_and_drive_it(page: Page, context: BrowserContext) -> None:
    with context.expect_page() as opened:
        page.keyboard.press("n")
    notes = opened.value
    sync.expect(notes.locator(".where")).to_have_text("Slide 1 of 7")
    sync.expect(notes.locator("aside")).to_contain_text("EfficientNet-Lite0 says minibus")
    notes.keyboard.press("PageDown")
    page.locator('.stage[data-slide="1"]').wait_for()
    sync.expect(notes.locator(".notes")).to_have_text("Cropped.")
    sync.expect(notes.locator(".view .slide")).to_have_count(2)
    assert notes.locator(".view").first.locator("canvas.base").first.evaluate("canvas => canvas.width") > 100
    notes.get_by_label("Minutes").fill("20")
    sync.expect(notes.locator(".left")).to_have_text(re.compile(r"(20:00|19:5\d) left"))


def test_a_view_of_the_dashboard_is_presented_on_the_whole_screen(visit: Callable[..., Page]) -> None:
    page = visit("/", reduced_motion="reduce")
    page.get_by_role("button", name="Add to deck").wait_for()
    page.keyboard.press("d")
    stage = page.locator(".stage[data-slide]")
    # On the page it is a preview of the whole slide.
    sync.expect(stage).to_have_attribute("data-step", "looked")
    page.get_by_role("button", name="Present on the full screen").click()
    page.wait_for_function("() => document.fullscreenElement")
    sync.expect(stage).to_have_attribute("data-step", "picture")
    page.keyboard.press("PageDown")
    page.keyboard.press(".")
    page.locator(".stage .black:visible").wait_for()
    page.keyboard.press("PageDown")
    # The key is not Streamlit's, which would ask whether to clear its caches.
    page.keyboard.press("c")
    sync.expect(page.locator(".stage button.colours")).to_have_text("Magma")
    page.evaluate("() => document.exitFullscreen()")
    sync.expect(page.get_by_role("dialog")).to_have_count(1)
    page.get_by_role("dialog").get_by_text("Name of the new deck").wait_for()
    # Nobody is shut out of the deck's own page, either.
    page.get_by_role("button", name="Add the slide").click()
    page.get_by_role("link", name=re.compile("^Slide 1 of ")).click()
    page.locator("li.row").wait_for()
    # Streamlit's own message has no name.
    sync.expect(page.get_by_test_id("stToast")).to_have_count(0)
    still(page)
    assert serious(page) == []
