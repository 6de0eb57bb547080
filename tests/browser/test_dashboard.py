"""The main job as a person does it: a picture in, its map, another class, another model, a file out."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from conftest import ARTEFACTS, LIMIT, ROOT, serving, settled, takes_files, until
from PIL import Image
from playwright.sync_api import expect

from models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
CANVAS = '[data-testid="stBidiComponentIsolated"] canvas'


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(ROOT / "dashboard.py", ROOT) as address:
        yield address


@pytest.fixture
def visit(browser: Browser, server: str):
    """A page of its own; afterwards nothing may have gone wrong in it, nor left this machine."""
    opened, wrong = [], []

    def go(path: str = "/", **context: object) -> Page:
        page = browser.new_context(**({"viewport": {"width": 1440, "height": 900}} | context)).new_page()
        opened.append(page)
        page.set_default_timeout(LIMIT)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if leaves(request.url) else None)
        page.goto(server + path)
        return page

    yield go
    try:
        assert [page.locator('[data-testid="stException"]').count() for page in opened] == [0] * len(opened)
    finally:
        for page in opened:
            page.context.close()
    assert wrong == []


def leaves(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws") and parts.hostname not in ("127.0.0.1", "localhost")


def headline(page: Page):
    return page.locator("h2").first


def pixels(page: Page) -> np.ndarray:
    """The canvas of the last panel as it is on the screen, uint8 (h, w, 3); empty while it is being drawn."""
    data = page.evaluate(
        """() => {
            const roots = [...document.querySelectorAll('[data-testid="stBidiComponentIsolated"]')];
            const within = node =>
                node.shadowRoot || [...node.querySelectorAll("*")].find(e => e.shadowRoot)?.shadowRoot;
            const found = roots.flatMap(node => [...(within(node)?.querySelectorAll("canvas.base") ?? [])]);
            const still = canvas => canvas.closest(".viewer")?.hasAttribute("data-still") ?? true;
            const seen = found.filter(canvas => canvas.offsetParent && canvas.width && still(canvas));
            return seen.length ? seen.at(-1).toDataURL() : "";
        }"""
    )
    if not data:
        return np.zeros((0, 0, 3), int)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGB")).astype(int)


def until_changed(page: Page, before: np.ndarray) -> None:
    def changed() -> bool:
        now = pixels(page)
        return bool(now.size) and (now.shape != before.shape or bool(np.abs(now - before).mean() > 0.5))

    until(page, changed, "the picture did not change")


def at_rest(page: Page) -> np.ndarray:
    """`pixels` once the script rests and they have been the same for a while."""
    settled(page)
    last, same = pixels(page), 0

    def still() -> bool:
        nonlocal last, same
        now = pixels(page)
        same = same + 1 if now.size and np.array_equal(now, last) else 0
        last = now
        return same >= 3

    until(page, still, "the picture does not come to rest", pause=100)
    return last


def asked(page: Page, name: str, *values: str) -> None:
    """Until the address says so."""
    page.wait_for_url(lambda url: parse_qs(urlsplit(url).query).get(name, []) == list(values))


def test_upload_map_other_class_other_model_download(visit, measured, pictures: list[Path], tmp_path: Path):
    start = time.perf_counter()
    page = visit()
    headline(page).wait_for()
    page.locator(CANVAS).first.wait_for()
    page.get_by_role("button", name="Change").wait_for()
    measured["page opened → first explained picture"] = time.perf_counter() - start
    settled(page)
    expect(headline(page)).to_contain_text("Yellow is where it looked.")
    page.locator("select.colormap").select_option("jet")
    page.get_by_text("Red is where it looked.").wait_for()
    page.locator("select.colormap").select_option("inferno")
    page.get_by_text("Yellow is where it looked.").wait_for()
    page.screenshot(path=ARTEFACTS / "explore-first.png")

    before = at_rest(page)
    page.get_by_role("button", name="Change").click()
    start = time.perf_counter()
    page.locator('[data-testid="stFileUploader"] input[type=file]').set_input_files(pictures[2])
    page.get_by_text("china.jpg").first.wait_for()
    until_changed(page, before)
    measured["upload → map"] = time.perf_counter() - start
    settled(page)
    page.keyboard.press("Escape")

    before = at_rest(page)
    answers = page.get_by_role("button", pressed=False).filter(has_text="%")
    other = answers.first.inner_text().split("\n")[0]
    start = time.perf_counter()
    answers.first.click()
    until_changed(page, before)
    measured["click → other class"] = time.perf_counter() - start
    asked(page, "class", other)
    before, said = at_rest(page), headline(page).inner_text()
    start = time.perf_counter()
    page.locator('[data-testid="stSidebar"]').get_by_role("radio", name="l", exact=True).click()
    until_changed(page, before)
    measured["click → other model"] = time.perf_counter() - start
    asked(page, "model", "efficientnet-lite2")
    expect(headline(page)).not_to_have_text(said)
    settled(page)

    page.locator('[data-testid="stPopover"]').filter(has_text="Download").get_by_role("button").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Raw map, .npy").click()
    raw = np.load(io.BytesIO(saved.value.path().read_bytes()))
    assert raw.shape == (9, 9)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Recipe, .json").click()
    recipe = json.loads(saved.value.path().read_text())
    assert (recipe["model"], recipe["picture_name"]) == ("efficientnet-lite2", "china.jpg")
    page.keyboard.press("Escape")
    page.locator(".share summary").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Full size, PNG").click()
    assert Image.open(saved.value.path()).size == (640, 427)
    page.screenshot(path=ARTEFACTS / "explore-download.png")


def test_a_link_opens_the_very_view_on_every_screen(visit):
    page = visit("/explore?example=flower&class=daisy&colormap=viridis&alpha=0.5&method=layercam")
    page.locator(CANVAS).first.wait_for()
    settled(page)
    expect(page.locator("select").first).to_have_value("viridis")
    page.get_by_text("flower.jpg").first.wait_for()
    expect(page.get_by_role("button", name="daisy", pressed=True)).to_have_count(1)
    for name in ("Top-k", "Compare"):
        page.get_by_role("link", name=name).click()
        page.wait_for_url(f"**/{name.replace('-', '').lower()}?*")
        headline(page).wait_for()
        page.locator(CANVAS).nth(2).wait_for()
        settled(page)
        asked(page, "example", "flower")
        asked(page, "method", "layercam")
        expect(page.locator("select.colormap")).to_have_value("viridis")
        expect(page.locator("input.alpha")).to_have_value("0.5")
        page.screenshot(path=ARTEFACTS / f"{name.lower()}.png")


def test_back_leads_to_the_screen_before_whatever_was_chosen_there(visit):
    page = visit()
    page.locator(CANVAS).first.wait_for()
    settled(page)
    page.get_by_role("radio", name="Why this class?").click()
    page.wait_for_url("**/?*layers=*")
    for name in ("Top-k", "Compare"):
        page.get_by_role("link", name=name).click()
        page.wait_for_url(f"**/{name.replace('-', '').lower()}?*layers=*")
        page.locator(CANVAS).nth(2).wait_for()
        settled(page)
    for path in ("/topk", "/"):
        page.go_back()
        expect(page).to_have_url(re.compile(f"[0-9]{path}[?].*layers="))
        page.locator(CANVAS).first.wait_for()
        settled(page)
        assert urlsplit(page.url).path == path
    expect(page.get_by_role("radio", name="Why this class?")).to_be_checked()


def test_dropped_anywhere_and_pasted(visit, pictures: list[Path]):
    page = visit()
    page.locator(CANVAS).first.wait_for()
    settled(page)
    takes_files(page)
    for event, name, path in (("drop", "dropped.jpg", pictures[1]), ("paste", "pasted.jpg", pictures[3])):
        page.evaluate(
            """([event, name, data]) => {
                const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
                const carried = new DataTransfer();
                carried.items.add(new File([bytes], name, {type: "image/jpeg"}));
                const made = event === "paste"
                    ? new ClipboardEvent("paste", {clipboardData: carried, bubbles: true})
                    : new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true});
                document.querySelector('[data-testid="stMain"]').dispatchEvent(made);
            }""",
            [event, name, base64.b64encode(path.read_bytes()).decode()],
        )
        page.get_by_text(name).first.wait_for()
        settled(page)


def test_a_slow_method_shows_progress_and_stops_at_once(visit, measured):
    page = visit("/?method=scorecam")
    stop = page.get_by_role("button", name="Stop")
    stop.wait_for()
    start = time.perf_counter()
    stop.click()
    page.get_by_text("ScoreCAM was stopped.").wait_for()
    measured["Stop → stopped"] = time.perf_counter() - start
    page.screenshot(path=ARTEFACTS / "stopped.png")


def fits(page: Page) -> None:
    """What is wider than its window for a moment, while it is laid out, may be; what stays so may not."""
    page.wait_for_function("() => document.documentElement.scrollWidth - window.innerWidth <= 1")


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (390, "light"), (390, "dark")])
def test_no_screen_is_wider_than_its_window(visit, width: int, scheme: str):
    height = 900 if width == 1440 else 844
    for path in ("/", "/topk", "/compare"):
        page = visit(path, viewport={"width": width, "height": height}, color_scheme=scheme)
        page.locator(CANVAS).first.wait_for()
        settled(page)
        fits(page)
        name = path.strip("/") or "explore"
        page.screenshot(path=ARTEFACTS / f"{name}-{width}-{scheme}.png", full_page=width < 800)


def test_every_address_opens_its_screen_though_it_is_the_first_that_is_asked_for(browser: Browser):
    for path in ("/compare", "/topk", "/explore"):
        with serving(ROOT / "dashboard.py", ROOT) as address:
            page = browser.new_page()
            page.set_default_timeout(LIMIT)
            page.goto(address + path)
            headline(page).wait_for()
            expect(page.get_by_role("link", name="Top-k")).to_have_count(1)
            expect(page.get_by_role("link", name="dashboard")).to_have_count(0)
            page.close()


@pytest.mark.skipif(not catalog.available(catalog.spec("yolo11n")), reason="the weights of yolo11n are not here")
def test_another_class_right_after_a_click_in_the_picture_is_kept(visit):
    page = visit("/?model=yolo11n")
    page.locator(CANVAS).first.wait_for()
    settled(page)
    for _ in range(3):
        box = page.locator(CANVAS).first.bounding_box()
        # The woman on the left.
        page.mouse.click(box["x"] + 0.18 * box["width"], box["y"] + 0.6 * box["height"])
        page.get_by_role("button", name="person", pressed=True).wait_for()
        page.get_by_role("combobox", name="Another class").fill("zebra")
        page.get_by_role("option", name="zebra", exact=True).click()
        page.get_by_role("button", name="zebra", pressed=True).wait_for()
        asked(page, "class", "zebra")
        # What came before must not take it away again.
        settled(page)
        expect(page.get_by_role("button", name="zebra", pressed=True)).to_have_count(1)
        asked(page, "class", "zebra")


def test_an_area_belongs_to_its_picture(visit):
    page = visit()
    page.locator(CANVAS).first.wait_for()
    settled(page)
    page.locator(".mark summary").click()
    page.get_by_role("button", name="Rectangle").click()
    box = page.locator(".stage").last.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 300, steps=5)
    page.mouse.up()
    page.get_by_text("In the marked area").wait_for()
    for example in ("Zidane", "Bus"):
        page.get_by_role("button", name="Change").click()
        page.get_by_role("radio", name=example).or_(page.get_by_role("button", name=example, exact=True)).first.click()
        page.keyboard.press("Escape")
        page.get_by_text(f"{example.lower()}.jpg").first.wait_for()
        settled(page)
        # It went with the first picture, and does not come back with it.
        expect(page.get_by_text("In the marked area")).to_have_count(0)
    page.wait_for_timeout(1500)
    settled(page)
    assert page.get_by_text("In the marked area").count() == 0
