"""Create the API's application: routes, error answers, middleware."""

import asyncio
import sys
import time
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sightglass.api import guide_routes, live, metrics, problems, routing
from sightglass.api.security import ANSWERS, AuthMiddleware, SecurityHeaders
from sightglass.api.work import WorkQueue, body_limit, limit_body, refuse_encoded
from sightglass.common import access
from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.common.settings import settings
from sightglass.explain.recipe import VERSION

ABOUT = """Where a vision model looked, how sure it was, and how far to trust that.

Send a picture as a file in a form (`multipart/form-data`) or as base64 in JSON; the other fields are the same in both.
Answers are JSON, or the `format` in the address. Every error is answered as `application/problem+json` with one
sentence that says what to do."""


class CountRequests:
    """Count every answer, including refusals by middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, begun = 0, time.perf_counter()

        async def note_status(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        except Exception as error:
            # Exceptions without a handler; answered here, so that the answer has all headers.
            if status:
                raise
            answer = await problems.respond(Request(scope), error)
            await answer(scope, receive, note_status)
        finally:
            # The pattern: a client must not choose the label.
            route = str(getattr(scope.get("route"), "path", None) or "other")
            metrics.observe(route, scope["method"], status or problems.CLIENT_CLOSED, time.perf_counter() - begun)


async def refuse_unknown_parameters(request: Request) -> None:
    """Raise ApiProblem, 422, for an unknown query parameter."""
    route: APIRoute = request.scope["route"]
    known = [field.alias for field in route.dependant.query_params]
    unknown = [{"type": "extra_forbidden", "loc": (name,)} for name in request.query_params if name not in known]
    # Prometheus may send parameters of its own.
    if unknown and route.include_in_schema and route.path != "/api/metrics":
        raise problems.from_validation(unknown, known)


class Tools:
    """The tools for programs (`sightglass.api.tools`), as an application; the first request creates their server."""

    def __init__(self, queue: WorkQueue) -> None:
        self._queue, self._lock = queue, asyncio.Lock()
        self._server: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse_encoded(Headers(scope=scope))
        async with self._lock:
            self._server = self._server or await run_in_threadpool(self._create)
        self._server.streamable_http_app(
            stateless_http=True,
            json_response=True,
            # Checks no host's name and no origin: AuthMiddleware has.
            host="",
            max_request_body_size=sys.maxsize,
        )
        # It belongs to this request: the task that enters a manager has to leave it.
        manager = self._server.session_manager
        try:
            async with manager.run():
                await manager.handle_request(scope, limit_body(receive, body_limit(pictures=1)), send)
        except ExceptionGroup as group:
            error: Exception = group
            while isinstance(error, ExceptionGroup):
                error = error.exceptions[0]
            raise error from None

    def _create(self) -> Any:
        try:
            from sightglass.api.tools import create_server

            return create_server(self._queue, local=False)
        except Exception as error:
            problems.LOGGER.error("the tools cannot start", exc_info=error)
            detail = "The tools cannot start here: the operator must install the packages of requirements.txt again."
            raise problems.ApiProblem(503, "unready", detail) from error


class Api(FastAPI):
    """The application, with problems in its OpenAPI document."""

    def openapi(self) -> Json:
        """Return the OpenAPI document, with the schema of problems."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"]["Problem"] = problems.ProblemDocument.model_json_schema()
        return self.openapi_schema or {}


def create() -> Api:
    """Return the application; where `prepare` was not called, it requires the environment's token, if there is one."""
    from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

    if not access.is_installed():
        access.install(access.choose("localhost"))
    app = Api(
        title="Sightglass",
        version=VERSION,
        description=ABOUT,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses=problems.RESPONSES,
        generate_unique_id_function=lambda route: route.name,
        middleware=list_middleware(),
        exception_handlers=dict.fromkeys((HTTPException, RequestValidationError, Problem), problems.respond),
    )
    app.state.queue = queue = WorkQueue(settings().api_workers, settings().api_queue)
    # For the document alone: AuthMiddleware has already checked the token.
    token = [Depends(HTTPBearer(auto_error=False)), Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]
    known = Depends(refuse_unknown_parameters)
    for router in (routing.pictures, routing.protected, guide_routes.router):
        app.include_router(router, dependencies=[known, *(token if access.in_use().asks else [])])
    app.include_router(routing.public, dependencies=[known])
    app.include_router(live.router)
    app.router.routes.append(Route("/mcp", Tools(queue)))
    app.mount("/api/docs", StaticFiles(directory=swagger_ui_path))
    metrics.watch(queue)
    return app


def list_middleware() -> list[Middleware]:
    """Return the middleware, outermost first."""
    sites = [site.rstrip("/") for site in settings().api_origins]
    cors: dict[str, Any] = {
        "allow_origins": sites,
        "allow_methods": ("GET", "POST"),
        "allow_headers": ("Authorization", "X-API-Key", "Content-Type"),
        "expose_headers": ("Retry-After",),
        "max_age": 600,
    }
    return [
        Middleware(SecurityHeaders, ANSWERS),
        Middleware(CountRequests),
        *([Middleware(CORSMiddleware, **cors)] if sites else []),
        Middleware(AuthMiddleware),
    ]
