"""Every method against pytorch-grad-cam on the same module and tensor, and against numbers worked out by hand."""

import contextlib
import copy
import itertools
import re
import threading
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.common.work.progress import stopped_by
from sightglass.explain.backward.gradient import Activation, Gradient, projection
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explainer import Explainer, replay
from sightglass.explain.explanation import OF_FUNCTION, Explanation, explain
from sightglass.explain.methods import METHODS, list_methods, method
from sightglass.explain.methods.method import Request
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image, load_bundled
from sightglass.models.adapter import FunctionTarget, Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec
from sightglass.report import embedded_recipe
from tests.folding import unfold
from tests.unit.own_nets import hooks_on
from training.demo.scenes import draw
from training.demo.showcase import scene

library = pytest.importorskip("pytorch_grad_cam")
ClassifierOutputTarget = library.utils.model_targets.ClassifierOutputTarget
CLOSE = 1e-4
CPU = torch.device("cpu")
LAYERS = ("blocks.4", "blocks.6", "bn2")
GRADIENT = {
    "gradcam": "GradCAM",
    "gradcam++": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "xgradcam": "XGradCAM",
    "layercam": "LayerCAM",
}
EIGEN = {"eigencam": "EigenCAM", "eigengradcam": "EigenGradCAM"}
BY_LIBRARY = {
    "gradcamelementwise": "GradCAMElementWise",
    "finercam": "FinerCAM",
    "shapleycam": "ShapleyCAM",
    "kpcacam": "KPCA_CAM",
    "fullgrad": "FullGrad",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
}
OTHER_CLASS = 281


@cache
def evidence_of(layers: tuple[str, ...], bus: Path) -> Evidence:
    loaded = Explainer("efficientnet-lite0").loaded
    model_input = loaded.adapter.prepare(Image.open(bus).pixels, loaded.adapter.preprocessings[0])
    with unfold():
        return Evidence(loaded, model_input, layers_at(loaded, layers))


def of_two_classes(name: str, count: int, bus: Path) -> tuple[Evidence, tuple[int, int], Explanation]:
    """Maps at so many layers of the best class and of another one, and what they were made of."""
    evidence = evidence_of(LAYERS[-count:], bus)
    classes = (int(evidence.outputs.logits[0].argmax()), OTHER_CLASS)
    return evidence, classes, explain(Image.open(bus), evidence, Options(method=name, targets=classes), milliseconds={})


def reference(cam: Any, evidence: Evidence, index: int) -> np.ndarray:
    """The library's own map, on the same module and the same tensor, which it differentiates through."""
    tensor = evidence.tensor.detach().clone().requires_grad_()
    if isinstance(cam, library.FinerCAM):
        return cam(tensor, targets=None, target_idx=index)[0]
    return cam(tensor, targets=[library.utils.model_targets.ClassifierOutputTarget(index)])[0]


@contextlib.contextmanager
def built(kind: str, evidence: Evidence, module: nn.Module | None = None, **options: Any) -> Iterator[Any]:
    module = module or evidence.loaded.adapter.module
    layers = [] if kind == "FullGrad" else [module.get_submodule(layer.path) for layer in evidence.layers]
    cam = getattr(library, kind)(module, layers, **options)
    try:
        yield cam
    finally:
        getattr(cam, "base_cam", cam).activations_and_grads.release()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", GRADIENT)
def test_gradient_methods_equal_the_library(name: str, count: int, bus: Path) -> None:
    evidence, classes, result = of_two_classes(name, count, bus)
    with built(GRADIENT[name], evidence) as cam:
        for index, heatmap in zip(classes, result.heatmaps, strict=True):
            expected = reference(cam, evidence, index)
            assert np.ptp(expected) > 0.9, "a degenerate reference proves nothing"
            np.testing.assert_allclose(heatmap.at_input, expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", EIGEN)
def test_eigen_methods_equal_the_library_up_to_sign(name: str, count: int, bus: Path) -> None:
    evidence, classes, result = of_two_classes(name, count, bus)
    size = evidence.tensor.shape[:1:-1]
    with built(EIGEN[name], evidence) as cam:
        for index, heatmap in zip(classes, result.heatmaps, strict=True):
            projections, original = [], type(cam).get_cam_image

            def keep(*arguments: Any, original: Any = original, projections: list = projections, cam: Any = cam) -> Any:
                projections.append(original(cam, *arguments))
                return projections[-1]

            cam.get_cam_image = keep
            reference(cam, evidence, index)
            assert len(projections) == count
            signed = [
                [library.utils.image.scale_cam_image(np.maximum(sign * p, 0), size)[:, None] for sign in (1, -1)]
                for p in projections
            ]
            candidates = [cam.aggregate_multi_layers(list(chosen))[0] for chosen in itertools.product(*signed)]
            assert min(abs(heatmap.at_input - candidate).max() for candidate in candidates) <= CLOSE
            assert max(abs(heatmap.at_input - item).max() for item in candidates) > 0.5, "both signs look the same"


def test_randomcam_equals_the_librarys_with_its_seed() -> None:
    evidence = small("relu")
    (heatmap,) = by_method(evidence, "RandomCAM", 3).heatmaps
    np.random.seed(0)
    with built("RandomCAM", evidence, copy.deepcopy(evidence.loaded.adapter.module).requires_grad_()) as cam:
        np.testing.assert_allclose(heatmap.at_input, reference(cam, evidence, 3), rtol=0, atol=CLOSE)


def test_smoothgradcam_plus_plus_equals_torch_cams() -> None:
    evidence, cams = small("relu"), pytest.importorskip("torchcam.methods")
    module = copy.deepcopy(evidence.loaded.adapter.module)
    cam = cams.SmoothGradCAMpp(module, "relu", std=0.3 * float(evidence.tensor.std()))
    module(evidence.tensor)
    for index, heatmap in zip((3, 1), by_method(evidence, "SmoothGradCAMpp", 3, 1).heatmaps, strict=True):
        torch.manual_seed(0)
        theirs = cam(index, normalized=False)[0][0]
        np.testing.assert_allclose(np.maximum(heatmap.raw[0], 0), theirs, rtol=1e-4, atol=1e-6)
        module(evidence.tensor)


@pytest.mark.parametrize("name", ["gradcam", "layercam", "scorecam", "guidedgradcam", "drise"])
def test_flips_average_the_map_with_the_mirrored_pictures(name: str) -> None:
    evidence = small("relu")
    mirrored = evidence_from(Small(), evidence.tensor.flip(-1), "relu", classes=5)
    one, other = (method(name).run(each, [Target(3, "")], Request(masks=8)).maps[0] for each in (evidence, mirrored))
    smoothed = by_method(evidence, name, 3).with_options(smooth="flips", masks=8)
    np.testing.assert_allclose(smoothed.heatmaps[0].raw[0], (one[0] + other[0].flip(-1)) / 2, rtol=1e-5, atol=1e-7)
    assert np.abs(smoothed.heatmaps[0].raw[0] - one[0].numpy()).max() > 1e-3 * float(one.abs().max())


class ClassOf:
    """A target as people write it for pytorch-grad-cam: of a picture's row."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, row: torch.Tensor) -> torch.Tensor:
        return row[self.category]


class Pixels(nn.Module):
    """Numbers of two classes for each pixel, as a tensor or by name."""

    def __init__(self, *, by_name: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.head = nn.Conv2d(4, 2, 1)
        self.by_name = by_name

    def forward(self, x: torch.Tensor) -> Any:
        small = self.head(self.features(x).relu())
        out = nn.functional.interpolate(small, x.shape[2:])
        return {"out": out, "aux": small} if self.by_name else out


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("category", [0, 1])
def test_a_librarys_target_of_pixels_is_of_its_class(category: int, by_name: bool) -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[8:30, 20:50] = 1
    tensor = torch.rand(3, 64, 64)
    net = Pixels(by_name=by_name).eval()
    explainer = Explainer(net, layers="features", labels=["a", "b"])
    theirs = library.utils.model_targets.SemanticSegmentationTarget(category, mask)
    result = explainer(tensor, targets=[theirs], method="gradcam", preprocessing="ready")
    activation = net.features(tensor[None]).detach().requires_grad_()
    logits = nn.functional.interpolate(net.head(activation.relu()), (64, 64))[0, category]
    (slope,) = torch.autograd.grad((logits * torch.from_numpy(mask)).sum(), activation)
    expected = (slope.mean((2, 3), keepdim=True) * activation).sum(1)[0].detach()
    np.testing.assert_allclose(result.heatmaps[0].raw[0], expected, rtol=1e-4, atol=1e-6)


def test_functions_and_classes_may_be_mixed() -> None:
    result = by_method(small("relu"), "gradcam", 3)
    mixed = result.with_targets(2, ClassifierOutputTarget(3), 1)
    assert [heatmap.target.label for heatmap in mixed.heatmaps][1] == "ClassifierOutputTarget 3"
    for heatmap, index in zip(mixed.heatmaps, (2, 3, 1), strict=True):
        expected = result.with_targets(index).heatmaps[0].raw[0]
        np.testing.assert_allclose(heatmap.raw[0], expected, rtol=1e-4, atol=1e-6)


def test_a_target_may_be_a_function_which_is_not_replayed() -> None:
    result = by_method(small("relu"), "gradcam", 3)
    of_function = result.with_targets(lambda outputs: outputs[0, 3])
    for name in ("gradcam", "smoothgradcam++", "saliency"):
        raws = [each.with_method(name).heatmaps[0].raw[0] for each in (of_function, result)]
        np.testing.assert_allclose(*raws, rtol=1e-4, atol=1e-6)
    for theirs in (ClassifierOutputTarget(3), ClassOf(3), lambda row: row[3]):
        raws = [each.heatmaps[0].raw[0] for each in (result.with_targets(theirs), result)]
        np.testing.assert_allclose(*raws, rtol=1e-4, atol=1e-6)
    assert result.with_targets(ClassOf(3)).heatmaps[0].target.label == "ClassOf 3"
    assert OF_FUNCTION in of_function.notes and OF_FUNCTION not in of_function.with_targets(3).notes
    with pytest.raises(ModelProblem, match="this one runs in parts that return no whole"):
        FunctionTarget(None, "a number", function=len).scalar(None)
    with pytest.raises(ModelProblem, match="ScoreCAM cannot explain a function"):
        of_function.with_method("scorecam")
    with pytest.raises(ModelProblem, match="recipe's target is a function in Python"):
        replay(of_function.recipe, np.zeros((12, 12, 3), np.uint8))
    assert "targets=function" in embedded_recipe.python_call(of_function.recipe)


REFUSED = {
    "fullgrad": "FullGrad explains classifiers only",
    "deeplift": "captum's DeepLift takes modules that run once",
    "shapleycam": "ShapleyCAM explains one layer at a time",
    "guidedbackprop": "demo-s has no ReLU that guided backprop could guide",
    "guidedgradcam": "demo-s has no ReLU that guided backprop could guide",
    "attention": "demo-s has no attention",
    "rollout": "demo-s has no attention",
    "queryattention": "demo-s has no boxes that are queries of a decoder",
}
"""Methods that do not take a detector, and part of the sentence."""
EMPTY = np.full((96, 160, 3), 90, np.uint8)
"""A picture without any object."""


@pytest.mark.parametrize("name", REFUSED)
def test_a_detector_is_refused_whatever_it_finds(name: str) -> None:
    explainer = Explainer("demo-s")
    sentences = set()
    for pixels in (load_bundled("scene 1").pixels, EMPTY):
        with pytest.raises(ModelProblem, match=REFUSED[name]) as caught:
            explainer(pixels, method=name, top_k=1)
        sentences.add(str(caught.value))
    assert len(sentences) == 1
    # Without maps nothing is refused.
    assert explainer(EMPTY, method=name, maps=False).heatmaps == ()


def test_a_head_is_refused_whatever_is_found() -> None:
    explainer = Explainer("demo-detr")
    for pixels in (load_bundled("scene 1").pixels, EMPTY):
        with pytest.raises(ModelProblem, match="There is no head 99: this attention has"):
            explainer(pixels, method="queryattention", head=99, top_k=1)
    assert explainer(EMPTY, method="queryattention", head=0).heatmaps == ()


def test_finercam_has_neighbours_to_compare() -> None:
    with pytest.raises(ModelProblem, match="demo-regress does not answer with several classes: use GradCAM"):
        Explainer("demo-regress")(EMPTY, method="finercam")


class Faulty:
    """A target that does what a function says."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.name = repr(object())
        self.negated = True

    def __call__(self, row: Any) -> Any:
        return self.function(row)


def fail(text: str) -> Callable[[Any], Any]:
    def raise_it(_: Any) -> Any:
        raise ValueError(text)

    return raise_it


NEEDED = (
    "it has to make a tensor of one number of what the model returns for a batch of one picture, or of its first row."
)
UNGRADED = (
    "returns a number without a gradient: it has to be computed from what the model returns, without detach, item, "
    "argmax or comparisons."
)
FAULTS: dict[str, tuple[Any, str]] = {
    "of several": (Faulty(lambda row: row), f"Faulty object returns 5 numbers for one picture: {NEEDED}"),
    "nothing": (lambda _: None, f"your function returns nothing: {NEEDED}"),
    "of Python": (lambda _: 3.0, f"your function returns an object of float, which is no tensor: {NEEDED}"),
    "another class": (
        ClassifierOutputTarget(9),
        "ClassifierOutputTarget 9 fails with IndexError, index 9 is out of bounds for dimension 0 with size 5: "
        f"{NEEDED}",
    ),
    "an address": (Faulty(fail(f"no {object()!r}")), f"Faulty object fails with ValueError, no object: {NEEDED}"),
    "a bound method": (
        Faulty(fail("no (of those here)")).__call__,
        f"Faulty object fails with ValueError, no: {NEEDED}",
    ),
    "part of a function": (
        partial(lambda least, row: row[least:], 2),
        f"your function returns 0 numbers for one picture: {NEEDED}",
    ),
    "a long text": (Faulty(fail("x " * 99)), f"Faulty object fails with ValueError: {NEEDED}"),
    "detached": (Faulty(lambda row: row[3].detach()), f"Faulty object {UNGRADED}"),
    "the largest place": (lambda outputs: outputs.argmax(), f"your function {UNGRADED}"),
}
"""Targets that make no number, and what is said of them."""


@pytest.mark.parametrize("case", FAULTS)
def test_a_wrong_target_is_one_plain_sentence(case: str) -> None:
    target, sentence = FAULTS[case]
    for name in ("gradcam", "saliency"):
        with pytest.raises(ModelProblem) as caught:
            by_method(small("relu"), "gradcam", 3).with_options(method=name, targets=target)
        assert str(caught.value) == f"The target {sentence}"


def test_what_is_no_target_is_named_by_its_class() -> None:
    result = by_method(small("relu"), "gradcam", 3)
    with pytest.raises(ModelProblem, match=r"^targets is object: give classes by index or label"):
        result.with_options(targets=object())
    with pytest.raises(ModelProblem, match=r"^A class is given by its index or its label, not by object\.$"):
        result.with_targets(object())


def test_other_options_are_read_as_those_of_a_call() -> None:
    result = by_method(small("relu"), "gradcam", 3)
    for given in (2, [2], np.int64(2), np.array([2])):
        (heatmap,) = result.with_options(targets=given).heatmaps
        assert heatmap.target.index == 2


RED = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
WEIGHTS = torch.tensor([[[1.0, -1.0], [2.0, 0.0]], [[1.0, 0.0], [2.0, -1.0]]])
"""The gradient of class 0: of the first and the second channel, which is twice the first."""


class Linear(nn.Module):
    """Red and green as they are, then one weight for each place: the gradient is the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 1, bias=False)
        self.head = nn.Linear(8, 2, bias=False)
        with torch.no_grad():
            self.features.weight.copy_(torch.eye(3)[:2].view(2, 3, 1, 1))
            self.head.weight.copy_(torch.stack([WEIGHTS.flatten(), -WEIGHTS.flatten()]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x).flatten(1))


def evidence_from(module: nn.Module, tensor: torch.Tensor, *paths: str, classes: int = 2) -> Evidence:
    size = tensor.shape[-2:]
    preprocessing = Preprocessing((size[0], size[1]), size[0], (0.0,) * 3, (1.0,) * 3)
    spec = ModelSpec("tiny", "tiny", "s", "none", "tiny", "classify", "none")
    loaded = LoadedModel(Classifier(spec, module, [f"class {i}" for i in range(classes)], preprocessing, "0" * 64), CPU)
    geometry = Geometry(tuple(size), tuple(size), (1.0, 1.0), (0.0, 0.0))
    return Evidence(loaded, ModelInput(tensor, geometry), layers_at(loaded, paths))


def by_hand(green: torch.Tensor) -> Evidence:
    return evidence_from(Linear(), torch.stack([RED, green, torch.zeros(2, 2)]).unsqueeze(0), "features")


HAND = {
    # Mean gradients 0.5 and 0.5: 0.5 red + 0.5 * 2 red.
    "gradcam": 1.5 * RED,
    # 1/(2 + S g) of each positive gradient, S = 10 and 20: 1/12 + 2/22 and 1/22 + 2/42.
    "gradcam++": (1 / 12 + 2 / 22 + 2 * (1 / 22 + 2 / 42)) * RED,
    "hirescam": torch.tensor([[1 + 2, -2 + 0], [6 + 12, 0 - 8]], dtype=torch.float32),
    # 5/10 and 6/20 of the sums: 0.5 red + 0.3 * 2 red.
    "xgradcam": 1.1 * RED,
    "layercam": torch.tensor([[1 + 2, 0], [6 + 12, 0]], dtype=torch.float32),
    # All places lie on the line (1, 2): their distance along it from the middle, 2.5.
    "eigencam": (RED - 2.5) * 5**0.5,
    "pathgradient": torch.tensor([[-1.5 - 3, 0.5 + 0], [1 + 2, 0 - 3]]),
}


def test_gradcam_plus_plus_has_its_librarys_constant() -> None:
    g = Gradient.from_values(torch.full((1, 1, 1), 1e-3))
    raw = METHODS["gradcam++"].compute(Activation(torch.ones(1, 1, 1)), g)
    assert float(raw) == pytest.approx(1e-6 / (2e-6 + 1e-9 + 1e-6) * 1e-3, rel=1e-5)


@pytest.mark.parametrize("name", HAND)
def test_numbers_worked_out_by_hand(name: str) -> None:
    (raw,) = METHODS[name].run(by_hand(2 * RED), [Target(0, "class 0")]).maps
    torch.testing.assert_close(raw[0], HAND[name], rtol=1e-5, atol=1e-5)


def test_path_gradient_of_a_box_from_one_of_two_scales() -> None:
    result = Explainer("demo-s")("scene-3.png", method="pathgradient", per="detection", top_k=1)
    fine, coarse = result.heatmaps[0].raw
    assert fine.any() and not coarse.any()


@pytest.mark.parametrize("name", [*GRADIENT, *EIGEN])
def test_window_of_a_gradient_gives_the_map_of_all_of_it(name: str) -> None:
    compute, part = METHODS[name].compute, Gradient(torch.linspace(-1, 2, 18).view(3, 2, 3), 1, 2, (6, 5))
    a = Activation(torch.arange(90.0).view(3, 6, 5).sin())
    torch.testing.assert_close(compute(a, part), compute(a, Gradient.from_values(part.dense())))


def test_a_map_by_hand_is_clipped_and_scaled_in_that_order() -> None:
    picture = Image(np.zeros((2, 2, 3), np.uint8))
    result = explain(picture, by_hand(2 * RED), Options(method="hirescam", targets=(0, 1)), milliseconds={})
    # [[3, -2], [18, -8]] without what is negative, by its maximum; the other class has the opposite sign.
    np.testing.assert_allclose(result.heatmaps[0].values, [[3 / 18, 0], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(result.heatmaps[1].values, [[0, 2 / 8], [0, 1]], atol=1e-6)
    np.testing.assert_array_equal(result.heatmaps[1].raw[0], [[-3, 2], [-18, 8]])


def test_method_spellings_and_suggestion() -> None:
    for entry in METHODS.values():
        assert method(entry.name) is method(entry.id) is entry
    assert method("Grad-CAM") is METHODS["gradcam"]
    with pytest.raises(ModelProblem, match="gradcan: did you mean GradCAM"):
        method("gradcan")
    with pytest.raises(ModelProblem, match=r"zzz: choose one of gradcam, "):
        method("zzz")


class Small(nn.Module):
    """Twenty channels, so that the last batch of masks is not full, and something curved after the first layer."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Conv2d(3, 12, 3, padding=1)
            self.curve = nn.SiLU()
            self.second = nn.Conv2d(12, 20, 3, padding=1)
            self.relu = nn.ReLU()
            self.head = nn.Linear(20, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.second(self.curve(self.first(x)))).mean((2, 3)))


def untouched(module: nn.Module) -> bool:
    """Return whether a method has left no hook and no gradient in the shared model."""
    return not hooks_on(module) and all(p.grad is None and not p.requires_grad for p in module.parameters())


def small(*paths: str, seed: int = 0) -> Evidence:
    tensor = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(seed))
    return evidence_from(Small(seed), tensor, *paths, classes=5)


def by_method(evidence: Evidence, name: str, *targets: int, **options: Any) -> Explanation:
    """As a person does it: some method first, then this one on the same Evidence."""
    picture = Image(np.zeros((*evidence.geometry.original, 3), np.uint8))
    first = explain(picture, evidence, Options(method="eigencam", targets=targets), milliseconds={})
    return first.with_method(name, **options)


@pytest.mark.parametrize("paths", [("relu",), ("first", "relu")], ids=len)
@pytest.mark.parametrize("name", ["gradcamelementwise", "finercam", "kpcacam", "fullgrad", "scorecam", "ablationcam"])
def test_library_methods_equal_the_library_on_a_small_model(name: str, paths: tuple[str, ...]) -> None:
    evidence = small(*paths)
    parts = list(evidence.loaded.adapter.module.modules())
    result = by_method(evidence, name, 3, 1)
    assert untouched(evidence.loaded.adapter.module) and evidence.tensor.grad is None
    assert all(a is b for a, b in zip(parts, evidence.loaded.adapter.module.modules(), strict=True))
    with built(BY_LIBRARY[name], evidence) as cam:
        for index, heatmap in zip((3, 1), result.heatmaps, strict=True):
            expected = reference(cam, evidence, index)
            assert np.ptp(expected) > 0.9
            np.testing.assert_allclose(heatmap.at_input, expected, rtol=0, atol=CLOSE)
            assert heatmap.method == name
            assert heatmap.layers == (("all",) if name == "fullgrad" else paths)


@pytest.mark.parametrize("path", ["relu", "second", "first"])
def test_shapleycam_equals_the_library(path: str) -> None:
    evidence = small(path)
    result = by_method(evidence, "shapleycam", 3, 1)
    assert untouched(evidence.loaded.adapter.module)
    # Behind `relu` all is linear: there the library needs weights that take a gradient.
    module = copy.deepcopy(evidence.loaded.adapter.module).requires_grad_()
    for index, heatmap in zip((3, 1), result.heatmaps, strict=True):
        with built("ShapleyCAM", evidence, module) as cam:
            np.testing.assert_allclose(heatmap.at_input, reference(cam, evidence, index), rtol=0, atol=CLOSE)


class ChannelsLast(nn.Module):
    """A network whose middle layer has the channels last, as Swin's."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 4)

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        values = self.norm(self.first(tensor).permute(0, 2, 3, 1))
        return self.head((values.sigmoid() * values).mean((1, 2)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapleycam_is_that_of_its_paper_in_any_layout(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    net, tensor = ChannelsLast().to(dtype).eval(), torch.rand(3, 16, 16, dtype=dtype)
    result = Explainer(net, layers="norm")(tensor, targets=2, method="shapleycam", preprocessing="ready")
    values = net.norm(net.first(tensor[None]).permute(0, 2, 3, 1)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(net.head((values.sigmoid() * values).mean((1, 2)))[0, 2], values, create_graph=True)
    (curved,) = torch.autograd.grad(slope, values, values.detach())
    weights = (slope - curved / 2).detach().mean((0, 1, 2))
    expected = (values.detach()[0] * weights).sum(-1)
    np.testing.assert_allclose(result.heatmaps[0].raw[0], expected, rtol=1e-4, atol=1e-7)


class Attending(nn.Module):
    """A network whose places attend to each other, which fused kernels compute without second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 4, stride=4)
        self.head = nn.Linear(6, 4)

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        tokens = self.first(tensor).flatten(2).transpose(1, 2)[:, None]  # (B, 1, places, 6)
        return self.head(nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)[:, 0].mean(1))


def test_shapleycam_differentiates_fused_attention_twice() -> None:
    torch.manual_seed(0)
    net, tensor = Attending().eval(), torch.rand(3, 32, 32)
    result = Explainer(net, layers="first")(tensor, targets=2, method="shapleycam", preprocessing="ready")
    values = net.first(tensor[None]).detach().requires_grad_()
    tokens = values.flatten(2).transpose(1, 2)
    weights = (tokens @ tokens.transpose(1, 2) / 6**0.5).softmax(-1)
    (slope,) = torch.autograd.grad(net.head((weights @ tokens).mean(1))[0, 2], values, create_graph=True)
    (curved,) = torch.autograd.grad(slope, values, values.detach())
    shapley = (slope - curved / 2).detach().mean((2, 3), keepdim=True)
    expected = (values.detach() * shapley).sum(1)[0]
    np.testing.assert_allclose(result.heatmaps[0].raw[0], expected, rtol=1e-3, atol=1e-6)


class Square(torch.autograd.Function):
    """A step that can be differentiated once."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(values)
        return values**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:
        return 2 * ctx.saved_tensors[0] * slope


class OwnReLU(nn.ReLU):
    """A ReLU of somebody's class."""


class Squared(nn.Module):
    """A network that can be differentiated once."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.act = OwnReLU()
        self.head = nn.Linear(6, 4)

    def forward(self, tensor: torch.Tensor) -> torch.Tensor:
        squares: torch.Tensor = Square.apply(self.act(self.first(tensor)))  # type: ignore[no-untyped-call]
        return self.head(squares.mean((2, 3)).sigmoid())


def test_second_derivatives_that_are_none_are_said() -> None:
    explainer = Explainer(Squared().eval(), layers="act")
    with pytest.raises(ModelProblem, match="a step of Squared behind act has none: use GradCAM"):
        explainer(torch.rand(3, 32, 32), targets=1, method="shapleycam", preprocessing="ready")
    # Its ReLU is of a class of its own.
    assert METHODS["guidedbackprop"] in list_methods(explainer.loaded)


def test_kpcacam_is_the_same_bit_for_bit(bus: Path) -> None:
    # A grid of 28 x 28: beyond 200 places scikit-learn takes another, randomly started, solver.
    first, second = (by_method(evidence_of.__wrapped__(("blocks.2",), bus), "kpcacam", 3) for _ in range(2))
    np.testing.assert_array_equal(first.heatmaps[0].raw[0], second.heatmaps[0].raw[0])


@pytest.mark.parametrize("name", ["scorecam", "ablationcam", "gradcamelementwise", "fullgrad"])
def test_progress_counts_passes(name: str) -> None:
    heard: list[tuple[float, str]] = []
    by_method(small("relu"), name, 0, 1, progress=lambda share, words: heard.append((share, words)))
    shares = [share for share, _ in heard]
    assert shares == sorted(shares) and 0 <= shares[0] < shares[-1] < 1
    assert all(re.fullmatch(rf"{METHODS[name].name}, step (\d+) of (\d+)", words) for _, words in heard)
    # Twenty channels in batches of 16; ablation also needs the score as it was.
    assert len(heard) == {"scorecam": 2 * 3, "ablationcam": 2 * 4}.get(name, 2)


def test_what_a_method_cannot_do_is_said() -> None:
    with pytest.raises(ModelProblem, match="ShapleyCAM explains one layer at a time"):
        by_method(small("first", "relu"), "shapleycam", 0)
    evidence = small("relu")
    evidence.loaded.adapter.module.unused = nn.Conv2d(3, 3, 1)
    assert by_method(evidence, "fullgrad", 0).heatmaps[0].state == "ok"
    evidence.loaded.adapter.spec = ModelSpec("d", "d", "s", "none", "d", "multilabel", "none")
    with pytest.raises(ModelProblem, match="classifiers only"):
        by_method(evidence, "fullgrad", 0)


@pytest.mark.parametrize("name", ["scorecam", "integratedgradients", "drise", "occlusion"])
def test_slow_method_stops_within_a_batch(name: str) -> None:
    evidence, cancel, heard = small("relu"), threading.Event(), list[str]()

    def stop_at_the_second(share: float, words: str) -> None:
        heard.append(words)
        if len(heard) == 2:
            cancel.set()

    with pytest.raises(Cancelled), stopped_by(cancel):
        by_method(evidence, name, 0, 1, progress=stop_at_the_second)
    assert len(heard) == 2, "a pass more than the one that was under way"
    assert untouched(evidence.loaded.adapter.module)
    assert {method for method, _ in evidence.raws} == {"eigencam"}


def test_ablationcam_on_ultralytics_detector() -> None:
    """Such a model reads off each layer where its input comes from, and of the swapped one too."""
    picture = draw(scene("scene 1")).pixels
    result = Explainer("demo-s")(picture, method="ablationcam", layers=("model.15",), per="detection", top_k=1)
    assert result.heatmaps[0].state == "ok"
    again = Explainer("demo-s")(picture, maps=False)
    assert [p.anchor for p in again.predictions] == [p.anchor for p in result.predictions]


@pytest.mark.parametrize("size", [(5, 5), (9, 9), (40, 30)])
@pytest.mark.parametrize("channels", [16, 96])
def test_the_first_component_is_the_whole_decomposition_s(channels: int, size: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(4)
    places = 50 * size[0] * size[1]
    # Strong at a few places and next to nothing elsewhere, as a gradient is; two components near each other.
    falling = 10 ** (-6 * torch.rand(size, generator=generator))
    x = torch.randn(channels, *size, generator=generator) * falling + 0.1
    x = x.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    padded = torch.cat((x.flatten(1).T, x.new_zeros(places - size[0] * size[1], channels))).double()
    centred = padded - padded.mean(0)
    scores = torch.linalg.svd(centred, full_matrices=False)[0][:, 0] * torch.linalg.norm(centred, 2)
    scores *= torch.sign(scores @ (padded.mean(1) - padded.mean()))
    inside, outside = projection(x, places)
    cells = torch.cat((inside.flatten(), outside.expand(places - size[0] * size[1])))
    np.testing.assert_allclose(cells, scores, rtol=0, atol=1e-5 * float(scores.abs().max()))
    again, _ = projection(x, places)
    assert torch.equal(inside, again)


def test_hirescam_that_a_norm_cancels_is_zero() -> None:
    values = torch.randn(64, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    (slope,) = torch.autograd.grad(((values - values.mean(0)) / values.std(0))[:32].sum(), values)
    assert not method("hirescam").compute(Activation(values.detach()), Gradient.from_values(slope)).any()
