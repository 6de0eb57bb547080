"""Types of errors on cases made by hand, and on random boxes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sightglass.evaluation import average_precision, box_matching
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import intersection_over_union
from tests.unit.evaluation.test_average_precision import scene

CAT, DOG = TrueBox("cat", (0, 0, 100, 100)), TrueBox("dog", (200, 0, 300, 100))
HALF = (0, 0, 100, 30)
"""It covers 30 % of the cat, and nothing else."""


def predicted(label: str, box: tuple[float, float, float, float], score: float = 0.9) -> Prediction:
    return Prediction(label, ("cat", "dog").index(label), score, box)


def find_errors(truths: Any, found: Any, confidence: float = 0.0) -> list[tuple[str, int, int]]:
    """The errors of one picture: type, and which answer and label, -1 for none."""
    matches = box_matching.match_columns(average_precision.gather([truths], [found]), confidence)
    wrong = matches.kind != box_matching.RIGHT
    labels = np.append(matches.labels.place, -1)[matches.truth[wrong]].tolist()
    types = [box_matching.TYPES[kind] for kind in matches.kind[wrong]]
    errors = list(zip(types, matches.boxes.place[wrong].tolist(), labels, strict=True))
    near = {label for kind, _, label in errors if kind != "extra"}
    lost = np.flatnonzero(matches.counted & ~matches.found)
    return errors + [("missed", -1, i) for i in lost.tolist() if i not in near]


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
    assert [kind for kind, *_ in find_errors(truths, found)] == expected


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
            wrong.append(("misplaced", i, mine))
        elif most_other >= 0.5:
            wrong.append(("class", i, theirs))
        else:
            nearer = theirs if most < most_other else mine
            wrong.append(("extra", i, nearer if max(most, most_other) > 0.1 else -1))
    near = {j for kind, _, j in wrong if kind in ("class", "misplaced")}
    return wrong + [("missed", -1, j) for j in true if j not in used | near]


@pytest.mark.parametrize("seed", range(20))
def test_all_pictures_at_once_are_typed_as_one_box_after_the_other(seed: int) -> None:
    for truths, found in zip(*scene(seed, 8), strict=True):
        assert find_errors(truths, found) == type_plainly(truths, found)
