"""ASGI middleware of the API: CORS, request ids and log, metrics, and limits of bodies.

A body is counted as it arrives and refused if it is too large or too slow; work whose client disconnects is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware

from sightglass.api import problems
from sightglass.api.problems import ApiProblem
from sightglass.api.security import ANSWERS, API_VERSION, VERSION_HEADER, AuthMiddleware, SecurityHeaders
from sightglass.api.server import metrics, stopping
from sightglass.api.work_queue import BEFORE, Busy
from sightglass.common import logs
from sightglass.common.settings import settings
from sightglass.common.work.progress import stopping as is_stopping

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from sightglass.api.schemas import ApiRules
    from sightglass.api.work_queue import WorkQueue

TWO_PICTURES = "/api/similarity"
"""Path whose body has two pictures."""

LOGGER = logging.getLogger(__name__)
ACCESS = logging.getLogger("sightglass.api.server.request_log")
FIELD_BYTES = 256 * 1024
"""Bytes allowed for everything but the pictures."""
MAX_BODY_SECONDS = 60.0
"""Time limit for a whole body."""
MAX_DRAINED, DRAIN_SECONDS = 64 * 2**20, 5.0
"""Bytes of a refused body that are read and dropped: a client that is still sending does not read the answer."""
REQUEST_ID = b"x-request-id"
CLIENT_CLOSED = 499
"""Status counted when the client disconnected before an answer; never sent."""


def wrap(app: ASGIApp, rules: ApiRules, queue: WorkQueue | None = None) -> ASGIApp:
    """Return the application behind all checks; a POST is refused before its body is read while `queue` is full."""
    sites = [site.rstrip("/") for site in settings().api_origins]
    guarded: ASGIApp = AuthMiddleware(BodyLimits(app, rules, queue))
    if sites:
        guarded = CORSMiddleware(
            guarded,
            allow_origins=sites,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "X-API-Key", "X-Request-ID", "Content-Type"),
            expose_headers=("Retry-After", BEFORE, "X-Request-ID", VERSION_HEADER),
            max_age=600,
        )
    answered = SecurityHeaders(RequestMetrics(guarded), ANSWERS, {VERSION_HEADER: API_VERSION})
    return RequestLog(stopping.InFlight(answered))


class RequestLog:
    """Answer and log with the id of the request, which is also in every line logged for it in the queue and engine."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == REQUEST_ID), None)
        with logs.working_on(logs.new_id(given)) as request:
            status, begun = 0, time.perf_counter()

            async def identify(message: Message) -> None:
                nonlocal status
                if message["type"] in ("http.response.start", "websocket.accept"):
                    status = message.get("status", 101)
                    message["headers"] = [*message.get("headers", ()), (REQUEST_ID, request.encode("latin-1"))]
                await send(message)

            try:
                await self.app(scope, receive, identify)
            finally:
                ACCESS.info(
                    "answered",
                    extra={
                        "method": scope.get("method", "WEBSOCKET"),
                        # The pattern, so that no picture's or model's name of a client is in the log.
                        "route": str(getattr(scope.get("route"), "path", None) or "other"),
                        "status": status,
                        "milliseconds": round(1000 * (time.perf_counter() - begun), 1),
                    },
                )


class RequestMetrics:
    """Count every answer, including refusals by middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), CLIENT_CLOSED

        async def record_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, record_status)
        finally:
            # The pattern of the route, so that clients cannot make up labels.
            route = str(getattr(scope.get("route"), "path", None) or "other")
            metrics.observe(route, scope["method"], status, time.perf_counter() - start)


class BodyLimits:
    """Limit the size and duration of a request's body."""

    def __init__(self, app: ASGIApp, settings: ApiRules, queue: WorkQueue | None = None) -> None:
        self.app, self.settings, self.queue = app, settings, queue

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, posts = Headers(scope=scope), scope["method"] == "POST"
        max_bytes = self._max_bytes(scope["path"].removeprefix(scope.get("root_path", "")))
        problem = stopping.problem() if posts and is_stopping() else None
        length = headers.get("content-length", "")
        if problem is None and length.isdigit() and int(length) > max_bytes:
            problem = self._too_large()
        sending = headers.get("expect", "").lower() != "100-continue"
        if problem is None:
            seconds = max(MAX_BODY_SECONDS, self.settings.timeout)
            queue = self.queue if scope["method"] == "POST" else None
            call = _Call(receive, send, max_bytes, seconds, self._too_large(), queue)
            problem = await call.run(lambda: self.app(scope, call.receive, call.send))
            sending = (sending or call.bytes > 0) and not call.complete
        if problem is not None:
            # A client that awaits 100 Continue sends nothing yet, and one that was too slow has had its time.
            if sending and problem.status != 408:
                await _drain(receive)
            await problems.response(problem, scope["path"])(scope, receive, send)

    def _max_bytes(self, path: str) -> int:
        """Return the limit of a body: its pictures, a third longer in base64, and its fields."""
        pictures = 2 if path.rstrip("/") == TWO_PICTURES else 1
        return pictures * (self.settings.max_bytes * 4 // 3 + 4) + FIELD_BYTES

    def _too_large(self) -> ApiProblem:
        detail = f"The body is longer than a picture may be here, {self.settings.max_size}: send a smaller one."
        return ApiProblem(413, "size", detail, {"Connection": "close"})


class _Call:
    """One request: what was received and sent, and whether the client is still connected."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        max_bytes: int,
        seconds: float,
        too_large: ApiProblem,
        queue: WorkQueue | None = None,
    ) -> None:
        self._receive, self._send, self._queue = receive, send, queue
        self._max_bytes, self._seconds, self._too_large = max_bytes, seconds, too_large
        self._deadline: float | None = None
        self.bytes = 0
        self.complete = False
        """Whether the whole body was received."""
        self._started = self._answered = False
        self._problem: ApiProblem | None = None
        self._listener: asyncio.Task[Message] | None = None
        self._task: asyncio.Task[Any] | None = None

    async def run(self, app: Callable[[], Any]) -> ApiProblem | None:
        """Run the application; return the problem to answer in its place, or None."""
        task = self._task = asyncio.ensure_future(app())
        try:
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                # The server is stopping, and its grace period is over.
                return None if self._started else stopping.problem()
            if self._problem is not None and not self._started:
                return self._problem
            # A client that is gone needs no answer.
            failure = None if task.cancelled() else task.exception()
            # An error that was answered as a problem has been logged.
            if failure is not None and not self._answered:
                LOGGER.error("a request failed", exc_info=failure)
                return None if self._started else ApiProblem(500, "internal", problems.INTERNAL)
            return None
        finally:
            for left in (task, self._listener):
                if left is not None and not left.done():
                    left.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await left

    async def receive(self) -> Message:
        if self.complete:
            # A streaming response waits for the disconnect: it waits on the same listener.
            return await asyncio.shield(self._listen())
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = now + self._seconds
            self._check_queue()
        try:
            message = await asyncio.wait_for(self._receive(), self._deadline - now)
        except TimeoutError:
            detail = "The request took too long: send it again."
            self._refuse(ApiProblem(408, "slow", detail, {"Connection": "close"}))
        if message["type"] == "http.request":
            self.bytes += len(message.get("body", b""))
            if self.bytes > self._max_bytes:
                self._refuse(self._too_large)
            self.complete = not message.get("more_body", False)
            if self.complete:
                self._listen()
        elif message["type"] == "http.disconnect":
            # No client is left to answer, and nothing failed.
            raise asyncio.CancelledError
        return message

    def _check_queue(self) -> None:
        """Refuse the request before its body is read if the queue is full."""
        try:
            if self._queue is not None:
                self._queue.check()
        except Busy as busy:
            self._refuse(ApiProblem(429, "busy", str(busy), busy.headers | {"Connection": "close"}))

    def _refuse(self, problem: ApiProblem) -> None:
        self._problem = problem
        # No handler of the application takes this for an error of its own.
        raise asyncio.CancelledError

    def _listen(self) -> asyncio.Task[Message]:
        """Return the task that ends when the client disconnects."""
        if self._listener is None:
            self._listener = asyncio.ensure_future(self._receive())
            self._listener.add_done_callback(self._cancel)
        return self._listener

    def _cancel(self, listener: asyncio.Task[Message]) -> None:
        # The same message also comes after the whole answer was sent.
        if listener.cancelled() or listener.exception() or self._answered or self._task is None:
            return
        self._task.cancel()

    async def send(self, message: Message) -> None:
        if self._problem is not None and not self._started:
            return
        if message["type"] == "http.response.start":
            self._started = True
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._answered = True
        await self._send(message)


async def _drain(receive: Receive) -> None:
    """Read and drop the rest of a body, for a limited time."""
    dropped = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while dropped < MAX_DRAINED:
                message = await receive()
                dropped += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
