"""History in a browser: kept, opened, marked by mouse and by keys, still there after a reload, deleted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from screen import still, until

from sightglass.explain import Explainer
from sightglass.history import History

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from sightglass.explain import Explanation
    from sightglass.history import Record

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def store() -> History:
    """The server's history."""
    made = History()
    made.delete([record.id for record in made.search(limit=200).records])
    return made


@pytest.fixture(scope="module")
def explained(bus: Path) -> Explanation:
    return Explainer("demo-cls-s")(bus, top_k=1)


def marking(page: Page) -> Locator:
    """The board to draw on, in its place."""
    page.get_by_role("radio", name="Annotate").click()
    stage = page.locator(".markup .stage")
    expect(stage).to_be_visible()
    expect(stage.locator("image")).to_have_attribute("href", re.compile("^blob:"))
    return stage


def drag(page: Page, stage: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one share of the picture to another."""
    box = stage.bounding_box()
    assert box is not None
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=6)
    page.mouse.up()


def test_an_arrow_lies_where_it_was_drawn_and_is_moved_by_hand(visit, store: History, explained: Explanation):
    record = store.keep(explained)
    page = visit(f"/history?kept={record.id}")
    stage = marking(page)
    drag(page, stage, (0.2, 0.25), (0.6, 0.75))
    until(page, lambda: len(store.get(record.id).marks) == 1, "the arrow is kept")
    (mark,) = store.get(record.id).marks
    assert mark.kind == "arrow"
    near(mark.points, record, (0.2, 0.25), (0.6, 0.75))
    page.reload()
    stage = page.locator(".markup .stage")
    expect(stage.locator(".mark.arrow")).to_have_count(1)
    # What is laid out later would move the picture under the hand.
    still(page)
    drag(page, stage, (0.4, 0.5), (0.5, 0.5))
    words = page.get_by_role("textbox", name="Text of: Arrow")
    words.fill("moved")
    words.press("Tab")
    expect(stage.get_by_text("moved", exact=True)).to_be_visible()
    until(page, lambda: store.get(record.id).marks[0].text == "moved", "its words are kept")
    near(store.get(record.id).marks[0].points, record, (0.3, 0.25), (0.7, 0.75))


def near(points: tuple[tuple[float, float], ...], record: Record, *shares: tuple[float, float]) -> None:
    """The points are at these shares of the record's picture, but for a hand's breadth."""
    for (x, y), (across, down) in zip(points, shares, strict=True):
        assert abs(x - across * record.width) < 0.02 * record.width
        assert abs(y - down * record.height) < 0.02 * record.height


def test_marks_are_made_moved_and_undone_by_keys(visit, store: History, explained: Explanation):
    record = store.keep(explained, note="by keys")
    page = visit(f"/history?kept={record.id}")
    stage = marking(page)
    stage.focus()
    for key in ("c", "Enter", "Enter", "ArrowRight", "ArrowRight", "Shift+ArrowDown", "Enter"):
        stage.press(key)
    expect(page.locator(".markup .mark.circle")).to_have_count(1)
    # The pen is where it was left.
    stage.press("t")
    stage.press("Enter")
    entry = page.get_by_role("textbox", name="Text of the mark")
    entry.fill("look here")
    entry.press("Enter")
    wanted = [("circle", ""), ("text", "look here")]
    until(page, lambda: [(mark.kind, mark.text) for mark in store.get(record.id).marks] == wanted, "both are kept")
    stage.press("u")
    expect(page.locator(".markup .mark")).to_have_count(1)


def test_a_note_is_not_lost_where_its_popover_is_closed_or_its_page_left(visit, store: History):
    page = visit("/?model=demo-cls-s&example=scene%203")
    page.get_by_role("button", name="Save", exact=True).click()
    more, note = page.get_by_role("button", name="Note, tags"), page.get_by_role("textbox", name="Note")
    more.click()
    note.press_sequentially("the roof")
    note.press("Escape")
    until(page, lambda: [one.note for one in store.search(text="roof").records] == ["the roof"], "Escape saves it")
    expect(note).to_have_count(0)
    more.click()
    expect(note).to_have_value("the roof")
    note.press_sequentially(", the door")
    # Without leaving the field.
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    note.press_sequentially(", the wheels")
    page.get_by_role("link", name="Saved to History").click()
    until(page, lambda: "wheels" in store.search(text="roof").records[0].note, "a link saves it")
    store.delete([record.id for record in store.search(text="roof").records])
