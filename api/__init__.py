"""The engine over HTTP, in the dashboard's process or alone; importing this package is cheap."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from starlette.routing import Mount, Route

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.schemas import Settings

ALIASES = ("/predict_with_gradcam", "/analyze_class")
"""Routes of the legacy API."""


def routes(settings: Settings | None = None) -> list[BaseRoute]:
    """Return routes for `st.App(__file__, routes=...)`; `settings` default to those of the environment.

    They answer everything below /api, including unknown paths. The application is created in a thread when the first
    request arrives, so that a dashboard without HTTP clients starts as fast as without an API.
    """
    app = _LazyApp(settings)
    return [Mount("/api", app), *(Route(path, app) for path in ALIASES)]


class _LazyApp:
    def __init__(self, settings: Settings | None) -> None:
        self._settings = settings
        self._app: ASGIApp | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            from starlette.concurrency import run_in_threadpool

            await run_in_threadpool(self._create)
        assert self._app is not None
        # The application's own paths begin with /api, wherever it is mounted.
        inner = {name: value for name, value in scope.items() if name != "route"}
        await self._app(inner | {"root_path": scope.get("app_root_path", "")}, receive, send)

    def _create(self) -> None:
        with self._lock:
            if self._app is None:
                from api.app import create

                self._app = create(self._settings)
