"""AP equals pycocotools', and each box has the type of error that counting by hand gives it."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sightglass.batch import finished
from sightglass.common.work.progress import reported_to
from sightglass.evaluation import boxes
from sightglass.evaluation.errors import MARGIN, ErrorReport, EvaluationSummary, draw_tile, frame_boxes
from sightglass.evaluation.kinds import TYPE_NAMES
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.evaluation.stored import EvaluatedPicture, Evaluation
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import Box

CLASSES = ("cat", "dog", "bird")


def scene(seed: int, pictures: int = 12) -> tuple[list[list[TrueBox]], list[list[Prediction]]]:
    """Labelled boxes of all sizes, found more or less well, with crowds, equal scores and boxes of nothing."""
    dice = np.random.default_rng(seed)
    truths: list[list[TrueBox]] = []
    predictions: list[list[Prediction]] = []
    for _ in range(pictures):
        true, answers = [], []
        for _ in range(dice.integers(0, 6)):
            x, y = dice.uniform(0, 300, 2)
            wide, high = np.exp(dice.uniform(np.log(8), np.log(250), 2))
            label = CLASSES[dice.integers(0, 3)]
            crowd, ignored = (bool(dice.random() < 0.1) for _ in range(2))
            true.append(TrueBox(label, (x, y, x + wide, y + high), crowd, ignored))
            for _ in range(dice.integers(0, 3)):
                moved = dice.normal(0, 0.08, 4) * (wide, high, wide, high)
                name = label if dice.random() < 0.8 else CLASSES[dice.integers(0, 3)]
                box = (x + moved[0], y + moved[1], x + wide + abs(moved[2]), y + high + abs(moved[3]))
                answers.append(Prediction(name, CLASSES.index(name), round(float(dice.random()), 1), box))
        if dice.random() < 0.5:
            answers.append(Prediction("dog", 1, 0.7, (0.0, 0.0, 40.0, 40.0)))
        truths.append(true)
        predictions.append(answers)
    return truths, predictions


def entry(picture: int, category: int, box: Sequence[float]) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    return {"image_id": picture, "category_id": category, "bbox": [x0, y0, wide, high], "area": wide * high}


def of_pycocotools(truths: list[list[TrueBox]], predictions: list[list[Prediction]]) -> Any:
    """Its evaluation: `stats` are AP, AP50 and more, -1 of none; `numbers` the categories by their names."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    class IgnoringEval(COCOeval):
        """Keeps labels that are ignored without being a crowd."""

        def _prepare(self) -> None:
            super()._prepare()
            for entries in self._gts.values():
                for item in entries:
                    item["ignore"] = item["ignored"]

    numbers = {name: i for i, name in enumerate(sorted({item.label for row in truths for item in row}))}
    annotations = [
        entry(picture, numbers[item.label], item.box) | {"iscrowd": int(item.crowd), "ignored": not item.counted}
        for picture, row in enumerate(truths)
        for item in row
    ]
    detections = [
        entry(picture, numbers[item.label], item.box) | {"score": item.score}
        for picture, row in enumerate(predictions)
        for item in row
        if item.label in numbers and item.box is not None
    ]
    images = [{"id": i} for i in range(len(truths))]
    categories = [{"id": i, "name": name} for name, i in numbers.items()]
    # They print what they do.
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for entries in (annotations, detections):
            side = COCO()
            for i, item in enumerate(entries, 1):
                item["id"] = i
            side.dataset = {"images": images, "annotations": entries, "categories": categories}
            side.createIndex()
            sides.append(side)
        evaluation = IgnoringEval(*sides, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    evaluation.numbers = numbers
    return evaluation


@pytest.mark.parametrize("seed", range(40))
def test_it_is_that_of_pycocotools(seed: int) -> None:
    truths, predictions = scene(seed)
    evaluation = of_pycocotools(truths, predictions)
    expected, metrics = evaluation.stats, boxes.measure(truths, predictions)
    scores = [-1 if np.isnan(score.value) else score.value for score in metrics.scores.values()]
    assert scores == pytest.approx([expected[0], expected[1], expected[8]], abs=1e-12)
    curves = boxes.list_curves(truths, predictions)
    assert curves.keys() == metrics.by_class.keys()
    for name, curve in curves.items():
        # At the first overlap, of boxes of any size, the last number of boxes.
        place = (0, slice(None), evaluation.numbers[name], 0, -1)
        assert curve.precision == pytest.approx(evaluation.eval["precision"][place], abs=1e-12)
        # A recall of 0 needs no box.
        scores = evaluation.eval["scores"][place][1:]
        assert np.nan_to_num(curve.scores)[1:] == pytest.approx(scores, abs=1e-12)
    if curves:
        mean = np.mean([curve.precision.mean() for curve in curves.values()])
        assert mean == pytest.approx(metrics.scores["ap50"].value, abs=1e-12)


CAT, DOG = TrueBox("cat", (0, 0, 100, 100)), TrueBox("dog", (200, 0, 300, 100))
HALF = (0, 0, 100, 30)
"""It covers 30 % of the cat, and nothing else."""


def answer(label: str, score: float = 0.9, box: Box | None = (0.0, 0.0, 100.0, 100.0)) -> Prediction:
    return Prediction(label, CLASSES.index(label), score, box)


SMALL = (10.0, 10.0, 30.0, 30.0)
CLASSLESS, CROWD, IGNORED = (
    TrueBox(*more) for more in (("", CAT.box), ("cat", CAT.box, True), ("cat", CAT.box, False, True))
)
CASES = {
    "on a label without a class": ([CLASSLESS, DOG], [answer("cat"), answer("dog"), answer("bird")], ["missed"]),
    "its centre on one": ([CLASSLESS], [answer("cat", box=(40, 40, 60, 60))], []),
    "beside one": ([CLASSLESS], [answer("cat", box=(101, 0, 201, 100))], ["extra"]),
    "in a crowd": ([CROWD], [answer("cat", box=SMALL), answer("dog", box=SMALL)], []),
    "half in a crowd": ([CROWD], [answer("cat", box=(51, 0, 151, 100))], ["extra"]),
    "on an ignored label": ([IGNORED], [answer("cat", box=CAT.box), answer("dog", box=CAT.box)], []),
    "on another label, too": ([CLASSLESS, TrueBox("dog", SMALL)], [answer("cat", box=SMALL)], ["missed"]),
    "right on both": ([CLASSLESS, CAT], [answer("cat", box=CAT.box)], []),
    "class": ([CAT], [answer("dog", box=CAT.box)], ["class"]),
    "misplaced": ([CAT], [answer("cat", box=HALF)], ["misplaced"]),
    "both is an extra box": ([CAT], [answer("dog", box=HALF)], ["extra", "missed"]),
    "a second box": ([CAT], [answer("cat", box=CAT.box), answer("cat", 0.5, CAT.box)], ["extra"]),
    "nothing there": ([CAT], [answer("cat", box=CAT.box), answer("dog", box=(400, 400, 500, 500))], ["extra"]),
    "missed": ([CAT, DOG], [answer("cat", box=CAT.box)], ["missed"]),
    "no label at all": ([], [answer("cat", box=CAT.box)], ["extra"]),
    "misplaced before class": (
        [CAT, TrueBox("dog", (0, 0, 100, 35))],
        [answer("cat", box=HALF)],
        ["misplaced", "missed"],
    ),
    "class before a second box": (
        [CAT, TrueBox("dog", CAT.box)],
        [answer("cat", box=CAT.box), answer("cat", 0.5, CAT.box)],
        ["class"],
    ),
    "right": ([CAT, DOG], [answer("dog", box=DOG.box), answer("cat", box=CAT.box)], []),
}


@pytest.mark.parametrize("case", CASES)
def test_each_type(case: str) -> None:
    truths, predictions, expected = CASES[case]
    matches = boxes.match(truths, predictions)
    near = {match.truth for match in matches if match.type != "extra"}
    missed = ["missed" for i, item in enumerate(truths) if item.counted and i not in near]
    assert [match.type for match in matches if match.type != boxes.RIGHT] + missed == expected


@pytest.mark.parametrize("seed", range(10))
def test_unmatched_class_leaves_other_figures(seed: int) -> None:
    truths, predictions = scene(seed, 30)
    counted = [[item for item in row if item.label != "cat"] for row in truths]
    renamed = [[replace(item, label=item.label.replace("cat", "")) for item in row] for row in truths]

    def found(rows: list[list[TrueBox]]) -> list[tuple[str | None, bool]]:
        pictures = zip(rows, predictions, strict=True)
        judged = evaluation(*(EvaluatedPicture("", (400, 400), tuple(a), None, tuple(b)) for a, b in pictures))
        return [(unit.label, unit.wrong) for unit in ErrorReport(judged).units if unit.kind == "object"]

    assert found(renamed) == found(counted) == [pair for pair in found(truths) if pair[0] != "cat"]
    # AP is that without the boxes that are wrong and lie on the label.
    kept = []
    for row, answers in zip(renamed, predictions, strict=True):
        judged = {match.box: match.type for match in boxes.match([box for box in row if box.label], answers)}
        on_any = boxes.find_ignored([box for box in row if box.counted or not box.label], answers)
        kept.append([box for i, box in enumerate(answers) if not on_any[i] or judged.get(i) == boxes.RIGHT])
    assert sum(map(len, kept)) < sum(map(len, predictions))
    assert boxes.measure(renamed, predictions).by_class == boxes.measure(counted, kept).by_class


LEFT, RIGHT, BELOW = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0), (0.0, 200.0, 100.0, 300.0)


def picture(truths: Sequence[tuple[str, Box]], predictions: Sequence[Prediction]) -> EvaluatedPicture:
    return EvaluatedPicture("", (400, 400), tuple(TrueBox(*truth) for truth in truths), None, tuple(predictions))


def evaluation(*pictures: EvaluatedPicture) -> Evaluation:
    renamed = tuple(replace(item, key=f"{i}.jpg") for i, item in enumerate(pictures))
    task = "detect" if any(item.truth is None for item in renamed) else "classify"
    return Evaluation("model", "", task, CLASSES, 0.25, pictures=renamed)


def test_the_headline_names_the_class_that_is_missed_most() -> None:
    first = picture([("cat", LEFT)], [answer("cat")])
    large = picture([("cat", LEFT), ("dog", RIGHT)], [answer("dog", box=RIGHT)])
    assert ErrorReport(evaluation(first, large, large)).headline == "model does not find 2 of 3 cats"
    assert EvaluationSummary.build(evaluation(first, large)).by_class["dog"].range == "–", "one picture"
    assert ErrorReport(evaluation(first)).headline == "model finds 1 object; extra boxes: 0"


def test_errors_are_listed_surest_first() -> None:
    second = answer("dog", 0.3, RIGHT)
    one = picture(
        [("cat", LEFT), ("dog", RIGHT), ("bird", SMALL)],
        [answer("bird", 0.9), answer("cat", 0.6, BELOW), answer("dog", 0.5, RIGHT), second],
    )
    report = ErrorReport(evaluation(one))
    assert report.types == {"class": 1, "extra": 2, "missed": 1, "misplaced": 0}
    units = report.errors
    assert [unit.words.replace("\N{NO-BREAK SPACE}", " ") for unit in units] == [
        "cat called bird, 90 %",
        "cat 60 %, nothing labelled",
        "second dog, 30 %",
        "bird, missed",
    ]
    assert [unit.truth for unit in units] == [one.truths[0], None, one.truths[1], one.truths[2]]
    assert units[2].answer is second and units[3].answer is None
    assert len({unit.id for unit in units}) == len(units)
    assert [unit.predicted for unit in report.select("extra", "cat")] == ["cat"]
    # The batch counts them as the page does.
    told = EvaluationSummary.build(report.evaluation)
    assert told.errors == report.types and (told.right, told.objects) == (1, 3)


@pytest.mark.parametrize("seed", range(5))
def test_words_of_the_headline_the_table_and_the_summary_count_the_same(seed: int) -> None:
    truths, predictions = scene(seed, 30)
    pictures = zip(truths, predictions, strict=True)
    report = ErrorReport(evaluation(*(EvaluatedPicture("", (400, 400), tuple(a), None, tuple(b)) for a, b in pictures)))
    rows, summary = finished.list_object_classes(report), EvaluationSummary.build(report.evaluation)
    for row in rows:
        assert row["objects"] == row["found"] + row["missed"] + row["wrong class"] + row["misplaced"]
    sums = {name: sum(row[title.lower()] for row in rows) for name, title in TYPE_NAMES.items()}
    assert sums == summary.errors == report.types
    assert sum(row["found"] for row in rows) == summary.right
    # Each shown box stands for one object, or is extra.
    boxes_of_objects = sum(unit.kind == "object" and unit.found >= 0 for unit in report.units)
    assert boxes_of_objects + summary.errors["extra"] == sum(map(len, report.evaluation.matches))
    worst = max(rows, key=lambda row: (row["objects"] - row["found"], row["class"]))
    assert f"does not find {worst['objects'] - worst['found']} of {worst['objects']}" in report.headline


def test_a_tile_shows_the_part_that_the_boxes_are_in() -> None:
    assert frame_boxes([LEFT], (400, 400), (200, 200)) == (0, 0, MARGIN * 100, MARGIN * 100)
    assert frame_boxes([], (400, 300), (200, 200)) == (0, 0, 400, 300)
    pixels = np.zeros((400, 400, 3), np.uint8)
    plain = picture([("cat", LEFT)], [answer("dog", 0.9)])
    mapped = replace(plain, maps={0: np.full((32, 32), 255, np.uint8)})
    units = [unit for one in (plain, mapped) for unit in ErrorReport(evaluation(one)).errors]
    assert [unit.truth for unit in units] == [TrueBox("cat", LEFT)] * 2
    tiles = [draw_tile(pixels, unit, (200, 150)) for unit in units]
    assert tiles[0].shape[1] <= 200 and tiles[0].shape[0] <= 150
    assert (tiles[0] == (255, 255, 255)).all(2).any() and not np.array_equal(*tiles)


def test_classes_are_counted_while_their_intervals_are_computed() -> None:
    truths, answers = scene(3)
    heard: list[tuple[float, str]] = []
    with reported_to(lambda *told: heard.append(told)):
        found = boxes.measure(truths, answers)
    count = len(found.by_class)
    assert heard == [(place / count, f"Intervals of {place} of {count} classes") for place in range(count)]
