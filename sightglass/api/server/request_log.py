"""Request ids and the access log.

The id is in the answer's header, and in every line that is logged for the request, in the queue and the engine too.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from sightglass.common import logs

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = logging.getLogger(__name__)
HEADER = b"x-request-id"


class RequestLog:
    """ASGI middleware that answers and logs with the id of the request."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == HEADER), None)
        with logs.working_on(logs.new_id(given)) as request:
            status, begun = 0, time.perf_counter()

            async def identify(message: Message) -> None:
                nonlocal status
                if message["type"] in ("http.response.start", "websocket.accept"):
                    status = message.get("status", 101)
                    message["headers"] = [*message.get("headers", ()), (HEADER, request.encode("latin-1"))]
                await send(message)

            try:
                await self.app(scope, receive, identify)
            finally:
                LOGGER.info(
                    "answered",
                    extra={
                        "method": scope.get("method", "WEBSOCKET"),
                        # The pattern, so that no picture's or model's name of a client is in the log.
                        "route": str(getattr(scope.get("route"), "path", None) or "other"),
                        "status": status,
                        "milliseconds": round(1000 * (time.perf_counter() - begun), 1),
                    },
                )
