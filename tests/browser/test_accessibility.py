"""No screen keeps out who sees it badly or has no mouse, as far as a machine can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from screen import CANVAS, HEIGHT, new_page, serious, settled, still

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/topk", "/compare"])
def test_nothing_serious(browser: Browser, server: str, path: str, scheme: str, width: int):
    page = new_page(browser, viewport={"width": width, "height": HEIGHT}, color_scheme=scheme)
    page.goto(server + path)
    page.locator(CANVAS).first.wait_for()
    settled(page)
    still(page)
    assert serious(page) == []
