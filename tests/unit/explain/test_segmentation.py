"""Maps of a segmentation against pytorch-grad-cam and finite differences; its pixels, its shares and its files."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image as Pillow
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer, Explanation, replay
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.trust.diagnosis import describe
from sightglass.history import save_unsure
from sightglass.models.adapter import AreaTarget, Prediction
from tests.folding import unfold
from tests.unit.explain.methods.test_methods import GRADIENT
from tests.unit.own_nets import Answering
from training.demo.scenes import draw, sample

library = pytest.importorskip("pytorch_grad_cam")
targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
CLOSE = 1e-4
METHODS = {**GRADIENT, "eigengradcam": "EigenGradCAM"}


@cache
def scene() -> Any:
    return draw(sample(1, task="segment", held_out=True))


@cache
def demo() -> Explainer:
    return Explainer("demo-seg")


@cache
def explained() -> Explanation:
    return demo()(scene().pixels)


class Tiny(nn.Module):
    """Two convolutions; logits at half of the picture's side."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU())
        self.head = nn.Conv2d(6, 4, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.head(self.body(x))}


def tiny(**more: Any) -> Explainer:
    return Explainer(Tiny(), preprocess={"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3}, layers=["body"], **more)


def logits_of(net: nn.Module) -> nn.Module:
    """Return what a segmentation network answers, as pytorch-grad-cam's examples unwrap it."""
    return Answering(net, lambda net, x: net(x)["out"])


@pytest.mark.parametrize("name", METHODS)
def test_a_class_map_equals_that_of_pytorch_grad_cam(name: str) -> None:
    with unfold():
        result = demo()(scene().pixels, method=name, top_k=1)
    evidence, heatmap, target = result.evidence, result.heatmaps[0], result.heatmaps[0].target
    module = demo().loaded.adapter.module
    library_target = targets.SemanticSegmentationTarget(target.index, np.float32(target.pixels))
    with getattr(library, METHODS[name])(logits_of(module), [module.get_submodule(heatmap.layers[0])]) as cam:
        expected = cam(evidence.tensor.clone().requires_grad_(), targets=[library_target])[0]
    assert np.abs(heatmap.at_input - expected).max() < CLOSE and expected.std() > 0.05


def test_segmentation_resize_and_long_picture() -> None:
    net = torchvision.models.get_model("lraspp_mobilenet_v3_large", weights=None, weights_backbone=None)
    explainer = Explainer(net)
    pixels = np.random.default_rng(0).integers(0, 255, (300, 410, 3), np.uint8)
    preset = torchvision.models.segmentation.LRASPP_MobileNet_V3_Large_Weights.DEFAULT.transforms()
    expected = preset(Pillow.fromarray(pixels))
    model_input = explainer.loaded.adapter.prepare(pixels, "trained")
    assert model_input.tensor.shape[1:] == expected.shape
    assert (model_input.tensor[0] - expected).abs().max() < 0.02
    assert explainer.labels[15] == "person"
    long = explainer.loaded.adapter.prepare(np.zeros((10, 4000, 3), np.uint8), "trained")
    assert max(long.tensor.shape[2:]) <= 4 * 520


@pytest.mark.parametrize(
    "asked",
    [
        {"targets": (1,), "at": (4, 4, 20, 20)},
        {"per": "region", "at": (9, 9)},
        {"per": "pixel", "at": (9, 9), "targets": (2,)},
        {"per": "region", "at": (9, 9), "targets": (1,), "against": 3},
        {"per": "region", "at": (9, 9), "part": "contrast"},
    ],
)
def test_gradients_equal_finite_differences(asked: dict[str, Any]) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (32, 32, 3), np.uint8)
    with unfold():
        result = tiny(labels=["a", "b", "c", "d"])(pixels, **asked)
    adapter, evidence, target = result.evidence.loaded.adapter, result.evidence, result.heatmaps[0].target
    (gradient,) = evidence.gradients([target])[0]
    values, net, step = gradient.values, adapter.module, 1e-2
    assert tuple(values.shape[1:]) == gradient.shape and float(values.abs().max()) > 0.01
    with torch.no_grad():
        body = net.body(evidence.tensor)

        def score(at: tuple[int, int, int], by: float) -> float:
            moved = body.double().clone()
            moved[0][at] += by
            return float(adapter.scalar(type(evidence.outputs)(net.double().head(moved)), target))

        rng = np.random.default_rng(2)
        for _ in range(20):
            at = tuple(int(rng.integers(side)) for side in body.shape[1:])
            slope = (score(at, step) - score(at, -step)) / (2 * step)  # type: ignore[arg-type]
            assert slope == pytest.approx(float(values[at]), abs=1e-3)


def test_a_region_is_connected_and_holds_its_point() -> None:
    result = explained()
    index = result.predictions[0].index
    y, x = np.argwhere(result.segmentation == index)[5]
    region = result.with_options(per="region", at=(x + 0.5, y + 0.5))
    target, area = region.heatmaps[0].target, region.area()
    assert isinstance(target, AreaTarget) and target.index == index
    assert area is not None and area[y, x] and (result.segmentation[area] == index).all()
    pixel = result.with_options(per="pixel", at=(x + 0.5, y + 0.5))
    assert pixel.heatmaps[0].target.pixels.sum() == 1  # type: ignore[attr-defined]
    assert pixel.area()[y, x]  # type: ignore[index]


def test_rectangle_counts_pixels_of_class() -> None:
    result = explained()
    index = result.predictions[0].index
    ys, xs = np.nonzero(result.segmentation == index)
    at = (float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max()))
    inside = result.with_options(at=at, targets=(index,)).heatmaps[0].target.pixels  # type: ignore[attr-defined]
    assert (result.evidence.outputs.classes[inside] == index).all()
    absent = next(i for i in range(len(demo().labels)) if not (result.segmentation == i).any())
    assert result.with_options(at=at, targets=(absent,)).heatmaps[0].target.pixels.sum() > inside.sum()


def test_an_area_is_what_its_corners_go_around() -> None:
    result = explained()
    square = result.with_options(at=(20, 30, 100, 30, 100, 90, 20, 90), top_k=1)
    rectangle = result.with_options(at=(20, 30, 99.9, 89.9), top_k=1)
    assert (square.heatmaps[0].at_input == rectangle.heatmaps[0].at_input).all()
    corners = (0, 0, 192, 0, 192, 192, 0, 192, 0, 0, 48, 48, 48, 144, 144, 144, 144, 48, 48, 48, 0, 0)
    holed = result.with_options(at=corners, targets=("background",), top_k=1).area()
    assert holed is not None and holed.any()
    assert not holed[52:140, 52:140].any()
    assert (replay(square.recipe, scene().pixels).heatmaps[0].at_input == square.heatmaps[0].at_input).all()
    assert "in this area lies outside it" in square.task.wording.describe_outside(square, 0)
    thin = result.with_options(at=(50, 50, 50.1, 50, 50.1, 50.1), top_k=1)
    assert thin.heatmaps[0].target.pixels.sum() == 1  # type: ignore[attr-defined]


def test_evidence_outside_region() -> None:
    result = explained().with_options(per="region", top_k=1)
    heatmap, area = result.heatmaps[0], result.area()
    assert result.outside() == pytest.approx(float(heatmap.values[~area].sum() / heatmap.values.sum()), abs=1e-5)
    assert "of what speaks for this region lies outside it" in result.task.wording.describe_outside(result, 0)
    assert result.task.wording.describe_outside(result, 0) in [finding.text for finding in result.diagnosis]
    assert Explainer("demo-cls-s")(scene().pixels, top_k=1).outside() is None


def test_segmentation_answer_shares() -> None:
    result = explained()
    for prediction in result.predictions:
        assert prediction.score == pytest.approx(float((result.segmentation == prediction.index).mean()), abs=1e-6)
    assert result.predictions[-1].label == "background"
    assert describe(result, "yellow").headline.startswith("Demo-seg finds")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"method": "drise"}, "asks for one score a picture"),
        ({"per": "detection"}, "draws no boxes"),
        ({"per": "pixel"}, "Which pixel"),
        ({"per": "pixel", "at": (1, 1, 2, 2)}, "one pixel is at a point"),
        ({"at": (1, 1) * 201}, "200 at most"),
        ({"against": "star", "targets": ("star",), "at": (1, 1, 9, 9)}, "against itself"),
        ({"per": "region", "targets": ((10**6, 1),)}, "There is no pixel"),
    ],
)
def test_what_cannot_be_asked_is_said_in_a_sentence(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelProblem, match=words):
        demo()(scene().pixels, **asked)
    with pytest.raises(ModelProblem, match="gives no class to a pixel"):
        Explainer("demo-cls-s")(scene().pixels, per="region")


def test_a_module_of_ones_own_is_recognised_by_its_output() -> None:
    explainer = tiny()
    assert explainer.model.task == "segment"
    assert "It was taken for segmentation" in explainer.loaded.adapter.notes[0]
    with pytest.raises(ModelProblem, match="state task segment"):
        tiny(task="multilabel")
    with pytest.raises(ModelProblem, match="no class for each pixel"):
        Explainer(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3)), task="segment", preprocess={"size": 8})


def test_share_is_not_compared_with_score() -> None:
    result = explained()
    assert save_unsure(result, 1.0) is None
    classifier = Explainer("demo-cls-s")(result.image, top_k=1)
    gear = classifier.evidence.loaded.adapter.labels.index("gear")
    area, other = (result.evidence.loaded.adapter.labels.index(name) for name in ("gear", "star"))

    def tell(score: float) -> str:
        sure = replace(classifier, predictions=(Prediction("gear", gear, score),))
        explanation = replace(result, predictions=(Prediction("gear", area, 0.06), Prediction("star", other, 0.01)))
        return Comparison((sure, explanation), ("a", "b")).verdict

    assert tell(0.9) == tell(0.1) == "a says gear; b says gear and star."
    assert Comparison((result, result), ("a", "b")).verdict.startswith("a finds ")
