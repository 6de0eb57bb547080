"""The engine over HTTP, and the documentation's site at /docs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sightglass.api.security import LEGACY_ROUTES
from sightglass.common import style

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sightglass.api.schemas import ApiRules


def routes(settings: ApiRules | None = None, base: str = "") -> list[BaseRoute]:
    """Return routes for `st.App(__file__, routes=...)`; `settings` default to those of the environment.

    They answer everything below /api, including unknown paths, and show the documentation at /docs; the same below
    `base`, the path at which a proxy shows the server, such as `/sightglass`. The application is created in a thread
    when the first request arrives, so that a dashboard without HTTP clients starts as fast as without an API.
    """
    app = _LazyApp(settings, base)
    return [
        route
        for at in dict.fromkeys(("", base))
        for route in (
            Mount(f"{at}/api", app),
            *(Route(f"{at}{path}", app) for path in LEGACY_ROUTES),
            *documentation_routes(at),
        )
    ]


def documentation_routes(base: str = "") -> list[BaseRoute]:
    """Return the routes of the documentation below a path; none where it was not built."""
    if style.SITE is None or not style.has_site():
        return []
    at = f"{base}/docs"

    async def enter(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}{at}/")

    return [Route(at, enter), Mount(at, StaticFiles(directory=style.SITE, html=True))]


class _LazyApp:
    def __init__(self, settings: ApiRules | None, base: str) -> None:
        self._settings, self._base = settings, base
        self._app: ASGIApp | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            await run_in_threadpool(self._create)
        assert self._app is not None
        # The application's own paths begin with /api, wherever it is mounted.
        inner = {name: value for name, value in scope.items() if name != "route"}
        below = scope.get("app_root_path", "")
        if self._base and scope["path"].startswith(f"{below}{self._base}/"):
            below += self._base
        await self._app(inner | {"root_path": below}, receive, send)

    def _create(self) -> None:
        with self._lock:
            if self._app is None:
                from sightglass.api.app import create

                self._app = create(self._settings)
