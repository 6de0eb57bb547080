"""Connections whose clients send nothing, or no end, are closed; others are not."""

import contextlib
import socket
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sightglass.api import connections
from tests.servers import listening
from tests.waits import patience

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"
POST = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
SOCKET = HEAD + UPGRADE + b"YWFhYWFhYWFhYWFhYWFhYQ==\r\n\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request once its body is whole, and a WebSocket with what it sends."""
    if scope["type"] == "lifespan":
        return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        text = (await receive())["text"]
        await send({"type": "websocket.send", "text": text})
        return
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    if message["type"] == "http.request":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(connections, "LIMITS", {"head": 0.2, "body": 0.2})
    with listening(app, http=connections.with_limits(H11Protocol), lifespan="off", ws="auto") as address:
        yield int(address.rpartition(":")[2])


@contextlib.contextmanager
def connected(port: int, *sent: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=patience(20)) as line:
        for part in sent:
            line.sendall(part)
        yield line


@pytest.mark.parametrize("sent", [(), (HEAD,), (POST,), (POST, b"1234"), (HEAD + b"\r\n", HEAD)])
def test_one_that_sends_no_end_is_closed(port: int, sent: tuple[bytes, ...]) -> None:
    with connected(port, *sent) as line:
        while line.recv(1000):
            pass


def test_a_head_letter_by_letter_gets_no_longer(port: int) -> None:
    with connected(port, HEAD) as line, contextlib.suppress(ConnectionError):
        line.settimeout(0.05)
        for _ in range(int(patience(20) / 0.05)):
            line.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                assert line.recv(1) == b""
                return
        pytest.fail("it is still open")


def test_a_socket_that_is_silent_stays(port: int) -> None:
    with connected(port, SOCKET) as line, connected(port) as silent:
        assert line.recv(1000).startswith(b"HTTP/1.1 101")
        # By then the limit of a head is over.
        assert silent.recv(1) == b""
        line.sendall(b"\x81\x82\0\0\0\0hi")
        assert line.recv(1000)[:4] == b"\x81\x02hi"
