"""Create the API's application: routes, error answers, middleware."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import WebSocketRoute

from sightglass.api import problems
from sightglass.api.endpoints import explain, legacy, live, models, openapi, readiness, runs
from sightglass.api.schemas import ApiRules
from sightglass.api.server import metrics, middleware
from sightglass.api.work_queue import WorkQueue
from sightglass.common import access
from sightglass.common.errors import Cancelled, Problem
from sightglass.common.files import Json

ENDPOINTS = (*explain.ENDPOINTS, *models.ENDPOINTS, *runs.ENDPOINTS, *legacy.ENDPOINTS)


class Api(Starlette):
    """The application, which knows its own description."""

    def __init__(self, settings: ApiRules) -> None:
        self._document = openapi.document(ENDPOINTS, settings)
        routes = [*ENDPOINTS, WebSocketRoute("/api/live", live.live), *openapi.routes(self._document)]
        handled = (HTTPException, Problem, Cancelled, MemoryError, Exception)
        super().__init__(routes=routes, exception_handlers=dict.fromkeys(handled, problems.respond))
        self.router.redirect_slashes = False
        self.state.settings = settings
        self.state.queue = WorkQueue(settings.workers, settings.waiting)
        self.state.readiness = readiness.of(settings)
        metrics.watch(self.state.queue)
        self.middleware_stack = middleware.wrap(self.build_middleware_stack(), settings, self.state.queue)

    def openapi(self) -> Json:
        """Return the OpenAPI document."""
        return self._document


def create(settings: ApiRules | None = None) -> Api:
    """Return the application with its middleware; `settings` default to those of the environment.

    In a process that no server of Sightglass prepared, the environment's token is required, if there is one.
    """
    if not access.is_installed():
        access.install(access.choose("localhost"))
    return Api(settings or ApiRules.from_environment())
