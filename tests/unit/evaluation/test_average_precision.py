"""AP equals pycocotools', and its interval is that of pictures drawn again."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sightglass.evaluation import average_precision
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
        true, boxes = [], []
        for _ in range(dice.integers(0, 6)):
            x, y = dice.uniform(0, 300, 2)
            wide, high = np.exp(dice.uniform(np.log(8), np.log(250), 2))
            label = CLASSES[dice.integers(0, 3)]
            true.append(TrueBox(label, (x, y, x + wide, y + high), crowd=bool(dice.random() < 0.1)))
            for _ in range(dice.integers(0, 3)):
                moved = dice.normal(0, 0.08, 4) * (wide, high, wide, high)
                said = label if dice.random() < 0.8 else CLASSES[dice.integers(0, 3)]
                box = (x + moved[0], y + moved[1], x + wide + abs(moved[2]), y + high + abs(moved[3]))
                boxes.append(Prediction(said, CLASSES.index(said), round(float(dice.random()), 1), box))
        if dice.random() < 0.5:
            boxes.append(Prediction("dog", 1, 0.7, (0.0, 0.0, 40.0, 40.0)))
        truths.append(true)
        found.append(boxes)
    return truths, found


def entry(picture: int, category: int, box: Sequence[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    return {"image_id": picture, "category_id": category, "bbox": [x0, y0, wide, high], "area": wide * high}


def of_pycocotools(truths: list[list[TrueBox]], found: list[list[Prediction]]) -> np.ndarray:
    """Its six averages: AP, AP50, AP75, and AP of small, medium and large objects; -1 of none."""
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
    return evaluation.stats[:6]


def compare(truths: list[list[TrueBox]], found: list[list[Prediction]]) -> None:
    expected = of_pycocotools(truths, found)
    made = average_precision.measure(truths, found)
    mine = (made.ap.value, made.ap50.value, *made.by_size.values())
    theirs = (expected[0], expected[1], *expected[3:])
    assert [-1 if np.isnan(one) else one for one in mine] == pytest.approx(theirs, abs=1e-6)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(some.integers(0, 10_000))
def test_it_is_that_of_pycocotools(seed: int) -> None:
    truths, found = scene(seed)
    if not any(not one.crowd for every in truths for one in every):
        return
    compare(truths, found)


coordinate = some.integers(0, 60).map(float)
box = some.tuples(coordinate, coordinate, some.integers(1, 120), some.integers(1, 120)).map(
    lambda one: (one[0], one[1], one[0] + one[2], one[1] + one[3])
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    some.lists(
        some.tuples(
            some.lists(some.builds(TrueBox, some.sampled_from(CLASSES), box, some.booleans()), max_size=6),
            some.lists(
                some.tuples(some.integers(0, 2), some.sampled_from((0.1, 0.5, 0.9)), box).map(
                    lambda one: Prediction(CLASSES[one[0]], one[0], one[1], one[2])
                ),
                max_size=8,
            ),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_it_is_that_of_pycocotools_on_crowded_boxes_of_equal_scores_and_equal_overlaps(
    pictures: list[tuple[list[TrueBox], list[Prediction]]],
) -> None:
    truths, found = ([list(one[side]) for one in pictures] for side in (0, 1))
    if any(not one.crowd for every in truths for one in every):
        compare(truths, found)
