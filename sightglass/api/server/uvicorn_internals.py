"""Private parts of uvicorn: graceful stop.

Streamlit starts its server by itself and takes no middleware outside of uvicorn's own and no handler of signals, so
they are replaced in every server of this process. What an installed version lacks is said when this file
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
from sightglass.common.work import progress

if TYPE_CHECKING:
    from types import FrameType

EXIT_SECONDS = 4.0
"""Seconds after SIGHTGLASS_STOP_SECONDS at which the process ends, whatever is still running."""

LIBRARY = Library("uvicorn", "0.54")
_Server = LIBRARY.find("uvicorn.Server", "handle_exit", "_captured_signals", "started", "should_exit", "config")
_close_now = _Server.handle_exit


def install() -> None:
    """Replace these parts of every server that starts from now on; call it in the main thread."""
    _Server.handle_exit = handle_exit
    for number in (signal.SIGINT, signal.SIGTERM):
        # Streamlit's server has taken its signals before it reads our file.
        server = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(server, _Server):
            signal.signal(number, server.handle_exit)


def handle_exit(server: Any, number: int, frame: FrameType | None) -> None:
    """Stop a server: at once where it is stopping already, else when its work is done or its time is up."""
    if progress.stopping() or not server.started:
        _close_now(server, number, frame)
        return
    # uvicorn raises it again at the end: to a terminal Ctrl-C would be an error, `Aborted!` with exit code 1.
    if number != signal.SIGINT:
        server._captured_signals.append(number)
    _daemon(_end, server)


def _end(server: Any) -> None:
    seconds = settings().stop_seconds
    _daemon(_exit_after, seconds + EXIT_SECONDS)
    if not progress.stop(seconds):
        InFlight.give_back()
        progress.wait_for_end(ANSWER_SECONDS)
    # Streamlit's own is without limit.
    server.config.timeout_graceful_shutdown = ANSWER_SECONDS
    server.should_exit = True


def _exit_after(seconds: float) -> None:
    threading.Event().wait(seconds)
    # A thread inside torch does not end when it is told to.
    os._exit(0)


def _daemon(work: Any, *given: Any) -> None:
    threading.Thread(target=work, args=given, daemon=True).start()
