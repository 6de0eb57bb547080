"""The API as the dashboard answers it, `streamlit run dashboard.py`: the library's maps, and pages that stay usable."""

from __future__ import annotations

import io
import json
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from conftest import serving
from screen import CANVAS, ROOT, leaves, new_page

from sightglass.explain import Explainer
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
BOUNDARY = "of-the-tests"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server of these tests' own: they count what is loaded and what waits in it."""
    with serving(ROOT / "dashboard.py", ROOT) as address:
        yield address


def got(address: str, body: bytes | None = None, method: str | None = None, **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, body, named, method=method), timeout=patience(60)
        ) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def sent(address: str, path: Path, accept: str = "application/x-npy", **fields: str) -> tuple[int, Any, bytes]:
    parts = [f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n\r\n'
    body = "".join(parts).encode() + head.encode() + path.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return got(f"{address}/api/explain", body, Content_Type=kind, Accept=accept)


def test_answers_are_the_librarys_beside_an_open_page(server: str, browser: Browser, bus: Path) -> None:
    page = new_page(browser)
    page.goto(server)
    page.locator(CANVAS).first.wait_for()
    status, headers, data = sent(server, bus)
    assert (status, headers["Content-Type"]) == (200, "application/x-npy")
    assert np.array_equal(np.load(io.BytesIO(data)), Explainer()(bus).heatmaps[0].values)
    # The model that the page uses is the one that answered: it is loaded once.
    told = got(f"{server}/api/metrics")[2].decode()
    assert "sightglass_residents 1.0" in told
    # What is not there is a problem and not Streamlit's page, and another site's page cannot ask.
    code, headers, data = got(f"{server}/api/nothing")
    assert (code, headers["Content-Type"]) == (404, "application/problem+json") and json.loads(data)["status"] == 404
    assert got(f"{server}/api/models", Origin="https://elsewhere.example")[0] == 403
    assert got(f"{server}/api/models", Origin=server)[0] == 200
    # The API's own page is drawn without another machine.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server}/api/docs")
    page.locator(".opblock").nth(8).wait_for()
    assert not [url for url in asked if leaves(url)]
    page.close()


def test_the_page_is_usable_during_a_burst_and_nobody_hangs(server: str, browser: Browser, bus: Path) -> None:
    answers: list[tuple[int, Any, bytes]] = []
    ended = threading.Event()

    def client() -> None:
        while not ended.is_set():
            answers.append(sent(server, bus, method="occlusion", masks="16", top_k="1"))
            # As it was told, but for the length of it.
            ended.wait(0.5 if answers[-1][0] == 429 else 0)

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
    assert page.locator('[data-testid="stException"]').count() == 0
    page.close()
    assert {status for status, _, _ in answers} == {200, 429}
    for status, headers, _ in answers:
        if status == 429:
            assert 1 <= int(headers["Retry-After"]) <= 600
    assert sent(server, bus)[0] == 200
