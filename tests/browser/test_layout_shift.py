"""Nothing that a person reads moves while they work: layout shifts over the common actions of every page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from screen import headline, settled, still, takes_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from playwright.sync_api import Page

    Act = tuple[str, Callable[[Page], object]]

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LIMIT = 0.02
"""Chromium's layout shift score, summed over all actions of a page; a reader notices 0.1."""
_RECORD = """() => {
    window.shifts = [];
    const name = ({node}) => node?.dataset?.testid || node?.className || node?.nodeName;
    window.recorder = new PerformanceObserver(list => {
        for (const entry of list.getEntries())
            window.shifts.push([entry.value, entry.sources.map(one => {
                const {previousRect: a, currentRect: b} = one;
                return `${name(one)} ${[a.x, a.y, a.width, a.height]} -> ${[b.x, b.y, b.width, b.height]}`
                    + ` "${(one.node?.textContent || "").slice(0, 40)}"`;
            })]);
    });
    window.recorder.observe({type: "layout-shift"});
}"""
_TAKEN = """() => {
    for (const entry of window.recorder.takeRecords()) window.shifts.push([entry.value, ["late"]]);
    return window.shifts.splice(0);
}"""


def _click(name: str, role: str = "button") -> Callable[[Page], object]:
    return lambda page: page.get_by_role(role, name=name, exact=True).first.click()  # type: ignore[arg-type]


def _radio(name: str) -> Callable[[Page], object]:
    return lambda page: page.get_by_role("radio", name=name, exact=True).first.click()


def _at(selector: str, index: int = 0) -> Callable[[Page], object]:
    return lambda page: page.locator(selector).nth(index).click()


def _mode(name: str) -> Callable[[Page], object]:
    """Choose a display mode, whose menu is closed."""
    change = "(select, value) => { select.value = value; select.dispatchEvent(new Event('change')); }"
    return lambda page: page.locator(".mode").first.evaluate(change, name.lower())


def _point(page: Page) -> None:
    page.locator(".stage").last.hover()


def _refused(page: Page) -> None:
    """Drop what is no picture."""
    takes_files(page)
    page.evaluate(
        """() => {
            const carried = new DataTransfer();
            carried.items.add(new File(["no picture"], "notes.jpg", {type: "image/jpeg"}));
            const main = document.querySelector('[data-testid="stMain"]');
            main.dispatchEvent(new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true}));
        }"""
    )
    page.get_by_test_id("stToast").get_by_text("notes.jpg").wait_for()


def _views(*names: str) -> list[Act]:
    return [*((name, _mode(name)) for name in names), ("point", _point)]


PAGES: dict[str, tuple[str, list[Act]]] = {
    "explore": (
        "/?model=demo-cls-s&example=scene+3",
        [
            *_views("Map", "Contour", "Spotlight", "Overlay"),
            ("another class", _at(".rows button", 1)),
            ("another question", _radio("Why")),
            ("another size", _radio("m")),
            ("another picture", _radio("Scene 2")),
            ("a file that is refused", _refused),
        ],
    ),
    "detect": (
        "/?model=demo-s&example=scene+3",
        [*_views("Map", "Spotlight", "Overlay"), ("box", _at(".rows button", 1)), ("box", _at(".rows button", 0))],
    ),
    "whatif": (
        "/whatif?model=demo-cls-s&example=scene+3",
        [
            ("cover", _click("Cover the strongest part")),
            ("clear", _click("Clear")),
            ("undo", _click("Undo")),
            ("rectangle", _click("Rectangle")),
            ("fill", lambda page: page.locator("select.fill").select_option(index=1)),
            ("brush", _click("Brush")),
            *_views("Map", "Overlay"),
        ],
    ),
}
"""Of each page its address and what a person does there.

What asks for another layout is not among them: more panels, another lens, another kind of step.
"""


def _record(page: Page, acts: Iterable[Act]) -> list[tuple[str, float, list[str]]]:
    """Do them one after the other; return what moved during which."""
    headline(page).wait_for()
    settled(page)
    still(page)
    page.evaluate(_RECORD)
    moved: list[tuple[str, float, list[str]]] = []
    for what, act in acts:
        act(page)
        settled(page)
        still(page)
        moved += [(what, value, sources) for value, sources in page.evaluate(_TAKEN)]
    return moved


@pytest.mark.parametrize("name", PAGES)
def test_nothing_moves_on(visit: Callable[..., Page], name: str) -> None:
    path, acts = PAGES[name]
    moved = _record(visit(path, reduced_motion="reduce"), acts)
    assert sum(value for _, value, _ in moved) < LIMIT, moved
