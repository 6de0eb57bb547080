"""Keys of the page in a real Chromium: after any click, in full screen, and beside what is typed."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import serving
from screen import CANVAS, ROOT, pixels, settled, until

sync = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser
PAGE = "/?model=demo-cls-s&example=scene+3"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard with its tiles of checks."""
    home = str(tmp_path_factory.mktemp("keys"))
    with serving(ROOT / "dashboard.py", ROOT, SIGHTGLASS_CHECKS="1", XDG_DATA_HOME=home) as address:
        yield address


def test_keys_work_after_any_click(visit: Callable[..., sync.Page]) -> None:
    page = visit(PAGE)
    page.locator(CANVAS).first.wait_for()
    clicked = {
        "a tile": page.locator(".st-key-tile-model button").first,
        "a button": page.get_by_role("button", name="Copy link"),
        "Upload": page.locator('[data-testid="stFileUploaderDropzone"] button'),
        "a segmented control": page.get_by_role("radio", name="s", exact=True),
        "an answer": page.locator(".rows button").first,
        "a tick": page.locator(".rows .tick").first,
        "Full screen": page.get_by_role("button", name="Full screen"),
    }
    for name, button in clicked.items():
        if name == "Upload":
            with page.expect_file_chooser():
                button.click()
        else:
            button.click()
        if name == "a tile":
            # Shut its cards again: Esc would.
            button.click()
        settled(page)
        for key, place in (("2", 1), ("1", 0)):
            page.keyboard.press(key)
            label = page.locator(".rows button[aria-pressed=true] .label")
            expected = page.locator(".rows .label").nth(place).inner_text()
            sync.expect(label, f"{key} after {name}").to_have_text(expected)
        opacity = page.locator(".opacity input").first
        before = opacity.input_value()
        page.keyboard.press("]")
        # The line that says it gives way to that of a map that comes later.
        sync.expect(opacity, f"] after {name}").not_to_have_value(before)
        page.keyboard.press("[")
        sync.expect(opacity, f"[ after {name}").to_have_value(before)
        keys = page.get_by_role("dialog", name="Keys")
        page.keyboard.press("?")
        sync.expect(keys, f"? after {name}").to_be_visible()
        page.keyboard.press("Escape")
        sync.expect(keys, f"Esc after {name}").to_be_hidden()
    # In full screen, where space would otherwise press its button again.
    page.keyboard.down(" ")
    until(page, lambda: page.evaluate("() => document.fullscreenElement !== null"), "space left the full screen")
    page.keyboard.up(" ")


ALWAYS = ["Tab, then arrows", "+, − and 0", "Esc"]
MAPPED = ["space", "1 to 9", "s, m, l", "[ and ]", "T", "D"]


@pytest.mark.parametrize(
    ("address", "listed"),
    [
        (PAGE, MAPPED),
        ("/?example=china", [*MAPPED, "P"]),
        ("/?model=demo-s&example=scene+3", [*MAPPED, "Enter"]),
        ("/topk?model=demo-cls-s&example=scene+3", [key for key in MAPPED if key not in ("1 to 9", "T")]),
    ],
)
def test_the_list_of_keys_has_those_that_act(visit: Callable[..., sync.Page], address: str, listed: list[str]) -> None:
    page = visit(address)
    page.locator(CANVAS).first.wait_for()
    settled(page)
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    sync.expect(keys).to_be_visible()
    assert sorted(keys.locator("dt:visible").all_inner_texts()) == sorted([*ALWAYS, *listed])
    assert keys.locator("dd:visible").count() == len(ALWAYS) + len(listed)


def test_s_m_and_l_choose_the_size_on_explore(visit: Callable[..., sync.Page]) -> None:
    page = visit(PAGE)
    page.locator(CANVAS).first.wait_for()
    settled(page)
    for key, size in (("l", "l"), ("M", "m"), ("s", "s")):
        page.keyboard.press(key)
        sync.expect(page.get_by_role("radio", name=size, exact=True)).to_be_checked()
        settled(page)


def test_tiles_of_a_phone_stand_in_one_row(visit: Callable[..., sync.Page]) -> None:
    page = visit(PAGE, viewport={"width": 390, "height": 844})
    tiles = page.locator('[class*="st-key-tile-"] button')
    sync.expect(tiles.filter(has_text=re.compile("yes|no|unclear"))).to_have_count(3)
    settled(page)
    boxes = [tile.bounding_box() for tile in tiles.all()]
    assert len({(box["y"], box["height"]) for box in boxes}) == 1


def test_escape_closes_a_window_whose_button_is_gone(visit: Callable[..., sync.Page], tmp_path: Path) -> None:
    page = visit(PAGE)
    page.locator(CANVAS).first.wait_for()
    settled(page)
    page.get_by_role("button", name="Save").click()
    window = page.get_by_test_id("stDialog")
    file = window.get_by_test_id("stDownloadButton").get_by_role("button").first
    file.wait_for()
    before = pixels(page)
    with page.expect_download() as download:
        file.click()
    assert re.search(r"\.\w+$", download.value.suggested_filename)
    # As where Streamlit draws the button anew.
    page.evaluate("() => document.activeElement.blur()")
    # Keys are for the window, not for the map behind it.
    page.keyboard.press("2")
    page.keyboard.press("Escape")
    sync.expect(window).to_have_count(0)
    assert pixels(page).shape == before.shape


def test_d_adds_the_view_at_once_and_a_line_takes_it_back_or_presents_it(visit: Callable[..., sync.Page]) -> None:
    page = visit(PAGE)
    page.locator(CANVAS).first.wait_for()
    settled(page)
    field = page.get_by_role("combobox", name="Another class")
    field.click()
    page.keyboard.type("d")
    sync.expect(field).to_have_value("d")
    page.keyboard.press("Escape")
    # A radio of the strip, which Streamlit takes for a field.
    page.get_by_role("radio", name="s", exact=True).click()
    settled(page)
    line = page.locator(".added")
    sync.expect(line).to_be_hidden()
    page.keyboard.press("D")
    # Of a deck that other tests may have begun.
    sync.expect(line).to_contain_text(re.compile(r"slide \d+\."))
    number = re.search(r"slide \d+\.", line.inner_text())
    assert number is not None
    sync.expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Undo").click()
    sync.expect(line).to_be_hidden()
    settled(page)
    page.keyboard.press("d")
    sync.expect(line).to_contain_text(number[0])
    page.get_by_role("button", name="Present").click()
    page.frame_locator("iframe").last.locator("section.present h2").wait_for()
    assert page.evaluate("() => document.fullscreenElement !== null")


def test_the_whole_screen_has_the_answers_and_the_tiles(visit: Callable[..., sync.Page]) -> None:
    page = visit(PAGE)
    page.locator(CANVAS).first.wait_for()
    settled(page)
    shown = {
        "the headline": page.locator(".st-key-headline h2"),
        "the answers": page.locator(".st-key-answers .rows"),
        "the tiles": page.locator(".st-key-tile-stable"),
    }
    height = {name: part.bounding_box()["height"] for name, part in shown.items()}
    page.get_by_role("button", name="Full screen").click()
    sync.expect(page.get_by_test_id("stTopNavLink").first).to_be_hidden()
    for name, part in shown.items():
        sync.expect(part, name).to_be_in_viewport(ratio=1)
    for name in ("the answers", "the tiles"):
        assert shown[name].bounding_box()["height"] > 1.3 * height[name], f"{name} are no larger"
    second = page.locator(".rows .label").nth(1).inner_text()
    page.locator(".rows button").nth(1).click()
    sync.expect(page.locator(".panel .title").last).to_have_text(second)
    # The answers follow a hand that covers the picture.
    page.locator("canvas.base").first.press("t")
    sync.expect(page.locator(".rows .was").first).to_be_visible()
    page.keyboard.press("d")
    sync.expect(page.locator(".added")).to_be_in_viewport(ratio=1)
    page.evaluate("document.exitFullscreen()")
    sync.expect(page.get_by_test_id("stTopNavLink").first).to_be_visible()
    sync.expect(page.locator(".viewer.staged")).to_have_count(0)


@pytest.mark.parametrize(("path", "count"), [("topk?example=bus", 4), ("compare?example=bus", 3)])
def test_the_whole_screen_has_the_bars_of_several_maps(visit: Callable[..., sync.Page], path: str, count: int) -> None:
    page = visit(f"/{path}")
    page.locator(CANVAS).first.wait_for()
    bars, stages = page.locator(".st-key-bars .rows"), page.locator(".stage")
    bars.locator(".row").nth(count - 1).wait_for(state="attached")
    settled(page)
    sync.expect(bars).to_be_hidden()
    page.keyboard.press("2")
    page.get_by_role("button", name="Full screen").click()
    for part in (page.locator(".st-key-top h2"), bars, stages.nth(count - 1)):
        sync.expect(part).to_be_in_viewport(ratio=1)
    sync.expect(page.locator(".st-key-instruments")).to_be_hidden()
    second = page.locator(".panel .title").nth(1).inner_text()
    page.keyboard.press("2")
    sync.expect(page.locator(".panel .title")).to_have_text([second])
    page.keyboard.press("2")
    sync.expect(stages).to_have_count(count)
    # The answers of all follow a hand that covers the picture; Escape takes the cover away.
    page.locator("canvas.base").first.press("t")
    sync.expect(bars.locator(".was").nth(count - 1)).to_be_visible()
    page.keyboard.press("Escape")
    sync.expect(bars.locator(".was").first).to_be_hidden()
    if path.startswith("compare"):
        page.keyboard.press("l")
        sync.expect(page.locator(".panel .title")).to_have_text(["EfficientNet-Lite2"])
    else:
        page.keyboard.press("m")
        sync.expect(page.get_by_role("radio", name="m", exact=True, include_hidden=True)).to_be_checked()
    page.evaluate("document.exitFullscreen()")
    sync.expect(stages).to_have_count(count)
    sync.expect(bars).to_be_hidden()
