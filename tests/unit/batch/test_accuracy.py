"""Accuracy, precision, recall and confusions, worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest
from scipy.stats import binomtest

from sightglass.batch import accuracy
from sightglass.batch.accuracy import NOTHING, Share, measure, name_answers
from sightglass.evaluation.intervals import wilson


@pytest.mark.parametrize(("count", "total"), [(0, 7), (7, 7), (1, 1), (8, 10), (55, 190), (9_999, 10_000)])
def test_the_interval_is_wilson_s(count: int, total: int) -> None:
    found = binomtest(count, total).proportion_ci(method="wilson")
    assert wilson(count, total) == pytest.approx((found.low, found.high), abs=1e-6)
    low, high = wilson(count, total)
    assert 0 <= low <= count / total <= high <= 1


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
