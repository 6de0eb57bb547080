"""Let a server end without losing what it was doing.

SIGTERM and Ctrl-C do not close the door at once: the server goes on listening, refuses new work with 503 and
Retry-After, and is not ready; once what is running has ended, or after SIGHTGLASS_STOP_SECONDS, it closes. Requests
that are not done by then get 503, too. A second signal closes it immediately.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, ClassVar

import uvicorn

from api.problems import ApiProblem
from common import stopping
from common.settings import settings

if TYPE_CHECKING:
    from types import FrameType

    from starlette.types import ASGIApp, Receive, Scope, Send

SIGNALS = (signal.SIGINT, signal.SIGTERM)
ANSWER_SECONDS = 1.0
"""Seconds in which requests that were not done in time are answered, and again for connections to close."""
EXIT_SECONDS = 4.0
"""Seconds after SIGHTGLASS_STOP_SECONDS at which the process ends, whatever is still running."""
_close_now = uvicorn.Server.handle_exit


class InFlight:
    """ASGI middleware that knows the requests for work, so that a server that stops can wait for them."""

    tasks: ClassVar[set[asyncio.Task[Any]]] = set()

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        task = asyncio.current_task()
        if scope["type"] != "http" or scope["method"] != "POST" or task is None:
            await self.app(scope, receive, send)
            return
        self.tasks.add(task)
        try:
            await self.app(scope, receive, send)
        finally:
            self.tasks.discard(task)

    @classmethod
    def give_back(cls) -> None:
        """Cancel all of them, from any thread: each is answered with `problem`, unless its answer has begun."""
        for task in tuple(cls.tasks):
            task.get_loop().call_soon_threadsafe(task.cancel)


stopping.on_stop(lambda: None, lambda: bool(InFlight.tasks))


def problem() -> ApiProblem:
    """Return the answer to a request for work while the server stops."""
    detail = "This server is stopping: try again in a moment."
    return ApiProblem(503, "busy", detail, {"Retry-After": "5", "Connection": "close"})


def install() -> None:
    """Make every server of this process end like that; call it in the main thread."""
    uvicorn.Server.handle_exit = _handle_exit  # type: ignore[method-assign, assignment]
    for number in SIGNALS:
        # Streamlit's server has taken its signals before it reads our file.
        server = getattr(signal.getsignal(number), "__self__", None)
        if isinstance(server, uvicorn.Server):
            signal.signal(number, server.handle_exit)


def _handle_exit(server: uvicorn.Server, number: int, frame: FrameType | None) -> None:
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
        stopping.ended(ANSWER_SECONDS)
    # Streamlit's own is without limit.
    server.config.timeout_graceful_shutdown = ANSWER_SECONDS
    server.should_exit = True


def _exit_after(seconds: float) -> None:
    threading.Event().wait(seconds)
    # A thread inside torch does not end when it is told to.
    os._exit(0)


def _daemon(work: Any, *given: Any) -> None:
    threading.Thread(target=work, args=given, daemon=True).start()
