"""Maps that are compared are of one class or one box, and what is said of boxes and of several models' maps."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import box_iou

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer, Explanation
from sightglass.explain.comparison.detections import largest_model, match_target, same_target
from sightglass.explain.comparison.models import Comparison, Timing, measure_in_turns
from sightglass.explain.evidence.layers import stages
from sightglass.explain.tasks.task import UNSURE
from sightglass.models.adapter import Prediction
from sightglass.report.result_folder import every_map, of_boxes
from sightglass.ui.session.pictures.image_source import load_bundled

if TYPE_CHECKING:
    from sightglass.explain.maps.statistics import Agreement

DEMOS = ("demo-s", "demo-m", "demo-l")
LITES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")


def explained(ids: tuple[str, ...], picture: Path | str, **options: object) -> list[Explanation]:
    return [Explainer(name)(picture, **options) for name in ids]


def test_models_that_find_nothing_are_not_said_to_agree(bus: Path) -> None:
    nothing = Comparison(tuple(explained(DEMOS, bus)), ("s", "m", "l"), ())
    assert nothing.verdict == "None of the three finds anything."
    assert all(nothing.agreement(a, b) is None for a in range(3) for b in range(3))
    assert (nothing.overlaps, nothing.overlap(0, 1)) == ("", "–")
    assert Comparison(nothing.explanations[:2], ("s", "m"), ()).verdict == "Neither finds anything."
    assert same_target(nothing.explanations) == nothing.explanations


def test_models_that_agree_without_being_sure_are_said_to_be_unsure(bus: Path) -> None:
    classifiers = explained(LITES, bus, top_k=1)

    def verdict(*answers: tuple[str, float]) -> str:
        found = zip(classifiers, answers, strict=False)
        sizes = tuple(replace(result, predictions=(Prediction(label, 0, score),)) for result, (label, score) in found)
        return Comparison(sizes, ("s", "m", "l")[: len(sizes)], ()).verdict.replace("\N{NO-BREAK SPACE}", " ")

    sorrel = [("sorrel", 0.117), ("sorrel", 0.12), ("sorrel", 0.11)]
    assert verdict(*sorrel) == "All three say sorrel, none with more than 12 %."
    assert verdict(*sorrel[:2]) == "Both say sorrel, neither with more than 12 %."
    assert verdict(("sorrel", 0.117), ("collie", 0.131)) == "s says sorrel; m says collie, neither with more than 14 %."
    assert verdict(*sorrel[:2], ("sorrel", UNSURE)) == "All three say sorrel; l is most confident."


def test_classifiers_are_explained_for_what_the_largest_answers(bus: Path) -> None:
    result = explained(LITES, bus, top_k=2)
    first = largest_model(result)
    assert first is result[2]
    assert not Comparison(tuple(result), ("s", "m", "l"), ()).shares_none
    label = first.predictions[0].label
    same = same_target(result)
    assert [explanation.heatmaps[0].target.label for explanation in same] == [label] * 3
    assert [e.predictions for e in same] == [e.predictions for e in result]
    other = result[0].predictions[1]
    assert {e.heatmaps[0].target.label for e in same_target(result, other)} == {other.label}


def test_detectors_are_explained_for_the_same_box(scene: Path) -> None:
    result = explained(DEMOS, scene, per="detection")
    expected = result[2].predictions[1]
    for explanation in same_target(result, expected):
        assert len(explanation.heatmaps) == 1
        (box,) = explanation.own(0)
        assert box.label == expected.label
        assert box_iou(torch.tensor([box.box]), torch.tensor([expected.box])) > 0.5


def test_a_model_without_the_class_has_no_map(bus: Path, scene: Path) -> None:
    results = [Explainer("efficientnet-lite0")(bus, top_k=1), Explainer("demo-cls-s")(bus, top_k=1)]
    expected = results[0].predictions[0]
    same = same_target(results, expected)
    assert same[0] is results[0]
    assert same[1].heatmaps == ()


NAMES = ("small", "medium", "large")


@pytest.mark.parametrize(
    ("overlaps", "said"),
    [
        ({}, ""),
        ({(0, 1): 0.73}, "The maps of small and medium highlight the same place (73 % overlap)."),
        (
            {(0, 1): 0.25, (0, 2): 0.2, (1, 2): 0.64},
            "The maps of medium and large highlight the same place (64 % overlap); "
            "small highlights another (at most 25 %).",
        ),
        (
            {(0, 1): 0.1, (0, 2): 0.2, (1, 2): 0.3},
            "The maps of small, medium and large highlight different places (at most 30 % overlap).",
        ),
        # Alike one after another, and the ends not.
        (
            {(0, 1): 0.6, (0, 2): 0.2, (1, 2): 0.6},
            "Overlap of the strongest evidence: small and medium 60 %, small and large 20 % and medium and large 60 %.",
        ),
    ],
)
def test_overlaps_are_a_sentence(
    overlaps: dict[tuple[int, int], float], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agreement(_: Comparison, first: int, second: int) -> Agreement | None:
        share = overlaps.get((first, second))
        return None if share is None else cast("Agreement", SimpleNamespace(iou_top20=share))

    monkeypatch.setattr(Comparison, "agreement", agreement)
    assert Comparison((), NAMES, ()).overlaps.replace("\N{NO-BREAK SPACE}", " ") == said


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer("demo-s")


@pytest.fixture
def result(explainer):
    return explainer(load_bundled("scene 3"), per="detection", top_k=12)


def test_every_layer_from_one_pass_is_the_layer_alone(explainer):
    scene = load_bundled("scene 3")
    paths = tuple(stage.path for stage in stages(explainer.resident))
    whole = explainer(scene, per="detection", targets=(1,), layers=paths)
    together = whole.by_layer()
    assert [e.layers for e in together] == [(path,) for path in paths]
    for place in (4, 15, 18):
        alone = explainer(scene, per="detection", targets=(1,), layers=(paths[place],))
        np.testing.assert_allclose(together[place].content, alone.heatmaps[0].content, atol=1e-4)
        one = whole.at_layer(paths[place])
        assert one.evidence.paths == one.heatmaps[0].layers == (paths[place],) and one.recipe == alone.recipe
        np.testing.assert_allclose(one.heatmaps[0].content, together[place].content, atol=1e-6)
    # Its seal tests the map at that layer, and other targets are explained at it.
    assert one.with_targets((300, 1)).heatmaps[0].layers == (paths[18],)
    with pytest.raises(ModelProblem, match="none of the layers explained here"):
        one.at_layer(paths[4])


def test_the_same_object_is_found_or_its_candidate_is(result):
    expected = result.predictions[2]
    same = match_target(result, expected)
    assert same.prediction == expected
    assert same.missing is None
    strict = match_target(result.with_options(confidence=0.9), expected)
    assert strict.missing is not None
    assert strict.missing.reason.kind == "below"
    assert strict.prediction.anchor == expected.anchor
    np.testing.assert_array_equal(strict.explanation.heatmaps[0].content, result.heatmaps[2].content)


def test_the_map_of_a_class_without_a_box_says_what_it_is_of(result):
    shown, absent = (result.with_options(per="class", targets=(name,)) for name in ("gear", "star"))
    (note,) = set(absent.notes) - set(shown.notes)
    assert note.startswith("No star is shown (at best <\N{NO-BREAK SPACE}1")
    assert note.endswith("sure): the map is of its strongest candidate alone.")
    assert note in [finding.text for finding in absent.diagnosis]
    assert absent.with_method("layercam").notes == absent.notes
    assert absent.with_targets("gear").notes == shown.notes


def test_the_files_are_pictures_of_the_pictures_own_size(result):
    files = dict(of_boxes(result, everything=True))
    assert list(files)[:3] == [f"scene-3_{what}.jpg" for what in ("original", "detection", "gradcam")]
    assert "scene-3_04_rod-cross.jpg" in files
    pictures = [data for name, data in files.items() if name.startswith("scene-3_") and name.endswith(".jpg")]
    assert len(pictures) == 3 + len(result.heatmaps)
    assert {Image.open(io.BytesIO(data)).size for data in pictures} == {(576, 576)}
    nothing = result.with_options(confidence=0.99)
    assert np.array_equal(every_map(nothing), nothing.image.pixels)


def test_models_are_timed_in_turns_after_a_warm_up(result, monkeypatch):
    adapter, passes = result.evidence.resident.adapter, []
    monkeypatch.setattr(type(adapter), "run", lambda _self, tensor: passes.append(tensor))
    first, second = measure_in_turns([result.evidence, result.evidence], rounds=3)
    assert len(passes) == 2 * (1 + 3)
    assert first.fastest <= first.median <= first.slowest and second.fastest > 0
    assert Timing(20, 19, 90).steady and not Timing(30, 20, 31).steady
