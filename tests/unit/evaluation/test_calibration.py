"""Calibration: bins and smooth ECE of cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sightglass.evaluation import calibration
from sightglass.evaluation.intervals import wilson
from tests.unit.evaluation.labelled_pictures import BELOW, LEFT, RIGHT, answer, classified, evaluation, picture


def test_of_one_score_the_error_is_its_distance_from_what_is_right() -> None:
    # Half of what is said to be right at 70 % is: however wide the kernel, 20 % are missing.
    scores, right = np.full(40, 0.7), np.arange(40) % 2 == 0
    assert calibration.smooth_ece(scores, right) == pytest.approx(0.2, abs=2e-3)


def test_always_wrong_and_always_right_are_the_ends() -> None:
    ones = np.ones(10)
    assert calibration.smooth_ece(ones, np.zeros(10, bool)) == pytest.approx(1, abs=2e-3)
    assert calibration.smooth_ece(ones, np.ones(10, bool)) == pytest.approx(0, abs=2e-3)


def test_where_errors_cancel_only_farther_away_than_the_kernel_is_wide() -> None:
    # Too low by 40 % at one end and too high by 40 % at the other: as wide as 0.4 a kernel mixes some of both.
    scores = np.repeat([0.05, 0.95], 100)
    right = np.concatenate([np.arange(100) < 45, np.arange(100) < 55])
    error = calibration.smooth_ece(scores, right)
    assert 0.1 < error < 0.4
    # A tenth apart the two hide each other.
    near = np.repeat([0.45, 0.55], 100)
    assert calibration.smooth_ece(near, np.concatenate([np.arange(100) < 85, np.arange(100) < 15])) < error


def reference(scores: list[float], right: list[bool]) -> float:
    """The paper's definition by plain sums: a reflected Gaussian, a fine grid, bisection of its width."""
    grid = (np.arange(300) + 0.5) / 300

    def smoothed(width: float) -> float:
        total = np.zeros(len(grid))
        for score, yes in zip(scores, right, strict=True):
            images = [side * score + 2 * turn for turn in range(-3, 4) for side in (1, -1)]
            kernel = sum(np.exp(-(((grid - at) / width) ** 2) / 2) for at in images) / (width * np.sqrt(2 * np.pi))
            total += kernel * (yes - score) / len(scores)
        return float(np.abs(total).mean())

    low, high = 0.004, 1.0
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if smoothed(middle) > middle else (low, middle)
    return (low + high) / 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=8))
def test_the_error_is_that_of_the_definition(answers: list[tuple[float, bool]]) -> None:
    scores, right = [one for one, _ in answers], [one for _, one in answers]
    expected = reference(scores, right)
    assert calibration.smooth_ece(np.array(scores), np.array(right)) == pytest.approx(expected, abs=0.01)


def test_bins_by_hand() -> None:
    found = calibration.calibrate(np.array([0.12, 0.18, 0.95, 0.99, 1.0]), np.array([False, True, True, True, False]))
    assert [(one.low, one.high, one.count) for one in found.bins] == [(0.1, 0.2, 2), (0.9, 1.0, 3)]
    assert [one.score for one in found.bins] == pytest.approx([0.15, 0.98])
    assert found.bins[0].right.value == 0.5
    assert (found.bins[0].right.low, found.bins[0].right.high) == pytest.approx(wilson(1, 2))
    assert found.sentence == "Whether scores can be trusted cannot be told from 5 answers."


def test_boxes_of_one_picture_are_fewer_than_they_look() -> None:
    scores, right = np.full(80, 0.8), np.repeat([True, False], 40)
    apart = calibration.calibrate(scores, right)
    together = calibration.calibrate(scores, right, np.repeat(np.arange(20), 4))
    assert apart.right.high - apart.right.low < together.right.high - together.right.low
    assert apart.error.value == together.error.value == pytest.approx(0.3, abs=2e-3)
    assert apart.error.high - apart.error.low < together.error.high - together.error.low
    assert together.error.low <= 0.3 <= together.error.high


def test_scores_that_are_too_high_are_called_so() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.5, 1, 400)
    for shift, way in ((-0.25, "too high"), (0.0, "about right on average"), (0.2, "too low")):
        found = calibration.calibrate(scores, rng.random(400) < scores + shift, units="boxes")
        assert found.sentence.endswith(f"of the boxes are right: scores are {way}."), found.sentence
        assert (found.error.low > 0.05) == (shift != 0)


def test_a_detector_s_boxes_and_a_classifier_s_best_answers() -> None:
    boxes = evaluation(
        picture(
            [("cat", LEFT)],
            [answer("cat", 0.9), answer("cat", 0.6, RIGHT), answer("dog", 0.4, BELOW), answer("dog", 0.1, BELOW)],
        )
    )
    found = calibration.measure(boxes)
    assert (found.count, found.right.value, found.units) == (3, pytest.approx(1 / 3), "boxes")
    whole = calibration.measure(evaluation(classified("cat", 0.8, 0.2, 0), classified("dog", 0.6, 0.3, 0.1)))
    assert (whole.count, whole.right.value, whole.score) == (2, 0.5, pytest.approx(0.7))
    assert calibration.measure(evaluation(picture([("cat", LEFT)], []))).bins == ()
