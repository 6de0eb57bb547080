"""AP equals pycocotools', and each box has the type of error that counting by hand gives it."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.evaluation import boxes
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSES = ("cat", "dog", "owl")


def scene(seed: int, pictures: int = 12) -> tuple[list[list[TrueBox]], list[list[Prediction]]]:
    """Labelled boxes of all sizes, found more or less well, with crowds, equal scores and boxes of nothing."""
    dice = np.random.default_rng(seed)
    truths: list[list[TrueBox]] = []
    found: list[list[Prediction]] = []
    for _ in range(pictures):
        true, answers = [], []
        for _ in range(dice.integers(0, 6)):
            x, y = dice.uniform(0, 300, 2)
            wide, high = np.exp(dice.uniform(np.log(8), np.log(250), 2))
            label = CLASSES[dice.integers(0, 3)]
            true.append(TrueBox(label, (x, y, x + wide, y + high), crowd=bool(dice.random() < 0.1)))
            for _ in range(dice.integers(0, 3)):
                moved = dice.normal(0, 0.08, 4) * (wide, high, wide, high)
                said = label if dice.random() < 0.8 else CLASSES[dice.integers(0, 3)]
                box = (x + moved[0], y + moved[1], x + wide + abs(moved[2]), y + high + abs(moved[3]))
                answers.append(Prediction(said, CLASSES.index(said), round(float(dice.random()), 1), box))
        if dice.random() < 0.5:
            answers.append(Prediction("dog", 1, 0.7, (0.0, 0.0, 40.0, 40.0)))
        truths.append(true)
        found.append(answers)
    return truths, found


def entry(picture: int, category: int, box: Sequence[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    return {"image_id": picture, "category_id": category, "bbox": [x0, y0, wide, high], "area": wide * high}


def of_pycocotools(truths: list[list[TrueBox]], found: list[list[Prediction]]) -> np.ndarray:
    """Its averages: AP, AP50 and more; -1 of none."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    numbers = {name: i for i, name in enumerate(sorted({one.label for every in truths for one in every}))}
    annotations = [
        entry(picture, numbers[one.label], one.box) | {"iscrowd": int(one.crowd)}
        for picture, every in enumerate(truths)
        for one in every
    ]
    detections = [
        entry(picture, numbers[one.label], one.box) | {"score": one.score}
        for picture, every in enumerate(found)
        for one in every
        if one.label in numbers and one.box is not None
    ]
    images = [{"id": i} for i in range(len(truths))]
    categories = [{"id": i, "name": name} for name, i in numbers.items()]
    # They print what they do.
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for entries in (annotations, detections):
            side = COCO()
            for i, one in enumerate(entries, 1):
                one["id"] = i
            side.dataset = {"images": images, "annotations": entries, "categories": categories}
            side.createIndex()
            sides.append(side)
        evaluation = COCOeval(*sides, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize("seed", range(40))
def test_it_is_that_of_pycocotools(seed: int) -> None:
    truths, found = scene(seed)
    expected, made = of_pycocotools(truths, found), boxes.measure(truths, found)
    mine = [-1 if np.isnan(one.value) else one.value for one in made.scores.values()]
    assert mine == pytest.approx([expected[0], expected[1], expected[8]], abs=1e-12)


CAT, DOG = TrueBox("cat", (0, 0, 100, 100)), TrueBox("dog", (200, 0, 300, 100))
HALF = (0, 0, 100, 30)
"""It covers 30 % of the cat, and nothing else."""


def predicted(label: str, box: tuple[float, float, float, float], score: float = 0.9) -> Prediction:
    return Prediction(label, ("cat", "dog").index(label), score, box)


def find_errors(truths: Any, found: Any) -> list[str]:
    """The types of the errors of one picture."""
    matches = boxes.match(truths, found)
    near = {one.truth for one in matches if one.type != "extra"}
    missed = ["missed" for i, one in enumerate(truths) if not one.crowd and i not in near]
    return [one.type for one in matches if one.type != boxes.RIGHT] + missed


CASES = {
    "class": ([CAT], [predicted("dog", CAT.box)], ["class"]),
    "misplaced": ([CAT], [predicted("cat", HALF)], ["misplaced"]),
    "both is an extra box": ([CAT], [predicted("dog", HALF)], ["extra", "missed"]),
    "a second box": ([CAT], [predicted("cat", CAT.box), predicted("cat", CAT.box, 0.5)], ["extra"]),
    "nothing there": ([CAT], [predicted("cat", CAT.box), predicted("dog", (400, 400, 500, 500))], ["extra"]),
    "missed": ([CAT, DOG], [predicted("cat", CAT.box)], ["missed"]),
    "no label at all": ([], [predicted("cat", CAT.box)], ["extra"]),
    "misplaced before class": (
        [CAT, TrueBox("dog", (0, 0, 100, 35))],
        [predicted("cat", HALF)],
        ["misplaced", "missed"],
    ),
    "class before a second box": (
        [CAT, TrueBox("dog", CAT.box)],
        [predicted("cat", CAT.box), predicted("cat", CAT.box, 0.5)],
        ["class"],
    ),
    "right": ([CAT, DOG], [predicted("dog", DOG.box), predicted("cat", CAT.box)], []),
}


@pytest.mark.parametrize("case", CASES)
def test_each_type(case: str) -> None:
    truths, found, expected = CASES[case]
    assert find_errors(truths, found) == expected
