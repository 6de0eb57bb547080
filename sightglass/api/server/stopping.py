"""Graceful stop: refuse new requests, finish those in flight.

SIGTERM and Ctrl-C do not close the door at once: the server goes on listening, refuses new work with 503 and
Retry-After, and is not ready; once what is running has ended, or after SIGHTGLASS_STOP_SECONDS, it closes. Requests
that are not done by then get 503, too. A second signal closes it immediately.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

from sightglass.common.work import progress

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sightglass.api.problems import ApiProblem

ANSWER_SECONDS = 1.0
"""Seconds in which requests that were not done in time are answered, and again for connections to close."""


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


progress.on_stop(lambda: None, lambda: bool(InFlight.tasks))


def problem() -> ApiProblem:
    """Return the answer to a request for work while the server stops."""
    from sightglass.api.problems import ApiProblem

    detail = "This server is stopping: try again in a moment."
    return ApiProblem(503, "busy", detail, {"Retry-After": "5", "Connection": "close"})
