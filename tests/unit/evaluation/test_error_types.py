"""TIDE's error types on cases made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sightglass.evaluation import average_precision, error_types
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import intersection_over_union
from tests.unit.evaluation.test_average_precision import scene

CAT, DOG = TrueBox("cat", (0, 0, 100, 100)), TrueBox("dog", (200, 0, 300, 100))
HALF = (0, 0, 100, 30)
"""It covers 30 % of the cat, and nothing else."""


def predicted(label: str, box: tuple[float, float, float, float], score: float = 0.9) -> Prediction:
    return Prediction(label, ("cat", "dog").index(label), score, box)


def match(*boxes: Any) -> error_types.BoxMatches:
    return error_types.match_columns(average_precision.gather(*boxes))


def find_errors(*boxes: Any, confidence: float = 0.0) -> list[error_types.DetectionError]:
    return [error for one in error_types.match_boxes(*boxes, confidence) for error in one.errors]


CASES = {
    "class": ([CAT], [predicted("dog", CAT.box)], ["class"]),
    "location": ([CAT], [predicted("cat", HALF)], ["location"]),
    "both": ([CAT], [predicted("dog", HALF)], ["both", "missed"]),
    "duplicate": ([CAT], [predicted("cat", CAT.box), predicted("cat", CAT.box, 0.5)], ["duplicate"]),
    "background": ([CAT], [predicted("cat", CAT.box), predicted("dog", (400, 400, 500, 500))], ["background"]),
    "missed": ([CAT, DOG], [predicted("cat", CAT.box)], ["missed"]),
    "no label at all": ([], [predicted("cat", CAT.box)], ["background"]),
    # The order of the questions is TIDE's: the place of the own class, the other class, a second box.
    "location before class": (
        [CAT, TrueBox("dog", (0, 0, 100, 35))],
        [predicted("cat", HALF)],
        ["location", "missed"],
    ),
    "class before duplicate": (
        [CAT, TrueBox("dog", CAT.box)],
        [predicted("cat", CAT.box), predicted("cat", CAT.box, 0.5)],
        ["class"],
    ),
    "a box that nearly touches is on none": (
        [CAT, DOG],
        [predicted("cat", CAT.box), predicted("dog", DOG.box), predicted("cat", (0, 0, 100, 9), 0.5)],
        ["background"],
    ),
    "two badly placed boxes of one object are two errors, and it is not missed": (
        [CAT],
        [predicted("cat", HALF), predicted("cat", (0, 70, 100, 100), 0.5)],
        ["location", "location"],
    ),
    "right": ([CAT, DOG], [predicted("dog", DOG.box), predicted("cat", CAT.box)], []),
}


@pytest.mark.parametrize("case", CASES)
def test_each_type(case: str) -> None:
    truths, found, expected = CASES[case]
    assert [one.type for one in find_errors([truths], [found])] == expected


def test_a_box_inside_a_crowd_is_no_error() -> None:
    crowd = TrueBox("cat", (0, 0, 500, 500), crowd=True)
    assert find_errors([[crowd]], [[predicted("cat", CAT.box)]]) == []
    assert [one.type for one in find_errors([[crowd]], [[predicted("dog", CAT.box)]])] == ["background"]


def test_below_the_confidence_a_box_is_not_there() -> None:
    found = [[predicted("cat", CAT.box, 0.2)]]
    assert [one.type for one in find_errors([[CAT]], found, confidence=0.25)] == ["missed"]


@pytest.mark.parametrize("kind", ["class", "location", "missed"])
def test_where_one_type_is_all_that_is_wrong_its_cost_is_all_that_is_missing(kind: str) -> None:
    # Of the cat everything is right, and the dog has the error.
    wrong = {"class": [predicted("cat", DOG.box, 0.8)], "location": [predicted("dog", (200, 0, 300, 30))], "missed": []}
    truths, found = [[CAT, DOG]], [[predicted("cat", CAT.box), *wrong[kind]]]
    now = average_precision.measure(truths, found).ap50.value
    costs = error_types.cost_in_ap(match(truths, found))
    assert now + costs[kind] == pytest.approx(1)
    assert max(cost for name, cost in costs.items() if name != kind) == pytest.approx(0, abs=1e-9)


def test_costs_are_measured_from_the_ap_that_is_reported() -> None:
    truths, found = scene(5, 40)
    truths = [[one for one in every if not one.crowd] for every in truths]
    costs = error_types.cost_in_ap(match(truths, found))
    assert set(costs) == set(error_types.MEANINGS)
    # Without a single wrong box and with nothing missed, only what is right is left.
    errors = find_errors(truths, found)
    wrong = {id(one.predicted) for one in errors}
    missed = {id(one.truth) for one in errors if one.type in ("missed", "class", "location")}
    clean = [[one for one in every if id(one) not in wrong] for every in found]
    left = [[one for one in every if id(one) not in missed] for every in truths]
    assert average_precision.measure(left, clean).ap50.value > average_precision.measure(truths, found).ap50.value
    assert all(cost >= -1e-9 for cost in costs.values())


def type_plainly(truths: list[TrueBox], found: list[Prediction]) -> list[tuple[str, int, int]]:
    """The errors of one picture, one box after the other: type, and which answer and label, -1 for none."""
    true = [i for i, one in enumerate(truths) if not one.crowd]
    used: set[int] = set()
    wrong: list[tuple[str, int, int]] = []
    for i in sorted(range(len(found)), key=lambda i: -found[i].score):
        box = found[i]
        overlaps = {j: intersection_over_union(box.box, truths[j].box) for j in true}
        own = {j: overlaps[j] for j in true if truths[j].label == box.label}
        other = {j: overlaps[j] for j in true if j not in own}
        free = {j: overlap for j, overlap in own.items() if j not in used and overlap >= 0.5}
        if free:
            used.add(max(free, key=free.__getitem__))
            continue
        x0, y0, x1, y1 = box.box
        inside = [
            (min(x1, one.box[2]) - max(x0, one.box[0])) * (min(y1, one.box[3]) - max(y0, one.box[1]))
            for one in truths
            if one.crowd and one.label == box.label and intersection_over_union(box.box, one.box) > 0
        ]
        if max(inside, default=0) / ((x1 - x0) * (y1 - y0)) > 0.5:
            continue
        mine, theirs = (max(of, key=of.__getitem__, default=-1) for of in (own, other))
        most, most_other = own.get(mine, -1.0), other.get(theirs, -1.0)
        if 0.1 <= most < 0.5:
            wrong.append(("location", i, mine))
        elif most_other >= 0.5:
            wrong.append(("class", i, theirs))
        elif most >= 0.5:
            wrong.append(("duplicate", i, mine))
        elif max(most, most_other) <= 0.1:
            wrong.append(("background", i, -1))
        else:
            wrong.append(("both", i, theirs if most < most_other else mine))
    near = {j for kind, _, j in wrong if kind in ("class", "location")}
    return wrong + [("missed", -1, j) for j in true if j not in used | near]


@pytest.mark.parametrize("seed", range(20))
def test_all_pictures_at_once_are_typed_as_one_box_after_the_other(seed: int) -> None:
    truths, found = scene(seed, 8)
    for number, one in enumerate(error_types.match_boxes(truths, found)):
        boxes = {id(each): i for i, each in enumerate(found[number])}
        labels = {id(each): j for j, each in enumerate(truths[number])}
        typed = [(each.type, boxes.get(id(each.predicted), -1), labels.get(id(each.truth), -1)) for each in one.errors]
        assert typed == type_plainly(truths[number], found[number])
        assert all(each.picture == number for each in one.errors)
