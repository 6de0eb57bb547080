"""Close connections whose clients owe something for too long: they take descriptors that others need."""

import asyncio
import contextlib
import sys
from typing import Any

LIMITS = {"head": 20.0, "body": 60.0}
"""Seconds for a whole head, and between two parts of a body."""
DESCRIPTORS = 65536
"""Open files and sockets at a time, where the system allows them: often 1024 are the default, and a page takes four."""


def allow_descriptors() -> None:
    """Raise this process's limit of open files and sockets."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        # A container may forbid it.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def with_limits(protocol: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """Return a protocol of uvicorn's for HTTP with limits on its clients."""
    return type("LimitedProtocol", (_Limited, protocol), {})


class _Limited(asyncio.Protocol):
    # Of uvicorn's protocols, h11 and httptools alike.
    cycle: Any
    flow: Any
    loop: asyncio.AbstractEventLoop
    transport: Any
    _owed, _timer = "", None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._wait()

    def connection_lost(self, error: Exception | None) -> None:
        self._cancel()
        super().connection_lost(error)

    def _wait(self) -> None:
        """Begin to wait for what the client owes."""
        owed = ""
        if self.cycle is None or self.cycle.response_complete:
            owed = "head"
        elif self.cycle.more_body:
            owed = "body"
        if owed == self._owed == "head":
            # One that comes letter by letter gets no longer.
            return
        self._cancel()
        self._owed = owed
        if owed:
            self._timer = self.loop.call_later(LIMITS[owed], self._end)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _end(self) -> None:
        if self.transport.get_protocol() is not self:
            # By now it is a WebSocket.
            return
        if self.flow.read_paused:
            # The server reads slowly, not the client.
            self._timer = self.loop.call_later(LIMITS["body"], self._end)
            return
        self.transport.close()
