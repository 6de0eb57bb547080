"""No screen keeps out who sees it badly or has no mouse, as far as a machine can tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from conftest import LIMIT, ROOT, serving, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

axe = pytest.importorskip("axe_playwright_python.sync_playwright")

pytestmark = pytest.mark.browser
CANVAS = '[data-testid="stBidiComponentIsolated"] canvas'
# axe judges no colours of what is scrolled out of the window.
HEIGHT = 3000
# Four looks in a row find the same: a run may follow a run, and colours that fade in are not yet those that stay.
STILL = """() => {
    const moving = document.getAnimations().some(({ playState }) => playState === "running");
    const script = document.querySelector('[data-testid="stApp"]').dataset.testScriptState;
    const now = [script, moving, document.querySelectorAll("*").length].join();
    window.looks = now === window.seen ? window.looks + 1 : 0;
    window.seen = now;
    return window.looks >= 4 && !moving && script !== "running";
}"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with serving(ROOT / "dashboard.py", ROOT) as address:
        yield address


def serious(page: Page) -> list[str]:
    """What axe finds, in the shadow roots of our components too, and calls serious or critical."""
    found: list[dict[str, Any]] = axe.Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary']}"
        for rule in found
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/topk", "/compare"])
def test_nothing_serious(browser: Browser, server: str, path: str, scheme: str, width: int):
    size = {"width": width, "height": HEIGHT}
    with browser.new_context(viewport=size, color_scheme=scheme) as context:
        page = context.new_page()
        page.set_default_timeout(LIMIT)
        page.goto(server + path)
        page.locator(CANVAS).first.wait_for()
        settled(page)
        page.wait_for_function(STILL, polling=150)
        assert serious(page) == []
