"""Routes about the server: its models, load, readiness, metrics and description."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from sightglass.api import metrics, service
from sightglass.api.problems import ApiProblem
from sightglass.api.security import ANSWERS, CSP, write_policy
from sightglass.api.work import answer_queued, describe_answer
from sightglass.common.errors import Problem
from sightglass.common.files import writable
from sightglass.common.settings import settings
from sightglass.common.work import progress
from sightglass.explain.evidence.layers import layer_choices
from sightglass.explain.methods import list_methods
from sightglass.explain.recipe import VERSION
from sightglass.models.catalog import available, catalog
from sightglass.models.checkpoints import weights
from sightglass.models.spec import Task
from sightglass.report.results import PlainResult

if TYPE_CHECKING:
    pass

INLINE = "'self' 'unsafe-inline'"
router, public = APIRouter(tags=["server"]), APIRouter(tags=["server"])
"""Routes that need the token, where there is one, and routes that need none."""


class Listed(PlainResult):
    id: str
    family: str
    size: str
    task: Task
    here: bool
    """Whether its weights are on this machine; missing ones are not downloaded."""
    download_mb: float | None
    """About how large they are to download, in MB of 1,000,000 bytes; null: not known."""
    resident: bool
    """Whether it is loaded, so that an answer needs no loading time."""
    licence: str
    source: str
    method: str
    """Its default method."""
    methods: list[str] | None
    """All methods that support it; null until it has been loaded."""


class Models(PlainResult):
    default: str
    """The model for requests that name none."""
    models: list[Listed]


class LayerResult(PlainResult):
    path: str
    shape: tuple[int, int, int]
    """Channels, rows, columns."""
    layout: str
    default: bool


class Layers(PlainResult):
    model: str
    layers: list[LayerResult]
    """In order of execution."""
    default: tuple[str, ...]
    presets: dict[str, tuple[str, ...]]
    """Named sets of layers; a name can be used as a layer."""


class Load(PlainResult):
    workers: int
    running: int
    waiting: int
    room: int


class Health(PlainResult):
    status: Literal["ok"] = "ok"
    version: str
    queue: Load


class Status(PlainResult):
    status: Literal["alive", "ready"]


@router.get("/api/models")
def list_models(
    request: Request,
    here: Annotated[
        bool | None, Query(description="Only models whose weights are on this machine, or only the others.")
    ] = None,
    task: Annotated[Task | None, Query(description="Only models for this task.")] = None,
) -> Models:
    """List the models of the catalogue: their tasks, whether their weights are here, and the methods they support."""
    # No model is loaded before this module, and with it torch, is imported.
    residency = sys.modules.get("sightglass.explain.evidence.resident")
    loaded = list(residency.RESIDENCY.residents()) if residency else []
    rows = []
    for spec in catalog().values():
        # By the whole spec: a model of that id may be somebody else's, of another table.
        downloaded, resident = available(spec), next((model for model in loaded if model.adapter.spec == spec), None)
        if task in (None, spec.task) and here in (None, downloaded):
            names = ("id", "family", "size", "task", "licence", "source", "method")
            row = Listed(
                **{name: getattr(spec, name) for name in names},
                here=downloaded,
                download_mb=spec.megabytes,
                resident=resident is not None,
                methods=None if resident is None else [method.id for method in list_methods(resident)],
            )
            rows.append(row)
    return Models(default=request.app.state.settings.model, models=rows)


@router.get("/api/layers/{model:path}", responses=describe_answer(Layers))
async def list_layers(
    request: Request,
    model: Annotated[str, InPath(max_length=200, min_length=1, description="An id of GET /api/models.")],
    every: Annotated[bool, Query(description="Also layers nested in others.")] = False,
) -> Response:
    """List the layers of a model at which a map can be taken; the model is loaded for that."""

    def work(_: str) -> Layers:
        with weights.no_downloads():
            explainer = service.load_explainer(model, request.app.state.settings)
            choices = layer_choices(explainer.resident, every=every)
        rows = [
            LayerResult(path=layer.path, shape=layer.shape, layout=layer.layout, default=layer.path in choices.default)
            for layer in choices.layers
        ]
        return Layers(model=model, layers=rows, default=choices.default, presets=choices.presets)

    return await answer_queued(request, work)


@public.get("/api/health")
async def get_health(request: Request) -> Health:
    """Report that the server is up, and its load, without loading or waiting for anything."""
    queue = request.app.state.queue
    running, count = queue.running, len(queue)
    load = Load(workers=queue.workers, running=running, waiting=count - running, room=queue.waiting)
    return Health(version=VERSION, queue=load)


@public.get("/api/health/alive")
async def get_liveness() -> Status:
    """Report that the process answers; one that does not should be started again."""
    return Status(status="alive")


@public.get("/api/health/ready")
def get_readiness(request: Request) -> Status:
    """Report that requests can be sent here: the default model and the history can be used, and nothing stops."""
    lacking, folder = "", settings().history
    if progress.stopping():
        lacking = "This server is stopping."
    elif folder is not None and writable(folder) is None:
        lacking = f"The history's folder {folder} cannot be written: give SIGHTGLASS_HISTORY another, or off."
    else:
        try:
            service.local_model(request.app.state.settings.model)
        except Problem as problem:
            lacking = str(problem)
    if lacking:
        raise ApiProblem(503, "unready", lacking, {"Retry-After": "2"})
    return Status(status="ready")


@router.get("/api/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
def get_metrics() -> Response:
    """Report requests, durations, the queue, loaded models and memory, in Prometheus' text format."""
    return Response(metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})


@public.get("/api/docs/openapi.json", include_in_schema=False)
async def get_older_description(request: Request) -> JSONResponse:
    # The page refuses any other version, and shows what is new in 3.1 all the same.
    server = {"url": request.scope.get("root_path", "") or "/"}
    return JSONResponse(request.app.openapi() | {"openapi": "3.0.3", "servers": [server]})


@public.get("/api/docs", include_in_schema=False)
async def get_page(request: Request) -> HTMLResponse:
    """Return a page that lists all requests and needs no network."""
    at = f"{request.scope.get('root_path', '')}/api/docs"
    page = get_swagger_ui_html(
        openapi_url=f"{at}/openapi.json",
        title="Sightglass API",
        swagger_js_url=f"{at}/swagger-ui-bundle.js",
        swagger_css_url=f"{at}/swagger-ui.css",
        swagger_favicon_url=f"{at}/favicon-32x32.png",
        # The default of `validatorUrl` sends the document to a validator on the web.
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},
    )
    # Its script and styles are in the page, and pictures in its style sheet; nothing of a visitor is.
    sources = {"script-src": INLINE, "style-src": INLINE, "img-src": "'self' data:", "connect-src": "'self'"}
    page.headers[CSP] = write_policy({**ANSWERS, **sources})
    return page
