"""The viewer and the list of answers, driven as a person would in a real Chromium."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from conftest import ROOT, serving
from PIL import Image

from components.viewer import Box, Map, Panel, pack
from explain.colormaps import lut
from explain.render import difference, overlay, share_difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

sync = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser
HIGH, WIDE = 496, 372  # the bus at a window height of 900 px: every one of its edges falls on a canvas pixel's

MAPS = """
import numpy as np

HIGH, WIDE = 496, 372
def fine():
    return (np.random.default_rng(0).integers(0, 256, (HIGH, WIDE)) / 255).astype(np.float32)
def bump(x, y, spread):
    rows, columns = np.mgrid[:7, :7]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2)).astype(np.float32)
"""
APP = (
    MAPS
    + """
import streamlit as st
from PIL import Image
from components.rows import Row, rows
from components.viewer import Box, Map, Panel, viewer
from explain.render import share_difference

st.set_page_config(layout="wide")
st.session_state.runs = st.session_state.get("runs", 0) + 1
st.text(f"runs {st.session_state.runs}")
scene = st.query_params.get("scene", "explore")
pixels = np.asarray(Image.open(st.secrets["bus"]).convert("RGB"))
whole, crop = (0, 0, 810, 1080), (0, 135, 810, 945)
def cropped(title, *where, **more):
    text = f"{title} is hottest in the middle."
    return Map(title, "72 %", bump(*where), crop, crop, (0.0, 0.5), (7, 7), text, **more)
names = ["minibus", "trolleybus", "police van"]
maps = tuple(cropped(name, *where) for name, where in zip(names, [(3, 3, 1.5), (1, 2, 1), (5, 4, 2)]))
link = {"alpha": float(st.query_params["alpha"])} if "alpha" in st.query_params else None
if scene == "explore":
    left, right = st.columns([3, 1])
    with right:
        chosen = rows([Row(name, share, "1 %") for name, share in zip(names, [0.7, 0.2, 0.1])], key="rows")
        st.text(f"chosen {chosen}")
    with left:
        view = viewer(pixels, "bus", [Panel(title="Picture"), Panel(maps)], key="viewer", initial=link)
elif scene == "exact":
    gap = share_difference(fine(), fine()[::-1])
    panels = [Panel((Map("fine", "", fine(), whole, whole),)), Panel(maps[:1]),
              Panel((Map("gap", "", gap, whole, whole, kind="difference"),))]
    view = viewer(pixels, "bus", panels, key="viewer")
elif scene == "four":
    view = viewer(pixels, "bus", [Panel((item,)) for item in (*maps, maps[0])], key="viewer")
else:
    boxes = [Box((20, 230, 800, 760), "bus 94 %", 0), Box((220, 400, 350, 860), "person 84 %", 1)]
    view = viewer(pixels, "bus", [Panel(title="All boxes"), Panel(maps[:2])], boxes=boxes, key="viewer")
    st.text(f"chosen {rows([Row(box.label, 0.9, '9 %') for box in boxes], key='rows')}")
st.text(f"view {dict(sorted(view.view.items()))}")
st.text(f"point {view.point} box {view.box}")
"""
)

if TYPE_CHECKING:
    Visit = Callable[..., sync.Page]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bus: Path) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("app")
    (folder / "app.py").write_text(APP)
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(f"bus = '{bus}'")
    (folder / ".streamlit" / "config.toml").write_bytes((ROOT / ".streamlit" / "config.toml").read_bytes())
    with serving(folder / "app.py", folder) as address:
        yield address


@pytest.fixture
def visit(server: str, browser: sync.Browser) -> Iterator[Visit]:
    """Opens a scene; at the end nothing may have been complained of, and nobody but this machine asked."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    complaints: list[str] = []
    hosts: set[str] = set()

    def go(
        scene: str = "explore",
        *,
        width: int = 1440,
        dark: bool = False,
        frames: list[int] | None = None,
        **query: object,
    ) -> sync.Page:
        page = context.new_page()
        if frames is not None:
            heard = lambda socket: socket.on("framereceived", lambda frame: frames.append(len(frame)))  # noqa: E731
            page.on("websocket", heard)
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname or ""))
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if dark else "light")
        more = "".join(f"&{name}={value}" for name, value in query.items())
        page.goto(f"{server}/?scene={scene}{more}")
        page.wait_for_selector(".viewer[data-shown]", timeout=20_000)
        page.get_by_text("point None").wait_for()
        frame(page)
        return page

    yield go
    context.close()
    assert complaints == []
    assert hosts - {""} == {"127.0.0.1"}


def frame(page: sync.Page) -> None:
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def pixels(page: sync.Page, panel: int) -> NDArray[np.uint8]:
    """What the panel's canvas holds, without the lines over it."""
    frame(page)
    url = page.locator("canvas.base").nth(panel).evaluate("canvas => canvas.toDataURL('image/png')")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def mode(page: sync.Page, name: str) -> None:
    page.get_by_role("radio", name=name).check(force=True)


def runs(page: sync.Page) -> int:
    return int(page.get_by_text("runs ").inner_text().split()[1])


def settle(page: sync.Page, expected: int) -> None:
    page.get_by_text(f"runs {expected}", exact=True).wait_for()
    page.wait_for_timeout(150)
    assert runs(page) == expected


def apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    assert a.shape == b.shape
    return np.abs(a.astype(np.int64) - b).max(axis=2)


@pytest.fixture(scope="module")
def made() -> dict[str, NDArray[np.float32]]:
    names: dict[str, object] = {}
    exec(MAPS, names)
    smooth = np.zeros((HIGH, WIDE), np.float32)
    smooth[62:434] = cv2.resize(names["bump"](3, 3, 1.5), (WIDE, WIDE), interpolation=cv2.INTER_LINEAR)  # type: ignore[operator]
    return {"fine": names["fine"](), "smooth": smooth}  # type: ignore[operator]


def test_the_payload_follows_picture_and_maps_alone() -> None:
    picture, area = np.zeros((20, 30, 3), np.uint8), (0, 0, 30, 20)
    values = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)

    def packed(scale: float = 1, chosen: int = 0, both: bool = True) -> bytes:
        maps = tuple(Map(name, "", values * scale, area, area) for name in ("a", "b")[: 1 + both])
        boxes = [Box(area, name, i, chosen=i == chosen) for i, name in enumerate("ab")]
        return pack(picture, "black", [Panel(), Panel(maps)], boxes)

    assert packed() == packed()
    assert packed(chosen=1) == packed()
    assert packed(scale=0.5) != packed()
    assert packed(chosen=1, both=False) != packed(both=False)  # no list to choose from: Python says which
    with pytest.raises(ValueError, match=r"must lie within 0\.\.1, got 0\.\.2"):
        packed(scale=2)


def test_the_screen_shows_what_python_renders(visit: Visit, made: dict[str, NDArray[np.float32]]) -> None:
    page = visit("exact", width=1700)
    fine, smooth, crop = made["fine"], made["smooth"], (0, 62, WIDE, 434)
    shown = {index: pixels(page, index) for index in (0, 1, 2)}
    mode(page, "Picture")
    picture = pixels(page, 0)
    assert picture.shape == (HIGH, WIDE, 3)
    assert apart(shown[0], overlay(picture, fine, weighted=True)).max() <= 1
    gap = difference(picture, fine, np.ascontiguousarray(fine[::-1]))
    assert share_difference(fine, np.ascontiguousarray(fine[::-1])).min() < 0
    assert np.mean(apart(shown[2], gap) <= 1) > 0.98  # grey and the shares' last bit differ at a few pixels
    off = apart(shown[1], overlay(picture, smooth, weighted=True, seen=crop))
    # Rounding may put a value into the next level: one step of the colormap, at a few pixels.
    assert off.max() <= 4
    assert np.mean(off <= 1) > 0.99

    mode(page, "Overlay")
    page.locator(".alpha").fill("0")
    assert apart(pixels(page, 0), picture).max() == 0
    assert apart(pixels(page, 1)[62:434], picture[62:434]).max() == 0
    page.get_by_role("button", name="Even opacity").click()
    page.locator(".alpha").fill("1")
    levels = np.rint(fine * 255).astype(int)
    assert apart(pixels(page, 0), lut("inferno")[levels]).max() == 0
    page.locator(".alpha").fill("0.5")
    page.locator(".threshold").fill("0.3")
    page.locator(".colormap").select_option("jet")
    expected = overlay(picture, fine, colormap="jet", alpha=0.5, threshold=0.3)
    assert apart(pixels(page, 0), expected).max() <= 1
    mode(page, "Map")
    page.locator(".threshold").fill("0")
    assert apart(pixels(page, 0), lut("jet")[levels]).max() == 0


def test_dragging_runs_nothing_and_releasing_runs_once(visit: Visit) -> None:
    sent: list[int] = []
    page = visit(frames=sent)
    before, picture = runs(page), pixels(page, 1)
    assert max(sent) > 100_000
    sent.clear()
    box = page.locator(".alpha").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.9 * box["width"], middle)
    page.mouse.down()
    for step in range(12):
        page.mouse.move(box["x"] + (0.85 - 0.05 * step) * box["width"], middle)
    held = pixels(page, 1)
    page.wait_for_timeout(400)
    assert apart(held, picture).max() > 20
    assert runs(page) == before
    page.mouse.up()
    settle(page, before + 1)
    assert apart(pixels(page, 1), held).max() == 0
    assert max(sent) < 20_000  # the picture is not sent again
    assert "'alpha': 0." in page.get_by_text("view {").inner_text()


def test_the_list_changes_the_map_at_once(visit: Visit) -> None:
    page = visit()
    before = pixels(page, 1)
    page.evaluate(
        """() => {
          const deep = (root, selector) => [...root.querySelectorAll("*")].flatMap(
            (node) => node.shadowRoot ? [...node.shadowRoot.querySelectorAll(selector)] : []);
          window.title = () => deep(document, ".panel .title")[1].textContent;
          window.press = async () => {
            deep(document, ".rows button")[1].click();
            const named = window.title();
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            return named;
          };
        }"""
    )
    assert page.evaluate("press()") == "trolleybus"
    assert apart(pixels(page, 1), before).max() > 20
    page.get_by_text("chosen 1").wait_for()
    settle(page, 2)
    assert page.locator(".rows button[aria-pressed=true] .label").inner_text() == "trolleybus"


def test_a_click_takes_the_smallest_box_and_tells_the_list(visit: Visit) -> None:
    page = visit("detect")
    stage = page.locator(".stage").first
    stage.click(position={"x": 280 * WIDE / 810, "y": 600 * HIGH / 1080})
    page.get_by_text("box 1").wait_for()
    page.get_by_text("chosen 1").wait_for()
    point = page.get_by_text("point (").inner_text()
    x, y = (float(part) for part in point[point.index("(") + 1 : point.index(")")].split(","))
    assert abs(x - 280) < 3
    assert abs(y - 600) < 3
    assert page.locator(".panel .title").nth(1).inner_text() == "trolleybus"


def test_modes_differ_and_the_plain_picture_is_one_key_away(visit: Visit) -> None:
    page = visit()
    seen = {}
    for name in ("Overlay", "Map", "Contour", "Spotlight", "Picture"):
        mode(page, name)
        seen[name] = pixels(page, 1)
    plain = pixels(page, 0)
    assert apart(seen["Picture"], plain).max() == 0
    assert apart(seen["Contour"][62:434], plain[62:434]).max() == 0
    assert len({image.tobytes() for image in seen.values()}) == 5
    mode(page, "Overlay")
    page.keyboard.down(" ")
    assert apart(pixels(page, 1), plain).max() == 0
    page.keyboard.up(" ")
    assert apart(pixels(page, 1), seen["Overlay"]).max() == 0
    page.get_by_role("button", name="True cells").click()
    cells = pixels(page, 1)
    assert apart(cells, seen["Overlay"]).max() > 8


def test_the_keyboard_reaches_everything(visit: Visit) -> None:
    page = visit()
    canvas = page.get_by_role("img", name="minibus is hottest in the middle.")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    text = page.locator(".line").inner_text()
    assert text.startswith("minibus 0.9")
    assert text.endswith(" at 445, 540")
    assert page.locator(".spoken").inner_text() == text
    wide = pixels(page, 1)
    page.keyboard.press("+")
    assert apart(pixels(page, 1), wide).max() > 20
    page.keyboard.press("0")
    assert apart(pixels(page, 1), wide).max() == 0
    page.keyboard.press("Enter")
    page.get_by_text("point (445").wait_for()
    page.get_by_role("radio", name="Overlay").focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("'mode': 'map'").wait_for()
    page.locator(".threshold").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".low").inner_text() == "From 0.01"
    names = page.locator(".tools button:visible").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert names == ["Even opacity", "True cells", "Download what you see", "Full screen"]


def test_the_pointer_reads_every_map(visit: Visit) -> None:
    page = visit("four")
    assert page.locator(".line").inner_text().startswith("Point at a picture")
    page.locator(".stage").first.hover(position={"x": 100, "y": 150})
    text = page.locator(".line").inner_text()
    assert text.count("raw") == 4
    assert "of their maxima at" in text
    assert page.locator(".cross.down").nth(3).is_visible()


def test_wheel_zooms_all_panels_and_a_double_click_resets(visit: Visit) -> None:
    page = visit()
    before = pixels(page, 0)
    page.locator(".stage").nth(1).hover(position={"x": 100, "y": 150})
    page.wait_for_timeout(350)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    assert apart(pixels(page, 0), before).max() > 20
    page.locator(".stage").nth(1).dblclick()
    assert apart(pixels(page, 0), before).max() == 0
    page.wait_for_timeout(400)
    assert runs(page) == 1


def test_what_you_see_can_be_downloaded(visit: Visit) -> None:
    page = visit("four")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download what you see").click()
    saved = waiting.value
    assert saved.suggested_filename == "minibus-overlay.png"
    with Image.open(saved.path()) as image:
        assert image.width > 4 * 810
        assert image.height > 1080


def test_a_link_wins_and_the_settings_survive_a_reload(visit: Visit) -> None:
    page = visit(alpha=0.4)
    assert page.locator(".alpha").input_value() == "0.4"
    page.locator(".alpha").fill("0.7")
    page.get_by_text("'alpha': 0.7").wait_for()
    page.reload()
    page.wait_for_selector(".viewer[data-shown]")
    assert page.locator(".alpha").input_value() == "0.7"


def test_in_the_dark_the_unseen_fades_into_the_dark(visit: Visit) -> None:
    page = visit(dark=True)
    unseen, light = pixels(page, 1)[:60], visit()
    assert unseen.max() <= round(0.34 * 255 + 0.66 * 20) + 1
    assert pixels(light, 1)[:60].min() >= round(0.66 * 255) - 1
    colour = "line => getComputedStyle(line).color"
    assert page.locator(".line").evaluate(colour) != light.locator(".line").evaluate(colour)


@pytest.mark.parametrize(("scene", "panels", "columns"), [("explore", 1, 1), ("four", 4, 2), ("detect", 1, 1)])
def test_a_phone_is_wide_enough(visit: Visit, scene: str, panels: int, columns: int) -> None:
    page = visit(scene, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    boxes = page.locator(".stage").evaluate_all("all => all.map(one => one.getBoundingClientRect().toJSON())")
    assert len(boxes) == panels
    assert len({box["x"] for box in boxes}) == columns
    assert max(box["right"] for box in boxes) <= 390
    assert page.get_by_role("radio", name="Spotlight").is_visible()
    if panels == 1:
        assert boxes[0]["height"] >= 460
