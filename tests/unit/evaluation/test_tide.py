"""TIDE's error types and costs on random boxes are what tidecv 1.0.1, its authors' program, says of the same boxes."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.errors import tide
from sightglass.evaluation import average_precision, error_types
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.models.adapter import Prediction

Boxes = list[list[tuple[Any, ...]]]
# Drawn at random and rounded; in each picture labels are (class, x0, y0, x1, y1), boxes have a score after their class.
LABELS: tuple[Boxes, ...] = (
    [
        [("dog", 285, 43, 400, 94), ("cat", 127, 248, 188, 323), ("cat", 226, 161, 279, 260)],
        [],
        [
            *(("bird", 12, 159, 78, 185), ("dog", 192, 256, 272, 302), ("bird", 153, 153, 248, 188)),
            *(("dog", 246, 205, 345, 244), ("bird", 57, 24, 163, 131)),
        ],
        [("bird", 61, 85, 112, 136), ("dog", 292, 232, 391, 328)],
    ],
    [
        [
            *(("cat", 216, 99, 329, 130), ("bird", 200, 246, 289, 366), ("bird", 88, 90, 168, 173)),
            *(("cat", 55, 234, 164, 325), ("cat", 242, 112, 270, 134)),
        ],
        [],
        [("bird", 90, 271, 142, 374), ("bird", 174, 13, 222, 82)],
        [
            *(("cat", 226, 85, 286, 194), ("dog", 42, 105, 107, 166), ("cat", 97, 93, 166, 189)),
            *(("cat", 285, 187, 364, 218), ("cat", 217, 66, 250, 116), ("bird", 161, 228, 242, 267)),
        ],
    ],
)
BOXES: tuple[Boxes, ...] = (
    [
        [("dog", 0.49, 127, 247, 186, 321)],
        [("bird", 0.779, 385, 290, 459, 338), ("cat", 0.617, 388, 206, 420, 289)],
        [
            *(("bird", 0.841, 75, 132, 213, 179), ("bird", 0.729, 155, 154, 254, 189)),
            *(("bird", 0.668, 18, 152, 92, 189), ("dog", 0.591, 179, 222, 254, 257)),
            *(("bird", 0.461, 16, 158, 79, 185), ("bird", 0.454, 44, 43, 147, 163)),
            *(("dog", 0.427, -29, 154, 38, 184), ("bird", 0.374, 11, -56, 209, 44)),
            *(("cat", 0.371, 267, 187, 363, 227), ("cat", 0.119, 103, 305, 193, 338)),
        ],
        [
            *(("bird", 0.988, 297, 210, 413, 295), ("bird", 0.942, 58, 75, 109, 115)),
            *(("dog", 0.761, 302, 228, 399, 332), ("dog", 0.366, 249, 232, 366, 324)),
            ("cat", 0.209, 60, 85, 117, 132),
        ],
    ],
    [
        [
            *(("cat", 0.894, 245, 113, 273, 136), ("bird", 0.854, 153, 104, 236, 126)),
            *(("cat", 0.749, -15, 268, 51, 362), ("cat", 0.202, 224, 119, 257, 123)),
            *(("dog", 0.173, 99, 193, 198, 276), ("bird", 0.162, 226, 91, 341, 119)),
            *(("bird", 0.161, 4, 303, 187, 399), ("cat", 0.117, 52, 265, 105, 355)),
        ],
        [("cat", 0.011, 393, 363, 418, 384)],
        [
            *(("cat", 0.932, 95, 268, 145, 373), ("cat", 0.639, 170, 17, 218, 84)),
            *(("bird", 0.192, 177, -3, 222, 82), ("dog", 0.079, 171, 16, 219, 93)),
        ],
        [
            *(("bird", 0.94, 172, 226, 257, 265), ("dog", 0.805, 31, 106, 99, 156)),
            *(("cat", 0.767, 195, 121, 218, 173), ("bird", 0.714, 161, 231, 246, 270)),
            *(("bird", 0.648, 132, 228, 202, 282), ("dog", 0.52, 38, 95, 113, 175)),
            *(("cat", 0.368, 23, 97, 82, 145), ("cat", 0.084, 223, 85, 284, 205)),
        ],
    ],
)
# What tidecv 1.0.1 says: AP50, and of each type the count and the cost.
TIDECV: tuple[tuple[float, dict[str, tuple[int, float]]], ...] = (
    (
        0.179868,
        {
            "class": (2, 0.084158),
            "location": (2, 0.103583),
            "both": (3, 0.013437),
            "duplicate": (2, 0.013437),
            "background": (5, 0.013437),
            "missed": (4, 0.247525),
        },
    ),
    (
        0.464063,
        {
            "class": (3, 0.100293),
            "location": (2, 0.027136),
            "both": (3, 0.001283),
            "duplicate": (2, 0.006601),
            "background": (6, 0.011735),
            "missed": (6, 0.105354),
        },
    ),
)


@pytest.mark.parametrize("case", range(len(TIDECV)))
def test_counts_and_costs_are_those_of_tidecv(case: int) -> None:
    truths = [tuple(TrueBox(name, tuple(map(float, box))) for name, *box in every) for every in LABELS[case]]
    found = [
        tuple(Prediction(name, tide.NAMES.index(name), score, tuple(map(float, box))) for name, score, *box in every)
        for every in BOXES[case]
    ]
    ap50, expected = TIDECV[case]
    counts, costs = tide.run(truths, found)
    assert counts == {kind: count for kind, (count, _) in expected.items()}
    assert costs == pytest.approx({kind: cost for kind, (_, cost) in expected.items()}, abs=1e-6)
    assert average_precision.measure(truths, found).ap50.value == pytest.approx(ap50, abs=1e-6)


def test_boxes_of_one_score_rank_in_costs_as_in_the_ap_that_is_reported() -> None:
    truths, found = tide.draw(3, "scores in tenths")
    _, costs = tide.run(truths, found)
    gone = {id(error.predicted) for one in error_types.match_boxes(truths, found) for error in one.errors
            if error.type == "background"}  # fmt: skip
    left = [[box for box in every if id(box) not in gone] for every in found]
    before, after = (average_precision.measure(truths, some).ap50.value for some in (found, left))
    assert costs["background"] == pytest.approx(after - before, abs=1e-9)


def test_every_type_is_among_what_is_compared() -> None:
    truths, found = tide.draw(0, "no two scores alike")
    counts, _ = tide.run(truths, found)
    assert set(counts) == set(error_types.MEANINGS) and min(counts.values()) > 0
