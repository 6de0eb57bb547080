"""Time the evaluation of 5,000 labelled pictures, after their maps.

    python -m benchmarks.evaluation [--pictures N]

The pictures are made of chance: COCO's 80 classes, seven objects a picture, and boxes as a detector gives them from 1 %
on. Nothing is explained: it is what comes after the maps.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightglass.batch.labelled import summary
from sightglass.evaluation import average_precision, error_types, stored, tables
from sightglass.evaluation.errors.threshold import measure_thresholds
from sightglass.evaluation.evaluation import EvaluatedPicture, Look, Missed
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.stored import EvaluationFacts
from sightglass.explain.maps.cells import CELLS
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLASSES = tuple(f"class {number}" for number in range(80))
OBJECTS, FALSE, MAPS = 7, 16, 6


def draw_pictures(count: int, seed: int = 0) -> Iterator[EvaluatedPicture]:
    """Yield labelled pictures with answers, maps and reasons of misses, as a detector's run stores them."""
    dice = np.random.default_rng(seed)
    frequent = dice.dirichlet(np.full(len(CLASSES), 0.5))
    for number in range(count):
        labels = dice.choice(len(CLASSES), int(dice.poisson(OBJECTS)), p=frequent).tolist()
        boxes = [_draw_box(dice) for _ in labels]
        truths = tuple(TrueBox(CLASSES[i], box) for i, box in zip(labels, boxes, strict=True))
        found = [
            Prediction(CLASSES[j], j, float(dice.beta(4, 2)), _move(dice, box), 0)
            for i, box in zip(labels, boxes, strict=True)
            if dice.random() < 0.8
            for j in (i if dice.random() < 0.9 else int(dice.integers(len(CLASSES))),)
        ]
        for j in dice.integers(0, len(CLASSES), int(dice.poisson(FALSE))).tolist():
            found.append(Prediction(CLASSES[j], j, float(dice.beta(1, 12)), _draw_box(dice), 0))
        found.sort(key=lambda one: -one.score)
        shown = range(min(MAPS, len(found)))
        maps = {i: dice.integers(0, 256, (CELLS, CELLS), np.uint8) for i in shown}
        looks = {i: Look(0.5, 0.1, 0.2) for i in shown}
        missed = {0: Missed("below", 0.1)} if truths else {}
        yield EvaluatedPicture(
            f"{number:06}.jpg", (640, 480), truths, None, tuple(found), looks, maps, missed, 0.5, 0.5, 5.0
        )


def _draw_box(dice: np.random.Generator) -> tuple[float, float, float, float]:
    x, y = dice.uniform(0, 400), dice.uniform(0, 300)
    wide, high = np.exp(dice.uniform(np.log(10), np.log(180), 2))
    return float(x), float(y), float(x + wide), float(y + high)


def _move(dice: np.random.Generator, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    a, b, c, d = dice.normal(0, 0.06, 4) * (x1 - x0, y1 - y0, x1 - x0, y1 - y0)
    return float(x0 + a), float(y0 + b), float(max(x0 + a + 1, x1 + c)), float(max(y0 + b + 1, y1 + d))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=5000)
    count = parser.parse_args().pictures
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures = list(draw_pictures(count))
        facts = EvaluationFacts("made of chance", "", "detect", CLASSES, 0.25)
        rows = [stored.to_row(one) for one in pictures]
        _time("write the file", lambda: stored.write(folder / stored.FILE, [rows], facts))
        _time("all of it (summary.load)", lambda: summary.load(folder))
        _time("all of it, kept", lambda: summary.load(folder))
        _time("of that: read the file", lambda: stored.load(folder))
        found = stored.load(folder)
        _time("of that: match boxes", lambda: found.matched)
        _time("of that: AP with its interval", lambda: average_precision.measure(found.truths, found.found))
        _time("of that: costs of errors", lambda: error_types.cost_in_ap(found.truths, found.found))
        _time("of that: thresholds", lambda: measure_thresholds(found))
        _time("of that: table of objects and boxes", lambda: tables.tabulate(found))


def _time(what: str, work: Callable[[], object]) -> None:
    start = time.perf_counter()
    work()
    print(f"{what}: {time.perf_counter() - start:.2f} s", flush=True)


if __name__ == "__main__":
    main()
