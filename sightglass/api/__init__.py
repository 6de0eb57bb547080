"""The engine over HTTP."""

from __future__ import annotations

import threading

from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sightglass.api.security import GUIDE_ROUTES


def routes(base: str = "") -> list[BaseRoute]:
    """Return routes for `st.App(__file__, routes=...)`.

    They answer everything below /api, including unknown paths, and the same below `base`, the path at which a proxy
    shows the server, such as `/sightglass`. The application is created in a thread at the first request, so that the
    dashboard starts as fast as without it.
    """
    app, bases = _LazyApp(base), dict.fromkeys(("", base))
    guides = (Route(f"{at}{path}", app) for at in bases for path in GUIDE_ROUTES)
    return [*(Mount(f"{at}/api", app) for at in bases), *guides]


class _LazyApp:
    def __init__(self, base: str) -> None:
        self._base = base
        self._app: ASGIApp | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app if self._app else await run_in_threadpool(self._create)
        # The application's own paths begin with /api, wherever it is mounted.
        inner = {name: value for name, value in scope.items() if name != "route"}
        below = scope.get("app_root_path", "")
        if self._base and scope["path"].startswith(f"{below}{self._base}/"):
            below += self._base
        await app(inner | {"root_path": below}, receive, send)

    def _create(self) -> ASGIApp:
        from sightglass.api.app import create

        with self._lock:
            if self._app is None:
                self._app = create()
            return self._app
