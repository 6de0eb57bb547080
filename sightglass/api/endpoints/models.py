"""Routes about models, load and problem kinds."""

from __future__ import annotations

import sys
import threading

from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from sightglass.api import problems, results, service
from sightglass.api.endpoints.endpoint import Endpoint, answer_json, read_parameters
from sightglass.api.endpoints.negotiation import run_queued
from sightglass.api.problems import KINDS, ApiProblem
from sightglass.api.schemas import ApiRules
from sightglass.api.server import metrics
from sightglass.explain.evidence.layers import layer_choices
from sightglass.explain.methods import list_methods
from sightglass.explain.recipe import VERSION
from sightglass.models.catalog import available, catalog
from sightglass.models.checkpoints import weights
from sightglass.models.spec import Task


class NoParameters(BaseModel):
    """Of a route that takes none."""


class ModelsParameters(BaseModel):
    here: bool | SkipJsonSchema[None] = Field(
        default=None, description="Only models whose weights are on this machine, or only the others."
    )
    task: Task | SkipJsonSchema[None] = Field(default=None, description="Only models for this task.")


class LayersParameters(BaseModel):
    model: str = Field(max_length=200, min_length=1, description="An id of GET /api/models.")
    every: bool = Field(default=False, description="Also layers nested in others.")


class KindParameters(BaseModel):
    kind: str = Field(max_length=40)


async def list_models(request: Request) -> Response:
    """List the models of the catalogue: their tasks, whether their weights are here, and the methods they support."""
    wanted = read_parameters(request, ModelsParameters)
    settings: ApiRules = request.app.state.settings
    return answer_json(await run_in_threadpool(_list, settings, wanted.here, wanted.task))


def _list(settings: ApiRules, here: bool | None, task: str | None) -> results.Models:
    # No model is loaded before this module, and with it torch, is imported.
    residency = sys.modules.get("sightglass.explain.evidence.resident")
    loaded = {one.adapter.spec.id: one for one in (residency.RESIDENCY.residents() if residency else ())}
    found = []
    for spec in catalog().values():
        there = available(spec)
        if task not in (None, spec.task) or here not in (None, there):
            continue
        resident, methods = loaded.get(spec.id), None
        if resident is not None and resident.adapter.spec != spec:
            # Another table of that id: somebody else's.
            resident = None
        if resident is not None:
            methods = [method.id for method in list_methods(resident)]
        row = {name: getattr(spec, name) for name in ("id", "family", "size", "task", "licence", "source", "method")}
        row |= {"here": there, "download_mb": spec.megabytes, "resident": resident is not None, "methods": methods}
        found.append(results.Listed(**row))
    return results.Models(default=settings.model, models=found)


async def list_layers(request: Request) -> Response:
    """List the layers of a model at which a map can be taken; the model is loaded for that."""
    wanted = read_parameters(request, LayersParameters)
    settings: ApiRules = request.app.state.settings

    def work(cancel: threading.Event) -> results.Layers:
        with weights.no_downloads():
            explainer = service.load_explainer(wanted.model, settings)
            found = layer_choices(explainer.resident, every=wanted.every)
        rows = [
            results.Layer(path=one.path, shape=one.shape, layout=one.layout, default=one.path in found.default)
            for one in found.layers
        ]
        presets = {name: list(paths) for name, paths in found.presets.items()}
        return results.Layers(model=wanted.model, layers=rows, default=list(found.default), presets=presets)

    return answer_json(await run_queued(request, work))


async def get_health(request: Request) -> Response:
    """Report that the server is up, and its load, without loading or waiting for anything."""
    read_parameters(request, NoParameters)
    now = request.app.state.queue.stats()
    queue = results.Queue(workers=now.workers, running=now.running, waiting=now.waiting, room=now.capacity)
    return answer_json(results.Health(status="ok", version=VERSION, queue=queue))


async def get_liveness(request: Request) -> Response:
    """Report that the process answers; one that does not should be started again."""
    read_parameters(request, NoParameters)
    return answer_json(results.Alive(status="alive"))


async def get_readiness(request: Request) -> Response:
    """Report that requests can be sent here: the model has made a map, the history can be written, and nothing stops.

    The first such request begins to load the default model; none waits for it.
    """
    read_parameters(request, NoParameters)
    lacking = await run_in_threadpool(request.app.state.readiness.problem)
    if lacking is not None:
        raise ApiProblem(503, "unready", lacking, {"Retry-After": "2"})
    return answer_json(results.Ready(status="ready"))


async def get_metrics(request: Request) -> Response:
    """Report requests, durations, the queue, loaded models and memory, in Prometheus' text format."""
    return Response(await run_in_threadpool(metrics.text), headers={"Content-Type": metrics.CONTENT_TYPE})


async def list_problems(request: Request) -> Response:
    """List every kind of problem that an answer can name as its `type`."""
    read_parameters(request, NoParameters)
    return answer_json(results.Kinds(problems=[_kind(name) for name in KINDS]))


async def get_problem(request: Request) -> Response:
    """Describe one kind of problem, and what to do about it."""
    wanted = read_parameters(request, KindParameters).kind
    if wanted not in KINDS:
        raise ApiProblem(404, "path", f"There is no kind of problem with this name: use {', '.join(KINDS)}.")
    return answer_json(_kind(wanted))


def _kind(name: str) -> results.Kind:
    kind = KINDS[name]
    return results.Kind(
        type=f"{problems.BASE}/{name}", title=kind.title, statuses=list(kind.statuses), about=kind.about
    )


ENDPOINTS = (
    Endpoint("/api/models", list_models, results.Models, parameters=ModelsParameters),
    Endpoint(
        "/api/layers/{model:path}",
        list_layers,
        results.Layers,
        parameters=LayersParameters,
        errors=(404, 406, 422, 429, 503, 504),
    ),
    Endpoint("/api/health", get_health, results.Health),
    Endpoint("/api/health/alive", get_liveness, results.Alive),
    Endpoint("/api/health/ready", get_readiness, results.Ready, errors=(406, 422, 503)),
    Endpoint("/api/metrics", get_metrics, errors=()),
    Endpoint("/api/problems", list_problems, results.Kinds),
    Endpoint("/api/problems/{kind}", get_problem, results.Kind, parameters=KindParameters, errors=(404, 406, 422)),
)
