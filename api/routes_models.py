"""What is here: models, their layers, how busy it is, and what goes wrong under which name."""

from __future__ import annotations

import threading
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic.json_schema import SkipJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from api import metrics, problems, results, service
from api.negotiation import JSON, chosen, through
from api.problems import KINDS, Refused, listed
from api.schemas import Settings
from explain.recipe import VERSION
from models import weights

router = APIRouter(prefix="/api", tags=["server"])


def _wanted(request: Request, *fields: str) -> None:
    """Raise Refused where JSON is not what is wanted, and for a field that there is not."""
    chosen(request.headers.get("accept"), (JSON,))
    for name in request.query_params:
        if name not in fields:
            wrong = {"type": "extra_forbidden", "loc": (name,), "msg": ""}
            raise Refused(422, "fields", problems.wrong_fields([wrong], fields or ("none",)))


def _json(said: Any) -> Response:
    return Response(said.model_dump_json(), media_type=JSON)


@router.get("/models", response_model=results.Models, responses=listed(406, 422))
async def models(
    request: Request,
    here: Annotated[
        bool | SkipJsonSchema[None],
        Query(description="Only those whose weights are on this machine, or only the others."),
    ] = None,
    task: Annotated[
        Literal["classify", "detect", "embed"] | SkipJsonSchema[None], Query(description="Only these.")
    ] = None,
) -> Response:
    """Every model of the catalogue: what it is for, whether its weights are here, and what can explain it."""
    _wanted(request, "here", "task")
    settings: Settings = request.app.state.settings
    return _json(await run_in_threadpool(_listed, settings, here, task))


def _listed(settings: Settings, here: bool | None, task: str | None) -> results.Models:
    import sys

    from models.catalog import available, catalog

    # Nothing is loaded before this was imported, and with it torch.
    residency = sys.modules.get("explain.evidence.resident")
    loaded = {one.adapter.spec.id: one for one in (residency.RESIDENCY.residents() if residency else ())}
    found = []
    for spec in catalog().values():
        there = available(spec)
        if task not in (None, spec.task) or here not in (None, there):
            continue
        resident, methods = loaded.get(spec.id), None
        if resident is not None:
            from explain.methods import offered

            methods = [method.id for method in offered(resident)]
        found.append(
            results.Listed(
                id=spec.id,
                family=spec.family,
                size=spec.size,
                task=spec.task,  # type: ignore[arg-type]  # checked as the catalogue is read
                here=there,
                resident=resident is not None,
                licence=spec.licence,
                source=spec.source,
                method=spec.method,
                methods=methods,
            )
        )
    return results.Models(default=settings.model, models=found)


@router.get("/layers/{model:path}", response_model=results.Layers, responses=listed(404, 406, 422, 429, 503, 504))
async def layers(
    request: Request,
    model: Annotated[str, Path(max_length=200, min_length=1, description="An id of GET /api/models.")],
    every: Annotated[bool, Query(description="Also those inside of others.")] = False,
) -> Response:
    """The layers of a model that a map can be taken at; it is loaded for that."""
    _wanted(request, "every")
    settings: Settings = request.app.state.settings

    def work(cancel: threading.Event) -> results.Layers:
        from explain.evidence.layer_choices import layer_choices

        with weights.kept_in():
            explainer = service.loaded(model, settings)
            found = layer_choices(explainer, every=every)
        rows = [
            results.Layer(path=one.path, shape=one.shape, layout=one.layout, default=one.path in found.default)
            for one in found.layers
        ]
        presets = {name: list(paths) for name, paths in found.presets.items()}
        return results.Layers(model=model, layers=rows, default=list(found.default), presets=presets)

    return _json(await through(request, work))


@router.get("/health", response_model=results.Health, responses=listed(406, 422))
async def health(request: Request) -> Response:
    """Whether it is up, and how busy: it loads nothing and waits for nothing."""
    _wanted(request)
    now = request.app.state.gate.stats()
    queue = results.Queue(workers=now.workers, running=now.running, waiting=now.waiting, room=now.room)
    return _json(results.Health(status="ok", version=VERSION, queue=queue))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **listed()},
)
async def measured() -> Response:
    """Requests, seconds, the queue, loaded models and memory, in Prometheus' text format."""
    return Response(await run_in_threadpool(metrics.text), headers={"Content-Type": metrics.CONTENT_TYPE})


@router.get("/problems", response_model=results.Kinds, responses=listed(406, 422))
async def kinds(request: Request) -> Response:
    """Every kind of problem that an answer can name as its `type`."""
    _wanted(request)
    return _json(results.Kinds(problems=[_kind(name) for name in KINDS]))


@router.get("/problems/{kind}", response_model=results.Kind, responses=listed(404, 406, 422))
async def kind(request: Request, kind: Annotated[str, Path(max_length=40)]) -> Response:
    """What one kind of problem is, and what to do about it."""
    _wanted(request)
    if kind not in KINDS:
        raise Refused(404, "path", f"There is no kind of problem with this name: there are {', '.join(KINDS)}.")
    return _json(_kind(kind))


def _kind(name: str) -> results.Kind:
    kind = KINDS[name]
    return results.Kind(type=f"{problems.AT}/{name}", title=kind.title, statuses=list(kind.statuses), about=kind.about)
