"""Sum up a run with labels: headline numbers and errors by type."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.common.files import jsonable, write_file
from sightglass.common.settings import settings
from sightglass.evaluation import masks, stored
from sightglass.evaluation.errors import ErrorReport, list_rows
from sightglass.evaluation.intervals import Estimate
from sightglass.evaluation.kinds import KINDS, ErrorGroup, kind_of
from sightglass.explain.tasks import task_of
from sightglass.report.table import csv as write_csv

if TYPE_CHECKING:
    from sightglass.common.files import Json


FILE = "evaluation.json"
CSV = "evaluation.csv"
"""Beside the table: one row a labelled object, a wrong box or a classified picture (`errors.MEANINGS`); of a
segmentation one a class."""
LISTED = 8
"""Classes that are printed."""


@dataclass(frozen=True)
class EvaluationSummary:
    """How well a run's answers fit its labels."""

    model: str
    task: str
    pictures: int
    """That have labels."""
    objects: int
    """Labelled ones that are no crowd; 0 of a classifier; of a segmentation the pixels that are counted."""
    right: int
    """Objects with a right box at the threshold, pictures with a right answer, or pixels of the right class."""
    threshold: float
    scores: Mapping[str, Estimate]
    """Under `NAMES`: those of the task."""
    by_class: Mapping[str, Estimate] = field(repr=False)
    """AP, the share that is right, or IoU, of each class with labels."""
    errors: tuple[ErrorGroup, ...] = ()
    """By type; none of a classifier."""
    unknown: tuple[str, ...] = ()
    """Labels for which the model has no class: they are not counted."""
    problems: tuple[tuple[str, str], ...] = ()
    """(picture, why) where a mask is missing or cannot be used."""

    @property
    def headline(self) -> str:
        """`AP 61.2 (95 % interval: 55.0 to 66.1), AP50 81.0 (… to …) on 48 labelled objects in 12 pictures`."""
        counts = {"pictures": self.pictures, "objects": self.objects, "classes": len(self.by_class)}
        return kind_of(self.task).headline(self.scores, **counts)

    @property
    def right_sentence(self) -> str:
        """`36 of 48 objects have a right box at the threshold of 25 %`; empty of a classifier."""
        return kind_of(self.task).describe_right(self.right, self.objects, self.threshold)

    def list_classes(self) -> list[tuple[str, str, str]]:
        """Return (name, number, interval) of each class, worst first."""
        classes = sorted(self.by_class.items(), key=lambda item: (math.isnan(item[1].value), item[1].value, item[0]))
        return [(name, score.points, score.range) for name, score in classes]

    @property
    def class_columns(self) -> tuple[str, str, str]:
        """What `list_classes` has."""
        number = kind_of(self.task).number
        return "class", number, f"{number}, 95 %"

    def to_json(self) -> Json:
        """Return plain values and the headline; nan becomes None."""
        errors = {error.id: error.count for error in self.errors}
        plain = asdict(self) | {"errors": errors, "problems": [list(problem) for problem in self.problems]}
        return {"headline": self.headline, **jsonable(plain)}


def summarise(report: ErrorReport) -> EvaluationSummary:
    """Summarise an evaluation: AP over all boxes, other numbers above the threshold."""
    evaluation, kind = report.evaluation, kind_of(report.evaluation.task)
    has_boxes = task_of(evaluation.task).has_boxes
    metrics = kind.measure_fit(evaluation)
    return EvaluationSummary(
        evaluation.model,
        evaluation.task,
        len(evaluation.pictures),
        evaluation.objects if has_boxes else 0,
        int(kind.find_right(evaluation).sum()),
        evaluation.threshold,
        metrics.scores,
        metrics.by_class,
        tuple(report.types) if has_boxes else (),
        evaluation.unknown,
    )


def _sum_up_pixels(folder: Path) -> EvaluationSummary:
    """Summarise a segmentation run; raise Problem for an unreadable one."""
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]

    try:
        table = parquet.read_table(folder / masks.FILE)
        about, rows = json.loads(table.schema.metadata[masks.ABOUT]), table.to_pylist()
        good = [row for row in rows if row["problem"] is None]
        pairs = [[*zip(*(row[name] for name in masks.PAIR), strict=True)] for row in good]
        metrics = masks.measure(pairs)
        return EvaluationSummary(
            about["model"],
            KINDS["areas"].task,
            sum(map(bool, pairs)),
            sum(count for picture in pairs for *_, count in picture),
            sum(count for picture in pairs for truth, answer, count in picture if truth == answer),
            0.0,
            metrics.scores,
            {about["classes"][int(index)]: estimate for index, estimate in metrics.by_class.items()},
            unknown=tuple(about["unknown"]),
            problems=tuple((row["picture"], row["problem"]) for row in rows if row["problem"] is not None),
        )
    except (OSError, ValueError, KeyError, TypeError, IndexError, ArrowException) as problem:
        raise Problem(f"There are no masks in {folder.name}: run it with --labels and a folder of masks.") from problem


def load(folder: Path) -> EvaluationSummary:
    """Return and store a labelled run's summary; raises Problem without labels."""
    file = folder / (masks.FILE if (folder / masks.FILE).is_file() else stored.FILE)
    return _load(file, file.stat().st_mtime_ns if file.is_file() else 0)


@lru_cache(maxsize=16)
def _load(file: Path, _changed: int) -> EvaluationSummary:
    """Summarise an evaluation: of thousands of pictures that takes seconds."""
    if file.name == masks.FILE:
        evaluation = _sum_up_pixels(file.parent)
        units = [
            dict(zip(("class", "iou", "low", "high"), (name, *astuple(estimate)), strict=True))
            for name, estimate in evaluation.by_class.items()
        ]
    else:
        report = ErrorReport(stored.load(file.parent))
        evaluation, units = summarise(report), list_rows(report.units)
    # A folder that may only be read is no reason not to answer.
    with contextlib.suppress(OSError):
        write_file(file.with_name(CSV), write_csv(units).encode())
        data = json.dumps({"summary": jsonable(asdict(evaluation))}, ensure_ascii=False)
        write_file(file.with_name(FILE), data.encode())
    return evaluation


def list_runs() -> dict[Path, datetime]:
    """Return the person's labelled runs with their times, newest first."""
    times: dict[Path, datetime] = {}
    for name in (stored.FILE, masks.FILE):
        for path in users.folder(settings().batches).glob(f"*/{name}"):
            with contextlib.suppress(OSError):
                times[path.parent] = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return dict(sorted(times.items(), key=itemgetter(1), reverse=True))
