"""Close connections whose request headers take too long: uvicorn waits for them forever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http import auto

if TYPE_CHECKING:
    import asyncio

HEADER_SECONDS = 20.0
"""Longest time from a connection, or from the first byte of a further request, to the end of the headers."""


class HeaderDeadline(auto.AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's protocol for HTTP/1.1 with a deadline for the headers of each request."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._set_deadline()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._clear_deadline()
        elif self._deadline is None:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear_deadline()
        super().connection_lost(exc)

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self._close)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _close(self) -> None:
        # A WebSocket has a protocol of its own from its headers on.
        if self.transport.get_protocol() is self:
            self.transport.close()


def install() -> None:
    """Use it in every server that is started from now on in this process: Streamlit's takes no protocol."""
    auto.AutoHTTPProtocol = HeaderDeadline
