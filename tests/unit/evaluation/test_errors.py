"""Errors of a model: its headline, types and tiles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from sightglass.batch import summary
from sightglass.evaluation.errors import MARGIN, ErrorReport, draw_tile, frame_boxes
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.stored import EvaluatedPicture, Evaluation
from sightglass.models.adapter import Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.models.geometry import Box

CLASSES = ("cat", "dog", "bird")
LEFT, RIGHT, BELOW = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0), (0.0, 200.0, 100.0, 300.0)
SMALL = (10.0, 10.0, 30.0, 30.0)


def answer(label: str, score: float = 0.9, box: Box | None = LEFT) -> Prediction:
    return Prediction(label, CLASSES.index(label), score, box)


def picture(truths: Sequence[tuple[str, Box]], found: Sequence[Prediction]) -> EvaluatedPicture:
    return EvaluatedPicture("", (400, 400), tuple(TrueBox(*one) for one in truths), None, tuple(found))


def evaluation(*pictures: EvaluatedPicture) -> Evaluation:
    named = tuple(replace(one, key=f"{i}.jpg") for i, one in enumerate(pictures))
    task = "detect" if any(one.truth is None for one in named) else "classify"
    return Evaluation("model", "", task, CLASSES, 0.25, pictures=named)


def headline(*pictures: EvaluatedPicture) -> str:
    return ErrorReport(evaluation(*pictures)).headline


def test_the_headline_names_the_class_that_is_missed_most() -> None:
    found = picture([("cat", LEFT)], [answer("cat")])
    large = picture([("cat", LEFT), ("dog", RIGHT)], [answer("dog", box=RIGHT)])
    assert headline(found, large, large) == "model misses 2 of 3 cats"
    assert headline(found) == "model finds all 1 object; wrong boxes: 0"


def test_errors_are_the_units_with_what_they_are_about_the_surest_first() -> None:
    second = answer("dog", 0.3, RIGHT)
    one = picture(
        [("cat", LEFT), ("dog", RIGHT), ("bird", SMALL)],
        [answer("bird", 0.9), answer("cat", 0.6, BELOW), answer("dog", 0.5, RIGHT), second],
    )
    report = ErrorReport(evaluation(one))
    assert {kind.id: kind.count for kind in report.types} == {"class": 1, "extra": 2, "missed": 1, "misplaced": 0}
    units = report.errors
    assert [unit.words.replace("\N{NO-BREAK SPACE}", " ") for unit in units] == [
        "cat called bird, 90 %",
        "cat 60 %, nothing labelled",
        "second dog, 30 %",
        "bird, not found",
    ]
    assert [unit.truth for unit in units] == [one.truths[0], None, one.truths[1], one.truths[2]]
    assert units[2].answer is second and units[3].answer is None
    assert len({unit.id for unit in units}) == len(units)
    assert [unit.predicted for unit in report.select("extra", "cat")] == ["cat"]
    # The batch counts them as the page does.
    told = summary.summarise(report)
    assert told.errors == tuple(report.types) and (told.right, told.objects) == (1, 3)


def test_a_tile_shows_the_part_that_the_boxes_are_in() -> None:
    x0, y0, x1, y1 = frame_boxes([LEFT], (400, 400), (200, 200))
    assert x0 <= 0 and y0 <= 0 and x1 - x0 == y1 - y0 == MARGIN * 100
    assert frame_boxes([], (400, 300), (200, 200)) == (0, 0, 400, 300)
    pixels = np.zeros((400, 400, 3), np.uint8)
    plain = replace(picture([("cat", LEFT)], [answer("dog", 0.9)]), key="0")
    mapped = replace(plain, maps={0: np.full((32, 32), 255, np.uint8)})
    tiles = []
    for one in (plain, mapped):
        report = ErrorReport(Evaluation("m", "", "detect", ("cat", "dog", "bird"), 0.25, pictures=(one,)))
        unit = report.errors[0]
        assert unit.truth == TrueBox("cat", LEFT)
        tiles.append(draw_tile(pixels, unit, (200, 150)))
    assert tiles[0].shape[1] <= 200 and tiles[0].shape[0] <= 150
    assert (tiles[0] == (255, 255, 255)).all(2).any()
    assert not np.array_equal(*tiles)
