"""The API as the dashboard answers it, `streamlit run dashboard.py`: beside pages that stay usable."""

from __future__ import annotations

import base64
import threading
from typing import TYPE_CHECKING

import httpx
import pytest
from conftest import serving
from screen import CANVAS, EXCEPTION, ROOT, leaves, new_page

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


def explained(server: str, picture: Path, **fields: str) -> httpx.Response:
    files = {"image": (picture.name, picture.read_bytes())}
    return httpx.post(f"{server}/api/explain", files=files, data=fields, timeout=patience(60))


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


def test_the_page_is_usable_during_a_burst_and_nobody_hangs(server: str, browser: Browser, bus: Path) -> None:
    answers: list[httpx.Response] = []
    ended = threading.Event()

    def client() -> None:
        while not ended.is_set():
            answers.append(explained(server, bus, method="occlusion", masks="16", top_k="1"))
            # As it was told, but for the length of it.
            ended.wait(0.5 if answers[-1].status_code == 429 else 0)

    threads = [threading.Thread(target=client) for _ in range(30)]
    page = new_page(browser)
    for thread in threads:
        thread.start()
    try:
        page.goto(server)
        page.locator(CANVAS).first.wait_for()
        page.locator("h2").first.wait_for()
    finally:
        ended.set()
        for thread in threads:
            thread.join(90)
    assert not any(thread.is_alive() for thread in threads)
    assert page.locator(EXCEPTION).count() == 0
    assert {answer.status_code for answer in answers} == {200, 429}
    refused = [answer for answer in answers if answer.status_code == 429]
    assert all(1 <= int(answer.headers["Retry-After"]) <= 600 for answer in refused)
    assert explained(server, bus).status_code == 200
