"""Slices: rates by hand, a planted cause first, none where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from sightglass.evaluation import intervals, slices


def table(pictures: int, seed: int = 0, *, correlated: bool = False) -> pd.DataFrame:
    """Three objects a picture, a fifth of which is wrong: of correlated ones whole pictures are."""
    rng = np.random.default_rng(seed)
    rows = 3 * pictures
    spoilt = rng.random(pictures) < 0.2
    return pd.DataFrame(
        {
            "picture": np.repeat([f"{i}.jpg" for i in range(pictures)], 3),
            "wrong": np.repeat(spoilt, 3) if correlated else rng.random(rows) < 0.2,
            "label": rng.choice(["cat", "dog", "bird"], rows),
            "size": rng.uniform(10, 150, rows),
            "x": rng.random(rows),
            "y": rng.random(rows),
            "brightness": np.repeat(rng.random(pictures), 3),
            "folder": np.repeat(rng.choice(["a", "b", "c", "d"], pictures), 3),
        }
    )


def test_a_slice_by_hand() -> None:
    # Of 20 small objects 15 are missed, of 60 others 6.
    frame = pd.DataFrame(
        {
            "picture": [f"{i}.jpg" for i in range(80)],
            "wrong": [True] * 15 + [False] * 5 + [True] * 6 + [False] * 54,
            "size": [20.0] * 20 + [64.0] * 60,
        }
    )
    report = slices.find_slices(frame)
    assert [(one.attribute, one.group) for one in report.found] == [("size", "small")]
    first = report.found[0]
    assert (first.count, first.wrong, first.pictures, first.rows.tolist()) == (20, 15, 20, [*range(20)])
    assert (first.rate.value, first.rest.value) == (0.75, 0.1)
    assert (first.rate.low, first.rate.high) == pytest.approx(intervals.wilson(15, 20))
    # Newcombe's method 10 by hand.
    (low, high), (least, most) = intervals.wilson(15, 20), intervals.wilson(6, 60)
    assert first.difference.low == pytest.approx(0.65 - ((0.75 - low) ** 2 + (most - 0.1) ** 2) ** 0.5)
    assert first.difference.high == pytest.approx(0.65 + ((high - 0.75) ** 2 + (0.1 - least) ** 2) ** 0.5)
    assert first.sentence.replace("\N{NO-BREAK SPACE}", " ") == (
        "Small objects (< 32 px) are missed in 75 % (others: 10 %)."
    )
    assert report.sentence == first.sentence
    assert [one.group for one in report.others] == ["medium"]


@pytest.mark.parametrize("correlated", [False, True])
def test_nine_in_ten_intervals_have_the_true_difference(correlated: bool) -> None:
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        # Four objects in each of 60 pictures, half of them in the slice: a third is wrong there, a tenth elsewhere.
        luck = np.repeat(rng.random(60), 4) if correlated else rng.random(240)
        slice_ = np.arange(240) % 4 < 2
        wrong = luck < np.where(slice_, 1 / 3, 0.1)
        rates = [
            intervals.clustered((wrong & part).reshape(60, 4).sum(1) * 1.0, part.reshape(60, 4).sum(1) * 1.0)
            for part in (slice_, ~slice_)
        ]
        _, low, high = intervals.difference(*rates)
        inside += low <= 1 / 3 - 0.1 <= high
    # Objects of one picture make the difference surer than it is said to be, never less sure.
    assert inside >= 180


def test_a_false_box_is_no_object_and_a_picture_is_called_one() -> None:
    frame = table(60)
    boxes = frame.assign(kind="box", wrong=True, label="cat")
    both = pd.concat([frame.assign(kind="object"), boxes], ignore_index=True)
    one, other = slices.find_slices(frame), slices.find_slices(both)
    assert [each.rate for each in one.others] == [each.rate for each in other.others]
    pictures = frame.assign(kind="picture", picture=[f"{i}.jpg" for i in range(len(frame))], wrong=frame["size"] < 32)
    assert slices.find_slices(pictures).found[0].sentence.startswith("Small pictures (< 32 px) are wrong in 100")


def test_unknown_values_are_in_no_group() -> None:
    frame = table(80)
    frame["on_object"] = np.where(np.arange(len(frame)) % 2, np.nan, np.where(frame["wrong"], 0.1, 0.6))
    first = slices.find_slices(frame).found[0]
    assert (first.attribute, first.rate.value, first.rest.value) == ("on_object", 1.0, 0.0)
    assert first.count == int(frame.loc[frame["on_object"].notna(), "wrong"].sum())


def test_correlated_slices_name_the_strongest() -> None:
    frame = table(150)
    small = frame["size"] < 32
    frame["wrong"] = small & (frame.index % 10 > 0)
    frame["label"] = np.where(small & (frame.index % 7 > 0), "bird", frame["label"])
    found = slices.find_slices(frame).found
    assert [(one.attribute, one.group) for one in found] == [("size", "small"), ("label", "bird")]
    assert found[0].same_as is None
    assert found[1].same_as is not None and "of these errors are also among small objects" in found[1].same_as
    assert "100\N{NO-BREAK SPACE}%" in found[1].same_as


def test_the_whole_cause_comes_before_a_part_of_it() -> None:
    # Rods are missed in 60 %, those that stand in 90 %.
    frame = table(200)
    rng = np.random.default_rng(0)
    frame["label"] = rng.choice(["rod", "ball", "ball"], 600)
    rods = frame["label"] == "rod"
    frame["aspect"] = np.where(rods & (rng.random(600) < 0.3), 0.3, 1.0)
    chance = np.where(frame["aspect"] < 1, 0.9, np.where(rods, 0.5, 0.05))
    frame["wrong"] = rng.random(600) < chance
    found = slices.find_slices(frame).found
    assert [(one.attribute, one.group) for one in found] == [("label", "rod"), ("aspect", "tall")]
    assert found[0].difference.low < found[1].difference.low and found[0].excess > found[1].excess


def test_two_causes_stand_side_by_side() -> None:
    frame = table(200)
    frame["wrong"] |= (frame["size"] < 32) | (frame["folder"] == "c")
    found = slices.find_slices(frame).found
    assert {(one.attribute, one.group) for one in found} == {("size", "small"), ("folder", "c")}
    assert [one.same_as for one in found] == [None, None]


@pytest.mark.parametrize("correlated", [False, True])
def test_without_a_cause_hardly_ever_a_slice(correlated: bool) -> None:
    alarms = sum(bool(slices.find_slices(table(50, seed, correlated=correlated)).found) for seed in range(20))
    assert alarms <= 1, alarms


def test_too_little_cannot_be_told() -> None:
    report = slices.find_slices(table(3))
    assert report.found == report.others == ()
    assert report.sentence == "Where errors are more frequent cannot be told: there are too few labels."
    assert slices.find_slices(table(80)).sentence.startswith("In none of ")


def test_every_sentence_is_short() -> None:
    frame = table(200).assign(aspect=3.0, crowding=0, overlap=0.5, on_object=0.1, on_others=0.4, on_border=0.4)
    some = np.arange(len(frame)) % 3 > 0
    for column, value in (("aspect", 0.4), ("crowding", 5), ("overlap", 0), ("on_object", 1), ("on_others", 0)):
        frame[column] = np.where(some, frame[column], value)
    frame["sharpness"], frame["on_border"] = frame["brightness"], np.where(some, 0.0, 0.9)
    every = slices.find_slices(frame)
    assert {one.attribute for one in (*every.found, *every.others)} == {*slices.ATTRIBUTES}
    assert max(len(one.sentence.split()) for one in (*every.found, *every.others)) <= 20


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_the_correction_is_that_of_scipy(ps: list[float]) -> None:
    assert slices.correct(ps) == pytest.approx(false_discovery_control(ps))


@given(st.integers(1, 40), st.data())
def test_of_single_objects_an_interval_is_wilson_s(count: int, data: st.DataObject) -> None:
    wrong = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)), float)
    rate, low, high = intervals.clustered(wrong, np.ones(count))
    assert (rate, low, high) == pytest.approx((wrong.mean(), *intervals.wilson(wrong.sum(), count)))
    # Each object three times over, in the same picture, says nothing new.
    assert intervals.clustered(3 * wrong, np.full(count, 3.0))[1:] == pytest.approx((low, high), abs=1e-9)
