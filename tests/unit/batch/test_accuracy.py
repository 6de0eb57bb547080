"""Accuracy, precision, recall and confusions, worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from sightglass.batch import accuracy
from sightglass.batch.accuracy import NOTHING, OTHERS, Share, count_confusions, measure, name_answers
from sightglass.evaluation.intervals import wilson


@pytest.mark.parametrize(("count", "total"), [(0, 7), (7, 7), (1, 1), (8, 10), (55, 190), (9_999, 10_000)])
def test_the_interval_is_wilson_s(count: int, total: int) -> None:
    found = binomtest(count, total).proportion_ci(method="wilson")
    assert wilson(count, total) == pytest.approx((found.low, found.high), abs=1e-6)
    low, high = wilson(count, total)
    assert 0 <= low <= count / total <= high <= 1


def test_of_no_pictures_nothing_is_known() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert (Share(0, 0).value, Share(0, 0).percent, Share(0, 0).range) == (None, "–", "–")


def test_precision_and_recall_by_hand() -> None:
    truths = ["bus"] * 4 + ["van"] * 3 + ["tram"]
    answers = ["bus", "bus", "van", "cat", "van", "van", "bus", "van"]
    found = measure(truths, answers)
    assert (found.right.count, found.right.total) == (4, 8)
    by_name = {one.name: one for one in found.classes}
    assert [one.name for one in found.classes] == ["tram", "bus", "van"], "the lowest recall first"
    assert (by_name["bus"].precision, by_name["bus"].recall) == (Share(2, 3), Share(2, 4))
    assert (by_name["van"].precision, by_name["van"].recall) == (Share(2, 4), Share(2, 3))
    # Never an answer: its precision is unknown, and no zero.
    assert (by_name["tram"].precision, by_name["tram"].recall) == (Share(0, 0), Share(0, 1))
    words = found.words.replace("\N{NO-BREAK SPACE}", " ")
    assert words == "Right: 50 % of 8 labelled pictures (95 % interval: 22 to 78 %)"


def test_the_matrix_counts_every_picture_once() -> None:
    truths = ["bus"] * 4 + ["van"] * 3
    answers = ["bus", "bus", "van", "cat", "van", "van", "bus"]
    found = count_confusions(truths, answers)
    assert (found.truths, found.answers) == (("bus", "van"), ("bus", "van", "cat"))
    np.testing.assert_array_equal(found.counts, [[2, 1, 1], [1, 2, 0]])
    assert (found.errors, found.shown, found.classes) == (3, 3, 3)


def test_of_many_classes_the_most_confused_are_shown_and_the_rest_adds_up() -> None:
    names = [f"class {number:02}" for number in range(20)]
    truths, answers = [], []
    for number, name in enumerate(names):
        # Class n is taken for the next one n times; the last for things that are no class.
        truths += [name] * (number + 3)
        answers += [name] * 3 + [names[number + 1] if number < 19 else f"thing {i}" for i in range(number)]
    answers = answers[: len(truths)]
    answers[-19:] = [f"thing {i}" for i in range(19)]
    found = count_confusions(truths, answers)
    assert len(found.truths) == 12 and set(found.truths) == set(names[8:])
    assert len(found.answers) == 13 and found.answers[:12] == found.truths and found.answers[-1] == OTHERS
    assert [int(row.sum()) for row in found.counts] == [truths.count(name) for name in found.truths]
    assert found.counts[found.truths.index("class 19"), -1] == 19
    assert (found.errors, found.shown) == (sum(range(20)), sum(range(8, 20)))


def test_labels_are_named_by_their_class_and_answers_in_the_same_words() -> None:
    meant = {
        "Mini_Bus": {"minibus"},
        "minibus": {"minibus"},
        "buses": {"school bus", "trolleybus"},
        "holidays": set(),
    }
    labels = ["Mini_Bus", "minibus", "minibus", "buses", "buses", "holidays", None, "minibus"]
    answers = ["minibus", "minibus", "trolleybus", "school bus", "minibus", "cat", "minibus", None]
    assert name_answers(labels, answers, meant) == [
        ("minibus", "minibus"),
        ("minibus", "minibus"),
        ("minibus", "buses (2 classes)"),
        ("buses (2 classes)", "buses (2 classes)"),
        ("buses (2 classes)", "minibus"),
        None,
        None,
        ("minibus", NOTHING),
    ]


def test_the_numbers_for_programs_have_the_intervals() -> None:
    told = accuracy.summarise(pd.DataFrame({"truth": ["bus", "bus", None], "answer": ["bus", "cat", None]}))
    assert told["accuracy"] == {
        "right": 1,
        "of": 2,
        "share": 0.5,
        "low": pytest.approx(0.0945, abs=1e-4),
        "high": pytest.approx(0.9055, abs=1e-4),
    }
    assert told["classes"]["bus"]["precision"]["share"] == 1.0 and told["classes"]["bus"]["recall"]["share"] == 0.5
    assert told["confusions"] == [{"class": "bus", "answer": "cat", "pictures": 1}]
    assert accuracy.summarise(pd.DataFrame({"truth": [None], "answer": [None]})) == {}
