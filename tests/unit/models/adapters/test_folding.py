"""The quicker twin of a model: the same numbers, and never where somebody looks at what it skips."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook
from torchvision.ops import FrozenBatchNorm2d

from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.models.adapters.folding import _fused, conv_act, fold_copy
from sightglass.models.geometry import ModelInput
from tests.folding import unfold

ACTIVATIONS = (nn.Identity(), nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.GELU())


class Answering:
    """As much of an adapter as a twin needs."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module.eval().requires_grad_(False)

    def run(self, tensor: Tensor) -> Any:
        return self.module(tensor)


class Normed(nn.Module):
    """A convolution and its norm."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), norm
        self.act, self.pool, self.head = nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.pool(self.act(self.norm(self.conv(x)))).flatten(1))
        return answer


def lively(norm: Any) -> Any:
    """With numbers of its own, as after a training."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for tensor, low, high in (
            (norm.running_mean, -1, 1),
            (norm.running_var, 0.2, 2),
            (norm.weight, -2, 2),
            (norm.bias, -1, 1),
        ):
            tensor.uniform_(low, high, generator=generator)
    return norm


def picture(batch: int = 1, channels: int = 3, height: int = 20, width: int = 26) -> Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda act: type(act).__name__)
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "groups"), [(6, 3, 1, 1), (6, 5, 2, 6), (6, 1, 1, 1), (6, 3, 2, 2)]
)
def test_a_convolution_and_its_activation_in_one_step(act, channels, kernel, stride, groups):
    conv = nn.Conv2d(channels, 12, kernel, stride, kernel // 2, groups=groups).requires_grad_(False)
    for layout in (torch.contiguous_format, torch.channels_last):
        for batch, height, width in ((1, 20, 26), (3, 7, 7), (2, 1, 1)):
            pictures = picture(batch, channels, height, width).to(memory_format=layout)
            torch.testing.assert_close(conv_act(conv, act, pictures), act(conv(pictures)), rtol=1e-5, atol=1e-5)


@pytest.fixture
def default_type() -> Iterator[None]:
    """PyTorch's default type, put back afterwards."""
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


@pytest.mark.parametrize("ambient", ["device", "autocast", "type", "hook", "seed"])
def test_state_at_the_first_call_does_not_turn_fusing_off(ambient: str, default_type: None) -> None:
    _fused.cache_clear()
    before = torch.get_rng_state()
    with ExitStack() as stack:
        if ambient == "device":
            stack.enter_context(torch.device("meta"))
        if ambient == "autocast":
            stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        if ambient == "type":
            torch.set_default_dtype(torch.float64)
        if ambient == "hook":
            hook = register_module_forward_hook(lambda module, inputs, output: output + 1)
            stack.callback(hook.remove)
        assert _fused()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("watched", [0, 1])
def test_conv_act_hooks_and_changed_weights(watched: int) -> None:
    parts = conv, act = nn.Conv2d(3, 4, 3).requires_grad_(False), nn.SiLU()
    outputs: list[Tensor] = []
    handle = parts[watched].register_forward_hook(lambda _module, _given, out: outputs.append(out))
    conv_act(conv, act, picture())
    handle.remove()
    conv.weight.mul_(3)
    torch.testing.assert_close(conv_act(conv, act, picture()), act(conv(picture())))
    assert len(outputs) == 1


def test_folded_copy_keeps_other_modules() -> None:
    import timm

    torch.manual_seed(0)
    module = timm.create_model("regnetz_b16", pretrained=False)
    pictures = picture(1, 3, 64, 64)
    with torch.no_grad():
        module.train()(picture(4, 3, 64, 64))
    adapter: Any = Answering(module)
    folded = fold_copy(adapter, pictures)
    assert folded is not None and {"stem.conv", "stem.bn.drop"} <= folded.missing and "stem.bn" not in folded.missing
    outputs: dict[str, dict[str, Tensor]] = {"plain": {}, "twin": {}}
    for name, network in (("plain", module), ("twin", folded.module)):
        for path in {path for path, _ in module.named_modules() if path} - folded.missing:
            network.get_submodule(path).register_forward_hook(
                lambda _m, _g, out, path=path, name=name: outputs[name].update({path: out.clone()})
            )
        with torch.no_grad():
            network(pictures)
    assert outputs["plain"].keys() == outputs["twin"].keys() and len(outputs["plain"]) > 200
    for path, plain in outputs["plain"].items():
        assert float((outputs["twin"][path] - plain).abs().max()) <= 1e-4 * float(plain.abs().max()), path


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(8), FrozenBatchNorm2d(8)], ids=["trained", "frozen"])
def test_norm_folds_and_follows_weights(norm: nn.Module) -> None:
    adapter: Any = Answering(Normed(lively(norm)))
    folded = fold_copy(adapter, picture())
    assert folded is not None and folded.missing == {"conv"}
    torch.testing.assert_close(folded.module(picture(4)), adapter.module(picture(4)), rtol=1e-5, atol=1e-6)
    for weight in (adapter.module.conv.weight, adapter.module.norm.bias, adapter.module.norm.running_mean):
        weight.mul_(3)
        torch.testing.assert_close(folded.module(picture(2)), adapter.module(picture(2)), rtol=1e-5, atol=1e-5)


class First(Normed):
    """Two answers, the first of them from before the norm."""

    def forward(self, x: Tensor) -> Any:
        features = self.conv(x)
        return features.mean((2, 3)), self.head(self.pool(self.act(self.norm(features))).flatten(1))


def test_unfoldable_modules_are_left(caplog: pytest.LogCaptureFixture) -> None:
    first: Any = Answering(First(lively(nn.BatchNorm2d(8))))
    assert fold_copy(first, picture()) is None
    module = Normed(lively(nn.BatchNorm2d(8)))
    nn.utils.parametrizations.weight_norm(module.conv)
    parametrized: Any = Answering(module)
    assert fold_copy(parametrized, picture()) is None and not caplog.records


@pytest.mark.parametrize("name", ["blocks.4.0.bn2", "bn2", "blocks.4.0.conv_pw", "conv_head"])
def test_folded_copy_at_layers(name: str, bus: Path) -> None:
    explainer = Explainer("efficientnet-lite0", device="cpu")
    loaded = explainer.loaded
    assert (loaded.fastest_adapter(layers_at(loaded, (name,))) is not loaded.adapter) == ("bn2" in name)
    result = explainer(bus, layers=name, targets=("minibus", "goldfish"))
    evidence = result.evidence
    with unfold():
        plain = Evidence(loaded, ModelInput(evidence.tensor, evidence.geometry), evidence.layers)
    targets = [heatmap.target for heatmap in result.heatmaps]
    assert (evidence.activations[0] - plain.activations[0]).abs().max() <= 1e-5 * plain.activations[0].abs().max()
    for ours, theirs in zip(evidence.gradients(targets)[0], plain.gradients(targets)[0], strict=True):
        assert float((ours.dense() - theirs.dense()).abs().max()) <= 1e-4 * float(theirs.dense().abs().max())
