"""Routes: explanations, models, and the state and description of the server."""

import asyncio
import os
import sys
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.openapi.docs import get_swagger_ui_html
from prometheus_client import generate_latest
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from sightglass.api import metrics, schemas, service
from sightglass.api.problems import ApiProblem
from sightglass.api.security import ANSWERS, CSP, write_policy
from sightglass.api.work import WorkQueue, add_head_routes, add_route, read, validate
from sightglass.common.errors import Problem
from sightglass.common.settings import settings
from sightglass.explain.recipe import VERSION
from sightglass.explain.whatif import edits, touch
from sightglass.models.catalog import available, catalog
from sightglass.models.families.exported import workers
from sightglass.models.spec import Task
from sightglass.report.results import ComparisonResult, Explained, PlainResult, ProofResult, SimilarityResult
from sightglass.video.live import executor_for

MAP_FORMATS, PLAIN_FORMATS = ("json", "png", "npy", "zip"), ("json", "zip")
"""Formats: numbers; the first map over the picture, with its recipe; the first map; the command line's folder."""
pictures, protected, public = APIRouter(prefix="/api", tags=["pictures"]), APIRouter(), APIRouter(tags=["server"])
"""Routes of pictures, other routes that require the token, and routes that anybody may ask."""

add_route(pictures, "/explain", schemas.ExplainRequest, Explained, service.answer_explanation, MAP_FORMATS)
add_route(pictures, "/detect", schemas.DetectRequest, Explained, service.answer_explanation, MAP_FORMATS)
add_route(pictures, "/segment", schemas.SegmentRequest, Explained, service.answer_explanation, MAP_FORMATS)
add_route(pictures, "/compare", schemas.CompareRequest, ComparisonResult, service.compare_models, PLAIN_FORMATS)
add_route(pictures, "/similarity", schemas.SimilarityRequest, SimilarityResult, service.compare_pictures, PLAIN_FORMATS)
add_route(pictures, "/prove", schemas.ProveRequest, ProofResult, service.prove_map, PLAIN_FORMATS)


@protected.post("/api/touch", include_in_schema=False)
async def answer_touch(request: Request) -> JSONResponse:
    """Answer for a page's picture that a hand covers."""
    asked = validate(await read(request, schemas.TouchRequest), schemas.TouchRequest)
    touched = touch.find(asked.key)
    answer = partial(touched.answer, edits.parse(asked.edit), exact=asked.exact)
    executor = executor_for(*(before.evidence.loaded for before in touched.explained))
    return JSONResponse(await asyncio.get_running_loop().run_in_executor(executor, answer))


class Listed(PlainResult):
    id: str
    family: str
    size: str
    task: Task
    here: bool
    """Whether its weights are on this machine; missing ones are not downloaded."""
    download_mb: float | None
    """About how large they are to download, in MB of 1,000,000 bytes; null: not known."""
    licence: str
    source: str
    method: str
    """Its default method."""


class Models(PlainResult):
    default: str
    """The model for requests that name none."""
    models: list[Listed]


@protected.get("/api/models", tags=["server"])
def list_models(
    here: Annotated[bool | None, Query(description="Only those with weights on this machine, or the others.")] = None,
    task: Annotated[Task | None, Query(description="Only models for this task.")] = None,
) -> Models:
    """List the models of the catalogue: their tasks, and whether their weights are here."""
    names, rows = ("id", "family", "size", "task", "licence", "source", "method"), []
    for spec in catalog().values():
        downloaded = available(spec)
        if task in (None, spec.task) and here in (None, downloaded):
            known = {name: getattr(spec, name) for name in names}
            rows.append(Listed(**known, here=downloaded, download_mb=spec.megabytes))
    return Models(default=settings().api_model, models=rows)


class Health(PlainResult):
    status: Literal["ok"] = "ok"
    version: str


class Status(PlainResult):
    status: Literal["ready"] = "ready"


@public.get("/api/health/alive", name="get_liveness")
@public.get("/api/health")
async def get_health() -> Health:
    """Report that the server is up, without loading or waiting for anything."""
    return Health(version=VERSION)


@public.get("/api/health/ready")
def get_readiness(request: Request) -> Status:
    """Report that requests can be sent here: a worker, the default model and the history can be used."""
    try:
        if (folder := settings().history) is not None:
            # It is made with the first record.
            existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
            if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
                reason = "cannot be written: give SIGHTGLASS_HISTORY another, or off."
                raise Problem(f"The history's folder {folder} {reason}")
        service.local_model(settings().api_model)
        queue: WorkQueue = request.app.state.queue
        if _all_processes_busy() or queue.full or queue.stuck == queue.workers:
            raise Problem("All workers are busy: try again in a moment.")
    except Problem as problem:
        raise ApiProblem(503, "unready", str(problem), {"Retry-After": "2"}) from problem
    return Status()


def _all_processes_busy() -> bool:
    """Return whether received files of one kind have no process that can take work."""
    # Imported with the first received model.
    received: Any = sys.modules.get("sightglass.explain.received.model")
    return workers.POOL.full or (received is not None and received.all_busy())


@protected.get(
    "/api/metrics", tags=["server"], responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
)
def get_metrics() -> Response:
    """Report requests, durations, the queue, loaded models and memory, in Prometheus' text format."""
    return Response(generate_latest(metrics.REGISTRY), media_type="text/plain; version=0.0.4")


@public.get("/api/docs/openapi.json", include_in_schema=False)
async def get_openapi_for_swagger(request: Request) -> JSONResponse:
    # The page refuses any other version, and shows what is new in 3.1 all the same.
    server = {"url": request.scope.get("root_path", "") or "/"}
    return JSONResponse(request.app.openapi() | {"openapi": "3.0.3", "servers": [server]})


@public.get("/api/docs", include_in_schema=False)
async def get_page(request: Request) -> HTMLResponse:
    """Return a page that lists all requests and needs no network."""
    base = f"{request.scope.get('root_path', '')}/api/docs"
    page = get_swagger_ui_html(
        openapi_url=f"{base}/openapi.json",
        title="Sightglass API",
        swagger_js_url=f"{base}/swagger-ui-bundle.js",
        swagger_css_url=f"{base}/swagger-ui.css",
        swagger_favicon_url=f"{base}/favicon-32x32.png",
        # The default of `validatorUrl` sends the document to a validator on the web.
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},
    )
    # Its script and styles are in the page, and pictures in its style sheet; nothing of a visitor is.
    inline = "'self' 'unsafe-inline'"
    sources = {"script-src": inline, "style-src": inline, "img-src": "'self' data:", "connect-src": "'self'"}
    page.headers[CSP] = write_policy({**ANSWERS, **sources})
    return page


add_head_routes(protected)
add_head_routes(public)
