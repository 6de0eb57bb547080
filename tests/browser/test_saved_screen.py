"""History in a browser: kept, opened, marked by mouse and by keys, still there after a reload, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from screen import until

from sightglass.explain import Explainer
from sightglass.history import History

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain import Explanation

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
    page.get_by_role("link", name="Saved").click()
    until(page, lambda: "wheels" in store.search(text="roof").records[0].note, "a link saves it")
    store.delete([record.id for record in store.search(text="roof").records])
