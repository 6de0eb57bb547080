"""The charts of a finished run: those of its evaluation, or of its numbers."""

from collections.abc import Callable
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from sightglass.batch import table
from sightglass.batch.finished import Frame, Result, list_rows, stamp
from sightglass.common.settings import MIB
from sightglass.evaluation import evidence, stored
from sightglass.evaluation.charts import Chart, NumberPoint, Numbers, list_charts
from sightglass.evaluation.kinds import ErrorUnit
from sightglass.explain.evidence.cache import ByteCache

_charts: ByteCache[tuple[tuple[Chart, ...], int]] = ByteCache(64 * MIB, itemgetter(1))
"""Charts, each with the bytes of its evaluation; sessions share them."""


def has_charts(result: Result, model: int) -> bool:
    """Return whether a model of a result has charts.

    They need labels. `model`: its index.
    """
    frame = result.frames[model]
    return result.fits[model] is not None or ("absolute_error" in frame and frame["absolute_error"].notna().any())


def read_charts(result: Result, model: int) -> tuple[Chart, ...]:
    """Return the charts of one model of a result.

    Empty without labels. `model`: its index.
    """
    key = stamp(result.plans[model].folder)
    charts, _ = _charts.get_or_make(key, lambda: _make_charts(result, model))
    return charts


def _make_charts(result: Result, model: int) -> tuple[tuple[Chart, ...], int]:
    folder = result.plans[model].folder
    report = result.reports[model]
    fit = result.fits[model]
    if fit is None:
        points = _list_points(result.frames[model])
        return ((Numbers(points, table.read_scores(folder).unit),) if points else ()), 0
    evaluation = stored.load(folder) if report is None else report.evaluation
    charts = list_charts(evaluation, report, fit)
    means = None if report is None else evidence.average(report.units, _find_maps(result.frames[model]))
    return (*charts, means) if means is not None else charts, evaluation.nbytes


def _find_maps(frame: Frame) -> Callable[[ErrorUnit], NDArray[np.uint8] | None]:
    """Return what finds the map of a unit: a picture's in a run's table, a box's beside it."""
    cells = dict(zip(frame["picture"], frame["cells"], strict=True))

    def find(unit: ErrorUnit) -> NDArray[np.uint8] | None:
        if unit.kind != "picture":
            return unit.picture.maps.get(unit.found)
        return table.read_cells(cells.get(unit.picture.key, b""))

    return find


def _list_points(frame: Frame) -> tuple[NumberPoint, ...]:
    """Return the pictures with a true number and one of the model."""
    if "true_number" not in frame:
        return ()
    rows = list_rows(frame[frame["absolute_error"].notna()])
    return tuple(NumberPoint(row["picture"], row["true_number"], row["predicted_score"]) for row in rows)
