"""Errors of a model: its headline, thresholds, suspected labels and tiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sightglass.batch.labelled import summary
from sightglass.evaluation.errors.report import ALL, ErrorReport
from sightglass.evaluation.errors.tile import ROOM, draw_tile, frame_boxes
from sightglass.evaluation.evaluation import EvaluatedPicture, Evaluation, Missed
from sightglass.evaluation.ground_truth import TrueBox
from tests.unit.evaluation.labelled_pictures import BELOW, LEFT, RIGHT, answer, classified, evaluation, picture

SMALL = (10.0, 10.0, 30.0, 30.0)


def missing(*boxes: tuple[str, tuple[float, float, float, float]], found=(), reason="below") -> EvaluatedPicture:
    """A picture whose labelled objects without a box are missed for a reason."""
    one = picture(boxes, found)
    lost = {i: Missed(reason, 0.1) for i, (_, box) in enumerate(boxes) if all(each.box != box for each in found)}
    return replace(one, missed=lost)


def headline(*pictures: EvaluatedPicture) -> str:
    return ErrorReport(evaluation(*pictures)).headline


def test_the_headline_names_the_class_that_is_missed_most_and_what_is_so_of_these_objects() -> None:
    found = missing(("cat", LEFT), found=[answer("cat")])
    small = missing(("cat", SMALL))
    assert headline(found, found, small, small) == ("model misses 2 of 4 cats; all of them are smaller than 32 pixels")
    large = missing(("cat", LEFT), ("dog", RIGHT), found=[answer("dog", box=RIGHT)])
    assert headline(found, large, large) == (
        "model misses 2 of 3 cats; all of them have a box below the threshold of 25\N{NO-BREAK SPACE}%"
    )
    assert headline(found) == "model finds all 1 object; none of its boxes is wrong"
    for one in (headline(found, small), headline(large), headline(found)):
        assert len(one.split()) <= 20


def test_the_headline_of_a_classifier_is_its_most_frequent_mistake() -> None:
    wrong, right = classified("cat", 0.1, 0.8, 0.1), classified("cat", 0.9, 0.1, 0.0)
    assert headline(wrong, wrong, right) == "model calls 2 of 3 cats dog; it is wrong on 2 of 3 pictures"
    report = ErrorReport(evaluation(wrong, wrong, right))
    assert [(one.name, one.count) for one in report.types] == [("cat \N{RIGHTWARDS ARROW} dog", 2)]
    assert len(report.select_type(ALL)) == len(report.select_type(report.types[0].id)) == 2


def test_a_lower_threshold_brings_objects_back_for_false_alarms() -> None:
    weak = picture([("cat", LEFT), ("dog", RIGHT)], [answer("cat", 0.2), answer("dog", 0.1, BELOW)])
    curve = ErrorReport(evaluation(weak, picture([("cat", LEFT)], [answer("cat", 0.9)]))).thresholds
    one = curve.measure(0.15)
    assert (one.missed, one.found, one.false_alarms) == (2, 1, 0)
    assert one.sentence.replace("\N{NO-BREAK SPACE}", " ") == (
        "Lower the threshold to 15 % and 1 of 2 missed comes back, with 0 more false alarms."
    )
    assert curve.measure(0.05).false_alarms == 1
    best = curve.find_best()
    assert best is not None and best.threshold == 0.2 and best.found == 1
    assert "more objects missed" in curve.measure(0.95).sentence


def test_errors_of_a_type_are_the_units_with_what_they_are_about() -> None:
    one = picture([("cat", LEFT), ("dog", RIGHT)], [answer("bird", 0.9), answer("cat", 0.6, BELOW)])
    report = ErrorReport(evaluation(one))
    assert {kind.id: kind.count for kind in report.types if kind.count} == {"class": 1, "background": 1, "missed": 1}
    units = {
        kind: report.find_unit(report.select_type(kind).iloc[0].to_dict()) for kind in ("class", "background", "missed")
    }
    assert units["class"].words == "cat called bird, 90\N{NO-BREAK SPACE}%"
    assert units["class"].truth is one.truths[0]
    assert units["background"].truth is None and units["background"].answer is one.found[1]
    assert units["missed"].words == "dog, not found" and units["missed"].answer is None


def test_one_count_serves_batch_and_errors_and_says_which_boxes_it_is_about() -> None:
    weak = missing(("cat", LEFT), ("dog", RIGHT), found=[answer("dog", 0.9, RIGHT)], reason="never")
    one = replace(weak, found=(*weak.found, answer("cat", 0.1)))
    report = ErrorReport(evaluation(one))
    told = summary.summarise(report)
    assert told.errors == tuple(report.types) and told.missed == tuple(report.reasons)
    missed = dict(zip(told.error_columns, told.list_errors()[-1], strict=True))
    assert missed["from 25\N{NO-BREAK SPACE}% on"] == "1", "the box of the cat is below the threshold"
    assert missed["AP50, all boxes"] == "+0.0", "AP counts it all the same"
    assert "boxes of any score" in told.about_errors
    # A reason that was stored of an object with a right box is none.
    found = replace(weak, missed={0: Missed("never"), 1: Missed("never")})
    assert [group.count for group in summary.summarise(ErrorReport(evaluation(found))).missed] == [1]


def test_a_suspected_label_is_a_unit_with_the_answer_that_speaks_against_it() -> None:
    one = picture([("cat", LEFT)], [answer("dog", 0.95), answer("bird", 0.9, BELOW)])
    others = picture([("cat", LEFT)], [answer("cat", 0.9)]), picture([("bird", LEFT)], [answer("bird", 0.9)])
    report = ErrorReport(evaluation(one, *others))
    swapped, overlooked = report.suspects
    assert (swapped.type, swapped.truth, swapped.answer) == ("swapped", one.truths[0], one.found[0])
    assert (overlooked.type, overlooked.truth, overlooked.answer) == ("overlooked", None, one.found[1])
    assert overlooked.words == "bird 90\N{NO-BREAK SPACE}%, nothing labelled"
    assert len({unit.id for unit in report.suspects}) == 2
    assert report.headline_change.left_out == 2 and report.headline_change.after.value == pytest.approx(1)
    assert "stays" not in report.headline_change.sentence
    right = ErrorReport(evaluation(picture([("cat", LEFT)], [answer("cat", 0.9)])))
    assert not right.suspects and "No label looks wrong" in right.headline_change.sentence


def test_a_tile_shows_the_part_that_the_boxes_are_in() -> None:
    x0, y0, x1, y1 = frame_boxes([LEFT], (400, 400), (200, 200))
    assert x0 <= 0 and y0 <= 0 and x1 - x0 == y1 - y0 == ROOM * 100
    assert frame_boxes([], (400, 300), (200, 200)) == (0, 0, 400, 300)
    pixels = np.zeros((400, 400, 3), np.uint8)
    plain = replace(picture([("cat", LEFT)], [answer("dog", 0.9)]), key="0")
    mapped = replace(plain, maps={0: np.full((32, 32), 255, np.uint8)})
    tiles = []
    for one in (plain, mapped):
        report = ErrorReport(Evaluation("m", "detect", ("cat", "dog", "bird"), 0.25, (one,)))
        unit = report.find_unit(report.errors.iloc[0].to_dict())
        assert unit.truth == TrueBox("cat", LEFT)
        tiles.append(draw_tile(pixels, unit, (200, 150)))
        assert np.array_equal(draw_tile(pixels, unit, (200, 150), mapped=False), tiles[0])
    assert tiles[0].shape[1] <= 200 and tiles[0].shape[0] <= 150
    assert (tiles[0] == (255, 255, 255)).all(2).any()
    assert not np.array_equal(*tiles)
