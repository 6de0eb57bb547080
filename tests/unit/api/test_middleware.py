"""A request's length, its pace, and its line in the metrics."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from sightglass.api import metrics
from sightglass.api.app import create
from sightglass.api.work import FIELD_BYTES, answer
from sightglass.common import access
from sightglass.common.work import progress
from sightglass.models import catalog
from tests import loops

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from starlette.types import Message

PICTURE = 1000 * 4 // 3 + 1024
BODY = PICTURE + FIELD_BYTES
"""What one picture of at most 1000 bytes may take."""


class Anything(BaseModel):
    image: str = ""
    text: str = ""


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The API with two routes more, which answer how long the text of the body is."""
    made = create()
    monkeypatch.setenv("SIGHTGLASS_API_MB", str(1000 / 2**20))
    monkeypatch.setenv("SIGHTGLASS_API_TIMEOUT", "1")

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

    return made


def asked(
    app: FastAPI,
    path: str = "/api/measured",
    body: Iterable[bytes] = (b'{"text": "abc"}',),
    *,
    gone: bool = False,
    broken: bool = False,
    **headers: str,
) -> tuple[int, dict[str, str], bytes, int]:
    """Status, headers and body of what a client hears, and how many pieces of the body were read.

    `gone`: the client hangs up once all is sent; `broken`: before that.
    """
    sent: list[Message] = []
    read = 0

    async def messages() -> AsyncIterator[Message]:
        nonlocal read
        for piece in body:
            read += 1
            yield {"type": "http.request", "body": piece, "more_body": True}
        if not broken:
            yield {"type": "http.request", "body": b"", "more_body": False}
        while not (gone or broken) and not (len(sent) > 1 and not sent[-1].get("more_body", False)):
            await asyncio.sleep(0.01)
        yield {"type": "http.disconnect"}

    async def talk() -> None:
        stream = messages()

        async def send(message: Message) -> None:
            sent.append(message)

        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "scheme": "http"}
        scope["headers"] = [(b"host", b"here:8501"), (b"content-type", b"application/json"), *named]
        await app(scope, stream.__anext__, send)

    loops.run(asyncio.wait_for(talk(), 20))
    start = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], start, b"".join(message.get("body", b"") for message in sent[1:]), read


def refused(heard: tuple[int, dict[str, str], bytes, int], status: int) -> str:
    code, headers, body, _ = heard
    assert code == status
    assert headers["content-type"] == "application/problem+json"
    said = json.loads(body)
    assert said["status"] == status and said["instance"].startswith("/")
    return str(said["detail"])


def test_a_body_that_is_too_long_is_not_taken(app: FastAPI) -> None:
    text = b'{"text": "' + b"x" * (BODY - 12) + b'"}'
    assert asked(app, body=[text])[::2] == (200, str(BODY - 12).encode())
    # By what comes, whatever it says: who is still sending is heard out, for a while.
    assert "MiB" in refused(asked(app, body=[text, b" "]), 413)
    late = asked(app, body=[b"x" * 4096] * 1000, content_length="12")
    assert "MiB" in refused(late, 413) and late[3] == 1000


def test_who_hangs_up_while_sending_is_no_fault_of_ours(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    name = 'sightglass_requests_total{method="POST",route="/api/measured",status="499"}'
    before = counted().get(name, 0)
    asked(app, body=[b"x"], broken=True)
    assert counted()[name] == before + 1
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_who_hangs_up_cancels_the_work(app: FastAPI) -> None:
    assert asked(app, "/api/endless", gone=True)[0] == 499
    assert "stopped after 1 s" in refused(asked(app, "/api/endless"), 504)


def counted() -> dict[str, float]:
    lines = [line.rpartition(" ") for line in metrics.text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_every_answer_is_counted_by_its_route_and_nobody_makes_up_labels(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grown(name: str) -> float:
        return counted().get(name, 0) - before.get(name, 0)

    before = counted()
    asked(app)
    asked(app, "/api/v1/measured")
    asked(app, "/made/up")
    with monkeypatch.context() as patched:
        patched.setattr(access, "_IN_USE", [access.Access("token", "secret")])
        asked(app)
    assert grown('sightglass_requests_total{method="POST",route="/api/measured",status="200"}') == 2
    assert grown('sightglass_requests_total{method="POST",route="other",status="404"}') == 1
    assert grown('sightglass_requests_total{method="POST",route="other",status="401"}') == 1
    assert grown('sightglass_request_seconds_count{route="/api/measured"}') == 2
    assert not any("made" in name for name in counted())
    metrics.count_explained(catalog.spec("efficientnet-lite0"), "gradcam")
    assert grown('sightglass_explanations_total{method="gradcam",model="efficientnet-lite0"}') == 1
