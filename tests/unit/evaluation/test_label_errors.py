"""Likely label errors on labels made by hand, and on scenes with planted ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sightglass.evaluation import label_errors
from sightglass.evaluation.evaluation import EvaluatedPicture, Look
from sightglass.evaluation.ground_truth import TrueBox
from tests.unit.evaluation.labelled_pictures import BELOW, LEFT, RIGHT, answer, classified, evaluation, picture

ASIDE = (60.0, 0.0, 160.0, 100.0)
"""It overlaps LEFT by 40 of 160."""


def likely(one: EvaluatedPicture) -> list[tuple[str, float]]:
    return [(each.kind, each.score) for each in label_errors.check_labels(evaluation(one)).likely]


def test_a_label_that_the_model_agrees_with_is_right() -> None:
    check = label_errors.check_labels(evaluation(picture([("cat", LEFT)], [answer("cat")])))
    assert [(one.score, one.likely, one.predicted) for one in check.every] == [(0.0, False, None)]


def test_a_sure_box_of_another_class_on_a_label() -> None:
    assert likely(picture([("dog", LEFT)], [answer("cat")])) == [("swapped", pytest.approx(0.9))]
    # The label's own class is as sure: nothing speaks for an error.
    assert likely(picture([("dog", LEFT)], [answer("cat"), answer("dog", 0.9)])) == []


def test_a_sure_box_without_a_label() -> None:
    found = [answer("cat", 0.8, RIGHT), answer("dog", 0.7, RIGHT), answer("cat", 0.9, LEFT)]
    assert likely(picture([("cat", LEFT)], found)) == [("overlooked", pytest.approx(0.8))]


def test_a_sure_box_aside_of_its_label() -> None:
    assert likely(picture([("cat", LEFT)], [answer("cat", 0.9, ASIDE)])) == [("misplaced", pytest.approx(0.9 * 0.75))]


def test_what_cannot_be_judged_is_left_out() -> None:
    # A label without a class in the model, a crowd, and boxes below the threshold.
    one = picture([("cat", LEFT)], [answer("dog", 0.2, LEFT)])
    crowd = replace(one, truths=(TrueBox("cat", RIGHT, crowd=True), TrueBox("coin", LEFT)))
    check = label_errors.check_labels(replace(evaluation(crowd), unknown=("coin",)))
    assert check.every == ()


def test_the_likeliest_comes_first() -> None:
    pictures = [picture([("dog", LEFT)], [answer("cat", score)]) for score in (0.6, 0.95, 0.3, 0.8)]
    check = label_errors.check_labels(evaluation(*pictures))
    assert [one.picture for one in check.every] == [1, 3, 0, 2]
    assert [one.picture for one in check.likely] == [1, 3, 0]


def test_a_classifier_s_margin_and_what_is_usual() -> None:
    # On birds the model says bird with 0.9, so 0.8 for a bird is not sure; on cats 0.6 is.
    pictures = [classified("bird", 0.05, 0.05, 0.9)] * 4 + [classified("cat", 0.6, 0.2, 0.2)] * 4
    wrong = [classified("dog", 0.7, 0.2, 0.1), classified("dog", 0.1, 0.1, 0.8), classified("dog", 0.1, 0.9, 0.0)]
    check = label_errors.check_labels(evaluation(*pictures, *wrong))
    assert [(one.picture, one.predicted and one.predicted.label) for one in check.likely] == [(8, "cat")]
    assert check.likely[0].score == pytest.approx((1 + 0.7 - 0.2) / 2)
    by_picture = {one.picture: one.score for one in check.every}
    assert by_picture[9] == pytest.approx((1 + 0.8 - 0.1) / 2)
    assert by_picture[10] == pytest.approx((1 + 0.1 - 0.9) / 2)


def test_without_the_errors_the_headline_rises() -> None:
    right = [picture([("cat", LEFT), ("dog", RIGHT)], [answer("cat"), answer("dog", 0.9, RIGHT)])] * 4
    wrong = picture(
        [("dog", LEFT), ("dog", BELOW)], [answer("cat"), answer("dog", 0.9, BELOW), answer("cat", 0.9, RIGHT)]
    )
    every = evaluation(*right, replace(wrong, looks={1: Look(0.5, 0, 0)}))
    check = label_errors.check_labels(every)
    assert [one.kind for one in check.likely] == ["swapped", "overlooked"]
    change = label_errors.compare_headline(every, check.likely)
    assert change.before.value < 1 and change.after.value == pytest.approx(1)
    assert change.sentence.startswith("Without the 2 likely label errors AP50 is 100")
    left = label_errors.leave_out(every, check.likely).pictures[-1]
    assert [one.box for one in left.truths] == [BELOW] and [one.box for one in left.found] == [BELOW]
    assert left.looks == {0: Look(0.5, 0, 0)}, "still of the same box"
    assert label_errors.compare_headline(every, []).sentence.startswith("No label looks wrong: AP50 is ")


def test_without_the_errors_a_classifier_s_pictures_are_fewer() -> None:
    every = evaluation(*[classified("cat", 0.9, 0.1, 0)] * 3, classified("dog", 0.95, 0.05, 0))
    check = label_errors.check_labels(every)
    change = label_errors.compare_headline(every, check.likely)
    assert (change.name, change.before.value, change.after.value, change.left_out) == ("accuracy", 0.75, 1.0, 1)
