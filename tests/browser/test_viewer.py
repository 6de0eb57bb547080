"""The viewer and the list of answers, driven as a person would in a real Chromium."""

import base64
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import serving
from numpy.typing import NDArray
from PIL import Image
from screen import LIMIT, ROOT, choose_mode, settled, still, until

from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style, colormaps

sync = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser
HIGH, WIDE = 496, 372  # the bus at a window height of 900 px: every one of its edges falls on a canvas pixel's

MAPS = """
import numpy as np
from sightglass.explain.maps.statistics import share_difference

HIGH, WIDE = 496, 372
def fine():
    return (np.random.default_rng(0).integers(0, 256, (HIGH, WIDE)) / 255).astype(np.float32)
def bump(x, y, spread):
    rows, columns = np.mgrid[:7, :7]
    return np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2)).astype(np.float32)
def gap():
    return share_difference(fine(), fine()[::-1])
"""
APP = (
    MAPS
    + """
import streamlit as st
from PIL import Image
from sightglass.ui.widgets import rows
from sightglass.explain.picture.image import Image as Picture
from sightglass.explain.tasks.wording import Answer
from sightglass.ui.instruments import instruments
from sightglass.ui.viewer import Map, ViewerOptions, Pane, viewer

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
link = {"alpha": st.query_params["alpha"], "id": "a link"} if "alpha" in st.query_params else None
if scene == "explore":
    left, right = st.columns([3, 1])
    with right:
        chosen = rows([Answer(name, "1 %", share) for name, share in zip(names, [0.7, 0.2, 0.1])], key="rows")
        st.text(f"chosen {chosen}")
    with left:
        options = ViewerOptions(link, beside=True, area=True)
        view = viewer(Picture(pixels), [Pane(maps)], options=options, key="viewer")
else:
    small, whole = np.asarray(Image.fromarray(pixels).resize((WIDE, HIGH))), (0, 0, WIDE, HIGH)
    crop = (0, 62, WIDE, 434)
    panels = [Pane((Map("fine", "", fine(), whole, whole, (0.0, 2.0)),)),
              Pane((Map("minibus", "", bump(3, 3, 1.5), crop, crop, (0.5, 1.0), (7, 7)),)),
              Pane((Map("gap", "", gap(), whole, crop, kind="difference", sides=("s", "l")),))]
    view = viewer(Picture(small), panels, key="viewer")
instruments(view)
st.button("Copy link", key="copy-link")
st.text(f"point {view.point} box {view.box}")
"""
)

Scene = Callable[..., sync.Page]


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
def scene(visit: Callable[..., sync.Page]) -> Scene:
    """Opens a scene."""

    def go(name: str = "explore", *, width: int = 1440, **query: object) -> sync.Page:
        more = "".join(f"&{name}={value}" for name, value in query.items())
        return ready(visit(f"/?scene={name}{more}", viewport={"width": width, "height": 900}, color_scheme="light"))

    return go


def ready(page: sync.Page) -> sync.Page:
    page.wait_for_selector(".viewer[data-shown]")
    page.get_by_text("point None").wait_for()
    settled(page)
    pixels(page, 0)
    return page


STILL = """(root) => new Promise((done, failed) => {
  const end = performance.now() + LIMIT;
  const look = () => {
    if (root.hasAttribute("data-still")) done();
    else if (performance.now() > end) failed(new Error("the viewer never came to rest"));
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})""".replace("LIMIT", str(LIMIT))
"""Until all that was done is drawn as it stays, and not as it is while a hand moves."""


def pixels(page: sync.Page, panel: int) -> NDArray[np.uint8]:
    """What the panel's canvas holds once the viewer rests, without the lines over it."""
    url = (
        page.locator("canvas.base")
        .nth(panel)
        .evaluate(
            f"async canvas => {{ await ({STILL})(canvas.closest('.viewer')); return canvas.toDataURL('image/png'); }}"
        )
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).convert("RGB"))


def zoom(page: sync.Page, stage: sync.Locator, steps: int = 1) -> None:
    """Turn the wheel over a spot of it, with the key that makes it zoom."""
    stage.hover(position={"x": 100, "y": 150})
    page.keyboard.down("Control")
    for _ in range(steps):
        page.mouse.wheel(0, -240)
    page.keyboard.up("Control")
    sync.expect(page.locator(".viewer.zoomed")).to_have_count(1)


def runs(page: sync.Page) -> int:
    return int(page.get_by_text("runs ").inner_text().split()[1])


def settle(page: sync.Page, expected: int) -> None:
    page.get_by_text(f"runs {expected}", exact=True).wait_for()
    settled(page)
    assert runs(page) == expected


def apart(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    assert a.shape == b.shape
    return np.abs(a.astype(np.int64) - b).max(axis=2)


def alike(seen: NDArray[np.uint8], expected: NDArray[np.uint8], lined: bool) -> bool:
    """Whether pixels are equal but for rounding; of lines the browser's edges are a little different."""
    away = apart(seen, expected)
    return bool((away > 16).mean() < 0.01 and away.mean() < 1 if lined else away.max() <= 2)


@pytest.fixture(scope="module")
def made() -> dict[str, NDArray[np.float32]]:
    names: dict[str, Any] = {}
    exec(MAPS, names)
    return {"fine": names["fine"](), "bump": names["bump"](3, 3, 1.5), "gap": names["gap"]()}


def field(made: dict[str, NDArray[np.float32]], panel: int) -> Field:
    whole, crop = (0, 0, WIDE, HIGH), (0, 62, WIDE, 434)
    return (
        Field(made["fine"], whole, whole),
        Field(made["bump"], crop, crop, cells=(7, 7)),
        Field(made["gap"], whole, crop, kind="difference"),
    )[panel]


def set_to(page: sync.Page, panels: tuple[int, ...] = (0, 1, 2), **settings: object) -> dict[int, NDArray[np.uint8]]:
    """Change settings as the instruments do, all at once, and give back what the canvases of these panels hold then."""
    urls = page.evaluate(
        """async ([panels, settings]) => {
          const has = (e) => e.shadowRoot?.querySelector(".viewer");
          const root = [...document.querySelectorAll("*")].find(has).shadowRoot;
          const detail = { changes: settings, done: true };
          window.dispatchEvent(new CustomEvent("sightglass:restyle", { detail }));
          await (STILL)(root.querySelector(".viewer"));
          const canvases = [...root.querySelectorAll("canvas.base")];
          return canvases.map((canvas, at) => panels.includes(at) ? canvas.toDataURL() : "").filter(Boolean);
        }""".replace("STILL", STILL),
        [panels, settings],
    )
    decoded = [Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) for url in urls]
    return {panel: np.asarray(image.convert("RGB")) for panel, image in zip(panels, decoded, strict=False)}


@pytest.fixture
def exact(scene: Scene) -> tuple[sync.Page, NDArray[np.uint8]]:
    """A page whose canvases have the picture's own size, and the picture as the browser decoded it."""
    page = scene("exact", width=1700)
    picture = set_to(page, mode="picture")[0]
    assert picture.shape == (HIGH, WIDE, 3)
    return page, picture


VARIANTS: list[dict[str, Any]] = [{}, {"threshold": 0.3}, {"cells": True}, {"alpha": 0.35, "threshold": 0.75}]


MODES = ("overlay", "blend", "map", "spotlight", "contour", "picture")


def test_canvas_equals_python_rendering(exact, made) -> None:
    page, picture = exact
    plain = {"alpha": 0.9, "threshold": 0, "cells": False}
    for mode in MODES:
        for changes in VARIANTS:
            seen = set_to(page, mode=mode, colormap="inferno", **(plain | changes))
            for panel in (0, 1, 2):
                expected = paint(picture, field(made, panel), Style(mode=mode, **(plain | changes)), unit=1)
                # Around noise there are lines everywhere.
                noisy = (panel != 1 and mode == "contour") or (panel, mode, "cells" in changes) == (0, "overlay", False)
                assert noisy or alike(seen[panel], expected, panel > 0), (mode, changes, panel)
    for colormap in colormaps():
        seen = set_to(page, (0, 1), mode="map", colormap=colormap, **plain)
        for panel in seen:
            expected = paint(picture, field(made, panel), Style(mode="map", colormap=colormap), unit=1)
            assert alike(seen[panel], expected, panel > 0), (colormap, panel)
    bare = set_to(page, mode="overlay", alpha=0)
    assert apart(bare[0], picture).max() == 0
    assert apart(bare[1][62:434], picture[62:434]).max() == apart(bare[2][62:434], picture[62:434]).max() == 0
    set_to(page, colormap="inferno", alpha=Style().alpha)
    # Of the values from 0 to 2 of all maps it has those from a quarter to a half.
    for shared, ends in {False: (0, 1), True: (0.25, 0.5)}.items():
        seen = set_to(page, mode="overlay", scale="shared" if shared else "own")
        drawn = field(made, 1)
        values = np.interp(drawn.values, (0, 1), ends).astype(np.float32)
        assert alike(seen[1], paint(picture, replace(drawn, values=values), Style(), unit=1), True), shared
    set_to(page, scale="own")


def test_nothing_that_is_set_in_the_viewer_runs_the_script(scene: Scene) -> None:
    sent: list[int] = []
    page = scene()
    page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: sent.append(len(frame))))
    page.reload()
    ready(page)
    before, picture = runs(page), pixels(page, 1)
    assert max(sent) > 100_000
    sent.clear()
    box = page.locator(".alpha").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.9 * box["width"], middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], middle, steps=12)
    held = pixels(page, 1)
    assert apart(held, picture).max() > 20
    page.mouse.up()
    assert apart(pixels(page, 1), held).max() == 0
    for name in ("Map", "Contour", "Spotlight", "Picture", "Overlay"):
        choose_mode(page, name)
    page.locator(".swatches [data-name=jet]").click()
    page.locator(".threshold").fill("0.4")
    page.locator(".viewer .more").click()
    for name in ("Shared scale", "True cells"):
        page.get_by_label(name).first.check()
    still(page)
    assert runs(page) == before and sent == []
    # The count can move: a click is for Python.
    page.locator(".stage").first.click(position={"x": 5, "y": 5})
    settle(page, before + 1)
    assert max(sent) < 20_000  # the picture is not sent again


def test_the_list_changes_the_map_at_once(scene: Scene) -> None:
    page = scene()
    before = pixels(page, 1)
    # Before Python can answer.
    title = page.locator(".panel .title").nth(1).element_handle()
    press = "(button, title) => { button.click(); return title.textContent; }"
    assert page.locator(".rows button").nth(1).evaluate(press, title) == "trolleybus"
    assert apart(pixels(page, 1), before).max() > 20
    page.get_by_text("chosen 1").wait_for()
    settle(page, 2)
    sync.expect(page.locator(".rows button[aria-pressed=true] .label")).to_have_text("trolleybus")


def test_the_keyboard_reaches_everything(scene: Scene) -> None:
    page = scene()
    canvas = page.get_by_role("img", name="minibus is hottest in the middle.")
    plain, painted = pixels(page, 0), pixels(page, 1)
    page.keyboard.down(" ")
    assert apart(pixels(page, 1), plain).max() == 0
    page.keyboard.up(" ")
    assert apart(pixels(page, 1), painted).max() == 0
    canvas.focus()
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    sync.expect(keys).to_contain_text("Another answer, or model")
    page.keyboard.press("Escape")
    sync.expect(keys).to_be_hidden()
    page.keyboard.press("ArrowRight")
    sync.expect(page.locator(".line")).to_have_text(re.compile(r"^minibus 0\.9.* at 445, 540$"))
    sync.expect(page.locator(".spoken")).to_have_text(page.locator(".line").inner_text())
    wide = pixels(page, 1)
    page.keyboard.press("+")
    assert apart(pixels(page, 1), wide).max() > 20
    page.keyboard.press("0")
    assert apart(pixels(page, 1), wide).max() == 0
    page.keyboard.press("Enter")
    page.get_by_text("point (445").wait_for()
    page.locator(".viewer .more").press("Enter")
    page.get_by_label("Show").focus()
    page.keyboard.press("ArrowDown")
    sync.expect(page.get_by_label("Show")).to_have_value("blend")
    sync.expect(page.locator(".swatches [data-name=jet]")).to_be_checked()
    page.keyboard.press("Escape")
    page.locator(".threshold").focus()
    page.keyboard.press("ArrowRight")
    sync.expect(page.locator(".from")).to_have_value("0.01")
    page.locator(".viewer .more").press("Enter")
    sync.expect(page.get_by_label("Shared scale")).to_be_visible()


def test_pointer_readout_and_wheel(scene: Scene) -> None:
    page = scene()
    page.locator(".stage").first.hover(position={"x": 100, "y": 150})
    sync.expect(page.locator(".line")).to_have_text(re.compile("of its maximum"))
    sync.expect(page.locator(".cross.down").nth(1)).to_be_visible()
    before = pixels(page, 0)
    stage = page.locator(".stage").nth(1)
    zoom(page, stage)
    assert apart(pixels(page, 0), before).max() > 20
    # The wheel alone scrolls the page, and a double click resets what was changed.
    page = scene()
    # Room to scroll in, above and below.
    page.evaluate("document.querySelector('[data-testid=stMainBlockContainer]').style.padding = '800px 0'")
    stage = page.locator(".stage").nth(1)
    stage.scroll_into_view_if_needed()
    stage.hover(position={"x": 100, "y": 150})
    top = "document.querySelector('[data-testid=stMain]').scrollTop"
    for turned in (-60, 60):
        before = page.evaluate(top)
        page.mouse.wheel(0, turned)
        page.wait_for_function(f"() => ({top} - {before}) * {turned} > 0")
    assert page.locator(".viewer.zoomed").count() == 0
    before = pixels(page, 1)
    page.locator(".threshold").fill("0.01")
    zoom(page, stage)
    page.locator(".threshold").dblclick()
    stage.dblclick(position={"x": 100, "y": 150})
    sync.expect(page.locator(".viewer.zoomed")).to_have_count(0)
    assert apart(pixels(page, 1), before).max() == 0


def test_on_a_phone_fingers_hold_and_pinch(scene: Scene) -> None:
    page = scene(width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    fingers = page.context.new_cdp_session(page)
    box = page.locator(".stage").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def touch(kind: str, *points: tuple[float, float]) -> None:
        at = [{"x": px, "y": py, "id": i} for i, (px, py) in enumerate(points)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    with_map = pixels(page, 0)
    touch("touchStart", (x, y))
    until(page, lambda: apart(pixels(page, 0), with_map).max() > 20, "holding does not show the plain picture")
    touch("touchEnd")
    assert apart(pixels(page, 0), with_map).max() == 0
    touch("touchStart", (x - 20, y), (x + 20, y))
    for step in range(1, 8):
        touch("touchMove", (x - 20 - 10 * step, y), (x + 20 + 10 * step, y))
    touch("touchEnd")
    sync.expect(page.locator(".viewer.zoomed")).to_have_count(1)
