"""Maps that are compared are of one class or one box, and where there is no map nothing is measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sightglass.common.files.packing import photograph
from sightglass.explain import Explainer, Explanation
from sightglass.explain.comparison.detections import largest, same_target
from sightglass.explain.comparison.models import Comparison
from sightglass.models.adapter import Prediction

DEMOS = ("demo-s", "demo-m", "demo-l")
LITES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")


def explained(ids: tuple[str, ...], picture: Path | str, **options: object) -> list[Explanation]:
    return [Explainer(name)(picture, **options) for name in ids]


@pytest.fixture(scope="module")
def nothing(bus_picture: Path) -> Comparison:
    return Comparison(tuple(explained(DEMOS, bus_picture)), ("s", "m", "l"), ())


@pytest.fixture(scope="module")
def bus_picture() -> Path:
    path = photograph("bus")
    assert path is not None
    return path


def test_models_that_find_nothing_are_not_said_to_agree(nothing: Comparison) -> None:
    assert nothing.verdict == "None of the three finds anything."
    assert all(nothing.agreement(a, b) is None for a in range(3) for b in range(3))
    assert (nothing.overlaps, nothing.overlap(0, 1)) == ("", "–")
    assert Comparison(nothing.explanations[:2], ("s", "m"), ()).verdict == "Neither finds anything."
    assert same_target(nothing.explanations) == nothing.explanations


def test_models_that_agree_without_being_sure_are_said_to_be_unsure(nothing: Comparison) -> None:
    def verdict(*answers: tuple[str, float]) -> str:
        found = zip(nothing.explanations, answers, strict=False)
        made = tuple(replace(one, predictions=(Prediction(label, 0, score),)) for one, (label, score) in found)
        return Comparison(made, ("s", "m", "l")[: len(made)], ()).verdict.replace("\N{NO-BREAK SPACE}", " ")

    sorrel = [("sorrel", 0.117), ("sorrel", 0.12), ("sorrel", 0.11)]
    assert verdict(*sorrel) == "All three say sorrel, none with more than 12 %."
    assert verdict(*sorrel[:2]) == "Both say sorrel, neither with more than 12 %."
    assert verdict(("sorrel", 0.117), ("collie", 0.231)) == "s says sorrel; m says collie, neither with more than 24 %."
    assert verdict(*sorrel[:2], ("sorrel", 0.3)) == "All three say sorrel; l is most confident."


def test_classifiers_are_explained_for_what_the_largest_answers(bus_picture: Path) -> None:
    found = explained(LITES, bus_picture, top_k=2)
    first = largest(found)
    assert first is found[2]
    label = first.predictions[0].label
    same = same_target(found)
    assert [one.heatmaps[0].target.label for one in same] == [label] * 3
    assert [one.predictions for one in same] == [one.predictions for one in found]
    other = found[0].predictions[1]
    assert {one.heatmaps[0].target.label for one in same_target(found, other)} == {other.label}


def test_detectors_are_explained_for_the_same_box(scene: Path) -> None:
    found = explained(DEMOS, scene, per="detection")
    wanted = found[2].predictions[1]
    same = same_target(found, wanted)
    assert all(len(one.heatmaps) == 1 for one in same)
    for one in same:
        own = one.own(0)
        assert own[0].label == wanted.label
        assert overlap(own[0].box, wanted.box) > 0.5


def overlap(a: tuple[float, ...] | None, b: tuple[float, ...] | None) -> float:
    assert a is not None
    assert b is not None
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def test_a_model_without_the_class_has_no_map(bus_picture: Path, scene: Path) -> None:
    found = [Explainer("efficientnet-lite0")(bus_picture, top_k=1), Explainer("demo-cls-s")(bus_picture, top_k=1)]
    wanted = found[0].predictions[0]
    same = same_target(found, wanted)
    assert same[0] is found[0]
    assert same[1].heatmaps == ()
