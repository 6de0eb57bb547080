"""Create the API's application: routes, error answers, middleware."""

from __future__ import annotations

import logging
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.staticfiles import StaticFiles

from sightglass.api import legacy, live, metrics, pictures, problems, runs, server, serving
from sightglass.api.schemas import ApiRules
from sightglass.api.security import (
    ANSWERS,
    API_VERSION,
    VERSION_HEADER,
    VERSIONED,
    AuthMiddleware,
    SecurityHeaders,
)
from sightglass.api.work import BEFORE, WorkQueue
from sightglass.common import access, logs
from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.common.settings import settings
from sightglass.explain.recipe import VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi.routing import APIRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = logging.getLogger("sightglass.api.server.request_log")
ABOUT = f"""Where a vision model looked, how sure it was, and how far to trust that.

Send a picture as a file in a form (`multipart/form-data`) or as base64 in JSON; the other fields are the same in both.
`/api/v1/...` is also `/api/...`. Answers are JSON, or the `format` in the address. Every error is answered as
`application/problem+json` with one sentence that says what to do.

Every answer names the version of this interface in `{VERSION_HEADER}`: within one, requests that work go on working."""
REQUEST_ID = b"x-request-id"


class RequestLog:
    """Answer and log with the id of the request, and count every answer, including refusals by middleware.

    The id is also in every line logged for the request in the queue and the engine. Paths of version 1 are served as
    those without a version.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        root = scope.get("root_path", "")
        if scope["path"].startswith(root + VERSIONED):
            scope["path"] = f"{root}/api/{scope['path'].removeprefix(root + VERSIONED)}"
        header = next((value.decode("latin-1") for name, value in scope["headers"] if name.lower() == REQUEST_ID), None)
        with logs.working_on(logs.new_id(header)) as request:
            status, begun = 0, time.perf_counter()

            async def identify(message: Message) -> None:
                nonlocal status
                if message["type"] in ("http.response.start", "websocket.accept"):
                    status = message.get("status", 101)
                    message["headers"] = [*message.get("headers", ()), (REQUEST_ID, request.encode("latin-1"))]
                await send(message)

            try:
                await self.app(scope, receive, identify)
            except Exception as error:
                # Whatever has no handler of its own; here, so that it is answered with all headers.
                if status or scope["type"] != "http":
                    raise
                answer = await problems.respond(Request(scope), error)
                await answer(scope, receive, identify)
            finally:
                seconds = time.perf_counter() - begun
                # The pattern, so that no picture's or model's name of a client is in the log, and no label made up.
                route = str(getattr(scope.get("route"), "path", None) or "other")
                if scope["type"] == "http":
                    metrics.observe(route, scope["method"], status or problems.CLIENT_CLOSED, seconds)
                about = {"method": scope.get("method", "WEBSOCKET"), "route": route, "status": status}
                LOGGER.info("answered", extra=about | {"milliseconds": round(1000 * seconds, 1)})


async def refuse_unknown_parameters(request: Request) -> None:
    """Raise ApiProblem, 422, for an unknown query parameter."""
    route: APIRoute = request.scope["route"]
    known = [field.alias for field in route.dependant.query_params]
    unknown = [{"type": "extra_forbidden", "loc": (name,)} for name in request.query_params if name not in known]
    if unknown and request.method == "POST":
        words = "Fields belong in the body, not in the address: send them with the picture."
        raise problems.ApiProblem(422, "fields", words)
    # Prometheus may send parameters of its own.
    if unknown and route.include_in_schema and route.path != "/api/metrics":
        raise problems.from_validation(unknown, known or ("none",))


class Api(FastAPI):
    """The application, which knows its own description."""

    def openapi(self) -> Json:
        """Return the OpenAPI document, with the version in all paths."""
        if self.openapi_schema is None:
            document = super().openapi()
            document["components"]["schemas"]["Problem"] = problems.ProblemDocument.model_json_schema()
            document["paths"] = {
                path.replace("/api/", VERSIONED, 1): operations for path, operations in document["paths"].items()
            }
        assert self.openapi_schema is not None
        return self.openapi_schema


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncIterator[None]:
    serving.stop_gracefully()
    yield


def create(rules: ApiRules | None = None) -> Api:
    """Return the application with its middleware; `rules` default to those of the environment.

    In a process that no server of Sightglass prepared, the environment's token is required, if there is one.
    """
    from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

    if not access.is_installed():
        access.install(access.choose("localhost"))
    rules = rules or ApiRules.from_environment()
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
        lifespan=_lifespan,
    )
    # For the description alone: AuthMiddleware has let in who is asked.
    token = [Depends(HTTPBearer(auto_error=False)), Depends(APIKeyHeader(name="X-API-Key", auto_error=False))]
    known = Depends(refuse_unknown_parameters)
    for module in (pictures, server, runs, legacy):
        app.include_router(module.router, dependencies=[known, *(token if access.in_use().asks else [])])
    app.include_router(server.public, dependencies=[known])
    app.include_router(live.router)
    app.mount("/api/docs", StaticFiles(directory=swagger_ui_path))
    app.state.settings = rules
    app.state.queue = WorkQueue(rules.workers, rules.waiting)
    metrics.watch(app.state.queue)
    return app


def list_middleware() -> list[Middleware]:
    """Return the middleware, outermost first."""
    sites = [site.rstrip("/") for site in settings().api_origins]
    cors: dict[str, Any] = {
        "allow_origins": sites,
        "allow_methods": ("GET", "POST"),
        "allow_headers": ("Authorization", "X-API-Key", "X-Request-ID", "Content-Type"),
        "expose_headers": ("Retry-After", BEFORE, "X-Request-ID", VERSION_HEADER),
        "max_age": 600,
    }
    return [
        Middleware(SecurityHeaders, ANSWERS, {VERSION_HEADER: API_VERSION}),
        Middleware(RequestLog),
        *([Middleware(CORSMiddleware, **cors)] if sites else []),
        Middleware(AuthMiddleware),
    ]
