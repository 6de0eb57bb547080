"""The application: its routes, its OpenAPI description, and a page of that which needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from api import legacy_routes, metrics, middleware, negotiation, problems, routes_explain, routes_models
from api.schemas import Settings
from api.work_queue import Gate
from explain.recipe import VERSION

ABOUT = """Where a vision model looked, how sure it was, and how far that can be trusted.

A picture comes as a file of a form (`multipart/form-data`) or in base64 in JSON; the other fields are the same in both.
Whatever goes wrong is answered as `application/problem+json` with one sentence that says what to do."""
ASSETS = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}


def create(settings: Settings | None = None) -> FastAPI:
    """The application with all that stands before it; `settings`: those of the environment."""
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
    app.state.gate = Gate(settings.workers, settings.waiting)
    metrics.watch(app.state.gate)
    for router in (routes_explain.router, routes_models.router, legacy_routes.router):
        app.include_router(router)
    _docs(app)
    problems.handle(app)
    inner = app.openapi
    app.openapi = lambda: _described(app, inner(), settings)  # type: ignore[method-assign]
    app.middleware_stack = middleware.wrap(app.build_middleware_stack(), settings, app.state.gate)
    return app


def _docs(app: FastAPI) -> None:
    from fastapi.openapi.docs import get_swagger_ui_html

    async def described(request: Request) -> Response:
        return JSONResponse(app.openapi())

    async def drawn(request: Request) -> Response:
        return JSONResponse(older(app.openapi()))

    async def page(request: Request) -> HTMLResponse:
        at = f"{request.scope.get('root_path', '')}/api/docs"
        return get_swagger_ui_html(
            openapi_url=f"{at}/openapi.json",
            title="Sightglass: what can be asked",
            swagger_js_url=f"{at}/swagger-ui-bundle.js",
            swagger_css_url=f"{at}/swagger-ui.css",
            swagger_favicon_url=f"{at}/favicon-32x32.png",
            # Its default sends what is described to a validator on the web.
            swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},
        )

    async def asset(request: Request) -> Response:
        from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

        name = request.path_params["name"]
        if name not in ASSETS:
            raise problems.Refused(404, "path", "There is nothing at this path: GET /api/docs lists what can be asked.")
        return FileResponse(Path(swagger_ui_path) / name, media_type=ASSETS[name])

    app.add_route("/api/openapi.json", described, include_in_schema=False)
    app.add_route("/api/docs/openapi.json", drawn, include_in_schema=False)
    app.add_route("/api/docs", page, include_in_schema=False)
    app.add_route("/api/docs/{name}", asset, include_in_schema=False)


def older(said: Any) -> Any:
    """A description as OpenAPI 3.0 has it, which the page draws: 3.1 is unknown to it."""
    if isinstance(said, list):
        return [older(item) for item in said]
    if not isinstance(said, dict):
        return said
    kept = {name: older(value) for name, value in said.items() if name not in ("prefixItems", "contentEncoding")}
    if "openapi" in said and "paths" in said:
        kept["openapi"] = "3.0.3"
    if isinstance(said.get("prefixItems"), list):
        kinds = list({str(kind): kind for kind in older(said["prefixItems"])}.values())
        kept["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    if "const" in kept:
        kept["enum"] = [kept.pop("const")]
    nothing = ({"type": "null"}, negotiation.EMPTY)
    if isinstance(branches := said.get("anyOf"), list) and any(one in nothing for one in branches):
        kept["anyOf"] = [older(one) for one in branches if one not in nothing]
        kept |= {"nullable": True} if nothing[0] in branches else {}
        if len(kept["anyOf"]) == 1:
            kept |= kept.pop("anyOf")[0]
    return kept


def _described(app: FastAPI, found: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """FastAPI's description, and what it cannot know: both kinds of body, problems, and how long a picture may be."""
    schemas = found["components"]["schemas"]
    if "Problem" in schemas:
        return found
    schemas["Problem"] = problems.Told.model_json_schema() | {"title": "Problem"}
    for asked in routes_explain.REQUESTS:
        schema = asked.model_json_schema(mode="validation")
        for name in negotiation.PICTURES:
            if name in schema["properties"]:
                schema["properties"][name]["maxLength"] = settings.max_bytes * 4 // 3 + 256
        form = negotiation.form_of(schema)
        schemas[asked.__name__], schemas[form["title"]] = schema, form
    if settings.key:
        found["components"]["securitySchemes"] = {
            "Bearer": {"type": "http", "scheme": "bearer"},
            "Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        found["security"] = [{"Bearer": []}, {"Key": []}]
        for path in ("/api/health", "/api/problems", "/api/problems/{kind}"):
            found["paths"][path]["get"]["security"] = []
    return found
