"""Routes about batch runs with labels: list, evaluation, errors, scorecard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from sightglass.api.problems import ApiProblem
from sightglass.api.work import answer_queued, describe_answer
from sightglass.batch import summary
from sightglass.common.errors import Problem
from sightglass.evaluation import errors as error_reports
from sightglass.evaluation import masks, stored
from sightglass.evaluation.scorecard import MOST, TOLERANCE, compare, list_objects, score_runs
from sightglass.report.results import ComparedRuns, ListedRun, RunErrors, RunEvaluation, Runs
from sightglass.report.table import csv

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path as Folder

    from pydantic import BaseModel

Format = Literal["json", "csv"]
OFFERS = ("json", "csv")
Run = Annotated[str, Path(max_length=200, min_length=1, description="An id of GET /api/runs.")]
router = APIRouter(tags=["runs"])


@router.get("/api/runs")
def list_evaluated_runs() -> Runs:
    """List your batch runs with labels, the newest first."""
    return Runs(runs=[ListedRun(id=run.id, written=run.written) for run in summary.list_runs()])


@router.get("/api/runs/{run}", responses=describe_answer(RunEvaluation))
async def get_evaluation(request: Request, run: Run) -> Response:
    """Say how well a run's answers fit its labels: headline numbers with their interval, and errors by type."""

    def work(_: str) -> BaseModel:
        return RunEvaluation(id=run, **_read(_find_folder(run), summary.load).to_json())

    return await answer_queued(request, work)


@router.get("/api/runs/{run}/errors", responses=describe_answer(RunErrors, OFFERS))
async def get_errors(
    request: Request,
    run: Run,
    format: Format = "json",
    limit: Annotated[int, Query(ge=0, le=10_000, description="Errors that the JSON lists.")] = 100,
) -> Response:
    """Say where a run goes wrong: errors by type, the surest wrong answers first.

    A table has a row for each labelled object, wrong box or classified picture.
    """

    def work(kind: str) -> BaseModel | bytes:
        report = error_reports.ErrorReport(_read(_find_folder(run), stored.load))
        if kind == "json":
            return RunErrors(id=run, **report.to_json(most=limit))
        return csv(error_reports.list_rows(report.units)).encode()

    return await answer_queued(request, work, format, OFFERS)


@router.get("/api/scorecard", responses=describe_answer(ComparedRuns, OFFERS))
async def get_scorecard(
    request: Request,
    run: Annotated[
        list[str],
        Query(min_length=1, max_length=MOST, description="Ids of GET /api/runs, over the same labelled pictures."),
    ],
    format: Format = "json",
    against: Annotated[
        str, Query(max_length=200, description="The model that the others are to replace; empty: the best.")
    ] = "",
    tolerance: Annotated[float, Query(ge=0, le=100, description="Points of AP or accuracy that may be lost.")] = 100
    * TOLERANCE,
) -> Response:
    """Compare runs on the same labelled pictures: which model can be shipped, and by how much it is behind.

    A table has a row for each labelled object, with right or wrong by each model.
    """

    def work(kind: str) -> BaseModel | bytes:
        folders = [_find_folder(name) for name in run]
        rows, left_out = score_runs(folders, lambda folder: _read(folder, stored.load))
        card = compare(rows, tolerance=tolerance / 100, against=against)
        if kind == "json":
            return ComparedRuns(**card.to_json(left_out))
        return csv(list_objects(card.rows)).encode()

    return await answer_queued(request, work, format, OFFERS)


def _find_folder(id: str) -> Folder:
    """Return the folder of a visitor's run; raise ApiProblem, 404."""
    if (run := summary.find_run(id)) is None:
        raise ApiProblem(404, "path", "There is no run with this id: GET /api/runs lists yours.")
    return run.folder


def _read(folder: Folder, load: Callable[[Folder], Any]) -> Any:
    if load is stored.load and (folder / masks.FILE).is_file():
        words = "This run is of a segmentation: GET /api/runs/{run} has its IoU, and errors are of boxes and pictures."
        raise ApiProblem(400, "option", words)
    try:
        return load(folder)
    except Problem as problem:
        # Its sentence names a folder of the server.
        raise ApiProblem(400, "option", "This run's evaluation is damaged: run it with labels again.") from problem
