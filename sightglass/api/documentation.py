"""Serve the documentation's site at /docs; `make docs` builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sightglass.common import style

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

NOT_BUILT = (
    "The documentation is not built here: run `make docs` in a checkout of Sightglass, and start the server again."
)


def routes(base: str = "") -> list[BaseRoute]:
    """Return the routes of the site below a path; without a site, they say how to build it (404)."""
    at = f"{base}/docs"

    async def enter(request: Request) -> Response:
        return RedirectResponse(f"{request.scope.get('root_path', '')}{at}/")

    async def say(_: Request) -> Response:
        return PlainTextResponse(NOT_BUILT, 404)

    if style.SITE is None or not style.has_site():
        return [Route(at, say), Route(f"{at}/{{path:path}}", say)]
    return [Route(at, enter), Mount(at, StaticFiles(directory=style.SITE, html=True))]
