"""Saved in a browser: a view is saved with a note, still there after a reload, deleted and brought back."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from screen import until

from sightglass.history import History

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def store() -> History:
    """The server's history."""
    made = History()
    made.delete([record.id for record in made.search(limit=200).records])
    return made


def test_a_view_is_saved_with_its_note_opened_and_deleted(visit, store: History):
    page = visit("/?model=demo-cls-s&example=scene%203")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("button", name="Keep it in Saved").click()
    page.get_by_role("textbox", name="Note").fill("the roof")
    page.get_by_role("textbox", name="Note").press("Tab")
    until(page, lambda: [one.note for one in store.search(text="roof").records] == ["the roof"], "the note is saved")
    page.get_by_role("link", name="See it in Saved").click()
    page.wait_for_url("**/saved?*kept=*")
    page.reload()
    expect(page.get_by_role("textbox", name="Note")).to_have_value("the roof")
    page.get_by_role("button", name="Draw on it").click()
    canvas = page.get_by_role("dialog").locator("canvas")
    canvas.click(position={"x": 100, "y": 100})
    until(page, lambda: [mark.kind for mark in store.search().records[0].marks] == ["line"], "a stroke is saved")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    until(page, lambda: store.search().total == 0, "it is deleted")
    page.get_by_role("button", name="Undo").click()
    until(page, lambda: store.search().total == 1, "it is brought back")
    store.delete([record.id for record in store.search().records])
