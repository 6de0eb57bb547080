"""Private parts of uvicorn: header deadline, graceful stop.

Streamlit starts its server by itself and takes no protocol, no middleware outside of uvicorn's own and no handler of
signals, so they are replaced in every server of this process. What an installed version lacks is said when this file
is imported, which `startup.prepare` does.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from sightglass.api.server.stopping import ANSWER_SECONDS, InFlight
from sightglass.common.private_parts import Library
from sightglass.common.settings import settings
from sightglass.common.work import stopping

if TYPE_CHECKING:
    import asyncio
    from types import FrameType

HEADER_SECONDS = 20.0
"""Longest time from a connection, or from the first byte of a further request, to the end of the headers."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_SECONDS = 4.0
"""Seconds after SIGHTGLASS_STOP_SECONDS at which the process ends, whatever is still running."""

LIBRARY = Library("uvicorn", "0.54")
auto = LIBRARY.find("uvicorn.protocols.http.auto", "AutoHTTPProtocol")
_HTTP = LIBRARY.find("uvicorn.protocols.http.auto.AutoHTTPProtocol", "cycle", "loop", "transport")
_Server = LIBRARY.find("uvicorn.Server", "handle_exit", "_captured_signals", "started", "should_exit", "config")
_close_now = _Server.handle_exit


def install() -> None:
    """Replace these parts of every server that starts from now on; call it in the main thread."""
    auto.AutoHTTPProtocol = HeaderDeadline
    _Server.handle_exit = handle_exit
    for number in SIGNALS:
        # Streamlit's server has taken its signals before it reads our file.
        server = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(server, _Server):
            signal.signal(number, server.handle_exit)


class HeaderDeadline(_HTTP):  # type: ignore[misc, valid-type]
    """uvicorn's protocol for HTTP/1.1 with a deadline for the headers of each request, which it awaits forever."""

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


def handle_exit(server: Any, number: int, frame: FrameType | None) -> None:
    """Stop a server: at once where it is stopping already, else when its work is done or its time is up."""
    if stopping.stopping() or not server.started:
        _close_now(server, number, frame)
        return
    # uvicorn raises it again at the end: to a terminal Ctrl-C would be an error, `Aborted!` with exit code 1.
    if number != signal.SIGINT:
        server._captured_signals.append(number)
    _daemon(_end, server)


def _end(server: Any) -> None:
    seconds = settings().stop_seconds
    _daemon(_exit_after, seconds + EXIT_SECONDS)
    if not stopping.stop(seconds):
        InFlight.give_back()
        stopping.wait_for_end(ANSWER_SECONDS)
    # Streamlit's own is without limit.
    server.config.timeout_graceful_shutdown = ANSWER_SECONDS
    server.should_exit = True


def _exit_after(seconds: float) -> None:
    threading.Event().wait(seconds)
    # A thread inside torch does not end when it is told to.
    os._exit(0)


def _daemon(work: Any, *given: Any) -> None:
    threading.Thread(target=work, args=given, daemon=True).start()
