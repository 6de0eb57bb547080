"""History in a browser: kept, opened, marked by mouse and by keys, still there after a reload, deleted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from screen import serious, still, until

from sightglass.explain import Explainer
from sightglass.history import History, Mark

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from sightglass.history import Record

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def store(pictures: list[Path]) -> History:
    """The server's history: nine records of a small model, of three pictures."""
    made, explainer = History(), Explainer("demo-cls-s")
    made.delete([record.id for record in made.search(limit=200).records])
    for number in range(9):
        explanation = explainer(pictures[number % 3], top_k=3)
        made.keep(
            explanation, index=number // 3, note=f"note {number}", tags=["a tag of some length", "talk"][: number % 3]
        )
    return made


def noted(store: History, note: str) -> Record:
    """By its whole note: a search for a digit finds percentages too."""
    return next(record for record in store.search(text="note").records if record.note == note)


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


def test_back_leads_from_a_record_to_all_of_them(visit, store: History):
    page = visit("/history")
    expect(page.locator(".tile").first).to_be_visible()
    page.locator(".tile").first.click()
    expect(page).to_have_url(re.compile("kept="))
    expect(page.get_by_role("radio", name="Annotate")).to_be_visible()
    page.go_back()
    expect(page.locator(".tile").first).to_be_visible()
    expect(page).not_to_have_url(re.compile("kept="))


def test_an_arrow_is_kept_and_lies_where_it_was_drawn(visit, store: History):
    record = noted(store, "note 4")
    page = visit(f"/history?kept={record.id}")
    stage = marking(page)
    drag(page, stage, (0.2, 0.25), (0.6, 0.75))
    expect(page.get_by_text("1 mark saved.")).to_be_visible()
    (mark,) = store.get(record.id).marks
    assert mark.kind == "arrow"
    for point, share in zip(mark.points, ((0.2, 0.25), (0.6, 0.75)), strict=True):
        assert abs(point[0] - share[0] * record.width) < record.width / 100
        assert abs(point[1] - share[1] * record.height) < record.height / 100
    page.reload()
    expect(page.locator(".markup .stage .mark.arrow")).to_have_count(1)
    # Larger, it still ends at the same place of the picture.
    head = page.locator(".markup .mark polygon").first.get_attribute("points")
    page.get_by_role("button", name="Zoom in").click()
    expect(page.locator(".markup .stage")).not_to_have_attribute("viewBox", f"0 0 {record.width} {record.height}")
    assert page.locator(".markup .mark polygon").first.get_attribute("points").split()[0] == head.split()[0]


def test_marks_are_made_moved_and_undone_by_keys(visit, store: History):
    record = noted(store, "note 5")
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
    expect(page.get_by_text("2 marks saved.")).to_be_visible()
    wanted = [("circle", ""), ("text", "look here")]
    until(page, lambda: [(mark.kind, mark.text) for mark in store.get(record.id).marks] == wanted, "both are kept")
    stage.press("u")
    expect(page.locator(".markup .mark")).to_have_count(1)
    page.get_by_role("button", name="Redo").click()
    expect(page.locator(".markup .mark")).to_have_count(2)
    page.get_by_role("button", name="Delete: Circle").click()
    # "1 mark saved." may still be the answer to the undoing.
    until(page, lambda: [mark.text for mark in store.get(record.id).marks] == ["look here"], "the circle is gone")


def test_a_mark_is_taken_by_hand_and_its_words_are_written(visit, store: History):
    record = noted(store, "note 6")
    width, height = record.width, record.height
    store.annotate(record.id, marks=[Mark("arrow", ((0.2 * width, 0.2 * height), (0.5 * width, 0.5 * height)))])
    page = visit(f"/history?kept={record.id}")
    stage = page.locator(".markup .stage")
    expect(stage.locator(".mark.arrow")).to_have_count(1)
    # What is laid out later would move the picture under the hand.
    still(page)
    drag(page, stage, (0.35, 0.35), (0.45, 0.35))
    words = page.get_by_role("textbox", name="Text of: Arrow")
    words.fill("moved")
    words.press("Tab")
    expect(page.get_by_text("1 mark saved.")).to_be_visible()
    expect(stage.get_by_text("moved")).to_be_visible()
    until(page, lambda: store.get(record.id).marks[0].text == "moved", "its words are kept")
    (mark,) = store.get(record.id).marks
    assert abs(mark.points[0][0] - 0.3 * width) < 0.02 * width and abs(mark.points[0][1] - 0.2 * height) < 0.02 * height


def test_two_who_draw_on_one_record_keep_each_others_marks(visit, store: History):
    record = noted(store, "note 2")
    first = visit(f"/history?kept={record.id}")
    drag(first, marking(first), (0.1, 0.1), (0.2, 0.3))
    expect(first.get_by_text("1 mark saved.")).to_be_visible()
    second = visit(f"/history?kept={record.id}")
    expect(second.locator(".markup .mark")).to_have_count(1)
    second.locator(".markup .stage").press("a")
    drag(second, second.locator(".markup .stage"), (0.9, 0.1), (0.8, 0.3))
    expect(second.get_by_text("2 marks saved.")).to_be_visible()
    # The first one only writes, then draws on: what the second drew stays.
    note = first.get_by_role("textbox", name="Note")
    note.fill("only a note")
    note.press("Tab")
    expect(first.get_by_text("Somebody else is annotating this record")).to_be_visible()
    until(first, lambda: store.get(record.id).note == "only a note", "the note is kept")
    assert len(store.get(record.id).marks) == 2
    first.locator(".markup .stage").press("a")
    drag(first, first.locator(".markup .stage"), (0.5, 0.8), (0.4, 0.6))
    expect(first.get_by_text("3 marks saved.")).to_be_visible()
    first.get_by_role("button", name="Show all marks").click()
    expect(first.locator(".markup .stage .mark")).to_have_count(3)
    assert len(store.get(record.id).marks) == 3


def test_a_note_is_not_lost_where_its_popover_is_closed_or_its_page_left(visit, store: History):
    page = visit("/")
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


def test_three_pictures_stand_side_by_side_on_a_small_screen(visit, store: History):
    page = visit("/history", viewport={"width": 1024, "height": 768})
    tiles = page.locator(".tile")
    expect(tiles.first).to_be_visible()

    def three_in_a_row() -> bool:
        # Read at once: the page may still move while it settles.
        tops = tiles.evaluate_all("nodes => nodes.map(node => node.getBoundingClientRect().top)")
        return len(set(tops[:3])) == 1 and tops[3] > tops[0]

    until(page, three_in_a_row, "three pictures do not stand side by side")


def test_two_are_ticked_compared_and_one_is_deleted(visit, store: History):
    page = visit("/history")
    tiles = page.locator(".tile")
    expect(tiles.first).to_be_visible()
    before = tiles.count()
    tiles.nth(0).get_by_role("checkbox").check()
    tiles.nth(3).get_by_role("checkbox").check()
    # The menu has a button of that name too.
    page.get_by_role("main").get_by_role("button", name="Compare", exact=True).click()
    expect(page.get_by_text("Same place")).to_be_visible()
    expect(page.get_by_text("Numbers side by side")).to_be_visible()
    page.get_by_role("button", name="All records").click()
    expect(tiles).to_have_count(before)
    expect(page.get_by_role("checkbox", checked=True)).to_have_count(0)
    tiles.nth(0).locator(".open").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete permanently").click()
    expect(page.get_by_text("1 record deleted")).to_be_visible()
    # All others are shown: nothing that deletes is under the pointer.
    expect(page.get_by_role("button", name="Delete permanently")).to_have_count(0)
    expect(tiles).to_have_count(before - 1)
    page.get_by_role("button", name="Undo").click()
    expect(tiles).to_have_count(before)


def test_nothing_is_cut_off_on_a_phone(visit, store: History):
    page = visit("/history", viewport={"width": 390, "height": 844}, has_touch=True)
    expect(page.locator(".tile").nth(1)).to_be_visible()
    # Both at once: what is above them may still move them.
    tops = page.locator(".tile").evaluate_all("tiles => tiles.map((tile) => tile.getBoundingClientRect().top)")
    assert abs(tops[0] - tops[1]) < 1, "two stand side by side"
    inside(page)
    page.locator(".tile .open").first.click()
    expect(page.locator("canvas").first).to_be_visible()
    inside(page)
    stage = marking(page)
    box = stage.bounding_box()
    assert box is not None
    page.touchscreen.tap(box["x"] + 50, box["y"] + 50)
    inside(page)


def inside(page: Page) -> None:
    """Nothing reaches beyond the window's side."""
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    over = page.evaluate(
        """() => [...document.querySelectorAll('[data-testid=stBidiComponentIsolated]')].flatMap(({ shadowRoot }) =>
            [...shadowRoot.querySelectorAll('button, input, svg, canvas, .tile')].filter((node) => {
                const { left, right, width } = node.getBoundingClientRect();
                return width > 0 && (left < -1 || right > innerWidth + 1);
            }).map(({ className }) => String(className.baseVal ?? className)))"""
    )
    assert over == []


def test_it_keeps_nobody_out(visit, server: str, store: History):
    marked = noted(store, "note 6")
    page = visit("/history", viewport={"width": 1440, "height": 2400})
    for path, there in (("", ".tile"), (f"/history?kept={marked.id}", ".markup .mark, canvas")):
        if path:
            page.goto(server + path)
        expect(page.locator(there).first).to_be_visible()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            still(page)
            assert serious(page, colours=scheme == "dark") == [], (there, scheme)
