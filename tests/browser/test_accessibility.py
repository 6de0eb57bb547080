"""No page shuts out who sees it badly or has no mouse, as far as a machine can tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from screen import CANVAS, HEIGHT, fits, go_to, headline, new_page, serious, settled, still

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
PAGES = [
    ("Look", "Explore"),
    ("Look", "Top-k"),
    ("Look", "Detect"),
    ("Compare", "Side by side"),
    ("Compare", "Similarity"),
    ("Compare", "Scorecard"),
    ("Prove", "Catch the cheat"),
    ("Prove", "Trust"),
    ("Prove", "What if"),
    ("Many pictures", "Batch"),
    ("Many pictures", "Errors"),
    ("Show", "Live"),
    ("Show", "Video"),
    ("Show", "Present"),
    ("History", "History"),
    ("Models", "Models"),
]
MENUS = [menu for menu, _ in PAGES]
LONG = "They disagree: small and medium say minibus, and the large one says trolleybus."


def found(page: Page, where: str, *schemes: str) -> list[str]:
    """What axe finds in the first of these themes, and of colours in the others; the page is light before and after."""
    wrong = []
    for number, scheme in enumerate(schemes):
        page.emulate_media(color_scheme=scheme)
        for _ in range(5):
            still(page)
            seen = serious(page, colours=number > 0)
            if not page.locator('[data-stale="true"]').count():
                break
            # A run that began meanwhile: what it is about to replace is pale.
        wrong += [f"{where}, {scheme}: {one}" for one in seen]
    page.emulate_media(color_scheme="light")
    return wrong


def shown(page: Page, name: str) -> None:
    """Wait until a page is there, under its own name, at rest."""
    expect(page).to_have_title(f"{name} · Sightglass")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    heading = page.get_by_role("heading", level=2).first
    expect(heading).to_be_visible()
    # Scorecard, Batch, Errors and History first make what they open on.
    making = "Which can be shipped:|Explaining|Nothing saved yet: making"
    expect(heading).not_to_have_text(re.compile(f"^({making})"))
    settled(page)


def opened(browser: Browser, server: str, width: int) -> Page:
    page = new_page(browser, viewport={"width": width, "height": HEIGHT}, color_scheme="light")
    page.goto(server)
    page.locator(CANVAS).first.wait_for()
    return page


def narrowed(page: Page, where: str) -> list[str]:
    """What is wrong in a smaller window and on a phone; the window is wide before and after."""
    last, picture = page.get_by_test_id("stTopNavSection").last, page.locator(CANVAS).first
    page.set_viewport_size({"width": 1024, "height": HEIGHT})
    fits(page)
    box = last.bounding_box()
    assert box["x"] + box["width"] < 1024
    if where in ("Explore", "Top-k", "Side by side"):
        still(page)
        before = picture.bounding_box()
        # Two of them beside the list of answers.
        assert where != "Explore" or before["width"] > 235
        # A sentence of two lines pushes nothing down.
        headline(page).evaluate("(node, text) => { node.kept = [...node.childNodes]; node.textContent = text; }", LONG)
        assert picture.bounding_box()["y"] == before["y"]
        headline(page).evaluate("(node) => node.replaceChildren(...node.kept)")
    page.set_viewport_size({"width": 390, "height": HEIGHT})
    fits(page)
    choices = page.get_by_test_id("stMain").locator('button[role="radio"]')
    assert choices.evaluate_all("all => all.filter(one => one.getBoundingClientRect().right > innerWidth).length") == 0
    wrong = found(page, f"{where}, on a phone", "light")
    page.set_viewport_size({"width": 1440, "height": HEIGHT})
    return wrong


def test_every_page_fits_its_window_and_nothing_on_it_is_serious(browser: Browser, server: str):
    page, wrong = opened(browser, server, 1440), []
    bar, menus = page.get_by_test_id("stTopNav"), page.get_by_test_id("stTopNavSection")
    shown(page, "Explore")
    left = menus.first.bounding_box()["x"]
    for menu, name in PAGES:
        # A menu with one page opens it at once.
        go_to(page, menu, name if MENUS.count(menu) > 1 else "")
        shown(page, name)
        expect(bar.locator("strong")).to_have_text(f"{menu} · {name}" if menu != name else name)
        expect(menus).to_have_count(len(set(MENUS)))
        # Also where there is no sidebar beside it.
        assert abs(menus.first.bounding_box()["x"] - left) < 3
        wrong += found(page, name, "light", "dark") + narrowed(page, name)
    for lens in ("one", "layers"):
        page.goto(f"{server}/detect?model=demo-s&example=scene%203&lens={lens}")
        page.locator("canvas.base").last.wait_for()
        settled(page)
        wrong += found(page, f"Detect, {lens}", "light", "dark") + narrowed(page, f"Detect, {lens}")
    # Without a mouse.
    menus.first.focus()
    page.keyboard.press("Enter")
    items = page.get_by_role("menuitem")
    expect(items.first).to_be_focused()
    wrong += found(page, "the open menu", "light", "dark")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    shown(page, "Top-k")
    assert wrong == []


def test_the_drawer_of_a_phone_folds(browser: Browser, server: str):
    page, wrong = opened(browser, server, 390), []
    drawer, handle = page.get_by_test_id("stSidebar"), page.get_by_test_id("stExpandSidebarButton")
    shown(page, "Explore")
    for name in ("Top-k", "Models", "Explore"):
        expect(drawer).to_have_attribute("data-collapsed", "true")
        handle.click()
        expect(drawer).to_have_attribute("data-collapsed", "false")
        if name == "Top-k":
            wrong += found(page, "the open drawer", "dark")
        drawer.get_by_role("link", name=name).click()
        expect(drawer).to_have_attribute("data-collapsed", "true")
        shown(page, name)
        fits(page)
    handle.click()
    expect(drawer).to_have_attribute("data-collapsed", "false")
    page.reload()
    expect(drawer).to_have_attribute("data-collapsed", "true")
    shown(page, "Explore")
    assert wrong == []
