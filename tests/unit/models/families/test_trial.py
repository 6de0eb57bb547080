"""What a network takes and what its numbers are is tried on photographs; the expected values are its own forward's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from tests.unit import own_nets


class Changed(own_nets.BlocksCNN):
    """A network with functions before and after it."""

    def __init__(self, before: Callable[[Any], Any], after: Callable[[Any], Any] = lambda x: x, count: int = 4) -> None:
        super().__init__(count)
        self.before, self.after = before, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(4 * super().forward(self.before(x)))


def to_range(x: torch.Tensor) -> torch.Tensor:
    return (x - x.amin()) / (x.amax() - x.amin())


def to_unit(x: torch.Tensor) -> torch.Tensor:
    return (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True)


def softmax(x: torch.Tensor) -> torch.Tensor:
    return x.softmax(1)


def small(net: own_nets.BlocksCNN) -> nn.Module:
    """Keep the logits of a network in 0..1."""
    nn.init.normal_(net.fc.weight, std=1e-4)
    nn.init.constant_(net.fc.bias, 0.5)
    return net


ANSWERS: dict[str, tuple[Callable[[], nn.Module], dict[str, Any], str, Callable[..., Any]]] = {
    "range, softmax": (lambda: Changed(to_range, softmax), {}, "classify", lambda x: x),
    "unit, softmax": (lambda: Changed(to_unit, softmax), {"task": "classify"}, "classify", lambda x: x),
    "range, logits": (lambda: Changed(to_range), {}, "classify", softmax),
    "small logits": (lambda: small(own_nets.BlocksCNN(4)), {}, "classify", softmax),
    "rounded softmax": (lambda: Changed(to_unit, lambda x: x.softmax(1).half().float()), {}, "classify", lambda x: x),
    "sigmoids": (lambda: Changed(to_range, torch.sigmoid), {}, "multilabel", lambda x: x),
    "sigmoids of classes": (lambda: Changed(to_unit, torch.sigmoid), {"task": "classify"}, "multilabel", lambda x: x),
    "softmax of labels": (lambda: Changed(to_unit, softmax), {"task": "multilabel"}, "multilabel", lambda x: x),
    "softmax module of labels": (
        lambda: nn.Sequential(Changed(to_unit), nn.Softmax(1)),
        {"task": "multilabel"},
        "multilabel",
        lambda x: x,
    ),
    "one sigmoid": (lambda: Changed(to_range, torch.sigmoid, 1), {}, "classify", lambda x: torch.cat((1 - x, x), 1)),
    "softmax of the batch": (lambda: nn.Sequential(Changed(to_unit), nn.Softmax(0)), {}, "multilabel", lambda x: x),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_scores_are_the_modules_own(kind: str, bus: Path) -> None:
    torch.manual_seed(3)
    make, options, task, scores = ANSWERS[kind]
    net = make().eval()
    result = Explainer(net, preprocess={"size": 64}, **options)(bus, top_k=4, maps=False)
    assert result.model.task == task
    with torch.no_grad():
        expected = scores(net(result.evidence.tensor))[0]
    assert {p.index: p.score for p in result.predictions} == pytest.approx(dict(enumerate(expected.tolist())), abs=1e-4)


class HeadFirst(nn.Module):
    """Layers in another order than they run in."""

    def __init__(self, first: nn.Module, *rest: nn.Module) -> None:
        super().__init__()
        self.first, self.rest = first, nn.Sequential(*rest)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.first(self.rest(x))


class Patches(nn.Module):
    """A transformer with linear patches, and learnt positions if `side` is fixed."""

    def __init__(self, patch: int, side: int = 0) -> None:
        super().__init__()
        self.patch, self.rows = patch, nn.Linear(3 * patch**2, 16)
        self.positions = nn.Parameter(torch.randn(1, (side // patch) ** 2, 16)) if side else 0
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = F.unfold(x, self.patch, stride=self.patch).transpose(1, 2)
        return self.head(self.encoder(self.rows(rows) + self.positions).mean(1))


class UNet(nn.Module):
    """Halves a picture and doubles it again, and returns a map of each of `count` classes."""

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            *[own_nets.block(16 if i else 3, 16) for i in range(5)], nn.Upsample(scale_factor=32)
        )
        self.last = nn.Conv2d(19, count, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.cat([self.inner(x), x], 1))


def stated(net: nn.Module, **attributes: Any) -> nn.Module:
    for name, value in attributes.items():
        setattr(net, name, value)
    return net


def convolutions(channels: int, *rest: nn.Module) -> nn.Sequential:
    return nn.Sequential(*rest, nn.Conv2d(channels, 16, 3, 4), nn.ReLU(), nn.Conv2d(16, 32, 3, 4), nn.ReLU())


POOL = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
INPUTS: dict[str, tuple[Callable[[], nn.Module], int, tuple[int, int], str]] = {
    "head first": (lambda: HeadFirst(nn.Linear(32, 5), convolutions(3), *POOL), 3, (224, 224), "it takes 224 x 224"),
    "1 x 1 first": (lambda: HeadFirst(nn.Conv2d(32, 5, 1), convolutions(3), POOL[0]), 3, (224, 224), "it takes"),
    "grey, head first": (lambda: HeadFirst(nn.Linear(32, 5), convolutions(1), *POOL), 1, (224, 224), "it takes"),
    "grey, unshuffled": (lambda: convolutions(4, nn.PixelUnshuffle(2)).extend([*POOL, nn.Linear(32, 5)]), 1, (224,) * 2, ""),
    "linear patches": (lambda: Patches(16), 3, (224, 224), "it takes 224 x 224"),
    "positions": (lambda: Patches(8, 96), 3, (96, 96), "it takes 96 x 96"),
    "numbers of an odd size": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 20, 5)), 3, (20, 20), "it takes 20"),
    "grey numbers": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 5)), 1, (28, 28), "it takes 28 x 28"),
    "flattened": (lambda: nn.Sequential(convolutions(3), nn.Flatten(), nn.Linear(32 * 64, 5)), 3, (128, 128), "128"),
    "stated": (lambda: stated(HeadFirst(nn.Linear(32, 5), convolutions(3), *POOL), img_size=(96, 160)), 3, (96, 160), "its img_size"),
    "configured": (lambda: stated(own_nets.BlocksCNN(), default_cfg={"input_size": (3, 192, 192)}), 3, (192, 192), "its default_cfg"),
    "full resolution": (UNet, 3, (224, 224), "it takes 224 x 224"),
}  # fmt: skip


@pytest.mark.parametrize("kind", INPUTS)
def test_input_is_found_by_running(kind: str) -> None:
    torch.manual_seed(0)
    make, channels, size, why = INPUTS[kind]
    adapter = Explainer(make(), device="cpu").resident.adapter
    assert (adapter.preprocessing.channels, adapter.preprocessing.size) == (channels, size)  # type: ignore[attr-defined]
    assert f"inferred ({why}" in " ".join(adapter.notes).replace("(it takes 128 x ", "(")


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (nn.Sequential(nn.Conv3d(3, 4, 3), nn.Flatten()), "begins with a Conv3d, which takes volumes or clips"),
        (nn.Sequential(nn.Conv3d(1, 4, 3), nn.Flatten()), "begins with a Conv3d"),
        (nn.Sequential(nn.Conv1d(1, 4, 3), nn.Flatten()), "a Conv1d, which takes sequences, such as sound"),
        (nn.Sequential(nn.Embedding(9, 4), nn.Flatten()), "an? Embedding, which takes numbers of words"),
        (nn.Sequential(own_nets.BlocksCNN(), nn.Linear(9, 2)), r"do not fit each other \(.*1x10 and 9x2"),
        (Changed(lambda x: x.nothing), r"cannot run on a picture .* has no attribute 'nothing'\)"),
    ],
)
def test_network_without_picture_is_one_sentence(net: nn.Module, sentence: str) -> None:
    with pytest.raises(ModelProblem, match=sentence):
        Explainer(net)


def test_answers_that_differ_from_pass_to_pass_are_said() -> None:
    net = Changed(F.dropout)
    assert any("differs from pass to pass" in note for note in Explainer(net).resident.adapter.notes)
