"""Maps that are compared are of one class or one box, and what is said of boxes and of several models' maps."""

import io
from copy import copy
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.ops import box_iou

from sightglass.explain import Explainer, Explanation
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.evidence.layers import stages
from sightglass.explain.maps.statistics import Agreement
from sightglass.explain.phrases import NBSP
from sightglass.explain.tasks.detect import assign
from sightglass.explain.tasks.wording import UNSURE
from sightglass.models.adapter import Prediction
from sightglass.models.labels import same_classes
from sightglass.report.result_folder import box_files, every_map
from sightglass.ui.session.pictures.image_source import load_bundled
from tests.unit import own_nets

DEMOS = ("demo-s", "demo-m", "demo-l")
LITES = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")


def explained(ids: tuple[str, ...], picture: Path | str, **options: object) -> list[Explanation]:
    return [Explainer(name)(picture, **options) for name in ids]


def answering(explanation: Explanation, *answers: Prediction) -> Explanation:
    """Return the explanation of a model that gives these answers."""
    evidence, options = copy(explanation.evidence), explanation.options
    evidence.decoded = {"top_k": options.top_k, "confidence": options.confidence, "iou": options.iou}, answers
    return replace(explanation, evidence=evidence, predictions=answers)


def test_models_that_find_nothing_are_not_said_to_agree(bus: Path) -> None:
    nothing = Comparison(tuple(explained(DEMOS, bus)), ("s", "m", "l"))
    assert nothing.verdict == "None of the three finds anything."
    assert all(nothing.agreement(a, b) is None for a in range(3) for b in range(3))
    assert (nothing.overlaps, nothing.mixed, nothing.ends) == ("", None, None)
    assert Comparison(nothing.explanations[:2], ("s", "m")).verdict == "Neither finds anything."
    assert nothing.aligned() is nothing


def test_verdict_of_unsure_models(bus: Path) -> None:
    classifiers = explained(LITES, bus, top_k=1, targets=("sorrel",))
    labels = classifiers[0].evidence.loaded.adapter.labels

    def verdict(*answers: tuple[str, float]) -> str:
        predictions = [Prediction(label, labels.index(label), score) for label, score in answers]
        sizes = tuple(map(answering, classifiers, predictions))
        return Comparison(sizes, ("s", "m", "l")[: len(sizes)]).verdict.replace("\N{NO-BREAK SPACE}", " ")

    sorrel = [("sorrel", 0.117), ("sorrel", 0.12), ("sorrel", 0.11)]
    assert verdict(*sorrel) == "All three say sorrel, none with more than 12 %."
    assert verdict(*sorrel[:2]) == "Both say sorrel, neither with more than 12 %."
    differ = "s says sorrel; m says collie, neither with more than 14 %: the maps are of sorrel."
    assert verdict(("sorrel", 0.117), ("collie", 0.131)) == differ
    assert verdict(*sorrel[:2], ("sorrel", UNSURE)) == "All three say sorrel; l is most confident."
    assert verdict(("sorrel", 0.404), ("sorrel", 0.396)) == "Both say sorrel."  # both are 40 %


def test_classifiers_share_the_first_answer(bus: Path) -> None:
    own = Comparison(tuple(explained(LITES[::2], bus, top_k=2)), ("s", "l"))
    assert (own.agreement(0, 1), own.ends, own.overlaps, own.label) == (None, None, "", "")
    assert own.verdict == "s says minibus; l says trolleybus."
    assert own.mixed == "Maps of different answers are not compared: minibus and trolleybus."
    for same, label in ((own.aligned(), "minibus"), (own.aligned(own.subjects[1]), "trolleybus")):
        assert {e.heatmaps[0].target.label for e in same.explanations} == {same.label} == {label}
        assert [e.predictions for e in same.explanations] == [e.predictions for e in own.explanations]
        assert same.verdict == f"s says minibus; l says trolleybus: the maps are of {label}."
        assert same.agreement(0, 1) and same.ends == (0, 1) and same.mixed is None


def test_detectors_are_explained_for_the_same_box(scene: Path) -> None:
    own = Comparison(tuple(explained(DEMOS, scene)), DEMOS)
    for subject in own.subjects:
        same = own.aligned(subject)
        for model, (explanation, place) in enumerate(zip(same.explanations, subject.places, strict=True)):
            (box,) = explanation.own(0)
            assert box.label == subject.prediction.label
            assert box_iou(torch.tensor([box.box]), torch.tensor([subject.prediction.box])) > 0.5
            # A candidate that is not shown has a map, which is compared with no other.
            assert (box in explanation.predictions) == (place is not None)
            assert (same.agreement(subject.model, model) is not None) == (place is not None)
    assert subject.places == (3, None, 3)
    assert same.mixed == "Not all maps are of the same rod-cross, so not all are compared."


def test_a_model_without_the_class_has_no_map(bus: Path) -> None:
    results = (Explainer("efficientnet-lite0")(bus, top_k=1), Explainer("demo-cls-s")(bus, top_k=1))
    own = Comparison(results, ("a", "b"))
    assert own.aligned() is own and own.mixed and own.mixed.startswith("The models have no class or object in common")
    same = own.aligned(own.subjects[0])
    assert same.explanations[0] is results[0] and same.explanations[1].heatmaps == ()


PLAIN = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])


def explain_net(labels: list[str], picture: Path, **options: Any) -> Explanation:
    net = own_nets.BlocksCNN(num_classes=len(labels), width=4)
    return Explainer(net, preprocess=PLAIN, labels=labels, **options)(picture, top_k=1)


@pytest.mark.parametrize(
    ("names", "others", "pairs"),
    [
        (["person", "bus"], ["Bus", "Person"], {0: 1, 1: 0}),
        (["traffic light", "cars"], ["Traffic_Light", "car", "bus"], {0: 0, 1: 1}),
        (["tench, Tinca tinca", "sunglass", "sunglasses"], ["tench", "sunglasses"], {0: 0, 2: 1}),
        (["crane", "crane"], ["crane", "crane"], {0: 0, 1: 1}),
        (["crane", "crane"], ["crane"], {}),
        (["class 0", "class 1"], ["class 0", "class 1", "class 2"], {}),
        (["?", "bus"], ["!", "train"], {}),
    ],
)
def test_classes_are_the_same_by_name(names: list[str], others: list[str], pairs: dict[int, int]) -> None:
    assert same_classes(tuple(names), tuple(others)) == pairs
    assert same_classes(tuple(others), tuple(names)) == {there: here for here, there in pairs.items()}


def test_models_that_spell_a_class_differently_say_the_same(bus: Path) -> None:
    first = answering(explain_net(["Person", "bus", "car"], bus), Prediction("Person", 0, 0.6))
    second = answering(explain_net(["bus", "person", "van"], bus), Prediction("person", 1, 0.9))
    same = Comparison((first, second), ("a", "b")).aligned()
    assert [e.heatmaps[0].target.label for e in same.explanations] == ["Person", "person"]
    assert same.verdict == "Both say Person; b is more confident." and same.groups == ((0, 1),)


@pytest.mark.parametrize(("unit", "compared"), [("years", True), ("months", False)])
def test_numbers_in_other_units_are_not_compared(unit: str, compared: bool, bus: Path) -> None:
    ages = tuple(explain_net(["age"], bus, task="regress", unit=each) for each in ("years", unit))
    assert (Comparison(ages, ("a", "b")).aligned().ends is not None) == compared


def shift(box: Prediction, share: float, **changed: Any) -> Prediction:
    """Move a box to the right by a share of its width."""
    x0, y0, x1, y1 = box.box or (0, 0, 0, 0)
    return replace(box, box=(x0 + share * (x1 - x0), y0, x1 + share * (x1 - x0), y1), **changed)


def test_only_a_matched_object_is_compared_and_its_scores(result: Explanation) -> None:
    gear, ball = result.predictions[1], result.predictions[0]

    def compare(*boxes: Prediction) -> Comparison:
        sides = answering(result, replace(ball, score=0.9), replace(gear, score=0.5)), answering(result, *boxes)
        return Comparison(sides, ("a", "b")).aligned()

    # The boxes are crossed: the first of one model is the second of the other.
    crossed = compare(shift(gear, 0.1, score=0.8), shift(ball, 0.1, score=0.7))
    assert [subject.places for subject in crossed.objects] == [(0, 1), (1, 0)]
    assert crossed.describe(crossed.objects[1]) == f"gear 50 / 80{NBSP}%, same place 100{NBSP}%"
    assert crossed.verdict == "Both say 1 ball-dots and 1 gear."
    # One class at different places is not one object, and another class at one place neither.
    for boxes in ((shift(ball, 0.5), shift(gear, 0.5)), (replace(ball, index=gear.index, label=gear.label),)):
        apart = compare(*boxes)
        assert (apart.subject, apart.ends, apart.overlaps) == (None, None, "") and apart.mixed
    # Where a nearer box takes the object, a second one of its class is another.
    two = compare(shift(ball, 0.2, anchor=1), replace(ball, score=0.3), gear)
    assert two.subject and two.subject.places == (0, 1) and two.ends == (0, 1)


def test_each_box_is_in_one_row_that_names_who_misses_it(result: Explanation) -> None:
    ball, random = result.predictions[0], np.random.default_rng(1)

    def compare(*sides: list[Prediction]) -> Comparison:
        return Comparison(tuple(answering(result, *boxes) for boxes in sides), ("a", "b", "c")).aligned()

    for _ in range(20):
        several = compare(*([shift(ball, move) for move in side] for side in random.uniform(0, 1, (3, 4))))
        for model in range(3):
            assert sorted(s.places[model] for s in several.objects if s.places[model] is not None) == [0, 1, 2, 3]
    # The third model's box overlaps those of both others, which are too far apart.
    chain = compare(*([shift(ball, move, score=score)] for move, score in ((0, 0.9), (0.6, 0.8), (0.3, 0.7))))
    assert [subject.places for subject in chain.objects] == [(0, None, 0), (None, 0, None)]
    rows = ["ball-dots 90 / – / 70 %, same place 100 %, b misses it", "ball-dots – / 80 % / –, a and c miss it"]
    assert [chain.describe(subject).replace(NBSP, " ") for subject in chain.objects] == rows


def test_boxes_are_assigned_as_all_permutations_say() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        corners = random.uniform(0, 6, (9, 2))
        boxes = [Prediction("x", int(random.integers(2)), 0.5, (x, y, x + 9, y + 9)) for x, y in corners]
        overlaps = box_iou(*(torch.tensor([p.box for p in side]) for side in (boxes[:4], boxes[4:]))).numpy()
        same = np.array([[a.index == b.index for b in boxes[4:]] for a in boxes[:4]])
        worth, pairs = np.where(same & (overlaps >= 0.5), overlaps, 0), assign(boxes[:4], boxes[4:])
        best = max(worth[range(4), list(order)].sum() for order in permutations(range(5), 4))
        assert sum(worth[pair] for pair in pairs.items()) == pytest.approx(best, abs=1e-5)
        assert all(worth[pair] for pair in pairs.items()) and len({*pairs.values()}) == len(pairs)
    # Two thin boxes that cross share their upright rectangles, and nearly no ground.
    one = Prediction("ship", 0, 0.9, (0, 0, 10, 10), corners=((0, 1), (9, 10), (10, 9), (1, 0)))
    assert assign([one], [one]) == {0: 0}
    assert assign([one], [replace(one, corners=((0, 9), (1, 10), (10, 1), (9, 0)))]) == {}


@pytest.mark.weights("yolo11n.pt", "yolo26n.pt")
def test_the_bus_is_compared_with_the_bus(bus: Path) -> None:
    same = Comparison(tuple(explained(("yolo11n", "yolo26n"), bus)), ("a", "b")).aligned()
    assert same.verdict == "Both say 1 bus and 4 people."
    assert same.describe(same.objects[0]) == f"bus 94 / 90{NBSP}%, same place 44{NBSP}%"


NAMES = ("small", "medium", "large")


@pytest.mark.parametrize(
    ("overlaps", "said"),
    [
        ({}, ""),
        ({(0, 1): 0.73}, "The maps of small and medium highlight the same place (73 % overlap)."),
        (
            {(0, 1): 0.73, (0, 2): 0.5, (1, 2): 0.64},
            "The maps of small, medium and large highlight the same place (at least 50 % overlap).",
        ),
        ({(0, 1): 1, (1, 2): 0.999}, "The maps of small, medium and large highlight the same place (> 99 % overlap)."),
        (
            {(0, 1): 0.1, (0, 2): 0.2, (1, 2): 0.3},
            "The maps of small, medium and large highlight different places (at most 30 % overlap).",
        ),
        (
            {(0, 1): 0.6, (0, 2): 0.2, (1, 2): 0.6},
            "Overlap of the strongest evidence: small and medium 60 %, small and large 20 % and medium and large 60 %.",
        ),
    ],
)
def test_overlaps_are_a_sentence(overlaps, said, monkeypatch):
    def agreement(_: Comparison, first: int, second: int) -> Agreement | None:
        share = overlaps.get((first, second))
        return None if share is None else cast("Agreement", SimpleNamespace(iou_top20=share))

    monkeypatch.setattr(Comparison, "agreement", agreement)
    monkeypatch.setattr(Comparison, "groups", ((0, 1, 2),))
    assert Comparison((), NAMES).overlaps.replace("\N{NO-BREAK SPACE}", " ") == said


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer("demo-s")


@pytest.fixture
def result(explainer):
    return explainer(load_bundled("scene 3"), per="detection", top_k=12)


def test_every_layer_from_one_pass_is_the_layer_alone(explainer):
    scene = load_bundled("scene 3")
    paths = tuple(stage.path for stage in stages(explainer.loaded))
    together = explainer(scene, per="detection", targets=(1,), layers=paths).by_layer()
    assert [e.layers for e in together] == [(path,) for path in paths]
    for place in (4, 15, 18):
        alone = explainer(scene, per="detection", targets=(1,), layers=(paths[place],))
        np.testing.assert_allclose(together[place].content, alone.heatmaps[0].content, atol=1e-4)


def test_map_of_class_without_box_is_captioned(result):
    shown, absent = (result.with_options(per="class", targets=(name,)) for name in ("gear", "star"))
    (note,) = set(absent.notes) - set(shown.notes)
    assert note.startswith("No star is shown (at best <\N{NO-BREAK SPACE}1")
    assert note.endswith("sure): the map is of its strongest candidate alone.")
    assert note in [finding.text for finding in absent.diagnosis]
    assert absent.with_method("layercam").notes == absent.notes
    assert absent.with_targets("gear").notes == shown.notes


def test_the_files_are_pictures_of_the_pictures_own_size(result):
    files = dict(box_files(result, everything=True))
    assert list(files)[:3] == [f"scene-3_{what}.jpg" for what in ("original", "detection", "gradcam")]
    assert "scene-3_04_rod-cross.jpg" in files
    pictures = [data for name, data in files.items() if name.startswith("scene-3_") and name.endswith(".jpg")]
    assert len(pictures) == 3 + len(result.heatmaps)
    assert {Image.open(io.BytesIO(data)).size for data in pictures} == {(576, 576)}
    nothing = result.with_options(confidence=0.99)
    assert np.array_equal(every_map(nothing), nothing.image.pixels)
