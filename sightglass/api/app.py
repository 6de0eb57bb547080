"""Create the API's application: routes, error answers, middleware."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request

from sightglass.api import legacy, live, metrics, pictures, problems, runs, server
from sightglass.api.schemas import ApiRules
from sightglass.api.security import (
    ANSWERS,
    API_VERSION,
    VERSION_HEADER,
    VERSIONED,
    AuthMiddleware,
    SecurityHeaders,
    is_public,
)
from sightglass.api.work import BEFORE, WorkQueue, body_schemas
from sightglass.common import access, logs
from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.common.settings import settings
from sightglass.explain.recipe import VERSION

if TYPE_CHECKING:
    from fastapi.routing import APIRoute
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = logging.getLogger("sightglass.api.server.request_log")
ABOUT = f"""Where a vision model looked, how sure it was, and how far to trust that.

Send a picture as a file in a form (`multipart/form-data`) or as base64 in JSON; the other fields are the same in both.
`/api/v1/...` is also `/api/...`. Answers are JSON, or the `format` in the address. Every error is answered as
`application/problem+json` with one sentence that says what to do.

Every answer names the version of this interface in `{VERSION_HEADER}`: within one, requests that work go on working."""
REQUEST_ID = b"x-request-id"
_SECURITY = {
    "Bearer": {"type": "http", "scheme": "bearer"},
    "Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}


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
    if not route.include_in_schema or route.path == "/api/metrics":
        return
    known = [field.alias for field in route.dependant.query_params]
    unknown = [{"type": "extra_forbidden", "loc": (name,), "msg": ""} for name in request.query_params]
    if wrong := [error for error in unknown if error["loc"][0] not in known]:
        if request.method == "POST":
            words = "Fields belong in the body, not in the address: send them with the picture."
            raise problems.ApiProblem(422, "fields", words)
        raise problems.from_validation(wrong, known or ("none",))


class Api(FastAPI):
    """The application, which knows its own description."""

    def openapi(self) -> Json:
        """Return the OpenAPI document."""
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            problem = problems.ProblemDocument.model_json_schema()
            schemas |= body_schemas(self.state.settings.max_bytes) | {"Problem": problem}
            document["components"]["securitySchemes"] = _SECURITY
            document["security"] = [*([] if access.in_use().asks else [{}]), *({name: []} for name in _SECURITY)]
            for path, operations in document["paths"].items():
                if is_public(path):
                    for operation in operations.values():
                        operation["security"] = []
            document["paths"] = {
                path.replace("/api/", VERSIONED, 1): operations for path, operations in document["paths"].items()
            }
            self.openapi_schema = document
        return self.openapi_schema


def create(rules: ApiRules | None = None) -> Api:
    """Return the application with its middleware; `rules` default to those of the environment.

    In a process that no server of Sightglass prepared, the environment's token is required, if there is one.
    """
    if not access.is_installed():
        access.install(access.choose("localhost"))
    rules = rules or ApiRules.from_environment()
    app = Api(
        title="Sightglass",
        version=VERSION,
        description=ABOUT,
        openapi_url=None,
        redirect_slashes=False,
        responses=problems.RESPONSES,
        generate_unique_id_function=_name,
        middleware=list_middleware(),
        exception_handlers=dict.fromkeys((HTTPException, RequestValidationError, Problem), problems.respond),
    )
    for module in (pictures, server, runs, legacy):
        app.include_router(module.router, dependencies=[Depends(refuse_unknown_parameters)])
    app.include_router(live.router)
    app.state.settings = rules
    app.state.queue = WorkQueue(rules.workers, rules.waiting)
    app.state.readiness = server.Readiness(rules)
    metrics.watch(app.state.queue)
    return app


def _name(route: APIRoute) -> str:
    return route.name


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
