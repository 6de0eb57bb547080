"""Trust: a map is scrambled as the page opens, a test is stopped and another one is run, in a window and on a phone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from screen import fits, headline

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_a_map_dissolves_a_test_is_stopped_and_another_one_answers(visit: Callable[..., Page]) -> None:
    page = visit("/trust")
    expect(headline(page)).to_have_text(re.compile("map of minibus depends on the model$"))
    expect(page.get_by_text(re.compile("^100\\s% random$"))).to_be_visible()
    page.get_by_role("button", name="Test every quick method").click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped before it finished.")).to_be_visible()
    page.get_by_role("button", name="Change the picture slightly").click()
    expect(page.get_by_text(re.compile("Under 8 small changes minibus scores"))).to_be_visible()
    expect(page.get_by_text("Stopped before it finished.")).to_be_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    fits(page)
