"""A server on this machine, for files that are downloaded."""

from __future__ import annotations

import contextlib
import http.server
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Server(http.server.ThreadingHTTPServer):
    """Sends `files` by their paths, `/slow…` only in part until `gate` is open, `/short…` never whole."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.gate = threading.Event()

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # Who finds it too large hangs up.
            with contextlib.suppress(ConnectionError):
                self._send(body)

    def _send(self, body: bytes) -> None:
        self.wfile.write(body[:1000])
        self.wfile.flush()
        if self.path.startswith("/slow"):
            self.server.gate.wait(5)
        if not self.path.startswith("/short"):
            self.wfile.write(body[1000:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Such a server, and an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("no_proxy", "*")
    served = Server()
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.gate.set()
    served.shutdown()
    served.server_close()
    thread.join()
