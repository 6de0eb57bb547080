"""What a refusal advises gets an answer."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.methods import METHODS
from sightglass.explain.picture.image import Image
from tests.unit.own_nets import Reader

DEMOS = ("demo-s", "demo-cls-s", "demo-vit", "demo-seg", "demo-regress", "demo-detr", "demo-reid")
NAMES = {method.name.lower(): method.id for method in METHODS.values()}
QUICK = [method.id for method in METHODS.values() if method.family not in ("mask", "control")]


@pytest.fixture(scope="module")
def scene() -> Any:
    return Image.open("scene-3.png")


@pytest.fixture(scope="module")
def own() -> tuple[Reader, Explainer]:
    torch.manual_seed(0)
    net = Reader().eval()
    return net, Explainer(net, preprocess={"size": 64, "mean": [0.5] * 3, "std": [0.5] * 3})


def answers(explainer: Explainer, picture: Any, **options: Any) -> bool:
    return len(explainer(picture, top_k=1, **options).heatmaps) == 1


@pytest.mark.slow
@pytest.mark.parametrize("model", DEMOS)
def test_an_advised_method_answers(model: str, scene: Any) -> None:
    explainer, advised = Explainer(model), set[str]()
    for method in QUICK:
        try:
            explainer(scene, top_k=1, method=method)
        except ModelProblem as problem:
            advice = str(problem).partition(": ")[2].lower()
            advised |= {NAMES[name] for name in NAMES if re.search(rf"\b{re.escape(name)}(?![+\w])", advice)}
    assert advised
    assert [method for method in advised if not answers(explainer, scene, method=method)] == []


ADVICE = [
    ("demo-cls-s", {"per": "picture"}, "explain a class", {"per": "class"}),
    ("demo-s", {"smooth": "flips"}, "leave smooth=flips out", {}),
    ("demo-seg", {"per": "picture"}, "explain a class, a region or a pixel", {"per": "region"}),
    ("demo-seg", {"per": "pixel"}, "at=", {"per": "pixel", "at": (120, 80)}),
    (
        "demo-cls-s",
        {"targets": lambda outputs: outputs[0, 3], "method": "rollout"},
        "use GradCAM",
        {"method": "gradcam"},
    ),
    ("demo-cls-s", {"part": "box"}, "use one of class, contrast", {"part": "contrast"}),
    ("demo-cls-s", {"head": 0, "layers": "layer4_1"}, "nearest is", {"layers": "layer4"}),
    ("demo-cls-s", {"classes": ["star"]}, "name targets", {"targets": ["star"]}),
    ("demo-cls-s", {"conf_threshold": 0.5}, "use confidence", {"confidence": 0.5}),
    ("demo-cls-s", {"aug_smooth": True}, "use smooth=flips", {"smooth": "flips"}),
    ("demo-cls-s", {"class_idx": 3}, "use targets", {"targets": 3}),
]


@pytest.mark.parametrize(("model", "refused", "sentence", "advised"), ADVICE)
def test_an_advised_option_answers(model: str, refused: Any, sentence: str, advised: Any, scene: Any) -> None:
    explainer = Explainer(model)
    with pytest.raises(ModelProblem, match=re.escape(sentence)):
        explainer(scene, **refused)
    assert explainer(scene, **advised).heatmaps


def test_an_attention_module_is_a_layer_of_its_method(own: tuple[Reader, Explainer]) -> None:
    net, explainer = own
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(ModelProblem, match='method "attention" shows its weights, or choose stem'):
        explainer(picture, layers=[net.cross_attn])
    for layers in ([net.cross_attn], "cross_attn"):
        shown = explainer(picture, layers=layers, method="attention", top_k=1)
        assert shown.heatmaps[0].layers == ("cross_attn",)
    assert answers(explainer, picture, layers="stem")
    held = Explainer(net, layers=[net.cross_attn], preprocess={"size": 64})
    assert answers(held, picture, method="Attention")
    with pytest.raises(ModelProblem, match='method "attention" shows its weights'):
        held(picture)


def test_options_that_change_nothing_are_said(scene: Any) -> None:
    classifier, detector = Explainer("demo-cls-s"), Explainer("demo-s")
    for name, value in {"confidence": 0.9, "iou": 0.1, "ratio": 0.5, "within": "each"}.items():
        notes = classifier(scene, top_k=1, **{name: value}).notes
        assert f"{name}={value} has no effect: demo-cls-s draws no boxes." in notes
    idle = "ratio=0.5 has no effect: it is of one map of the whole picture (per=picture)."
    assert idle in detector(scene, top_k=1, ratio=0.5).notes
    assert idle not in detector(scene, per="picture", ratio=0.5).notes
    assert not any("no effect" in note for note in classifier(scene, top_k=1).notes)


class ClassifierOutputTarget:
    """As in pytorch-grad-cam."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, outputs: Any) -> Any:
        return outputs[0, self.category]


def test_a_target_object_is_named_with_its_class(own: tuple[Reader, Explainer]) -> None:
    _, explainer = own
    picture = np.full((64, 64, 3), 90, np.uint8)
    maps = explainer(picture, targets=[ClassifierOutputTarget(2), ClassifierOutputTarget(3)]).heatmaps
    assert [heatmap.target.label for heatmap in maps] == ["ClassifierOutputTarget 2", "ClassifierOutputTarget 3"]
