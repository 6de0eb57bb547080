"""What an edit changed: the classes and boxes that are compared, and the sentence on them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from sightglass.explain import Explainer
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image
from sightglass.explain.whatif.changes import Change, changes, match, sentence, union
from sightglass.explain.whatif.edits import Edit, EditMark, edited
from sightglass.models.adapter import Prediction

ALL = EditMark("rectangle", ((0, 0), (1, 1)))
PATCH = EditMark("patch", ((0, 0), (0.2, 0.2), (0.5, 0.5)))
PAINTED = Edit((ALL,))


def classes(**scores: float) -> list[Prediction]:
    return [Prediction(label, i, score) for i, (label, score) in enumerate(sorted(scores.items()))]


def at(label: str, score: float, left: float) -> Prediction:
    return Prediction(label, 0, score, (left, 0.0, left + 10, 10.0))


def said(task: str, found: list[Change], edit: Edit = PAINTED, best: str = "") -> str:
    predictions = (Prediction(best, 0, 0.62),) if best else ()
    before = SimpleNamespace(
        model=SimpleNamespace(task=task, measures=False, segments=task == "segment"), predictions=predictions
    )
    return plain_text(sentence(before, found, edit))


def test_the_best_classes_of_both_pictures_are_compared():
    old, new = classes(bus=0.6, cab=0.3, car=0.1, van=0.0), classes(bus=0.1, cab=0.2, car=0.0, van=0.7)
    assert union(old, new, 2) == (Change("bus", 0.6, 0.1), Change("cab", 0.3, 0.2), Change("van", 0.0, 0.7))
    assert [change.points for change in union(old, new, 2)] == [-50, -10, 70]


def test_two_classes_of_one_name_stay_two():
    old = [Prediction("crane", 134, 0.6), Prediction("crane", 517, 0.3)]
    assert union(old, old) == (Change("crane", 0.6, 0.6), Change("crane", 0.3, 0.3))


def test_boxes_are_matched_by_class_and_by_the_largest_overlap_once():
    old = [at("bus", 0.9, 0), at("bus", 0.8, 2), at("person", 0.7, 50)]
    new = [at("bus", 0.5, 1.8), at("car", 0.4, 50), at("bus", 0.3, 100)]
    # IoU of 10 wide boxes 3.4 apart: 6.6 / 13.4 = 0.49.
    assert match(old, new) == (
        Change("bus", 0.9, None),
        Change("bus", 0.8, 0.5),
        Change("person", 0.7, None),
        Change("car", None, 0.4),
        Change("bus", None, 0.3),
    )
    assert match([at("bus", 0.9, 0)], [at("bus", 0.5, 3.3)])[0].after == 0.5
    assert match([at("bus", 0.9, 0)], [at("bus", 0.5, 3.4)])[0].after is None


def test_the_sentence_on_classes_has_the_numbers():
    fell = [Change("minibus", 0.62, 0.11), Change("trolleybus", 0.05, 0.23)]
    assert said("classify", fell) == (
        "Without what you painted over, minibus falls from 62 % to 11 %; now it says trolleybus, 23 %."
    )
    assert said("classify", fell, Edit((ALL,), keep=True)).startswith("With only what you kept, minibus falls")
    assert said("classify", fell, Edit((PATCH,))).startswith("With the patch that you moved, minibus falls")
    assert said("classify", fell, Edit((PATCH, ALL))).startswith("With your changes, minibus falls")
    still = "Without what you painted over, minibus rises from 62 % to 70 % and is still the answer."
    assert said("classify", [Change("minibus", 0.62, 0.7)]) == still
    assert said("classify", [Change("minibus", 0.621, 0.622)]).endswith("minibus stays at 62 %.")
    assert said("classify", fell, Edit(), "minibus").startswith("Minibus, 62 %. Paint over something")


def test_the_sentence_on_boxes_says_which_vanished_appeared_and_stayed():
    found = [Change("bus", 0.9, None), Change("person", 0.8, 0.7), Change("dog", None, 0.4), Change("dog", None, 0.3)]
    assert said("detect", found) == "Without what you painted over, 1 bus vanishes; 2 dogs appear; 1 box stays."
    assert said("detect", [Change("bus", 0.9, 0.9)] * 3).endswith(", all 3 boxes stay.")
    assert said("detect", [Change("bus", 0.9, 0.9)]).endswith(", 1 box stays.")
    fell = [Change("bus", 0.94, 0.93), Change("person", 0.86, 0.74)]
    assert said("detect", fell).endswith(", all 2 boxes stay; person falls most, from 86 % to 74 %.")
    assert said("detect", [Change("bus", 0.5, 0.6)]).endswith(", 1 box stays; bus rises from 50 % to 60 %.")
    assert said("detect", []).endswith(", there is still no box.")
    assert said("detect", found, Edit()).endswith("which boxes vanish?")


@pytest.mark.parametrize("model", ["demo-cls-s", "demo-s", "demo-reid"])
def test_models_of_each_kind_are_compared(model):
    explainer = Explainer(model)
    picture = Image(np.random.default_rng(1).integers(0, 255, (96, 96, 3), np.uint8))
    before, after = explainer(picture), explainer(edited(picture, PAINTED).image)
    found = changes(before, after)
    assert plain_text(sentence(before, found, PAINTED)).startswith("Without what you painted over, ")
    same = changes(before, before)
    assert all(change.before == pytest.approx(change.after) for change in same)
    if before.predictions:
        assert [change.label for change in found[:3]] == [p.label for p in before.predictions[:3]]
