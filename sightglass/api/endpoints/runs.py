"""Routes about batch runs with labels: list, evaluation."""

from __future__ import annotations

import threading

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from sightglass.api import results
from sightglass.api.endpoints.endpoint import Endpoint, answer_json, read_parameters
from sightglass.api.endpoints.models import NoParameters
from sightglass.api.endpoints.negotiation import run_queued
from sightglass.api.problems import ApiProblem
from sightglass.batch.labelled import summary
from sightglass.batch.labelled.runs import find_run, list_runs
from sightglass.common.errors import Problem


class RunParameters(BaseModel):
    run: str = Field(max_length=200, min_length=1, description="An id of GET /api/runs.")


async def list_evaluated_runs(request: Request) -> Response:
    """List your batch runs with labels, the newest first."""
    read_parameters(request, NoParameters)
    found = await run_in_threadpool(list_runs)
    return answer_json(results.Runs(runs=[results.ListedRun(id=one.id, written=one.written) for one in found]))


async def get_evaluation(request: Request) -> Response:
    """Say how well a run's answers fit its labels: headline numbers with their interval, errors, reasons of misses."""
    wanted = read_parameters(request, RunParameters).run

    def work(cancel: threading.Event) -> results.RunEvaluation:
        if (run := find_run(wanted)) is None:
            raise ApiProblem(404, "path", "There is no run with this id: GET /api/runs lists yours.")
        try:
            found = summary.load(run.folder)
        except Problem as problem:
            # Its sentence names a folder of the server.
            raise ApiProblem(400, "option", "This run's evaluation is damaged: run it with labels again.") from problem
        return results.RunEvaluation(id=run.id, **found.to_json())

    return answer_json(await run_queued(request, work))


ENDPOINTS = (
    Endpoint("/api/runs", list_evaluated_runs, results.Runs, tag="runs"),
    Endpoint(
        "/api/runs/{run}",
        get_evaluation,
        results.RunEvaluation,
        tag="runs",
        parameters=RunParameters,
        errors=(400, 404, 406, 422, 429, 503, 504),
    ),
)
