"""No page has too much on it, or shuts out who sees it badly or has no mouse, as far as a machine can tell."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from screen import CANVAS, HEIGHT, fits, go_to, new_page, serious, settled, still

from tests.packages import menu

pytestmark = pytest.mark.browser
COUNT = Path(__file__).with_name("count.js").read_text("utf-8")
CLIPPED = Path(__file__).with_name("clipped.js").read_text("utf-8")
LARGE_TEXT = 21
"""CSS pixels of a browser's text where its owner chose 130 % of the usual 16."""
IN_ORDER = (
    ".st-key-picture-bar",
    "canvas.base",
    ".st-key-headline h2",
    ".foot",
    ".st-key-method",
    ".st-key-instruments",
)
IN_ORDER += (".st-key-answers", ".st-key-choices", ".st-key-acts")
"""The parts of Explore on a phone, from the top."""
MOST_BETWEEN = 24
"""CSS pixels between two parts."""
WORDS, CONTROLS = 100, 44
"""The most of a page above the fold, as a person counts them, without the three checks' answers."""


def found(page: Page, where: str, *only: str) -> list[str]:
    """What axe finds once nothing on the page moves any more, by all rules or `only` these."""
    for _ in range(5):
        still(page)
        seen = serious(page, *only)
        if not page.locator('[data-stale="true"]').count():
            break
        # A run that began meanwhile: what it is about to replace is pale.
    return [f"{where}: {problem}" for problem in seen]


def shown(page: Page, name: str) -> None:
    """Wait until a page is there, under its own name, at rest."""
    expect(page).to_have_title(f"{name} · Sightglass")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    heading = page.get_by_role("heading", level=2).first
    expect(heading).to_be_visible()
    expect(heading).not_to_have_text(re.compile("^Nothing saved yet: making"))
    settled(page)


def opened(browser: Browser, server: str, width: int) -> Page:
    page = new_page(browser, viewport={"width": width, "height": HEIGHT}, color_scheme="light")
    page.goto(server)
    page.locator(CANVAS).first.wait_for()
    shown(page, "Explore")
    return page


def end(part: Locator) -> float:
    """Where a part of the page ends, in pixels from the top."""
    box = part.bounding_box()
    return box["y"] + box["height"]


def too_much(page: Page, name: str) -> list[str]:
    """What is more than a page may have above the fold: its words, its controls, and what must be in sight there."""
    page.set_viewport_size({"width": 1440, "height": 900})
    settled(page)
    words, controls = (page.evaluate(COUNT)[kind] for kind in ("words", "controls"))
    if name not in ("Saved", "Models"):
        assert end(page.locator(".st-key-choices")) < 120, name
    if name == "Explore":
        assert end(page.get_by_role("radio", name="Whole picture")) <= 900
        boxes = map(Locator.bounding_box, page.locator(".stage").all())
        stages = [box["width"] * box["height"] for box in boxes if box]
        assert len(stages) == 2 and min(stages) >= 0.2 * 1440 * 900
    page.set_viewport_size({"width": 1440, "height": HEIGHT})
    over = len(words) > WORDS or len(controls) > CONTROLS
    return [f"{name}: {len(words)} words, {len(controls)} controls: {words} {controls}"] if over else []


def fits_smaller_windows(page: Page) -> None:
    """The page fits a smaller window and a phone; the window is wide before and after."""
    page.set_viewport_size({"width": 1024, "height": HEIGHT})
    fits(page)
    box = page.get_by_test_id("stTopNavLink").last.bounding_box()
    assert box["x"] + box["width"] < 1024
    page.set_viewport_size({"width": 720, "height": HEIGHT})
    narrow = "all => all.filter(one => one.clientWidth < Math.min(40, one.scrollWidth)).length"
    assert page.locator(".rows .label").evaluate_all(narrow) == 0
    page.set_viewport_size({"width": 390, "height": HEIGHT})
    fits(page)
    choices = page.get_by_test_id("stMain").locator('button[role="radio"]:not(.st-key-picture-bar *)')
    assert choices.evaluate_all("all => all.filter(one => one.getBoundingClientRect().right > innerWidth).length") == 0
    page.set_viewport_size({"width": 1440, "height": HEIGHT})


def test_every_page_is_accessible_and_fits(browser: Browser, server: str) -> None:
    page, wrong = opened(browser, server, 1440), []
    ground, grounds = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor", set()
    for name in menu().values():
        go_to(page, name)
        shown(page, name)
        wrong += too_much(page, name)
        for theme, rules in (("dark", ["color-contrast"]), ("light", [])):
            page.emulate_media(color_scheme=theme)
            wrong += found(page, f"{name}, {theme}", *rules)
            grounds.add(page.evaluate(ground))
        fits_smaller_windows(page)
        text = page.get_by_role("heading", level=2).locator("span").first
        text.evaluate("span => { span.textContent = 'Longer '.repeat(60); }")
        for picture in page.locator("canvas.base").all()[:1]:
            assert end(text) - 1 <= picture.bounding_box()["y"], name
    assert wrong == [] and len(grounds) == 2


def test_keys_enter_and_leave_popovers_in_sight(browser: Browser, server: str) -> None:
    page = opened(browser, server, 1440)
    options, more = page.locator(".st-key-options button").first, page.locator(".more").first
    options.press("Enter")
    page.get_by_test_id("stPopoverBody").wait_for()
    options.press("Tab")
    expect(page.get_by_test_id("stPopoverBody").locator(":focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(options).to_be_focused()
    more.press("Enter")
    page.locator(".mode").first.press("Escape")
    expect(more).to_be_focused()
    page.get_by_test_id("stTopNavLink").first.focus()
    expect(page.get_by_test_id("stTopNavLink").first).to_have_css("outline-style", "solid")
    page.emulate_media(media="print")
    expect(page.get_by_test_id("stHeader")).to_be_hidden()
    page.emulate_media(media="screen", color_scheme="dark")
    page.goto(f"{server}/saved?deck=cheat")
    page.get_by_role("button", name="Present").wait_for()
    assert found(page, "a deck in the dark", "color-contrast") == []


def test_phone_order_of_map_controls_links(browser: Browser, server: str) -> None:
    page = opened(browser, server, 390)
    boxes = [page.locator(part).first.bounding_box() for part in IN_ORDER]
    tops, ends = [box["y"] for box in boxes], [box["y"] + box["height"] for box in boxes]
    assert tops[0] < 70 and tops[1] < 130
    gaps = [after - before for before, after in zip(ends, tops[1:], strict=False)]
    assert all(-2 < gap <= MOST_BETWEEN for gap in gaps), dict(zip(IN_ORDER[1:], gaps, strict=True))
    chips = [box for chip in page.locator(".st-key-choices > *").all() if (box := chip.bounding_box())]
    assert len({round(box["y"] + box["height"] / 2) for box in chips}) == 1
    assert max(box["x"] + box["width"] for box in chips) <= 390
    wrong = found(page, "a phone")
    links = page.locator(".st-key-bottom-bar").get_by_role("link")
    expect(links).to_have_count(len(menu()))
    for name in reversed(menu().values()):
        links.filter(has_text=name).click()
        shown(page, name)
    assert wrong == [], "\n".join(wrong)


def test_a_headline_of_two_lines_moves_nothing_on_a_phone(browser: Browser, server: str) -> None:
    page = opened(browser, server, 390)
    below = page.locator(".st-key-instruments")
    before = below.bounding_box()
    text = page.locator(".st-key-headline h2 span").first
    text.evaluate("span => { span.textContent = 'EfficientNet says tripod with much of it cut off.'; }")
    assert text.bounding_box()["height"] > 40 and below.bounding_box() == before


@pytest.mark.parametrize(("width", "height"), [(390, 844), (844, 390)])
def test_a_phone_shows_pictures_first_and_keeps_save_in_sight(
    browser: Browser, server: str, width: int, height: int
) -> None:
    page = new_page(browser, viewport={"width": width, "height": height}, has_touch=True)
    for name in ("explore", "compare"):
        page.goto(f"{server}/{name}")
        shown(page, name.capitalize())
        picture = page.locator("canvas.base").first
        assert end(picture) <= height, name
        save = page.get_by_role("button", name="Save", exact=True)
        before = save.bounding_box()
        assert min(before["width"], before["height"]) >= 44
        page.get_by_test_id("stMain").evaluate("main => { main.scrollTop = main.scrollHeight; }")
        assert 0 <= save.bounding_box()["y"] < before["y"], name
    save.click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_instruments_are_large_enough_for_fingers(browser: Browser, server: str) -> None:
    page = new_page(browser, viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True)
    page.goto(server)
    shown(page, "Explore")
    fits(page)
    targets = page.locator(".instruments :is(.swatches button, .more, .from, .alpha, .threshold)").all()
    assert len(targets) == 10
    for target in targets:
        box = target.bounding_box()
        assert min(box["width"], box["height"]) >= 44, target


@pytest.mark.parametrize("width", [390, 1440])
def test_large_text_is_neither_cut_nor_over_other_controls(browser: Browser, server: str, width: int) -> None:
    page, wrong = opened(browser, server, width), []
    small = page.locator(".instruments .label").first.evaluate("label => getComputedStyle(label).fontSize")
    session = page.context.new_cdp_session(page)
    session.send("Page.setFontSizes", {"fontSizes": {"standard": LARGE_TEXT}})
    for path, name in menu().items():
        page.goto(f"{server}/{path}")
        shown(page, name)
        still(page)
        wrong += [f"{name}: {problem}" for problem in page.evaluate(CLIPPED)]
        fits(page)
        if name == "Explore":
            large = page.locator(".instruments .label").first.evaluate("label => getComputedStyle(label).fontSize")
            assert float(large[:-2]) / float(small[:-2]) == pytest.approx(LARGE_TEXT / 16, abs=0.01)
    assert wrong == [], "\n".join(wrong)
