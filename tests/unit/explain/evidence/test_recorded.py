"""Recorded passes: what is recorded, repeated, refused and dropped. A function run again stands in for a CUDA graph."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sightglass.explain.evidence import evidence as passes
from sightglass.explain.evidence import recorded
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.models.adapter import FunctionTarget, Target, tensors_of
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec

LABELS = ("tench", "goldfish", "shark")
TARGETS = tuple(Target(index, label) for index, label in enumerate(LABELS))
INPUTS = torch.rand((5, 3, 32, 32), generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A mean, or its square, of a convolution's places, and a linear layer."""

    def __init__(self, power: int = 1) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.stem, self.head, self.power = nn.Conv2d(3, 4, 3, stride=4), nn.Linear(4, 3), power

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.adaptive_avg_pool2d(self.stem(x) ** self.power, 1).flatten(1))


class Repeated(recorded.Recorded[Any]):
    """Runs the function again, and writes what it returns into the tensors of the first run."""

    def __init__(self, call: Any, stream: Any, pool: Any = None, sources: Any = ()) -> None:
        self.call, self.result, self.nbytes, self.sources = call, call(), 1000, sources

    pool = None

    def replay(self) -> None:
        for old, new in zip(*map(tensors_of, (self.result, self.call())), strict=True):
            old.data.copy_(new.data)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "Recorded", Repeated)
    monkeypatch.setattr(recorded, "new_stream", lambda device: None)
    monkeypatch.setattr(recorded, "records", lambda device: True)


def load(module: nn.Module) -> LoadedModel:
    prep = Preprocessing((32, 32), 32, (0.0,) * 3, (1.0,) * 3)
    spec = ModelSpec("net", "net", "s", "none", "net", "classify", "none")
    return LoadedModel(Classifier(spec, module, LABELS, prep, "0" * 64), torch.device("cpu"))


def explained(loaded: LoadedModel, tensor: torch.Tensor) -> Evidence:
    geometry = Geometry((32, 32), (32, 32), (1.0, 1.0), (0.0, 0.0))
    return Evidence(loaded, ModelInput(tensor, geometry), layers_at(loaded, ("stem",)))


def by_autograd(module: nn.Module, tensor: torch.Tensor, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = module.stem(tensor).detach().requires_grad_()
    rest = F.adaptive_avg_pool2d(leaf**module.power, 1).flatten(1)
    return leaf.detach()[0], torch.autograd.grad(module.head(rest)[0, index], leaf)[0][0]


@pytest.mark.parametrize("power", [1, 2])
def test_pass_is_recorded_the_second_time(graphs: None, power: int) -> None:
    loaded = load(module := Net(power).eval())
    evidences = [explained(loaded, INPUTS[i : i + 1]) for i in range(4)]
    recordings = [evidence._recording for evidence in evidences]
    assert [recording is not None for recording in recordings] == [False, False, True, True]
    assert recordings[2] is recordings[3] is not None
    # Measured, and not read from the names of modules.
    assert recordings[3].averages is (power == 1)
    # An earlier picture's gradients come from a pass of its own, whatever was replayed since.
    for place in (3, 2, 0):
        for index, gradient in enumerate(evidences[place].gradients(TARGETS)[0]):
            activation, slope = by_autograd(module, INPUTS[place : place + 1], index)
            torch.testing.assert_close(evidences[place].activations[0][0], activation)
            torch.testing.assert_close(gradient.dense(), slope)
    contrast = replace(TARGETS[1], part="contrast")
    pair = [explained(load(module), INPUTS[2:3]), evidences[2]]
    eager, replayed = (evidence.gradients([contrast])[0][0].dense() for evidence in pair)
    torch.testing.assert_close(replayed, eager)


def test_function_is_explained_by_a_pass_with_a_graph(graphs: None) -> None:
    loaded = load(Net().eval())
    evidence = [explained(loaded, INPUTS[i : i + 1]) for i in range(3)][-1]
    total = evidence.gradients([FunctionTarget(None, "sum", function=lambda outputs: outputs.sum())])[0][0].values
    classes = [gradient.values for gradient in evidence.gradients(TARGETS)[0]]
    torch.testing.assert_close(total, torch.stack(classes).sum(0))


def test_batch_is_recorded_as_one(graphs: None) -> None:
    loaded = load(module := Net(2).eval())
    geometry = Geometry((32, 32), (32, 32), (1.0, 1.0), (0.0, 0.0))
    inputs = [ModelInput(tensor, geometry) for tensor in INPUTS.split(1)]
    for _ in range(3):
        parts = passes.run_pass(loaded, inputs, layers_at(loaded, ("stem",)))
    assert parts[0].whole._recording is not None
    passes.backward(parts, [[TARGETS[i % 3]] for i in range(5)])
    for place, part in enumerate(parts):
        _, slope = by_autograd(module, INPUTS[place : place + 1], place % 3)
        torch.testing.assert_close(part.gradients([TARGETS[place % 3]])[0][0].dense(), slope)
    total = parts[3].gradients([FunctionTarget(None, "sum", function=lambda logits: logits[0, 1])])[0][0].dense()
    torch.testing.assert_close(total, by_autograd(module, INPUTS[3:4], 1)[1])
    alone = parts[3].with_graph()
    (slope,) = torch.autograd.grad(alone.outputs.logits[0, 1], alone.recorded)
    torch.testing.assert_close(slope[0], by_autograd(module, INPUTS[3:4], 1)[1])


class Reading(Net):
    """Reads a value on the way, which no graph can."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if recorded.Recorded is Failing and Failing.inside:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        return super().forward(x)


class Failing(Repeated):
    inside = False

    def __init__(self, call: Any, stream: Any, pool: Any = None, sources: Any = ()) -> None:
        Failing.inside = True
        try:
            super().__init__(call, stream, pool, sources)
        finally:
            Failing.inside = False


class Counting(Net):
    """Answers otherwise each time."""

    calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counting.calls += 1
        return super().forward(x) + Counting.calls


@pytest.mark.parametrize(
    ("kind", "module", "words"),
    [(Failing, Reading(), "operation not permitted when stream is capturing"), (Repeated, Counting(), "other numbers")],
)
def test_unrecordable_pass_is_run_and_logged_once(
    graphs: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: Any, module: Any, words: str
) -> None:
    monkeypatch.setattr(recorded, "Recorded", kind)
    caplog.set_level("INFO")
    loaded = load(module.eval())
    assert all(evidence._recording is None for evidence in [explained(loaded, INPUTS[i : i + 1]) for i in range(4)])
    (line,) = [record.getMessage() for record in caplog.records if "CUDA graph" in record.getMessage()]
    assert line.startswith("a pass of net is not recorded") and line.endswith(words)


def test_recordings_are_kept_within_bytes(graphs: None, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load(Net().eval())
    monkeypatch.setattr(recorded.settings, "models_bytes", lambda: 2 * 3000)
    sizes = (32, 40, 48)
    for size in sizes * 2:
        explained(loaded, torch.ones(1, 3, size, size))
    assert loaded.recordings.nbytes == 2000
    for _ in range(2):
        recordings = [explained(loaded, torch.ones(1, 3, size, size))._recording for size in sizes]
        assert [recording is not None for recording in recordings] == [False, False, True]
    assert loaded.nbytes >= 2000
