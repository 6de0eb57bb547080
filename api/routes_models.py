"""Routes about the server: models, their layers, its load, and the kinds of problems."""

from __future__ import annotations

import threading
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic.json_schema import SkipJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import metrics, problems, results, service
from api.negotiation import JSON, negotiate, run_queued
from api.problems import KINDS, ApiProblem, problem_responses
from api.schemas import Settings
from explain.recipe import VERSION
from models import weights

router = APIRouter(prefix="/api", tags=["server"])


def _check(request: Request, *fields: str) -> None:
    """Raise ApiProblem if the client does not accept JSON, and for an unknown query parameter."""
    negotiate(request.headers.get("accept"), (JSON,))
    for name in request.query_params:
        if name not in fields:
            wrong = {"type": "extra_forbidden", "loc": (name,), "msg": ""}
            raise ApiProblem(422, "fields", problems.wrong_fields([wrong], fields or ("none",)))


def _json(answer: Any) -> Response:
    return Response(answer.model_dump_json(), media_type=JSON)


@router.get("/models", response_model=results.Models, responses=problem_responses(406, 422))
async def models(
    request: Request,
    here: Annotated[
        bool | SkipJsonSchema[None],
        Query(description="Only models whose weights are on this machine, or only the others."),
    ] = None,
    task: Annotated[
        Literal["classify", "detect", "embed"] | SkipJsonSchema[None], Query(description="Only models for this task.")
    ] = None,
) -> Response:
    """List the models of the catalogue: their tasks, whether their weights are here, and the methods they support."""
    _check(request, "here", "task")
    settings: Settings = request.app.state.settings
    return _json(await run_in_threadpool(_listed, settings, here, task))


def _listed(settings: Settings, here: bool | None, task: str | None) -> results.Models:
    import sys

    from models.catalog import available, catalog

    # No model is loaded before this module, and with it torch, is imported.
    residency = sys.modules.get("explain.evidence.resident")
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
            from explain.methods import offered

            methods = [method.id for method in offered(resident)]
        row = {name: getattr(spec, name) for name in ("id", "family", "size", "task", "licence", "source", "method")}
        row |= {"here": there, "download_mb": spec.megabytes, "resident": resident is not None, "methods": methods}
        found.append(results.Listed(**row))
    return results.Models(default=settings.model, models=found)


@router.get(
    "/layers/{model:path}", response_model=results.Layers, responses=problem_responses(404, 406, 422, 429, 503, 504)
)
async def layers(
    request: Request,
    model: Annotated[str, Path(max_length=200, min_length=1, description="An id of GET /api/models.")],
    every: Annotated[bool, Query(description="Also layers nested in others.")] = False,
) -> Response:
    """List the layers of a model at which a map can be taken; the model is loaded for that."""
    _check(request, "every")
    settings: Settings = request.app.state.settings

    def work(cancel: threading.Event) -> results.Layers:
        from explain.evidence.layers import layer_choices

        with weights.no_downloads():
            explainer = service.load_explainer(model, settings)
            found = layer_choices(explainer.resident, every=every)
        rows = [
            results.Layer(path=one.path, shape=one.shape, layout=one.layout, default=one.path in found.default)
            for one in found.layers
        ]
        presets = {name: list(paths) for name, paths in found.presets.items()}
        return results.Layers(model=model, layers=rows, default=list(found.default), presets=presets)

    return _json(await run_queued(request, work))


@router.get("/health", response_model=results.Health, responses=problem_responses(406, 422))
async def health(request: Request) -> Response:
    """Report that the server is up, and its load, without loading or waiting for anything."""
    _check(request)
    now = request.app.state.queue.stats()
    queue = results.Queue(workers=now.workers, running=now.running, waiting=now.waiting, room=now.capacity)
    return _json(results.Health(status="ok", version=VERSION, queue=queue))


@router.get("/health/alive", response_model=results.Alive, responses=problem_responses(406, 422))
async def alive(request: Request) -> Response:
    """Report that the process answers; one that does not should be started again."""
    _check(request)
    return _json(results.Alive(status="alive"))


@router.get("/health/ready", response_model=results.Ready, responses=problem_responses(406, 422, 503))
async def ready(request: Request) -> Response:
    """Report that requests can be sent here: the model has made a map, the history can be written, and nothing stops.

    The first such request begins to load the default model; none waits for it.
    """
    _check(request)
    lacking = await run_in_threadpool(request.app.state.readiness.problem)
    if lacking is not None:
        raise ApiProblem(503, "unready", lacking, {"Retry-After": "2"})
    return _json(results.Ready(status="ready"))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problem_responses()},
)
async def measured() -> Response:
    """Report requests, durations, the queue, loaded models and memory, in Prometheus' text format."""
    return Response(await run_in_threadpool(metrics.text), headers={"Content-Type": metrics.CONTENT_TYPE})


@router.get("/problems", response_model=results.Kinds, responses=problem_responses(406, 422))
async def kinds(request: Request) -> Response:
    """List every kind of problem that an answer can name as its `type`."""
    _check(request)
    return _json(results.Kinds(problems=[_kind(name) for name in KINDS]))


@router.get("/problems/{kind}", response_model=results.Kind, responses=problem_responses(404, 406, 422))
async def kind(request: Request, kind: Annotated[str, Path(max_length=40)]) -> Response:
    """Describe one kind of problem, and what to do about it."""
    _check(request)
    if kind not in KINDS:
        raise ApiProblem(404, "path", f"There is no kind of problem with this name: use {', '.join(KINDS)}.")
    return _json(_kind(kind))


def _kind(name: str) -> results.Kind:
    kind = KINDS[name]
    return results.Kind(
        type=f"{problems.BASE}/{name}", title=kind.title, statuses=list(kind.statuses), about=kind.about
    )
