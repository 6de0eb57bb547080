"""Create the application: its routes, its OpenAPI document, and a page for that which needs no network."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from api import (
    legacy_routes,
    live,
    metrics,
    middleware,
    negotiation,
    problems,
    readiness,
    routes_explain,
    routes_models,
)
from api.schemas import Settings
from api.security_headers import ANSWERS, CSP, written
from api.work_queue import WorkQueue
from explain.recipe import VERSION

ABOUT = """Where a vision model looked, how sure it was, and how far to trust that.

Send a picture as a file in a form (`multipart/form-data`) or as base64 in JSON; the other fields are the same in both.
Every error is answered as `application/problem+json` with one sentence that says what to do."""
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}


def create(settings: Settings | None = None) -> FastAPI:
    """Return the application with its middleware; `settings` default to those of the environment."""
    settings = settings or Settings.from_environment()
    app = FastAPI(
        title="Sightglass",
        version=VERSION,
        description=ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.queue = WorkQueue(settings.workers, settings.waiting)
    app.state.readiness = readiness.of(settings)
    metrics.watch(app.state.queue)
    for router in (routes_explain.router, routes_models.router, legacy_routes.router):
        app.include_router(router)
    app.router.add_websocket_route("/api/live", live.live)
    _docs(app)
    problems.install(app)
    inner = app.openapi
    app.openapi = lambda: _completed(inner(), settings)  # type: ignore[method-assign]
    app.middleware_stack = middleware.wrap(app.build_middleware_stack(), settings, app.state.queue)
    return app


def _docs(app: FastAPI) -> None:
    from fastapi.openapi.docs import get_swagger_ui_html

    async def openapi(request: Request) -> Response:
        return JSONResponse(app.openapi())

    async def openapi_3_0(request: Request) -> Response:
        return JSONResponse(as_openapi_3_0(app.openapi()))

    async def page(request: Request) -> HTMLResponse:
        at = f"{request.scope.get('root_path', '')}/api/docs"
        shown = get_swagger_ui_html(
            openapi_url=f"{at}/openapi.json",
            title="Sightglass API",
            swagger_js_url=f"{at}/swagger-ui-bundle.js",
            swagger_css_url=f"{at}/swagger-ui.css",
            swagger_favicon_url=f"{at}/favicon-32x32.png",
            # Its default sends the document to a validator on the web.
            swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},
        )
        shown.headers[CSP] = _policy(bytes(shown.body))
        return shown

    async def asset(request: Request) -> Response:
        from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

        name = request.path_params["name"]
        if name not in ASSETS:
            raise HTTPException(404)
        return FileResponse(Path(swagger_ui_path) / name, media_type=ASSETS[name])

    app.add_route("/api/openapi.json", openapi, include_in_schema=False)
    app.add_route("/api/docs/openapi.json", openapi_3_0, include_in_schema=False)
    app.add_route("/api/docs", page, include_in_schema=False)
    app.add_route("/api/docs/{name}", asset, include_in_schema=False)


def _policy(page: bytes) -> str:
    """Return what the page of the documentation may do: run its own scripts, and ask this server."""
    inline = (base64.b64encode(hashlib.sha256(script).digest()) for script in _INLINE.findall(page))
    scripts = " ".join(("'self'", *(f"'sha256-{digest.decode()}'" for digest in inline)))
    # It styles its parts itself, and has pictures in its style sheet.
    own = {"style-src": "'self' 'unsafe-inline'", "img-src": "'self' data:", "connect-src": "'self'"}
    return written({**ANSWERS, "script-src": scripts, **own})


def as_openapi_3_0(document: Any) -> Any:
    """Return an OpenAPI 3.1 document as 3.0, the latest that the page can show."""
    if isinstance(document, list):
        return [as_openapi_3_0(item) for item in document]
    if not isinstance(document, dict):
        return document
    result = {
        name: as_openapi_3_0(value)
        for name, value in document.items()
        if name not in ("prefixItems", "contentEncoding")
    }
    if "openapi" in document and "paths" in document:
        result["openapi"] = "3.0.3"
    if isinstance(document.get("prefixItems"), list):
        kinds = list({str(kind): kind for kind in as_openapi_3_0(document["prefixItems"])}.values())
        result["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if "const" in result:
        result["enum"] = [result.pop("const")]
    nothing = ({"type": "null"}, negotiation.EMPTY)
    if isinstance(branches := document.get("anyOf"), list) and any(one in nothing for one in branches):
        result["anyOf"] = [as_openapi_3_0(one) for one in branches if one not in nothing]
        result |= {"nullable": True} if nothing[0] in branches else {}
        if len(result["anyOf"]) == 1:
            result |= result.pop("anyOf")[0]
    return result


def _completed(found: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Add to FastAPI's document what it cannot know: both kinds of body, problems, and the limit of a picture."""
    schemas = found["components"]["schemas"]
    if "Problem" in schemas:
        return found
    schemas["Problem"] = problems.ProblemDocument.model_json_schema() | {"title": "Problem"}
    for request in routes_explain.REQUESTS:
        schema = request.model_json_schema(mode="validation")
        for name in negotiation.PICTURES:
            if name in schema["properties"]:
                schema["properties"][name]["maxLength"] = settings.max_bytes * 4 // 3 + 256
        form = negotiation.form_schema(schema)
        schemas[request.__name__], schemas[form["title"]] = schema, form
    if settings.key:
        found["components"]["securitySchemes"] = {
            "Bearer": {"type": "http", "scheme": "bearer"},
            "Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        found["security"] = [{"Bearer": []}, {"Key": []}]
        for path in ("/api/health", "/api/health/alive", "/api/health/ready", "/api/problems", "/api/problems/{kind}"):
            found["paths"][path]["get"]["security"] = []
    return found
