"""FullGrad reads the biases of all convolutions and batch norms: they add up to a piecewise linear net's logit."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.methods.full_gradients import FullGradients


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


def make_net(middle: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3, bias=False))
    net = nn.Sequential(nn.Conv2d(3, 4, 3), middle, nn.ReLU(), *head).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            nn.init.normal_(module.bias)
    return net


MIDDLES: dict[str, Any] = {
    "none": nn.Identity,
    "norm": lambda: nn.BatchNorm2d(4),
    "norm with its activation": lambda: NormAndRelu(4),
    "synchronised norm": lambda: nn.SyncBatchNorm(4),
    "weight norm": lambda: weight_norm(nn.Conv2d(4, 4, 3)),
    "functions": Functional,
    "twice": lambda: nn.Sequential(*[NormAndRelu(4)] * 2),
}


@pytest.mark.parametrize("name", MIDDLES)
def test_the_parts_add_up_to_the_logit(name: str) -> None:
    net = make_net(MIDDLES[name]())
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
        (Frozen, "cannot read the bias of"),
    ],
)
def test_a_net_without_known_biases_is_refused(middle: Any, words: str) -> None:
    explainer = Explainer(make_net(middle()), layers="0")
    with pytest.raises(ModelProblem, match=words):
        explainer(torch.rand(3, 32, 32), method="fullgrad", targets=1, preprocessing="ready")
