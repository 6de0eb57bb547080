"""The chip of the checks, and what is open while they run."""

import re
from collections.abc import Iterator

import pytest
from conftest import serving
from playwright.sync_api import expect
from screen import ROOT, settled

from tests.waits import patience

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard, which checks its maps."""
    home = str(tmp_path_factory.mktemp("data"))
    with serving(ROOT / "dashboard.py", ROOT, SIGHTGLASS_SEAL="1", XDG_DATA_HOME=home) as address:
        yield address


@pytest.mark.parametrize("path", ["?example=flower", "topk?model=demo-cls-s&example=scene+3"])
def test_the_chip_opens_and_closes_the_checks(visit, path: str) -> None:
    page = visit(f"/{path}")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_role("dialog").wait_for()
    # All three, and what is drawn after them, while a window is open.
    expect(page.locator(".st-key-checks")).to_contain_text("fact_check", timeout=patience(60) * 1000)
    settled(page)
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    chip, cards = page.get_by_role("button", name=re.compile("^Checks: ")), page.locator('[class*="st-key-check-"]')
    for number in (3, 0, 3):
        chip.click()
        expect(cards).to_have_count(number)
    page.get_by_role("button", name="Details", exact=True).first.click()
    page.get_by_role("dialog").get_by_role("heading").first.wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(cards).to_have_count(0)
