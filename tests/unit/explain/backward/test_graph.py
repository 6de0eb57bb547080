"""Detections walked back in windows: the numbers of PyTorch's own way back, and of pytorch-grad-cam."""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.explain import Explainer
from sightglass.explain.backward.gradient import Gradient
from sightglass.explain.backward.graph import Graph, Opaque, locate_gradient, walk_back
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.models.adapter import Target
from tests.unit.explain.methods.test_methods import GRADIENT, library
from tests.unit.own_nets import Answering
from tests.weights import picture, real

LAYERS = ("model.10", "model.12", "model.14", "model.16", "model.18")


def seeded(*seeds: torch.Tensor | None) -> list[Gradient | None]:
    """Each whole (1, C, h, w) as what a graph is asked with."""
    return [None if seed is None else Gradient.from_values(seed[0], 0, 0, tuple(seed.shape[2:])) for seed in seeds]  # type: ignore[arg-type]


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
    generator = torch.Generator().manual_seed(1)
    x, aside = (torch.randn(1, channels, *size, generator=generator) for channels in (8, 4))
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
        shares = [walk_back(graph, seeded(*given)) for given in seeds]
    for given, gradients in zip(seeds, shares, strict=True):
        ends = [(end, seed) for end, seed in zip((fine, rough), given, strict=True) if seed is not None]
        expected = torch.autograd.grad([e for e, _ in ends], [x, low], [s for _, s in ends], retain_graph=True)
        for gradient, whole in zip(gradients, expected, strict=True):
            torch.testing.assert_close(gradient.dense(), whole[0], rtol=1e-5, atol=1e-6)
    smallest = min(gradients[0].values[0].numel() for gradients in shares)
    assert size == (4, 6) or smallest < 0.4 * size[0] * size[1], "no window is smaller than the map"


def test_an_operation_without_a_rule_is_left_to_torch() -> None:
    x = torch.randn(1, 4, 8, 8, requires_grad=True)
    y = x.softmax(1)
    with pytest.raises(Opaque, match="Softmax"):
        walk_back(Graph([y], [x]), seeded(torch.ones_like(y)))
    with pytest.raises(Opaque):
        locate_gradient(torch.zeros(1))


def twice(x: torch.Tensor) -> torch.Tensor:
    """One weight, read in two ways."""
    weight = torch.ones(4, 4, 3, 3).tril()
    return torch.cat([nn.functional.conv2d(x.sigmoid(), weight, padding=by, dilation=by) for by in (1, 2)], 1)


def beside(x: torch.Tensor) -> torch.Tensor:
    """Together with what a layer returned at an earlier call, which takes a gradient too."""
    earlier = torch.randn(1, 4, 6, 6, requires_grad=True)
    return nn.functional.conv2d(torch.cat([earlier, x.sigmoid() + earlier], 1), torch.randn(3, 8, 1, 1))


def padded(x: torch.Tensor) -> torch.Tensor:
    """Cells at the edge read padding alone."""
    return nn.functional.conv2d(x.sigmoid(), torch.ones(3, 4, 1, 1), padding=2)


@pytest.mark.parametrize("path", [twice, beside, padded])
@pytest.mark.parametrize("cell", [slice(None), 0, 3])
def test_walking_back_gives_pytorchs_own_gradient(path: Any, cell: slice | int) -> None:
    torch.manual_seed(6)
    x = torch.randn(1, 4, 6, 6, requires_grad=True)
    y = path(x)
    seed = torch.zeros_like(y)
    seed[:, 1, cell, cell] = 1.0
    (expected,) = torch.autograd.grad(y, x, seed, retain_graph=True)
    with torch.no_grad():
        (gradient,) = walk_back(Graph([y], [x]), seeded(seed))
    torch.testing.assert_close(gradient.dense(), expected[0], rtol=1e-4, atol=1e-5)
    assert bool(expected.any()) == (path is not padded or cell != 0)


@cache
def together(name: str, layers: tuple[str, ...]) -> tuple[Any, list[Target]]:
    """Evidence of a picture with all its boxes' gradients, and their targets; the last is several of them at once."""
    loaded = Explainer(name).loaded
    model_input = loaded.adapter.prepare(picture(name).pixels, "trained")
    evidence = Evidence(loaded, model_input, layers_at(loaded, layers))
    predictions = loaded.adapter.decode(evidence.outputs, model_input.geometry, top_k=0, confidence=0.02, iou=0.7)
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


@pytest.mark.parametrize("method", GRADIENT)
@pytest.mark.parametrize("name", ["demo-s", real("yolo11n")])
def test_box_map_equals_pytorch_grad_cam(name: str, method: str) -> None:
    explainer = Explainer(name)
    result = explainer(picture(name), per="detection", method=method, layers=("model.16",), top_k=3)
    adapter = explainer.loaded.adapter

    for heatmap in result.heatmaps:
        (anchor,) = heatmap.target.anchors
        layer = adapter.module.get_submodule("model.16")
        logits = Answering(adapter.module, lambda _, x, anchor=anchor: adapter.run(x).logits[:, :, anchor])
        with getattr(library, GRADIENT[method])(logits, [layer]) as cam:
            target = library.utils.model_targets.ClassifierOutputTarget(heatmap.target.index)
            expected = cam(result.evidence.tensor.clone().requires_grad_(), targets=[target])[0]
        left, top, right, bottom = heatmap.geometry.content
        inside = expected[top:bottom, left:right]
        # The library's own range includes the bars of the letterbox; this picture has none.
        assert inside.shape == expected.shape
        # GradCAM++ divides by sums that cross 0: the library's own map is 6e-5 off what double precision gives, and an
        # activation's last bit, which is another one where a step of the pass takes two at once, comes out large.
        np.testing.assert_allclose(heatmap.at_input, expected, atol=3e-3 if method == "gradcam++" else 1e-4)


def test_boxes_of_other_scales_have_no_evidence() -> None:
    result = Explainer("demo-s")(picture("demo-s"), per="detection", layers=("neck P4",), part="class")
    assert {heatmap.state for heatmap in result.heatmaps} == {"ok", "no evidence"}
