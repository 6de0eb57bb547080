"""What stands before the API's routes: a request's length, its pace, and its line."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from sightglass.api.schemas import ApiRules
from sightglass.api.server import metrics, middleware
from sightglass.api.work_queue import Busy
from sightglass.common import access
from sightglass.models import catalog
from tests import loops

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from starlette.types import Message, Receive, Scope, Send

BODY = 1000 * 4 // 3 + 4 + middleware.FIELD_BYTES
"""What one picture of at most 1000 bytes may take."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """How long the body was."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def asked(
    app: Any = echo,
    path: str = "/explain",
    body: Iterable[bytes] | AsyncIterator[bytes] = (b"",),
    *,
    gone: bool = False,
    broken: bool = False,
    queue: Any = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of what a client hears; `gone`: it hangs up once all is sent; `broken`: before that."""
    sent: list[Message] = []

    async def messages() -> AsyncIterator[Message]:
        async for piece in _pieces(body):
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
        scope = {"type": "http", "method": "POST", "path": f"/api{path}", "query_string": b"", "scheme": "http"}
        scope["headers"] = [(b"host", b"here:8501"), *named]
        settings = ApiRules(max_bytes=1000, timeout=1.0)
        await middleware.wrap(app, settings, queue)(scope, stream.__anext__, send)

    loops.run(asyncio.wait_for(talk(), 20))
    if not sent:
        return 0, {}, b""
    start = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], start, b"".join(message.get("body", b"") for message in sent[1:])


def refused(answer: tuple[int, dict[str, str], bytes], status: int) -> str:
    code, headers, body = answer
    assert code == status
    assert headers["content-type"] == "application/problem+json"
    said = json.loads(body)
    assert said["status"] == status
    assert said["instance"].startswith("/")
    return str(said["detail"])


def test_a_body_that_is_too_long_is_not_taken() -> None:
    assert asked(body=[b"x" * BODY])[::2] == (200, str(BODY).encode())
    # By what it says, before a byte of it, and by what comes, whatever it says.
    assert "MiB" in refused(asked(content_length=str(BODY + 1)), 413)
    assert "MiB" in refused(asked(body=[b"x" * BODY, b"x"]), 413)
    assert "MiB" in refused(asked(body=[b"x" * 4096] * 1000, content_length="12"), 413)
    assert asked(path="/similarity", body=[b"x" * (BODY + 1000)])[0] == 200
    assert "here, 20 MiB:" in str(middleware.BodyLimits(echo, ApiRules(max_bytes=20 * 2**20))._too_large())


def test_where_the_queue_is_full_no_byte_is_read() -> None:
    class Full:
        def check(self) -> None:
            raise Busy(7, 18)

    read: list[bytes] = []

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        read.append((await receive())["body"])

    answer = asked(counting, body=[b"x"] * 3, queue=Full())
    refused(answer, 429)
    assert (answer[1]["retry-after"], answer[1]["x-queue-before"]) == ("7", "18")
    assert read == []


def test_who_hangs_up_while_sending_is_no_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()

    async def part() -> AsyncIterator[bytes]:
        yield b"x" * 10

    name = 'sightglass_requests_total{method="POST",route="other",status="499"}'
    before = counted().get(name, 0)
    assert asked(reading, body=part(), broken=True)[0] == 0
    assert counted()[name] == before + 1
    assert not caplog.records


def test_a_body_that_is_too_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.02)

    monkeypatch.setattr(middleware, "MAX_BODY_SECONDS", 0.3)
    assert "took too long" in refused(asked(body=drip()), 408)


def test_who_hangs_up_cancels_the_work() -> None:
    told: list[str] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await Request(scope, receive).body()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    assert asked(slow, gone=True)[0] == 0
    assert told == ["cancelled"]


def counted(text: Callable[[], bytes] = metrics.text) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def test_every_answer_is_counted_by_its_route_and_nobody_makes_up_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        scope["route"] = SimpleNamespace(path="/explain")
        await echo(scope, receive, send)

    def grown(name: str) -> float:
        return counted().get(name, 0) - before.get(name, 0)

    before = counted()
    asked(routed)
    asked(path="/made/up")
    with monkeypatch.context() as patched:
        patched.setattr(access, "_IN_USE", [access.Access("token", "secret")])
        asked()
    assert grown('sightglass_requests_total{method="POST",route="/explain",status="200"}') == 1
    assert grown('sightglass_requests_total{method="POST",route="other",status="200"}') == 1
    assert grown('sightglass_requests_total{method="POST",route="other",status="401"}') == 1
    assert grown('sightglass_request_seconds_count{route="/explain"}') == 1
    assert not any("made" in name for name in counted())
    metrics.count_explained(catalog.spec("efficientnet-lite0"), "gradcam")
    assert grown('sightglass_explanations_total{method="gradcam",model="efficientnet-lite0"}') == 1


async def _pieces(body: Iterable[bytes] | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if hasattr(body, "__aiter__"):
        async for piece in body:
            yield piece
    else:
        for piece in body:
            yield piece
