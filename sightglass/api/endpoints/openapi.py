"""OpenAPI document, and a page for it that needs no network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sightglass.api import problems
from sightglass.api.endpoints.endpoint import FORM, Endpoint
from sightglass.api.endpoints.negotiation import EMPTY, JSON, PICTURES, form_schema
from sightglass.api.security import ANSWERS, API_VERSION, CSP, VERSION_HEADER, is_public, write_policy
from sightglass.common import access
from sightglass.explain.recipe import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from sightglass.api.schemas import ApiRules
    from sightglass.common.files import Json

ABOUT = """Where a vision model looked, how sure it was, and how far to trust that.

Send a picture as a file in a form (`multipart/form-data`) or as base64 in JSON; the other fields are the same in both.
Every error is answered as `application/problem+json` with one sentence that says what to do.

Every answer names the version of this interface in `API-Version`: within one, requests that work go on working."""
ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}
_REF = "#/components/schemas/{model}"
_SECURITY = {
    "Bearer": {"type": "http", "scheme": "bearer"},
    "Key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_VERSION = {VERSION_HEADER: {"$ref": "#/components/headers/Version"}}
# A grey square of 8 x 8 pixels.
_PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAADklEQVR42mNogAIGyhgAgIQgARDoahcAAAAASUVORK5CYII="
_EXAMPLES: Json = {"image": _PICTURE, "other": _PICTURE, "classes": [0]}


def document(endpoints: Sequence[Endpoint], settings: ApiRules) -> Json:
    """Return the OpenAPI 3.1 document of these routes."""
    answers: list[type[BaseModel]] = [problems.ProblemDocument, *(one.answer for one in endpoints if one.answer)]
    _, found = models_json_schema([(model, "serialization") for model in dict.fromkeys(answers)], ref_template=_REF)
    schemas = found["$defs"]
    schemas["Problem"] = schemas.pop("ProblemDocument")
    for request in dict.fromkeys(one.body for one in endpoints if one.body is not None):
        schema = request.model_json_schema(mode="validation")
        for name in PICTURES:
            if name in schema["properties"]:
                schema["properties"][name]["maxLength"] = settings.max_bytes * 4 // 3 + 256
        schemas[request.__name__] = schema
    paths: Json = {}
    for one in endpoints:
        if one.body is not None:
            form = form_schema(schemas[one.body.__name__])
            schemas[form["title"]] = form
        paths[one.path_format] = {"post" if one.body else "get": _operation(one, schemas)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sightglass", "description": ABOUT, "version": VERSION},
        "servers": [_server("")],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": _SECURITY,
            "headers": {
                "Version": {
                    "description": "Of this interface: another number when a client would have to change.",
                    "required": True,
                    "schema": {"type": "string", "const": API_VERSION},
                }
            },
        },
        "security": [*([] if access.in_use().asks else [{}]), *({name: []} for name in _SECURITY)],
    }


def _server(path: str) -> Json:
    """Return where the paths of the document begin: at `path`, below which a proxy may show the server."""
    return {"url": path or "/", "description": "This server."}


def _operation(one: Endpoint, schemas: Json) -> Json:
    schema = {"$ref": _REF.format(model=one.answer.__name__)} if one.answer else {"type": "string"}
    binary = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in one.offers if kind != JSON}
    content = {JSON if one.answer else "text/plain": {"schema": schema}, **binary}
    responses: Json = {"200": {"description": one.choice or "Done.", "content": content}}
    responses |= {str(status): about for status, about in problems.problem_responses(*one.errors).items()}
    for about in responses.values():
        about["headers"] = {**about.get("headers", {}), **_VERSION}
    return {
        "tags": [one.tag],
        "operationId": one.name,
        "summary": one.name.replace("_", " ").capitalize(),
        "description": one.description,
        **({"parameters": _parameters(one)} if one.parameters else {}),
        **({"requestBody": _body(one, schemas)} if one.body else {}),
        "responses": responses,
        **({"security": []} if is_public(one.path) else {}),
    }


def _parameters(one: Endpoint) -> list[Json]:
    assert one.parameters is not None
    found = []
    parameters = one.parameters.model_json_schema()
    needed = parameters.get("required", ())
    for name, schema in parameters.get("properties", {}).items():
        inside = name in one.param_convertors
        about = {"name": name, "in": "path" if inside else "query", "required": name in needed}
        if schema.get("default", 0) is None:
            del schema["default"]
        words = {"description": schema.pop("description")} if "description" in schema else {}
        found.append(about | words | {"schema": schema})
    return found


def _body(one: Endpoint, schemas: Json) -> Json:
    assert one.body is not None
    required = schemas[one.body.__name__]["required"]
    example = {name: value for name, value in _EXAMPLES.items() if name in required}
    content: Json = {
        # The page offers the first, which has a file picker.
        FORM: {"schema": {"$ref": _REF.format(model=one.body.__name__.replace("Request", "Form"))}},
        JSON: {"schema": {"$ref": _REF.format(model=one.body.__name__)}, "example": example},
    }
    return {"required": True, "content": content}


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
    nothing = ({"type": "null"}, EMPTY)
    if isinstance(branches := document.get("anyOf"), list) and any(one in nothing for one in branches):
        result["anyOf"] = [as_openapi_3_0(one) for one in branches if one not in nothing]
        result |= {"nullable": True} if nothing[0] in branches else {}
        if len(result["anyOf"]) == 1:
            result |= result.pop("anyOf")[0]
    return result


def routes(document: Json) -> list[Route]:
    """Return the routes of the document, of an older form of it, and of the page that shows that."""

    def of(request: Request) -> Json:
        return document | {"servers": [_server(request.scope.get("root_path", ""))]}

    async def openapi(request: Request) -> Response:
        return JSONResponse(of(request))

    async def openapi_3_0(request: Request) -> Response:
        return JSONResponse(as_openapi_3_0(of(request)))

    return [
        Route("/api/openapi.json", openapi),
        Route("/api/docs/openapi.json", openapi_3_0),
        Route("/api/docs", _page),
        Route("/api/docs/{name}", _asset),
    ]


async def _page(request: Request) -> HTMLResponse:
    at = f"{request.scope.get('root_path', '')}/api/docs"
    # The default of `validatorUrl` sends the document to a validator on the web.
    given = {"dom_id": "#swagger-ui", "url": f"{at}/openapi.json", "validatorUrl": None, "tryItOutEnabled": True}
    script = f"SwaggerUIBundle({json.dumps(given)})".replace("<", "\\u003c")
    here = html.escape(at)
    page = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Sightglass API</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="stylesheet" href="{here}/swagger-ui.css"><link rel="icon" href="{here}/favicon-32x32.png">'
        f'</head><body><div id="swagger-ui"></div><script src="{here}/swagger-ui-bundle.js"></script>'
        f"<script>{script}</script></body></html>"
    )
    # What it may do: run its own scripts, and ask this server. It styles its parts itself, and has pictures in its
    # style sheet.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    own = {"style-src": "'self' 'unsafe-inline'", "img-src": "'self' data:", "connect-src": "'self'"}
    return HTMLResponse(
        page, headers={CSP: write_policy({**ANSWERS, "script-src": f"'self' 'sha256-{digest}'", **own})}
    )


async def _asset(request: Request) -> FileResponse:
    from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

    name = request.path_params["name"]
    if name not in ASSETS:
        raise HTTPException(404)
    return FileResponse(Path(swagger_ui_path) / name, media_type=ASSETS[name])
