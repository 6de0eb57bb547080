"""Detections walked back in windows: the numbers of PyTorch's own way back, and of pytorch-grad-cam."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.weak import WeakTensorKeyDictionary

from sightglass.explain import Explainer
from sightglass.explain.backward import convolution, rules
from sightglass.explain.backward.convolution import Kernel, pointwise_gradient
from sightglass.explain.backward.gradient import Gradient
from sightglass.explain.backward.graph import Graph, Opaque, locate_gradient
from sightglass.explain.backward.rules import walk_back
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import find
from sightglass.models.adapter import Target
from tests.weights import picture, real

LAYERS = ("model.10", "model.12", "model.14", "model.16", "model.18")


def seeded(*seeds: torch.Tensor | None) -> list[Gradient | None]:
    """Each whole (1, C, h, w) as what a graph is asked with."""
    return [None if seed is None else Gradient.of(seed[0], 0, 0, tuple(seed.shape[2:])) for seed in seeds]  # type: ignore[arg-type]


def compare(y: torch.Tensor, x: torch.Tensor, seed: torch.Tensor) -> torch.Tensor:
    """The gradient walked back from y to x, which has to be PyTorch's own."""
    (expected,) = torch.autograd.grad(y, x, seed, retain_graph=True)
    with torch.no_grad():
        (found,) = walk_back(Graph([y], [x]), seeded(seed))
    torch.testing.assert_close(found.dense(), expected[0], rtol=1e-4, atol=1e-5)
    return found.dense()


class Neck(nn.Module):
    """What detectors' necks are made of: strides, dilation, depthwise, residuals, joins, splits, growing."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.down = nn.Conv2d(8, 12, 3, 2, 1)
            self.norm = nn.BatchNorm2d(12)
            self.norm.running_var = torch.rand(12) + 0.5
            self.deep = nn.Conv2d(12, 12, 3, padding=2, dilation=2)
            self.own = nn.Conv2d(12, 12, 5, padding=2, groups=12)
            self.join = nn.Conv2d(8 + 12 + 4, 10, 1)
            self.fine = nn.Conv2d(10, 6, 3, padding=1)
            self.rough = nn.Conv2d(6, 6, (1, 3), (2, 2), (0, 1))
        self.acts = [nn.SiLU(), nn.ReLU(), nn.LeakyReLU(0.1), nn.Hardswish(), nn.Sigmoid()]
        self.requires_grad_(False).eval()

    def forward(self, x: torch.Tensor, aside: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        silu, relu, leaky, swish, sigmoid = self.acts
        low = silu(self.norm(self.down(x)))
        low = low + leaky(self.deep(low))
        first, second = swish(self.own(low)).split(6, 1)
        grown = nn.functional.interpolate(torch.cat((second, first), 1), scale_factor=2)
        fine = relu(self.fine(self.join(torch.cat((x, grown, aside), 1))))
        return low, fine, sigmoid(self.rough(fine))


@pytest.mark.parametrize("size", [(32, 24), (64, 64), (4, 6)])
def test_windows_give_what_the_whole_map_gives(size: tuple[int, int]) -> None:
    made = torch.Generator().manual_seed(1)
    x, aside = (torch.randn(1, channels, *size, generator=made) for channels in (8, 4))
    x.requires_grad_()
    low, fine, rough = Neck()(x, aside)
    graph = Graph([fine, rough], [x, low])
    cells = [(0, 0), (size[0] - 1, 2), (size[0] // 2, size[1] // 2), (1, size[1] - 1)]
    seeds: list[list[torch.Tensor | None]] = []
    for n, (y, column) in enumerate(cells):
        at_fine, at_rough = torch.zeros_like(fine), torch.zeros_like(rough)
        at_fine[0, n, y, column] = 2.0
        at_rough[0, n, y // 2, column // 2] = -1.0
        seeds += [[at_fine, None], [None, at_rough], [at_fine, at_rough]]
    with torch.no_grad():
        found = [walk_back(graph, seeded(*given)) for given in seeds]
    for given, gradients in zip(seeds, found, strict=True):
        ends = [(end, seed) for end, seed in zip((fine, rough), given, strict=True) if seed is not None]
        expected = torch.autograd.grad([e for e, _ in ends], [x, low], [s for _, s in ends], retain_graph=True)
        for gradient, whole in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient.dense(), whole[0], rtol=1e-5, atol=1e-6)
    smallest = min(gradients[0].values[0].numel() for gradients in found)
    assert size == (4, 6) or smallest < 0.4 * size[0] * size[1], "no window is smaller than the map"


def test_an_operation_without_a_rule_is_left_to_torch() -> None:
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    y = x.softmax(1)
    with pytest.raises(Opaque, match="Softmax"):
        walk_back(Graph([y], [x]), seeded(torch.ones_like(y)))
    with pytest.raises(Opaque):
        locate_gradient(torch.zeros(1))


@pytest.mark.parametrize("channels", [slice(None), slice(24, 64)])
@pytest.mark.parametrize(
    ("size", "whole", "one_dnn"),
    [((1, 1), True, False), ((40, 30), True, True), ((40, 30), False, False), ((13, 60), True, True)],
)
def test_a_place_s_gradient_is_the_same_both_ways(
    size: tuple[int, int], whole: bool, one_dnn: bool, channels: slice, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = torch.Generator().manual_seed(3)
    weight = torch.randn(128, 64, 1, 1, generator=made).contiguous(memory_format=torch.channels_last)[:, channels]
    gradient = torch.randn(1, 200, *size, generator=made).contiguous(memory_format=torch.channels_last)[:, 30:158]
    expected = torch.einsum("bkhw,kc->bchw", gradient.double(), weight[:, :, 0, 0].double()).float()
    calls, original = [], torch.mkldnn_convolution
    assert convolution._one_dnn(), "no oneDNN: nothing to compare"
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda *given: calls.append(given) or original(*given))
    found = pointwise_gradient(gradient, weight, whole=whole)
    assert bool(calls) == one_dnn
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
    assert torch.equal(pointwise_gradient(gradient, weight, whole=whole), found)


@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("kernel", [(3, 3), (1, 3), (5, 2)])
@pytest.mark.parametrize("groups", [1, 12])
def test_a_kernel_goes_back_as_torch_does(
    size: tuple[int, int], stride: tuple[int, int], kernel: tuple[int, int], groups: int
) -> None:
    made = torch.Generator().manual_seed(4)
    weight = torch.randn(12, 10 if groups == 1 else 1, *kernel, generator=made)
    gradient = torch.randn(1, 24, *size, generator=made).contiguous(memory_format=torch.channels_last)[:, 3:15]
    back = Kernel.of(weight, stride, (1, 1), groups)
    if back is None:
        # A step over channels apart is PyTorch's, and what is very wide.
        assert groups > 1 and (stride != (1, 1) or kernel == (5, 2))
        return
    inputs = [(side - 1) * step + kernel[i] for i, (side, step) in enumerate(zip(size, stride, strict=True))]
    like = (1, weight.shape[1] * groups, *inputs)
    expected = torch.nn.grad.conv2d_input(like, weight.double(), gradient.double(), stride, groups=groups)
    torch.testing.assert_close(back.gradient(gradient).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_weights_are_laid_out_once_and_only_where_they_are_needed(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1, 8, 64, 64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    conv = nn.Conv2d(8, 8, 3, stride, padding=1).requires_grad_(False)

    def compared() -> None:
        y = conv(x.sigmoid())
        seed = torch.zeros_like(y)
        seed[0, 0, 10:15, 21] = 1.0
        compare(y, x, seed)

    # A large window of a convolution that steps is PyTorch's.
    laid_out = conv.weight.nbytes
    for large, expected in ((5 * 8 * 8 * 9, laid_out if stride == 1 else 0), (5 * 8 * 8 * 9 + 1, laid_out)):
        monkeypatch.setattr(rules, "LARGE", large)
        # A graph for each picture.
        compared()
        compared()
        assert convolution.nbytes(conv.parameters()) == expected
    conv.weight.mul_(2)
    compared()
    assert convolution.nbytes(conv.parameters()) == laid_out, "changed weights are kept as they were"


def test_one_weight_may_be_read_in_several_ways() -> None:
    torch.manual_seed(6)
    weight, x = torch.randn(4, 4, 3, 3), torch.randn(1, 4, 16, 16, requires_grad=True)
    y = torch.cat([nn.functional.conv2d(x.sigmoid(), weight, padding=by, dilation=by) for by in (1, 2)], 1)
    for where in (slice(None), slice(5, 6)):
        seed = torch.zeros_like(y)
        seed[:, :, where, where] = 1.0
        compare(y, x, seed)


def test_what_a_layer_returned_at_an_earlier_call_is_passed_by() -> None:
    torch.manual_seed(6)
    earlier, x = (torch.randn(1, 4, 6, 6, requires_grad=True) for _ in range(2))
    y = nn.functional.conv2d(torch.cat([earlier, x.sigmoid() + earlier], 1), torch.randn(3, 8, 1, 1))
    compare(y, x, torch.ones_like(y))


def test_what_read_padding_alone_leads_nowhere() -> None:
    x = torch.randn(1, 4, 5, 5, requires_grad=True)
    y = nn.functional.conv2d(x.sigmoid(), torch.ones(3, 4, 1, 1), padding=2)
    for cell, reaches in (((0, 0), False), ((4, 4), True)):
        seed = torch.zeros_like(y)
        seed[0, 1][cell] = 1.0
        assert bool(compare(y, x, seed).any()) == reaches


@cache
def together(name: str, layers: tuple[str, ...]) -> tuple[Any, list[Target]]:
    """Evidence of a picture with all its boxes' gradients, and their targets; the last is several of them at once."""
    explainer = Explainer(name)
    resident = explainer.resident
    given = resident.adapter.prepare(picture(name).pixels, "trained")
    evidence = Evidence(resident, given, find(resident, layers))
    predictions = resident.adapter.decode(evidence.outputs, given.geometry, top_k=0, confidence=0.02, iou=0.7)
    targets = [Target(p.index, p.label, (p.anchor,)) for p in predictions if p.anchor is not None]
    targets.append(replace(targets[0], anchors=tuple(target.anchors[0] for target in targets[-4:])))
    # The coarsest scale of YOLO26 goes through attention, which is left to torch.
    walked = [target for target in targets if evidence._cut_windows(target) is not None]
    assert len(walked) >= (1 if name == "yolo26n" else 4), "no rule for an operation"
    assert name == "yolo26n" or targets[-1] in walked
    return evidence, targets


@pytest.mark.parametrize("name", ["demo-s", real("yolo11n"), real("yolo11n-seg"), real("yolo26n")])
def test_every_box_has_the_gradient_it_has_alone(name: str) -> None:
    evidence, targets = together(name, LAYERS if name != "yolo26n" else LAYERS[1:])
    assert len(targets) >= 4
    for at, layer in enumerate(evidence.gradients(targets)):
        # A box of a finer scale does not hang on the layers of the coarser ones.
        assert sum(bool(gradient.values.any()) for gradient in layer) >= 2
        for target, gradient in zip(targets, layer, strict=True):
            alone = evidence._backward(target)[at].values
            torch.testing.assert_close(gradient.dense(), alone, rtol=1e-4, atol=float(alone.abs().max()) * 1e-5)


@pytest.mark.parametrize("method", ["gradcam", "gradcam++", "hirescam", "xgradcam", "layercam"])
@pytest.mark.parametrize("name", ["demo-s", real("yolo11n")])
def test_a_box_s_map_is_pytorch_grad_cam_s_for_the_same_anchor(name: str, method: str) -> None:
    import pytorch_grad_cam as library

    explainer = Explainer(name)
    made = explainer(picture(name), per="detection", method=method, layers=("model.16",), top_k=3)
    adapter, classes = explainer.resident.adapter, {
        "gradcam": "GradCAM", "gradcam++": "GradCAMPlusPlus", "hirescam": "HiResCAM", "xgradcam": "XGradCAM",
                "layercam": "LayerCAM",

    }  # fmt: skip

    class Logit(nn.Module):
        """One anchor's logit of each class, as the library wants a classifier's."""

        def __init__(self, anchor: int) -> None:
            super().__init__()
            self.inner, self.anchor = adapter.module, anchor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return adapter.run(x).logits[:, :, self.anchor]

    for heatmap in made.heatmaps:
        (anchor,) = heatmap.target.anchors
        layer = adapter.module.get_submodule("model.16")
        with getattr(library, classes[method])(Logit(anchor), [layer]) as cam:
            target = library.utils.model_targets.ClassifierOutputTarget(heatmap.target.index)
            expected = cam(made.evidence.tensor.clone().requires_grad_(), targets=[target])[0]
        left, top, right, bottom = heatmap.geometry.content
        inside = expected[top:bottom, left:right]
        # The library's own range includes the bars of the letterbox; this picture has none.
        assert inside.shape == expected.shape
        # GradCAM++ divides by sums that cross 0: the library's own map is 6e-5 off what double precision gives, and an
        # activation's last bit, which is another one where a step of the pass takes two at once, comes out large.
        np.testing.assert_allclose(heatmap.at_input, expected, atol=3e-3 if method == "gradcam++" else 1e-4)


def test_boxes_of_a_scale_that_the_layer_does_not_feed_have_no_evidence() -> None:
    made = Explainer("demo-s")(picture("demo-s"), per="detection", layers=("neck P4",), part="class")
    assert {heatmap.state for heatmap in made.heatmaps} == {"ok", "no evidence"}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_what_was_laid_out_goes_with_its_weights(
    stride: int, groups: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In channels-last order the weights of a strided convolution are laid out already: what is kept is their view."""
    weight = torch.rand(8, 8 // groups, 3, 3).to(memory_format=layout)
    monkeypatch.setattr(convolution, "_KERNELS", WeakTensorKeyDictionary())
    made = convolution.kernel(weight, slice(0, 8 // groups), (stride, stride), (1, 1), groups)
    assert convolution.kernel(weight, slice(0, 8 // groups), (stride, stride), (1, 1), groups) is made
    if made is not None:
        wanted = convolution.Kernel.of(weight.clone(), (stride, stride), (1, 1), groups)
        assert wanted is not None
        assert torch.equal(made.weight, wanted.weight)
    gone = weakref.ref(weight)
    del weight
    gc.collect()
    assert gone() is None
    assert len(convolution._KERNELS) == 0
