"""FullGrad reads the biases of all convolutions and batch norms: they add up to a piecewise linear net's logit."""

from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.methods.full_gradients import FullGradients
from sightglass.models.checkpoints.weights import locate

CLOSE = 1e-4


class NormAndRelu(nn.BatchNorm2d):
    """A norm with its activation in it, as timm and EfficientNet-Lite have it."""

    def forward(self, tensor: Tensor) -> Tensor:
        return super().forward(tensor).relu()


class Functional(nn.Module):
    """A convolution and a norm without modules of their own, standardised weights."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4, 3, 3))
        self.shift = nn.Parameter(torch.randn(4))
        self.register_buffer("mean", torch.randn(4))
        self.register_buffer("var", torch.rand(4) + 0.5)

    def forward(self, tensor: Tensor) -> Tensor:
        flat = self.weight.reshape(1, 4, -1)
        weight = F.batch_norm(flat, None, None, training=True).reshape_as(self.weight)
        output = F.conv2d(tensor, weight, bias=self.shift, padding=1)
        return F.batch_norm(output, self.mean, self.var, eps=1e-3)


class Frozen(nn.Module):
    """A norm by arithmetic, as detectors freeze it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.randn(4))

    def forward(self, tensor: Tensor) -> Tensor:
        return tensor - self.running_mean[:, None, None]


class HiddenNorm(Frozen):
    """A norm by a step of its own, as libraries have them in C++."""

    def forward(self, tensor: Tensor) -> Tensor:
        return _Hidden.apply(tensor, self.running_mean)


class _Hidden(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, tensor: Tensor, mean: Tensor) -> Tensor:
        return tensor - mean[:, None, None]

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def make_net(middle: nn.Module, first: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3, bias=False))
    net = nn.Sequential(first or nn.Conv2d(3, 4, 3), middle, nn.ReLU(), *head).eval().requires_grad_(False)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.bias)
    return net


class Added(nn.Module):
    """A parameter that is added by arithmetic."""

    def __init__(self, *shape: int, in_place: bool = False) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(*shape))
        self.in_place = in_place

    def forward(self, tensor: Tensor) -> Tensor:
        if not self.in_place:
            return self.shift + tensor
        output = tensor * 2
        output -= self.shift
        return output


class Stepwise(nn.Module):
    """A step that a function makes with weights and a bias of its own."""

    def __init__(self, step: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.shift = nn.Parameter(torch.randn(4))
        self.step = step

    def forward(self, tensor: Tensor) -> Tensor:
        return self.step(tensor, self.weight, self.shift)


def on_flat_maps(tensor: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    return F.conv1d(tensor.flatten(2), weight[:, :, None], shift).unflatten(2, tensor.shape[2:])


def on_channels(tensor: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    return F.linear(tensor.permute(0, 2, 3, 1), weight, shift).permute(0, 3, 1, 2)


def by_products(tensor: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    return torch.einsum("oc,bchw->bohw", weight, tensor) + shift[:, None, None]


@torch.jit.script
def in_a_script(tensor: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    return torch.conv2d(tensor, weight[:, :, None, None], shift)


def gated(tensor: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    gates = F.linear(tensor.mean((2, 3)), weight, shift).sigmoid()
    return tensor * gates[:, :, None, None]


def swish(tensor: Tensor, _weight: Tensor, _shift: Tensor) -> Tensor:
    return tensor * F.relu6(tensor + 3) / 6


class Prepared(nn.Module):
    """A network that prepares pictures itself, by a buffer or by numbers."""

    def __init__(self, *, by_buffer: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6])[:, None, None])
        self.conv = nn.Conv2d(3, 4, 3)
        self.by_buffer = by_buffer

    def forward(self, tensor: Tensor) -> Tensor:
        return self.conv((tensor - self.mean) / 0.2 if self.by_buffer else 2 * tensor - 1)


MIDDLES: dict[str, Any] = {
    "none": nn.Identity,
    "norm": lambda: nn.BatchNorm2d(4),
    "norm with its activation": lambda: NormAndRelu(4),
    "synchronised norm": lambda: nn.SyncBatchNorm(4),
    "weight norm": lambda: weight_norm(nn.Conv2d(4, 4, 3)),
    "transposed convolution": lambda: nn.ConvTranspose2d(4, 4, 2, stride=2),
    "functions": Functional,
    "twice": lambda: nn.Sequential(*[NormAndRelu(4)] * 2),
    "frozen norm": Frozen,
    "added": lambda: Added(4, 1, 1),
    "added in place": lambda: Added(1, 4, 1, 1, in_place=True),
    "by products": lambda: Stepwise(by_products),
}


NETS_ALONE: dict[str, Callable[[], nn.Module]] = {
    name: lambda make=make: make_net(make()) for name, make in MIDDLES.items()
} | {
    f"prepared by {kind}": lambda kind=kind: make_net(nn.ReLU(), Prepared(by_buffer=kind == "a buffer"))
    for kind in ("a buffer", "numbers")
}
"""Piecewise linear networks, of which all is counted that they add."""


@pytest.mark.parametrize("name", NETS_ALONE)
def test_the_parts_add_up_to_the_logit(name: str) -> None:
    net = NETS_ALONE[name]()
    tensor = torch.randn(1, 3, 12, 12).requires_grad_()
    cam = SimpleNamespace(model=_Wrapped(net), bias_data=[])
    gradients = FullGradients(cam, "net")
    logit = gradients(tensor)[0, 1]
    logit.backward()
    parts = [(tensor * tensor.grad).sum()]
    parts += [
        (torch.from_numpy(bias)[None, :, None, None] * gradient).sum()
        for bias, gradient in zip(cam.bias_data, gradients.gradients, strict=True)
    ]
    assert sum(parts).item() == pytest.approx(logit.item(), abs=1e-5)
    gradients.check(1)
    assert abs(parts[0].item() - logit.item()) > 1e-3


class _Wrapped(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tensor: Tensor) -> Tensor:
        return self.model(tensor)


@pytest.mark.parametrize(
    ("middle", "words"),
    [
        (lambda: nn.GroupNorm(2, 4), "has group norms"),
        (lambda: nn.InstanceNorm2d(4), "has instance norms"),
        (lambda: nn.LayerNorm([4, 30, 30]), "has layer norms"),
        (lambda: nn.BatchNorm2d(4, track_running_stats=False), "depends on the picture"),
        (HiddenNorm, "cannot read the bias of"),
    ],
)
def test_a_net_without_known_biases_is_refused(middle: Any, words: str) -> None:
    explainer = Explainer(make_net(middle()), layers="0")
    with pytest.raises(ModelProblem, match=words):
        explainer(torch.rand(3, 32, 32), method="fullgrad", targets=1, preprocessing="ready")


OTHERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "on flat maps": (lambda: Stepwise(on_flat_maps), "adds others by conv1d: its parts sum to"),
    "on channels": (lambda: Stepwise(on_channels), "adds others by linear: its parts sum to"),
    "of places": (lambda: Added(1, 4, 30, 30), "adds others by add: its parts sum to"),
    "on channels, not piecewise linear": (
        lambda: nn.Sequential(Stepwise(on_channels), nn.SiLU()),
        "adds others by linear: its parts sum to",
    ),
    "in a script": (lambda: Stepwise(in_a_script), "A step of Sequential adds what FullGrad cannot read: its parts"),
    "a number": (lambda: Stepwise(lambda tensor, *_: tensor + 1), "adds what FullGrad cannot read: its parts"),
}
"""Steps with biases that are no part, and what is said."""


@pytest.mark.parametrize("case", OTHERS)
def test_a_net_with_other_biases_is_refused(case: str) -> None:
    make, words = OTHERS[case]
    torch.manual_seed(1)
    explainer = Explainer(make_net(make()), layers="0")
    with pytest.raises(ModelProblem, match=f"{words}.*; choose another method"):
        explainer(torch.rand(3, 32, 32), method="fullgrad", targets=1, preprocessing="ready")


@pytest.mark.parametrize("step", [gated, swish])
def test_steps_that_are_not_linear_have_no_bias(step: Callable[..., Tensor]) -> None:
    torch.manual_seed(1)
    net = make_net(Stepwise(step))
    untouched, tensor = deepcopy(net), torch.rand(3, 32, 32)
    result = Explainer(net, layers="0")(tensor, method="fullgrad", targets=1, preprocessing="ready")
    expected, biases = compute_by_definition(untouched, tensor[None], 1)
    assert biases == 1
    np.testing.assert_allclose(result.heatmaps[0].raw[0], expected, atol=CLOSE)


def compute_by_definition(net: nn.Module, tensor: Tensor, index: int) -> tuple[np.ndarray, int]:
    """Return FullGrad's map by plain autograd, scaled as pytorch-grad-cam does, and the number of its biases."""
    pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.image import scale_accross_batch_and_channels as scale

    parts: list[tuple[Tensor, Tensor]] = []
    norm, convolve = F.batch_norm, F.conv2d

    # Copies go on, as activations in place would change what is recorded.
    def record_norm(x: Tensor, mean: Tensor, var: Tensor, weight: Any, bias: Any, *rest: Any) -> Tensor:
        output = norm(x, mean, var, weight, bias, *rest)
        parts.append((bias - weight * mean / (var + rest[-1]).sqrt(), output))
        return output.clone()

    def record_convolution(x: Tensor, weight: Tensor, bias: Tensor | None = None, *rest: Any) -> Tensor:
        output = convolve(x, weight, bias, *rest)
        parts.extend([] if bias is None else [(bias, output)])
        return output.clone()

    tensor = tensor.clone().requires_grad_()
    with patch.object(F, "batch_norm", record_norm), patch.object(F, "conv2d", record_convolution):
        logit = net(tensor)[0, index]
    slope, *slopes = torch.autograd.grad(logit, [tensor, *(output for _, output in parts)], materialize_grads=True)
    maps = [slope * tensor]
    maps += [bias[None, :, None, None] * each for (bias, _), each in zip(parts, slopes, strict=True)]
    side = (tensor.shape[3], tensor.shape[2])
    total = sum(scale(each.detach().abs().numpy(), side)[0].sum(0) for each in maps)
    return (total - total.min()) / np.ptp(total), len(parts)


def _timm(name: str) -> nn.Module:
    return pytest.importorskip("timm").create_model(name, num_classes=3)


def _torchvision(name: str) -> nn.Module:
    return getattr(pytest.importorskip("torchvision").models, name)(num_classes=3)


NETS: dict[str, tuple[Callable[[str], nn.Module], int, int]] = {
    "densenet121": (_timm, 121, 64),
    "regnetx_002": (_timm, 44, 64),
    "efficientnet_b0": (_timm, 81, 224),
    "resnet18": (_torchvision, 20, 64),
    "mobilenet_v3_small": (_torchvision, 52, 128),
}
"""Who makes a network, its biases, and a side that is large enough to measure where its layers lie."""


@pytest.mark.parametrize("name", NETS)
def test_the_map_is_fullgrads_by_its_definition(name: str) -> None:
    make, count, side = NETS[name]
    torch.manual_seed(0)
    net = make(name).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.1)
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.bias, std=0.1)
    untouched, tensor = deepcopy(net), torch.rand(3, side, side)
    result = Explainer(net)(tensor, method="fullgrad", targets=1, preprocessing="ready")
    expected, biases = compute_by_definition(untouched, tensor[None], 1)
    assert biases == count
    np.testing.assert_allclose(result.heatmaps[0].raw[0], expected, atol=CLOSE)


def test_the_default_models_map_is_fullgrads_by_its_definition() -> None:
    explainer = Explainer("efficientnet-lite0")
    picture = np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8)
    result = explainer(picture, method="fullgrad", top_k=1)
    (heatmap,) = result.heatmaps
    # Timm's network knows none of our modules; the file has its tensors in their order.
    net = pytest.importorskip("timm").create_model("tf_efficientnet_lite0").eval()
    weights = torch.load(locate(explainer.model), weights_only=True)
    net.load_state_dict(dict(zip(net.state_dict(), weights.values(), strict=True)))
    assert heatmap.target.index is not None
    expected, biases = compute_by_definition(net, result.evidence.tensor, heatmap.target.index)
    assert biases == 49
    np.testing.assert_allclose(heatmap.raw[0], expected, atol=CLOSE)
