"""Pictures that come from a hand or a camera: painting, drawing, frames that are frozen."""

import math
import re
from collections.abc import Iterator

import numpy as np
import provide
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect
from screen import LIMIT, SEEN, at_rest, coarse, drawn, expect_picture, go_to, headline, leaves, pixels, settled, until

from benchmarks.viewer.browser import FLAGS
from sightglass.explain.rendering.style import Style, colormaps
from sightglass.explain.whatif import edits
from sightglass.models import drawing
from sightglass.ui.session.pictures import image_source

pytestmark = pytest.mark.browser
CANVAS = ".painter canvas"


def canvas(page: Page) -> np.ndarray:
    return coarse(drawn(page.locator(CANVAS)))


def test_touching_the_picture_moves_the_bars_and_goes_on_in_the_painter(visit):
    page = visit("/?model=demo-cls-s&example=scene+3")
    settled(page)
    at_rest(page)
    row, line = page.locator(".rows .row").first, page.locator(".viewer .spoken")
    first = row.locator(".text").inner_text()
    x0, y0, width, height = page.locator(".stage").first.bounding_box().values()
    page.mouse.move(x0 + width / 2, y0 + height / 2)
    page.mouse.down()
    expect(row.locator(".was")).to_be_visible()
    page.mouse.wheel(0, -100)
    page.mouse.move(x0 + 0.1 * width, y0 + 0.1 * height, steps=5)
    page.mouse.move(x0 + 0.9 * width, y0 + 0.8 * height, steps=9)
    expect(row.locator(".text")).not_to_have_text(first)
    expect(line).not_to_have_text(re.compile("^Without it"))
    page.mouse.up()
    expect(line).to_have_text(re.compile(r"^Without it: .+ \d+ → \d+.%\.$"))
    page.keyboard.press("Escape")
    expect(row.locator(".was")).to_be_hidden()
    expect(row.locator(".text")).to_have_text(first)
    expect(page.locator(".viewer .line")).not_to_have_text(re.compile("^Without it"))

    # By keys, then with all tools; the trail goes along.
    page.locator(".stage canvas.base").first.focus()
    page.keyboard.press("t")
    expect(row.locator(".was")).to_be_visible()
    page.get_by_role("button", name="More").click()
    page.get_by_role("button", name="Edit the picture").click()
    expect(headline(page)).to_have_text(re.compile("^Without what you painted over, "))
    expect(page.locator(CANVAS)).to_have_attribute("aria-label", re.compile("to paint on. 1 mark.$"))
    page.get_by_role("button", name="Back to the map").click()
    expect(page.locator(".rows .row .text").first).to_have_text(first)


def test_a_ghost_covers_the_strongest_place_on_a_first_visit(visit):
    page = visit("/")
    page.add_init_script("localStorage.removeItem('sightglass.covered')")
    page.reload()
    line = page.locator(".viewer .line")
    expect(line).to_have_text(re.compile("^Without it: espresso "))
    expect(line).to_have_text(re.compile("^Strongest "))
    assert page.evaluate("localStorage.getItem('sightglass.covered')") == "1"


def test_the_headline_names_the_colour_that_is_shown(visit):
    page = visit("/", color_scheme="light")
    expect(headline(page)).to_have_text(re.compile("Orange shows the evidence for it[.]$"))
    page.get_by_role("button", name="All colours").click()
    for name in colormaps():
        page.locator(f".colormaps [data-name={name}]").click()
        expect(headline(page).locator("em")).to_have_text(Style(colormap=name).hot.capitalize())
    page.keyboard.press("Escape")
    # A headline that comes later, too.
    page.locator("[data-testid=stMain]").get_by_role("button", name=re.compile("^cup ")).first.click()
    expect(headline(page)).to_have_text(
        re.compile(f"{Style(colormap=name).hot.capitalize()} shows the evidence for cup[.]$")
    )


def test_canvas_equals_edit_undo_and_original(visit):
    page = visit("/?edit=1&example=bus")
    expect(headline(page)).to_have_text(re.compile("Paint over something"))
    original = canvas(page)
    page.get_by_label("Fill with").select_option("grey")
    page.get_by_role("button", name="Rectangle").click()
    box = page.locator(CANVAS).bounding_box()
    for x, y in ((0.2, 0.3), (0.9, 0.65)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        page.mouse.down()
    page.mouse.up()
    expect(headline(page)).to_have_text(re.compile("^Without what you painted over, "))
    settled(page)
    edit = edits.Edit((edits.EditMark("rectangle", ((0.2, 0.3), (0.9, 0.65))),), "grey")
    expected = coarse(edits.edited(image_source.example("bus"), edit).image.pixels)
    painted = canvas(page)
    assert np.abs(painted - expected).mean() < 5 < np.abs(painted - original).mean()

    page.locator(CANVAS).focus()
    page.keyboard.down(" ")
    until(page, lambda: np.array_equal(canvas(page), original), "space does not show the original")
    page.keyboard.up(" ")
    until(page, lambda: np.array_equal(canvas(page), painted), "the edit does not come back")
    page.keyboard.press("Control+z")
    expect(headline(page)).to_have_text(re.compile("Paint over something"))
    until(page, lambda: np.array_equal(canvas(page), original), "undo leaves something")
    page.keyboard.press("Control+z")
    until(page, lambda: np.array_equal(canvas(page), painted), "the step does not come back")
    page.keyboard.press("Control+z")
    # By keys alone: a line with the brush.
    page.get_by_role("button", name="Brush", exact=True).click()
    page.locator(CANVAS).focus()
    for key in ("Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Enter"):
        page.keyboard.press(key)
    expect(headline(page)).to_have_text(re.compile("^Without what you painted over, "))
    expect(page.locator(CANVAS)).to_have_attribute("aria-label", "bus.jpg, to paint on. 1 mark.")


STAR = [
    (
        0.5 + (0.4 if i % 2 == 0 else 0.16) * math.sin(i * math.pi / 5),
        0.52 - (0.4 - 0.24 * (i % 2)) * math.cos(i * math.pi / 5),
    )
    for i in range(11)
]


def paper(page: Page) -> np.ndarray:
    """What is on the paper, float (112, 112) in 0..1, black is 0."""
    grey = Image.fromarray(drawn(page.locator(CANVAS))[..., 0].astype(np.uint8))
    return np.asarray(grey.resize((112, 112), Image.Resampling.BOX)) / 255


def until_drawn(page: Page, expected: np.ndarray) -> None:
    """Smooth edges differ a little; a point that was lost or shifted would move a whole arm of the star."""
    until(page, lambda: np.abs(paper(page) - expected).mean() < 0.01, "the paper does not show the drawing")


def test_drawing_is_explained_and_stays(visit):
    page = visit("/?model=demo-cls-s")
    page.get_by_text("Predictions").wait_for()
    page.get_by_role("button", name="Draw", exact=True).click()
    page.locator(CANVAS).wait_for()
    settled(page)
    until(page, lambda: paper(page).min() == 1, "the paper is not empty")
    box = page.locator(CANVAS).bounding_box()
    path = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in STAR]
    page.mouse.move(*path[0])
    page.mouse.down()
    for place in path[1:6]:
        page.mouse.move(*place, steps=6)
    # The pen is still down.
    expect_picture(page, "drawing.png")
    for place in path[6:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()
    settled(page)
    page.locator("h2").first.wait_for()
    expected = drawing.draw([drawing.Stroke(tuple(STAR))], "black on white", 112)[:, :, 0] / 255
    until_drawn(page, expected)
    expect(page.get_by_text("1 mark.")).to_have_count(1)

    # Another screen and back: the same drawing, on a paper that is mounted anew.
    go_to(page, "Top-k")
    page.wait_for_url("**/topk*")
    expect_picture(page, "drawing.png")
    settled(page)
    go_to(page, "Explore")
    page.locator(CANVAS).wait_for()
    settled(page)
    until_drawn(page, expected)


FAKE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture
def page(browser: Browser, server: str) -> Iterator[Page]:
    """The page Video in a browser with a made-up camera, which is on."""
    started = browser.browser_type.launch(executable_path=provide.find(), args=[*FLAGS, *FAKE])
    new_page, wrong = started.new_page(viewport={"width": 1440, "height": 900}), []
    new_page.set_default_timeout(LIMIT)
    new_page.add_init_script(SEEN)
    new_page.on("pageerror", lambda error: wrong.append(str(error)))
    new_page.on("request", lambda request: wrong.append(request.url) if leaves(request.url) else None)
    new_page.goto(f"{server}/video?source=camera")
    new_page.get_by_role("button", name="Start the camera").click()
    until(new_page, lambda: int(live(new_page).get_attribute("data-shown") or 0) >= 3, "no frames come")
    yield new_page
    started.close()
    assert wrong == []


def live(page: Page) -> Locator:
    return page.locator(".live")


def test_frozen_camera_frame_opens_on_explore(page):
    expect(live(page).locator(".speed")).to_have_text(re.compile(r"^\d+ ms behind the camera"))
    expect(live(page).locator("canvas")).to_have_attribute("aria-label", re.compile("^The camera with its map"))
    live(page).locator(".rows button").nth(1).click()
    until(page, lambda: live(page).locator(".follows").inner_text().startswith("Following"), "nothing is followed")
    name = live(page).locator('.rows [aria-pressed="true"] .label').inner_text()
    live(page).get_by_role("button", name="Freeze").click()
    frozen = coarse(drawn(live(page).locator("canvas")))
    # The made-up camera's picture is green.
    assert frozen[:, :, 1].mean() > frozen[:, :, 2].mean() + 10
    live(page).get_by_role("button", name="Open on Explore").click()
    # Without a class in it where the followed one has become the best.
    page.wait_for_url(re.compile(r"[?&]picture="))
    at_rest(page)
    expect(page.locator('[aria-pressed="true"] .label')).to_have_text(name)
    assert np.abs(coarse(pixels(page)) - frozen).mean() < 3


def test_instruments_restyle_the_camera_at_once(page):
    sockets = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    live(page).get_by_role("button", name="Freeze").click()
    canvas, instruments = live(page).locator("canvas"), page.locator(".instruments")
    before = drawn(canvas)
    instruments.locator(".swatches [data-name=gray]").click()
    until(page, lambda: (drawn(canvas) != before).any(), "the colours stay")
    instruments.locator(".alpha").fill("0")
    without = drawn(canvas)[:, :, :3].astype(int)
    until(page, lambda: (drawn(canvas) != before).any(), "the opacity stays")
    assert np.abs(without - before[:, :, :3]).mean() > 1
    expect(instruments.locator(".percent")).to_have_text("0\u00a0%")
    assert not sockets, "the connection was made anew"


def test_snapshot_is_named_and_downloaded(page):
    live(page).get_by_role("button", name="Freeze").click()
    before = drawn(live(page).locator("canvas"))
    live(page).get_by_role("button", name="Snapshot").click()
    words = page.get_by_text(re.compile(r"^Saved as heatmap_\d{8}_\d{6}\.jpg in the folder"))
    expect(words).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename in words.inner_text()
    picture = np.asarray(Image.open(download.value.path()).convert("RGB"))
    assert picture.shape == (*before.shape[:2], 3)
    assert np.abs(picture.astype(int) - before[:, :, :3]).mean() < 3


def test_recording_can_be_explained(page):
    button = live(page).locator(".record")
    button.click()
    expect(button).to_have_text(re.compile(r"^Stop, \d+ s left$"))
    until(page, lambda: int(re.search(r"\d+", button.inner_text())[0]) < 9, "the time that is left stays")
    button.click()
    expect(page.get_by_role("heading", name=re.compile(r"camera_.*\.webm: press Explain"))).to_be_visible()
    page.locator("video").wait_for()
    until(page, lambda: page.evaluate("(document.querySelector('video')?.readyState ?? 0) > 1"), "it cannot be played")
