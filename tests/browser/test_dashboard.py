"""The dashboard in a browser: dropped pictures, going back, fresh and stopped servers, a path below a proxy."""

import os
import re
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from conftest import serving
from PIL import Image
from playwright.sync_api import Browser, Response, expect
from screen import (
    CANVAS,
    ROOT,
    asked,
    at_rest,
    drop,
    expect_picture,
    go_to,
    headline,
    new_page,
    settled,
    takes_files,
    until,
    until_changed,
)

from benchmarks.processes import free_port
from tests.servers import running

pytestmark = pytest.mark.browser


def test_back_leads_to_screen_before(visit):
    page = visit()
    page.locator(CANVAS).first.wait_for()
    settled(page)
    page.get_by_role("radio", name="Why", exact=True).click()
    page.wait_for_url("**/?*layers=*")
    for name, path in (("Top-k", "topk"), ("Compare", "compare")):
        go_to(page, name)
        page.wait_for_url(f"**/{path}?*layers=*")
        page.locator(CANVAS).nth(2).wait_for()
        settled(page)
    for path in ("/topk", "/"):
        page.go_back()
        expect(page).to_have_url(re.compile(f"[0-9]{path}[?].*layers="))
        page.locator(CANVAS).first.wait_for()
        settled(page)
        assert urlsplit(page.url).path == path
    expect(page.get_by_role("radio", name="Why", exact=True)).to_be_checked()


def test_the_headline_of_a_cut_picture_shows_all_of_it_by_one_click(visit):
    page = visit("/?example=zidane")
    button = page.get_by_role("button", name="Whole picture")
    button.wait_for()
    settled(page)
    line = headline(page).bounding_box()
    middle = button.bounding_box()["y"] + button.bounding_box()["height"] / 2
    assert line["y"] < middle < line["y"] + line["height"]
    button.click()
    expect(page.get_by_role("radio", name="Whole picture")).to_be_checked()
    expect(headline(page)).not_to_contain_text("cut off")
    expect(button).to_have_count(0)


def test_a_panorama_and_its_map_stand_below_each_other(visit):
    page = visit("/?example=china")
    at_rest(page)
    inset = page.locator(".viewer .inset")
    expect(inset).to_be_visible()
    out = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 1000, 3), np.uint8)).save(out, "JPEG")
    takes_files(page)
    drop(page, ("wide.jpg", out.getvalue()))
    expect_picture(page, "wide.jpg")
    expect(inset).to_be_hidden()
    stages = page.locator(".viewer .stage")
    expect(stages).to_have_count(2)
    above, below = (stages.nth(place).bounding_box() for place in range(2))
    assert above["x"] == below["x"]
    assert below["y"] > above["y"] + above["height"]
    assert above["width"] > 0.8 * page.locator(".viewer .area").bounding_box()["width"]


@pytest.mark.parametrize("width", [1440, 390])
def test_a_message_covers_no_control_and_headings_have_no_links(visit, width: int):
    page = visit("/?class=nothing", viewport={"width": width, "height": 844})
    message = page.get_by_test_id("stToast")
    message.wait_for()
    settled(page)
    box = message.bounding_box()
    assert box["y"] + box["height"] <= page.get_by_test_id("stFileUploaderDropzone").bounding_box()["y"]
    headline(page).hover()
    expect(page.get_by_role("link", name="Link to heading").locator("visible=true")).to_have_count(0)


def test_compare_keys_and_crosshair(visit):
    page = visit("/compare?model=demo-cls-s&example=scene+3&arrangement=large")
    title, texts = page.locator(".panel .title").last, page.locator(".rows .text")
    expect(title).to_have_text("Demo-cls-s")
    settled(page)
    stage = page.locator("canvas.base").last
    mounted = stage.element_handle()
    page.keyboard.press("l")
    expect(title).to_have_text("Demo-cls-l")
    # What the first run alone showed, that a model was loading, does not mount the viewer anew.
    settled(page)
    assert mounted.evaluate("canvas => canvas.isConnected")
    stage.focus()
    page.keyboard.press("ArrowRight")
    expect(texts).to_have_text([re.compile(r"^[\d.]+ here$")] * 3 + [re.compile(r"^[+−]?[\d.]+ here$")])
    page.keyboard.press("Escape")
    expect(texts.first).to_have_text(re.compile("%$"))


def test_dropped_anywhere_and_pasted(visit, pictures: list[Path]):
    page = visit()
    page.locator(CANVAS).first.wait_for()
    settled(page)
    takes_files(page)
    for event, name, path in (("drop", "dropped.jpg", pictures[1]), ("paste", "pasted.jpg", pictures[3])):
        drop(page, (name, path.read_bytes()), event=event)
        expect_picture(page, name)
        settled(page)
    page.get_by_role("radio", name="dropped.jpg", exact=True).click()
    expect_picture(page, "dropped.jpg")
    until(page, lambda: "picture=" in page.url, "the picture's address")
    settled(page)
    page.reload()
    expect_picture(page, "dropped.jpg")


def test_refused_files_say_why(visit, tmp_path: Path):
    page, large = visit("/?model=demo-cls-s&example=scene+3"), tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(80 << 20)
    takes_files(page)
    page.locator(".st-key-picture-bar input[type=file]").set_input_files(large)
    chip = page.locator("[data-testid=stFileChip][data-why]")
    expect(chip).to_have_attribute("data-why", re.compile(r"64.*MB or smaller"))
    expect(chip).to_be_visible()
    # As a browser refuses to read a folder.
    page.route("**/upload_file/**", lambda route: route.abort())
    drop(page, ("folder", b""))
    expect(chip.last).to_have_attribute("data-why", re.compile("cannot be read: drop the pictures in a folder"))
    page.unroute("**/upload_file/**")
    drop(page, ("a-picture-with-quite-a-long-name.jpg", b"no picture"))
    expect(page.get_by_test_id("stToast")).to_contain_text("is not a picture")
    expect(page.get_by_test_id("stToast")).to_contain_text("; a clip is for Video.")


def test_address_on_fresh_and_stopped_server(browser: Browser):
    line = "getComputedStyle(document.querySelector('[data-testid=stApp]'), '::after')"
    page = new_page(browser)
    with serving(ROOT / "dashboard.py", ROOT, SIGHTGLASS_CHECKS="0") as address:
        page.goto(f"{address}/compare?model=demo-cls-s")
        # A page that ran without the navigation has these too, but no navigation and another title.
        page.locator(CANVAS).nth(1).wait_for()
        expect(page.get_by_test_id("stTopNavLink")).not_to_have_count(0)
        expect(page).to_have_title("Compare · Sightglass")
        assert urlsplit(page.url).path == "/compare"
        assert page.get_by_role("dialog").count() == page.get_by_text("Page not found").count() == 0
        settled(page)
        assert page.evaluate(f"{line}.content") == "none"
    page.wait_for_function(f"{line}.content.includes('does not answer') && {line}.visibility === 'visible'")


TOKEN, BELOW = "a-token-of-thirty-two-characters", "/sightglass"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
OUTSIDE = """error_log {folder}/error.log; pid {folder}/pid; daemon off; user root;
events {{}}
http {{
    access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    {inside}
}}"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address below which the dashboard is."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    settings = {"SIGHTGLASS_TOKEN": TOKEN, "STREAMLIT_SERVER_BASE_URL_PATH": BELOW.strip("/")}
    with serving(ROOT / "dashboard.py", ROOT, below=BELOW, **settings) as address:
        if NGINX is None:
            yield address + BELOW
            return
        (block,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/hosting.md").read_text("utf-8"), re.DOTALL)
        inside = block.replace("listen 80;", f"listen 127.0.0.1:{port};")
        inside = inside.replace("127.0.0.1:8501", urlsplit(address).netloc)
        (folder / "nginx.conf").write_text(OUTSIDE.format(folder=folder, inside=inside))
        outside = f"http://127.0.0.1:{port}{BELOW}"
        with running([NGINX, "-c", str(folder / "nginx.conf"), "-p", str(folder)], f"{outside}/_stcore/health"):
            yield outside


@pytest.mark.slow
def test_everything_works_below_base_path(browser: Browser, site: str, bus: Path) -> None:
    wrong: list[Any] = []

    def judge(answer: Response) -> None:
        """All that is asked for is below the path, and there; but Streamlit looks for its server below a page first."""
        lost = answer.status >= 400 and not re.search(r"/_stcore/(health|host-config)$", answer.url)
        if lost or not answer.url.startswith((f"{site}/", "data:", "blob:")):
            wrong.append((answer.status, answer.url))

    page = new_page(browser, accept_downloads=True)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", judge)
    page.goto(f"{site}/?token={TOKEN}")
    page.locator(CANVAS).first.wait_for()
    assert "token" not in page.url
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload", exact=True).click()
    chooser.value.set_files(bus)
    expect_picture(page, "bus.jpg")
    settled(page)
    page.get_by_role("button", name="Save", exact=True).click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Raw map, .npz").click()
    assert [layer.ndim for layer in np.load(saved.value.path()).values()] == [2]
    page.keyboard.press("Escape")
    # A link to a view opens it.
    page.goto(f"{site}/topk?model=demo-cls-s&alpha=0.4")
    expect(page.locator(".alpha").first).to_have_value("0.4")
    assert "demo-cls-s" in page.url
    page.goto(f"{site}/video?source=camera")
    page.locator(".live[data-ready]").wait_for(state="attached")
    assert page.request.get(f"{site}/api/models").ok
    page.goto(f"{site}/api/docs")
    page.locator(".opblock").first.wait_for()
    assert wrong == []


def test_words_of_an_answer_are_clicked_typed_and_compared(visit):
    page = visit("/?model=demo-vlm&example=red+star")
    words, said = page.locator(".rows.words .row"), "there is a nice red star and a green ball ."
    expect(words.filter(has_text="star").first).to_be_visible()
    for label, text in (("Prompt", "describe the picture ."), ("Answer", said)):
        page.get_by_label(label, exact=True).fill(text)
        page.keyboard.press("Enter")
        settled(page)
    expect(words).to_have_count(11)
    for place, word in ((9, "ball"), (4, "red")):
        before = at_rest(page)
        words.nth(place).get_by_role("button").click()
        until_changed(page, before)
        asked(page, "class", word)
    before = at_rest(page)
    page.get_by_label("Instead of", exact=True).fill("blue")
    page.keyboard.press("Enter")
    until_changed(page, before)
    asked(page, "instead", "blue")
