"""The API as the dashboard answers it, `streamlit run dashboard.py`: beside pages that stay usable."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import httpx
import pytest
from conftest import serving
from screen import ROOT, leaves, new_page

from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of these tests' own: they fill its queue."""
    with serving(ROOT / "dashboard.py", ROOT) as address:
        yield address


CALL = """async (picture) => {
  const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0)), form = new FormData();
  form.append("image", new Blob([bytes]), "bus.jpg");
  const json = await fetch("/api/v1/explain", { method: "POST", body: form });
  const png = await fetch("/api/v1/explain?format=png", { method: "POST", body: form });
  return [(await json.json()).predictions[0].label, (await png.blob()).type];
}"""


def test_what_is_not_there_is_a_problem_and_another_site_cannot_ask(server: str, browser: Browser, bus: Path) -> None:
    nothing = httpx.get(f"{server}/api/nothing", timeout=patience(60))
    assert (nothing.status_code, nothing.headers["Content-Type"]) == (404, "application/problem+json")
    for origin, status in (("https://elsewhere.example", 403), (server, 200)):
        assert httpx.get(f"{server}/api/models", headers={"Origin": origin}, timeout=patience(60)).status_code == status
    # The API's own page is drawn without another machine.
    asked: list[str] = []
    page = new_page(browser)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server}/api/docs")
    page.locator(".opblock").nth(8).wait_for()
    assert asked and not [url for url in asked if leaves(url)]
    answer = page.evaluate(CALL, base64.b64encode(bus.read_bytes()).decode())
    assert answer == ["minibus", "image/png"]
