"""Routes about the server: its models, load, readiness, metrics and description."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import logging
import re
import shutil
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query
from fastapi import Path as InPath
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from sightglass.api import metrics, service
from sightglass.api.problems import ApiProblem
from sightglass.api.security import ANSWERS, CSP, write_policy
from sightglass.api.work import run_queued
from sightglass.common.errors import Problem
from sightglass.common.files import writable
from sightglass.common.settings import MIB, settings
from sightglass.common.work import progress
from sightglass.explain.evidence.layers import layer_choices
from sightglass.explain.methods import list_methods
from sightglass.explain.picture import image
from sightglass.explain.recipe import VERSION
from sightglass.export.results import PlainResult
from sightglass.models.catalog import available, catalog
from sightglass.models.checkpoints import weights
from sightglass.models.spec import Task

if TYPE_CHECKING:
    from sightglass.api.schemas import ApiRules
    from sightglass.common.files import Json
    from sightglass.explain.explainer import Explainer

LOGGER = logging.getLogger(__name__)
AGAIN = 30.0
"""Seconds after which a model that could not be used is tried again."""
FREE_MB = 16
"""Free disk space below which nothing can be saved."""
ASSETS = {"swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript", "favicon-32x32.png": "image/png"}
router = APIRouter(tags=["server"])


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


class Alive(PlainResult):
    status: Literal["alive"] = "alive"


class Ready(PlainResult):
    status: Literal["ready"] = "ready"


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
    loaded = {model.adapter.spec.id: model for model in (residency.RESIDENCY.residents() if residency else ())}
    rows = []
    for spec in catalog().values():
        downloaded, resident = available(spec), loaded.get(spec.id)
        if task not in (None, spec.task) or here not in (None, downloaded):
            continue
        if resident is not None and resident.adapter.spec != spec:
            # Another table of that id: somebody else's.
            resident = None
        names = ("id", "family", "size", "task", "licence", "source", "method")
        rows.append(
            Listed(
                **{name: getattr(spec, name) for name in names},
                here=downloaded,
                download_mb=spec.megabytes,
                resident=resident is not None,
                methods=None if resident is None else [method.id for method in list_methods(resident)],
            )
        )
    return Models(default=request.app.state.settings.model, models=rows)


@router.get("/api/layers/{model:path}")
async def list_layers(
    request: Request,
    model: Annotated[str, InPath(max_length=200, min_length=1, description="An id of GET /api/models.")],
    every: Annotated[bool, Query(description="Also layers nested in others.")] = False,
) -> Layers:
    """List the layers of a model at which a map can be taken; the model is loaded for that."""

    def work(_: threading.Event) -> Layers:
        with weights.no_downloads():
            explainer = service.load_explainer(model, request.app.state.settings)
            choices = layer_choices(explainer.resident, every=every)
        rows = [
            LayerResult(path=layer.path, shape=layer.shape, layout=layer.layout, default=layer.path in choices.default)
            for layer in choices.layers
        ]
        return Layers(model=model, layers=rows, default=choices.default, presets=choices.presets)

    return (await run_queued(request, work))[0]


@router.get("/api/health")
async def get_health(request: Request) -> Health:
    """Report that the server is up, and its load, without loading or waiting for anything."""
    queue = request.app.state.queue
    running, count = queue.running, len(queue)
    load = Load(workers=queue.workers, running=running, waiting=count - running, room=queue.waiting)
    return Health(version=VERSION, queue=load)


@router.get("/api/health/alive")
async def get_liveness() -> Alive:
    """Report that the process answers; one that does not should be started again."""
    return Alive()


@router.get("/api/health/ready")
def get_readiness(request: Request) -> Ready:
    """Report that requests can be sent here: the model has made a map, the history can be written, and nothing stops.

    The first such request begins to load the default model; none waits for it.
    """
    if (lacking := request.app.state.readiness.problem()) is not None:
        raise ApiProblem(503, "unready", lacking, {"Retry-After": "2"})
    return Ready()


@router.get("/api/metrics", responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}})
def get_metrics() -> Response:
    """Report requests, durations, the queue, loaded models and memory, in Prometheus' text format."""
    return Response(metrics.text(), headers={"Content-Type": metrics.CONTENT_TYPE})


@router.get("/api/openapi.json", include_in_schema=False)
async def get_description(request: Request) -> JSONResponse:
    return JSONResponse(_document(request))


@router.get("/api/docs/openapi.json", include_in_schema=False)
async def get_older_description(request: Request) -> JSONResponse:
    # The page refuses any other version, and shows what is new in 3.1 all the same.
    return JSONResponse(_document(request) | {"openapi": "3.0.3"})


def _document(request: Request) -> Json:
    url = request.scope.get("root_path", "") or "/"
    document: Json = request.app.openapi()
    return document | {"servers": [{"url": url, "description": "This server."}]}


@router.get("/api/docs", include_in_schema=False)
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
    # What it may do: run its own scripts, and ask this server. It styles its parts itself, and has pictures in its
    # style sheet.
    scripts = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    digests = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in scripts)
    allowed = {
        "script-src": " ".join(("'self'", *(f"'sha256-{digest}'" for digest in digests))),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
    }
    page.headers[CSP] = write_policy({**ANSWERS, **allowed})
    return page


@router.get("/api/docs/{name}", include_in_schema=False)
async def get_asset(name: str) -> FileResponse:
    from swagger_ui_bundle import swagger_ui_path  # type: ignore[import-untyped]

    if name not in ASSETS:
        raise HTTPException(404)
    return FileResponse(Path(swagger_ui_path) / name, media_type=ASSETS[name])


class Readiness:
    """Whether the default model has made a map, and the history can be written.

    The model is loaded when it is asked for the first time: whoever asks waits for this server.
    """

    def __init__(self, rules: ApiRules) -> None:
        self._rules = rules
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._warm = False
        self._failure, self._failed_at = "", 0.0

    def warmed(self) -> None:
        """Record the default model's first map."""
        self._warm = True

    def problem(self) -> str | None:
        """Return why this server cannot work now, in one sentence, or None; never waits for a model."""
        if progress.stopping():
            return "This server is stopping."
        if (lacking := unusable(settings().history)) is not None:
            return lacking
        if self._warm:
            return None
        with self._lock:
            if self._thread is None or (self._failure and time.monotonic() - self._failed_at > AGAIN):
                self._failure = ""
                self._thread = threading.Thread(target=self._try, name="readiness", daemon=True)
                self._thread.start()
        return self._failure or "This server is starting: its model is not loaded yet."

    def _try(self) -> None:
        try:
            warm(service.load_explainer(self._rules.model, self._rules))
        except Problem as problem:
            self._note_failure(str(problem))
        except Exception as error:
            LOGGER.exception("the default model cannot be used")
            self._note_failure(f"The default model cannot be used ({type(error).__name__}): see the server's log.")
        else:
            self.warmed()

    def _note_failure(self, sentence: str) -> None:
        self._failure, self._failed_at = sentence, time.monotonic()


def warm(explainer: Explainer) -> None:
    """Explain one picture: the first pass takes several times longer."""
    # Some models find nothing in a grey picture, or need words to look for.
    with contextlib.suppress(Problem):
        explainer(image.Image(np.full((64, 64, 3), 128, np.uint8), "warm"), top_k=1)


def unusable(folder: Path | None) -> str | None:
    """Return why the history cannot be used in this folder, in one sentence, or None; None is no history at all."""
    if folder is None:
        return None
    if (existing := writable(folder)) is None:
        return f"The history's folder {folder} cannot be written: give SIGHTGLASS_HISTORY another, or off."
    if shutil.disk_usage(existing).free < FREE_MB * MIB:
        return f"The disk of the history's folder {folder} is full: free some space."
    if (file := folder / "history.db").is_file():
        try:
            with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
                database.execute("PRAGMA schema_version").fetchone()
        except sqlite3.Error as error:
            return f"The history {file} cannot be read ({error}): restore it, or move it away."
    return None
