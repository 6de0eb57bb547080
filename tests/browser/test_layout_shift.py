"""Nothing that a person reads moves while they work: layout shifts over the common actions of every page."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page
from screen import choose_mode, close, drop, headline, new_page, settled, still, takes_files

Act = Callable[[Page], object]

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LIMIT = 0.02
"""Chromium's layout shift score, summed over all actions of a page; a reader notices 0.1."""
_RECORD = """() => {
    window.shifts = [];
    const name = ({node}) => node?.dataset?.testid || node?.className || node?.textContent?.slice(0, 40);
    window.recorder = new PerformanceObserver(list => {
        for (const entry of list.getEntries()) window.shifts.push([entry.value, entry.sources.map(name)]);
    });
    window.recorder.observe({type: "layout-shift"});
}"""
_TAKEN = """() => {
    for (const entry of window.recorder.takeRecords()) window.shifts.push([entry.value, ["late"]]);
    return window.shifts.splice(0);
}"""


def _click(name: str, role: str = "button") -> Act:
    return lambda page: page.get_by_role(role, name=name, exact=True).first.click()  # type: ignore[arg-type]


def _answer(place: int) -> Act:
    return lambda page: page.locator(".rows button").nth(place).click()


def _refused(page: Page) -> None:
    """Drop what is no picture."""
    takes_files(page)
    drop(page, ("notes.jpg", b"no picture"))
    page.get_by_test_id("stToast").get_by_text("notes.jpg").wait_for()


def _views(*names: str) -> list[Act]:
    """Choose display modes, then point at the picture."""
    modes: list[Act] = [lambda page, name=name: choose_mode(page, name) for name in names]  # type: ignore[misc]
    return [*modes, lambda page: page.locator(".stage").last.hover()]


PAGES: dict[str, list[Act]] = {
    "/?model=demo-cls-s&example=scene+3": [
        *_views("Map", "Contour", "Spotlight", "Overlay"),
        _answer(1),
        *(_click(name, "radio") for name in ("Why", "m", "Scene 2")),
        _refused,
    ],
    "/?model=demo-s&example=scene+3": [*_views("Map", "Spotlight", "Overlay"), _answer(1), _answer(0)],
    "/?edit=1&model=demo-cls-s&example=scene+3": [
        *(_click(name) for name in ("Show only what I kept", "Rectangle")),
        lambda page: page.locator("select.fill").select_option(index=1),
        _click("Brush"),
        *_views("Map", "Overlay"),
    ],
}
"""Of each page its address and what a person does there.

What asks for another layout is not among them: more panels, another question, another kind of step.
"""


@pytest.mark.parametrize("address", PAGES)
def test_nothing_moves_on(visit: Callable[..., Page], address: str) -> None:
    page, moved = visit(address, reduced_motion="reduce"), []
    headline(page).wait_for()
    settled(page)
    still(page)
    page.evaluate(_RECORD)
    for number, act in enumerate(PAGES[address], 1):
        act(page)
        settled(page)
        still(page)
        moved += [(f"act {number}", value, sources) for value, sources in page.evaluate(_TAKEN)]
    assert sum(value for _, value, _ in moved) < LIMIT, [each for each in moved if each[1] > 0.001]


_LOADING = """() => {
    window.shifts = [];
    new PerformanceObserver(list => {
        for (const {value, hadRecentInput} of list.getEntries()) if (!hadRecentInput) window.shifts.push(value);
    }).observe({type: "layout-shift", buffered: true});
}"""


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("address", ["/", "/topk", "/compare", "/pictures", "/video", "/saved", "/models"])
def test_little_moves_while_a_page_loads(browser: Browser, server: str, address: str, width: int) -> None:
    sums = []
    # The least of three: beside other tests a page arrives in more pieces, and moves by each.
    while not sums or (len(sums) < 3 and min(sums) >= 0.1):
        page = new_page(browser, viewport={"width": width, "height": 900})
        page.add_init_script(f"({_LOADING})()")
        page.goto(server + address)
        headline(page).wait_for()
        settled(page)
        still(page)
        sums.append(sum(page.evaluate("window.shifts")))
        close(browser)
    assert min(sums) < 0.1
