"""The seal: marks come after the map and move nothing, a click opens their test, on a phone too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from conftest import serving
from screen import ROOT, fits, serious, settled, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Page

sync = pytest.importorskip("playwright.sync_api")

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(ROOT / "dashboard.py", ROOT, SIGHTGLASS_SEAL="1") as address:
        yield address


SIGHT = "canvas => canvas.getBoundingClientRect().toJSON()"


def test_the_marks_fill_in_move_nothing_and_open_their_tests(visit: Callable[..., Page]) -> None:
    page = visit("/?model=demo-cls-s&example=scene+1", reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 900})
    marks = page.locator(".seals .mark")
    marks.first.wait_for()
    canvas = page.locator(".viewer canvas").first
    canvas.wait_for()
    waiting = page.locator('.seals .mark[data-answer=""]')
    before = canvas.evaluate(SIGHT)
    until(page, lambda: waiting.count() == 0, "the marks do not fill in")
    assert canvas.evaluate(SIGHT) == before
    for index, words in enumerate(("depends on the model", "matters to the answer", "holds still")):
        sync.expect(marks.nth(index)).to_contain_text(f"{words}: ")
        # The shape says it as well as the colour, and the number is on hover.
        assert marks.nth(index).locator(".icon").text_content() in ("check_circle", "cancel", "help")
        assert any(letter.isdigit() for letter in marks.nth(index).get_attribute("title") or "")
    marks.nth(2).click()
    heading = page.get_by_role("heading", name="Does it hold still?")
    heading.wait_for()
    until(
        page, lambda: heading.evaluate("it => it.getBoundingClientRect().top < innerHeight"), "the test is out of sight"
    )
    settled(page)
    fits(page)
    assert serious(page) == []
