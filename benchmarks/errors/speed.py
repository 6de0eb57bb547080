"""Time the analyses of 5,000 evaluated pictures."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from benchmarks.report import Row
from sightglass.batch.labelled import summary
from sightglass.evaluation import (
    average_precision,
    calibration,
    clusters,
    error_types,
    label_errors,
    slices,
    stored,
    tables,
)
from sightglass.evaluation.errors.report import ALL, ErrorReport
from sightglass.evaluation.evaluation import EvaluatedPicture, Look
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.explain.maps.cells import CELLS
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.evaluation.evaluation import Evaluation
    from sightglass.models.geometry import Box

Found = TypeVar("Found")
PICTURES = 5000
SHOWN = 28
"""Errors that the page shows first."""
GOAL = 10.0
"""Seconds for everything."""
CLASSES = tuple(f"class {number:02}" for number in range(80))
SIZE = (640, 480)
OBJECTS, CHANCE_BOXES = 7, 25
"""Labels of a picture, as COCO has, and boxes on nothing, nearly all of them far below the threshold."""
MAPS = 8
"""Boxes of a picture that have a map, the surest."""


def simulate_picture(number: int, objects: int = OBJECTS, chance_boxes: int = CHANCE_BOXES) -> EvaluatedPicture:
    """Return a picture with labels and answers as those of a middling detector on COCO are, and smooth maps."""
    rng = np.random.default_rng(number)
    # Few classes are frequent and most are rare.
    labels = (80 * rng.random(rng.poisson(objects)) ** 3).astype(int)
    truths = tuple(TrueBox(CLASSES[label], _draw_box(rng)) for label in labels)
    found = []
    for truth, label in zip(truths, labels.tolist(), strict=True):
        if rng.random() < 0.75:
            wide, high = truth.box[2] - truth.box[0], truth.box[3] - truth.box[1]
            x0, y0, x1, y1 = np.array(truth.box) + rng.normal(0, 0.06, 4) * (wide, high, wide, high)
            index = label if rng.random() < 0.93 else int(rng.integers(80))
            box = (float(x0), float(y0), float(max(x1, x0 + 1)), float(max(y1, y0 + 1)))
            found.append(Prediction(CLASSES[index], index, float(rng.beta(3, 2)), box))
    for _ in range(rng.poisson(chance_boxes)):
        index = int(80 * rng.random() ** 3)
        found.append(Prediction(CLASSES[index], index, float(0.01 + 0.5 * rng.random() ** 6), _draw_box(rng)))
    found.sort(key=lambda one: -one.score)
    shown = range(min(MAPS, len(found)))
    maps = {i: _draw_map(rng) for i in shown}
    seen = {i: Look(*rng.dirichlet((3, 1, 1)).tolist()) for i in shown}
    return EvaluatedPicture(
        f"camera-{number % 4}/{number:05}.jpg",
        SIZE,
        truths,
        None,
        tuple(found),
        seen,
        maps,
        brightness=float(rng.random()),
        sharpness=float(rng.random()),
        milliseconds=20.0,
    )


def store(folder: Path, pictures: int = PICTURES) -> None:
    """Write a simulated evaluation, as a run does."""
    chunks = (
        [stored.to_row(simulate_picture(number)) for number in range(first, min(first + 500, pictures))]
        for first in range(0, pictures, 500)
    )
    stored.write(folder / stored.FILE, chunks, EvaluationFacts("simulated", "simulated", "detect", CLASSES, 0.25))


def measure(pictures: int = PICTURES) -> Row:
    """Return the seconds of each step, in a process that has done none of them before."""
    steps: list[tuple[str, float, float]] = []
    step = partial(_time, steps)
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder), pictures)
        evaluation: Evaluation = step("read", lambda: stored.load(Path(folder)))
    step("boxes and labels matched, errors typed", lambda: evaluation.matched)
    frame = step("table", lambda: tables.tabulate(evaluation))
    scores = step("AP with intervals", lambda: average_precision.measure(evaluation.truths, evaluation.found))
    step("cost of each type", lambda: error_types.cost_in_ap(evaluation.all_matches))
    step("calibration", lambda: calibration.measure(evaluation))
    check = step("likely label errors", lambda: label_errors.check_labels(evaluation))
    step("AP50 without them", lambda: label_errors.compare_headline(evaluation, check.likely, scores.ap50))
    step("slices", lambda: slices.find_slices(frame))
    step("clusters of maps", lambda: clusters.find_clusters(evaluation))
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder), pictures)
        summary.load(Path(folder))
        page: list[tuple[str, float, float]] = []
        _time(page, "page", lambda: _fill_page(Path(folder)))
    return {
        "steps": steps,
        "page": page[0][1:],
        "seconds": sum(seconds for _, seconds, _ in steps),
        "processor": sum(used for _, _, used in steps),
        "pictures": pictures,
        "labels": sum(map(len, evaluation.truths)),
        "boxes": sum(map(len, evaluation.found)),
        "maps": sum(len(one.maps) for one in evaluation.pictures),
        "wrong": sum(1 for _ in clusters.list_wrong_answers(evaluation)),
    }


def _fill_page(folder: Path) -> None:
    """Compute what page Errors shows first, of a run that was summed up at its end."""
    kept = summary.load(folder)
    report = ErrorReport(stored.load(folder), kept.errors)
    assert report.headline and report.counts and report.types
    for row in report.select_type(ALL).head(SHOWN).to_dict("records"):
        report.find_unit(row)


def _time(steps: list[tuple[str, float, float]], name: str, work: Callable[[], Found]) -> Found:
    """Return what work returns, and add its seconds, and those of the processor, to the steps."""
    begun, used = time.perf_counter(), time.process_time()
    found = work()
    steps.append((name, time.perf_counter() - begun, time.process_time() - used))
    return found


def _draw_box(rng: np.random.Generator) -> Box:
    wide, high = np.exp(rng.uniform(np.log(15), np.log(260), 2))
    x, y = rng.uniform(0, (SIZE[0] - wide, SIZE[1] - high))
    return float(x), float(y), float(x + wide), float(y + high)


def _draw_map(rng: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    cells = np.arange(CELLS)
    (x, y), width = rng.uniform(0, CELLS, 2), rng.uniform(2, 6)
    across, down = (np.exp(-(((cells - at) / width) ** 2) / 2) for at in (x, y))
    return np.rint(255 * np.outer(down, across)).astype(np.uint8)
