"""The engine over HTTP, in the dashboard's own process or alone; importing this package is free."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from starlette.routing import Mount, Route

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.schemas import Settings

ALIASES = ("/predict_with_gradcam", "/analyze_class")
"""What sketches of such a server call their routes."""


def routes(settings: Settings | None = None) -> list[BaseRoute]:
    """What `st.App(__file__, routes=...)` takes; `settings`: those of the environment.

    Everything below /api is answered here, what is not there too. The application is made when the first request
    comes, in a thread: a dashboard that nobody asks over HTTP starts as if there were none.
    """
    later = _Later(settings)
    return [Mount("/api", later), *(Route(path, later) for path in ALIASES)]


class _Later:
    def __init__(self, settings: Settings | None) -> None:
        self._settings = settings
        self._app: ASGIApp | None = None
        self._making = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
            return
        if self._app is None:
            from starlette.concurrency import run_in_threadpool

            await run_in_threadpool(self._make)
        assert self._app is not None
        # The application's own paths begin with /api, wherever it is.
        inner = {name: value for name, value in scope.items() if name != "route"}
        await self._app(inner | {"root_path": scope.get("app_root_path", "")}, receive, send)

    def _make(self) -> None:
        with self._making:
            if self._app is None:
                from api.app import create

                self._app = create(self._settings)
