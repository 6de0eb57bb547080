"""A request's length, its pace, and its line in the metrics, as clients of a real server meet them."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from sightglass.api import metrics
from sightglass.api.app import create
from sightglass.api.work import FIELD_BYTES, answer
from sightglass.common import access
from sightglass.common.work import progress
from sightglass.models import catalog
from tests.servers import listening, until
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BODY = 1000 * 4 // 3 + 1024 + FIELD_BYTES
"""What one picture of at most 1000 bytes may take."""
JSON = {"content-type": "application/json"}


class Anything(BaseModel):
    image: str = ""
    text: str = ""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The API with two routes more, of which one answers how long the text of the body is."""
    made = create()
    monkeypatch.setenv("SIGHTGLASS_API_MB", str(1000 / 2**20))

    def measure(request: Anything, _kind: str) -> bytes:
        return str(len(request.text)).encode()

    def wait(_request: Anything, _kind: str) -> bytes:
        while True:
            time.sleep(0.01)
            progress.check()

    @made.post("/api/measured")
    async def measured(request: Request) -> Response:
        return await answer(request, Anything, measure)

    @made.post("/api/endless")
    async def endless(request: Request) -> Response:
        return await answer(request, Anything, wait)

    with listening(made) as at:
        yield at


def post(url: str, body: bytes | Iterable[bytes] = b'{"text": "abc"}') -> httpx.Response:
    return httpx.post(url, content=body, headers=JSON, timeout=patience(20))


def hang_up(url: str, length: int) -> None:
    """Begin a request whose body has this length, send two bytes of it, and leave once it is at work."""
    at = urlsplit(url)
    with socket.create_connection((at.hostname, at.port)) as line:
        head = f"POST {at.path} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Content-Length: {length}\r\n\r\n{{}}".encode())
        time.sleep(0.1)


def refused(answer: httpx.Response, status: int) -> str:
    said = json.loads(answer.content)
    assert answer.status_code == said["status"] == status and said["instance"].startswith("/")
    assert answer.headers["content-type"] == "application/problem+json"
    return str(said["detail"])


def test_a_body_that_is_too_long_is_not_taken(address: str) -> None:
    url, text = f"{address}/api/measured", b'{"text": "' + b"x" * (BODY - 12) + b'"}'
    assert post(url, text).content == str(BODY - 12).encode()
    # By what comes, of whatever length: who is still sending is heard out, for a while.
    assert "MiB" in refused(post(url, text + b" "), 413)
    assert "MiB" in refused(post(url, iter([b"x" * 4096] * 1000)), 413)


@pytest.mark.parametrize(("route", "length"), [("/api/measured", 1000), ("/api/endless", 2)])
def test_who_hangs_up_while_sending_or_waiting_is_no_fault_of_ours(
    address: str, route: str, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    name = f'sightglass_requests_total{{method="POST",route="{route}",status="499"}}'
    before = counted().get(name, 0)
    hang_up(address + route, length)
    until(lambda: counted().get(name, 0) == before + 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def counted() -> dict[str, float]:
    lines = [line.rpartition(" ") for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_every_answer_is_counted_by_its_route_and_nobody_makes_up_labels(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grown(name: str) -> float:
        return counted().get(name, 0) - before.get(name, 0)

    before = counted()
    for path in ("/api/measured", "/api/v1/measured", "/made/up"):
        post(address + path)
    with monkeypatch.context() as patched:
        patched.setattr(access, "_IN_USE", [access.Access("token", "secret")])
        post(f"{address}/api/measured")
    until(lambda: grown('sightglass_requests_total{method="POST",route="other",status="401"}') == 1)
    assert grown('sightglass_requests_total{method="POST",route="/api/measured",status="200"}') == 2
    assert grown('sightglass_requests_total{method="POST",route="other",status="404"}') == 1
    assert grown('sightglass_request_seconds_count{route="/api/measured"}') == 2
    assert not any("made" in name for name in counted())
    metrics.count_explained(catalog.spec("efficientnet-lite0"), "gradcam")
    assert grown('sightglass_explanations_total{method="gradcam",model="efficientnet-lite0"}') == 1
