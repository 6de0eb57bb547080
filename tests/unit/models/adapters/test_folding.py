"""The quicker twin of a model: the same numbers, and never where somebody looks at what it skips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.models.adapters.folding import conv_act, fold_copy

if TYPE_CHECKING:
    from pathlib import Path

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
        for held, low, high in (
            (norm.running_mean, -1, 1),
            (norm.running_var, 0.2, 2),
            (norm.weight, -2, 2),
            (norm.bias, -1, 1),
        ):
            held.uniform_(low, high, generator=generator)
    return norm


def picture(batch: int = 1, channels: int = 3, height: int = 20, width: int = 26) -> Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("act", ACTIVATIONS, ids=lambda act: type(act).__name__)
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "groups"), [(6, 3, 1, 1), (6, 5, 2, 6), (6, 1, 1, 1), (6, 3, 2, 2)]
)
def test_a_convolution_and_its_activation_in_one_step(
    act: nn.Module, channels: int, kernel: int, stride: int, groups: int
) -> None:
    conv = nn.Conv2d(channels, 12, kernel, stride, kernel // 2, groups=groups).requires_grad_(False)
    for layout in (torch.contiguous_format, torch.channels_last):
        for batch, height, width in ((1, 20, 26), (3, 7, 7), (2, 1, 1)):
            given = picture(batch, channels, height, width).to(memory_format=layout)
            torch.testing.assert_close(conv_act(conv, act, given), act(conv(given)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("watched", ["conv", "act"])
def test_who_looks_at_a_part_is_not_passed_by(watched: str) -> None:
    parts: dict[str, nn.Module] = {"conv": nn.Conv2d(3, 4, 3).requires_grad_(False), "act": nn.SiLU()}
    seen: list[Tensor] = []
    handle = parts[watched].register_forward_hook(lambda _module, _given, out: seen.append(out))
    conv_act(parts["conv"], parts["act"], picture())  # type: ignore[arg-type]
    assert len(seen) == 1
    handle.remove()
    conv_act(parts["conv"], parts["act"], picture())  # type: ignore[arg-type]
    assert len(seen) == 1


def test_weights_that_change_are_laid_out_again() -> None:
    conv, act = nn.Conv2d(3, 4, 3).requires_grad_(False), nn.ReLU()
    conv_act(conv, act, picture())
    conv.weight.mul_(3)
    torch.testing.assert_close(conv_act(conv, act, picture()), act(conv(picture())))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(8), FrozenBatchNorm2d(8)], ids=["trained", "frozen"])
def test_a_norm_folds_into_the_convolution_before_it(norm: nn.Module) -> None:
    adapter: Any = Answering(Normed(lively(norm)))
    made = fold_copy(adapter, picture())
    assert made is not None and made.missing == {"conv"}
    given = picture(4)
    torch.testing.assert_close(made.module(given), adapter.module(given), rtol=1e-5, atol=1e-6)


def test_whatever_the_twin_does_not_say_is_missing_is_as_it_was() -> None:
    import timm

    torch.manual_seed(0)
    module = timm.create_model("regnetz_b16", pretrained=False)
    given = picture(1, 3, 64, 64)
    with torch.no_grad():
        module.train()(picture(4, 3, 64, 64))
    adapter: Any = Answering(module)
    made = fold_copy(adapter, given)
    assert made is not None and {"stem.conv", "stem.bn.drop"} <= made.missing and "stem.bn" not in made.missing
    seen: dict[str, dict[str, Tensor]] = {"plain": {}, "twin": {}}
    for name, one in (("plain", module), ("twin", made.module)):
        paths = {path for path, _ in module.named_modules() if path} - made.missing
        for path in paths:
            one.get_submodule(path).register_forward_hook(
                lambda _m, _g, out, path=path, name=name: seen[name].update({path: out.clone()})
            )
        with torch.no_grad():
            one(given)
    assert seen["plain"].keys() == seen["twin"].keys() and len(seen["plain"]) > 200
    for path, plain in seen["plain"].items():
        off = float((seen["twin"][path] - plain).abs().max())
        assert off <= 1e-4 * float(plain.abs().max()), path


def test_a_twin_follows_its_models_weights() -> None:
    adapter: Any = Answering(Normed(lively(nn.BatchNorm2d(8))))
    made = fold_copy(adapter, picture())
    assert made is not None
    for held in (adapter.module.conv.weight, adapter.module.norm.bias, adapter.module.norm.running_mean):
        held.mul_(3)
        torch.testing.assert_close(made.module(picture(2)), adapter.module(picture(2)), rtol=1e-5, atol=1e-5)


class First(Normed):
    """Two answers, the first of them from before the norm."""

    def forward(self, x: Tensor) -> Any:
        made = self.conv(x)
        return made.mean((2, 3)), self.head(self.pool(self.act(self.norm(made))).flatten(1))


def test_every_answer_is_checked_and_what_cannot_be_folded_is_left(caplog: pytest.LogCaptureFixture) -> None:
    first: Any = Answering(First(lively(nn.BatchNorm2d(8))))
    assert fold_copy(first, picture()) is None
    module = Normed(lively(nn.BatchNorm2d(8)))
    nn.utils.parametrizations.weight_norm(module.conv)
    parametrized: Any = Answering(module)
    assert fold_copy(parametrized, picture()) is None
    assert not caplog.records


def test_the_engine_explains_with_the_folded_copy_and_gets_the_same(bus: Path) -> None:
    explainer = Explainer("efficientnet-lite0", device="cpu")
    resident = explainer.resident
    names = ("blocks.2", "blocks.4.0.bn2", "bn2")
    layers = layers_at(resident, names)
    assert resident.fastest_adapter(layers) is not resident.adapter
    quick = explainer(bus, layers=names, targets=("minibus", "goldfish"))
    plain = resident.with_adapter(resident.adapter)
    plain.__dict__["folded"] = None
    slow = Evidence(plain, resident.adapter.prepare(quick.image.pixels, "trained"), layers)
    targets = [heatmap.target for heatmap in quick.heatmaps]
    for ours, theirs in zip(quick.evidence.activations, slow.activations, strict=True):
        assert float((ours - theirs).abs().max()) <= 1e-5 * float(theirs.abs().max())
    for ours, theirs in zip(quick.evidence.gradients(targets), slow.gradients(targets), strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert float((one.dense() - other.dense()).abs().max()) <= 1e-4 * float(other.dense().abs().max())


@pytest.mark.parametrize("name", ["blocks.4.0.conv_pw", "conv_head"])
def test_a_convolution_before_its_norm_is_explained_as_it_is(name: str, bus: Path) -> None:
    explainer = Explainer("efficientnet-lite0", device="cpu")
    resident = explainer.resident
    layers = layers_at(resident, (name,))
    assert resident.fastest_adapter(layers) is resident.adapter
    made = explainer(bus, layers=name)
    seen: list[Tensor] = []
    handle = resident.adapter.module.get_submodule(name).register_forward_hook(lambda _m, _g, out: seen.append(out))
    with torch.no_grad():
        resident.adapter.run(made.evidence.tensor)
    handle.remove()
    torch.testing.assert_close(made.evidence.activations[0], seen[0])
