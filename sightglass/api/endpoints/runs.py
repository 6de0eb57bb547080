"""Routes about batch runs with labels: list, evaluation, errors, scorecard."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from sightglass.api import run_results as results
from sightglass.api.endpoints.endpoint import Endpoint, answer_json, read_parameters
from sightglass.api.endpoints.models import NoParameters
from sightglass.api.endpoints.negotiation import CSV, JSON, PARQUET, negotiate, run_queued
from sightglass.api.problems import ApiProblem
from sightglass.api.work_queue import BEFORE
from sightglass.batch.labelled import pixels, summary
from sightglass.batch.labelled.summary import find_run, list_runs
from sightglass.common.errors import Problem
from sightglass.evaluation import errors as error_reports
from sightglass.evaluation import stored
from sightglass.evaluation.scorecard import MOST, TOLERANCE
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.evaluation.scorecard import files as card_files
from sightglass.evaluation.scorecard import run as scorecard_runs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sightglass.common.files import Json

TABLES = (JSON, CSV, PARQUET)
WRONG_RUN = (400, 404, 406, 422, 429, 503, 504)
"""Statuses of routes that read a run."""


class RunParameters(BaseModel):
    run: str = Field(max_length=200, min_length=1, description="An id of GET /api/runs.")


class ErrorsParameters(RunParameters):
    limit: int = Field(default=100, ge=0, le=10_000, description="Errors that the JSON lists.")


class ScorecardParameters(BaseModel):
    run: tuple[str, ...] = Field(
        min_length=1, max_length=MOST, description="Ids of GET /api/runs, over the same labelled pictures."
    )
    against: str = Field(
        default="", max_length=200, description="The model that the others are to replace; empty: the largest."
    )
    tolerance: float = Field(
        default=100 * TOLERANCE, ge=0, le=100, description="Points of AP or accuracy that may be lost."
    )


async def list_evaluated_runs(request: Request) -> Response:
    """List your batch runs with labels, the newest first."""
    read_parameters(request, NoParameters)
    found = await run_in_threadpool(list_runs)
    return answer_json(results.Runs(runs=[results.ListedRun(id=one.id, written=one.written) for one in found]))


async def get_evaluation(request: Request) -> Response:
    """Say how well a run's answers fit its labels: headline numbers with their interval, and errors by type."""
    wanted = read_parameters(request, RunParameters).run

    def work(cancel: threading.Event) -> results.RunEvaluation:
        return results.RunEvaluation(id=wanted, **_read(_find_folder(wanted), summary.load).to_json())

    return answer_json(await run_queued(request, work))


async def get_errors(request: Request) -> Response:
    """Say where a run goes wrong: errors by type, the surest wrong answers first."""
    wanted = read_parameters(request, ErrorsParameters, TABLES)

    def work(kind: str) -> bytes:
        report = error_reports.ErrorReport(_read(_find_folder(wanted.run), stored.load))
        if kind == JSON:
            return _write(results.RunErrors, {"id": wanted.run, **report.to_json(most=wanted.limit)})
        rows = error_reports.list_rows(report.units)
        return error_reports.write_csv(rows) if kind == CSV else error_reports.write_parquet(rows)

    return await _answer_table(request, work)


async def get_scorecard(request: Request) -> Response:
    """Compare runs on the same labelled pictures: which model can be shipped, and by how much it is behind."""
    wanted = read_parameters(request, ScorecardParameters, TABLES)

    def work(kind: str) -> bytes:
        folders = [_find_folder(name) for name in wanted.run]
        rows, left_out = scorecard_runs.score_runs(folders, lambda folder: _read(folder, stored.load))
        card = scorecards.compare(rows, tolerance=wanted.tolerance / 100, against=wanted.against)
        if kind == JSON:
            return _write(results.ComparedRuns, card_files.to_json(card, left_out=left_out))
        return card_files.write_csv(card) if kind == CSV else card_files.to_parquet(card)

    return await _answer_table(request, work)


async def _answer_table(request: Request, work: Callable[[str], bytes]) -> Response:
    """Return what `work` makes of the media type that is asked for."""
    kind = negotiate(request.headers.get("accept"), TABLES)
    made = await run_queued(request, lambda cancel: work(kind))
    headers = {"Vary": "Accept", BEFORE: str(request.state.before)}
    return Response(made, media_type=kind, headers=headers)


def _find_folder(id: str) -> Path:
    """Return the folder of a run of whoever asks; raise ApiProblem, 404, for any other."""
    if (run := find_run(id)) is None:
        raise ApiProblem(404, "path", "There is no run with this id: GET /api/runs lists yours.")
    return run.folder


def _read(folder: Path, load: Callable[[Path], Any]) -> Any:
    if load is stored.load and (folder / pixels.FILE).is_file():
        words = "This run is of a segmentation: GET /api/runs/{run} has its IoU, and errors are of boxes and pictures."
        raise ApiProblem(400, "option", words)
    try:
        return load(folder)
    except Problem as problem:
        # Its sentence names a folder of the server.
        raise ApiProblem(400, "option", "This run's evaluation is damaged: run it with labels again.") from problem


def _write(answer: type[BaseModel], told: Json) -> bytes:
    return answer.model_validate(told).model_dump_json().encode()


ENDPOINTS = (
    Endpoint("/api/runs", list_evaluated_runs, results.Runs, tag="runs"),
    Endpoint(
        "/api/runs/{run}", get_evaluation, results.RunEvaluation, tag="runs", parameters=RunParameters, errors=WRONG_RUN
    ),
    Endpoint(
        "/api/runs/{run}/errors",
        get_errors,
        results.RunErrors,
        tag="runs",
        parameters=ErrorsParameters,
        offers=TABLES,
        choice="By `Accept`: what is said of the errors as JSON, or a row for each labelled object, wrong box or "
        "classified picture as CSV or Parquet.",
        errors=WRONG_RUN,
    ),
    Endpoint(
        "/api/scorecard",
        get_scorecard,
        results.ComparedRuns,
        tag="runs",
        parameters=ScorecardParameters,
        offers=TABLES,
        choice="By `Accept`: all numbers as JSON, or a row for each labelled object, with right or wrong by each "
        "model, as CSV or Parquet.",
        errors=WRONG_RUN,
    ),
)
