"""One forward pass, cut at the earliest layer, and maps from it that say where and how much, and when they cannot."""

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explanation import Explanation, explain
from sightglass.explain.maps.heatmap import heatmaps, scale_maps
from sightglass.explain.methods.gradient import upsample
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec
from tests.unit.own_nets import hooks_on

CPU = torch.device("cpu")
LABELS = ("tench", "goldfish", "great white shark")


class Tiny(nn.Module):
    """Blocks within blocks; what follows the first layer is curved, so that its gradient depends on what was seen."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            self.stem = nn.Conv2d(3, 4, 3, padding=1)
            self.body = nn.Sequential(nn.SiLU(), nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(inplace=True))
            self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.stem(x)).mean((2, 3)))


class Writing(nn.Module):
    """Overwrites what its first layer returned, and adds to what its second did, as a residual block may."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.stem = nn.Conv2d(3, 4, 1)
            self.mid = nn.Conv2d(4, 4, 3, padding=1)
            self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x)
        y.relu_()
        z = self.mid(y)
        z += y
        return self.head(z.sigmoid().mean((2, 3)))


class Destroying(Writing):
    """Overwrites what autograd needs to go back: plain autograd refuses."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.stem(x).relu_()
        y += x.mean(1, keepdim=True)
        y *= y.sigmoid()
        return self.head(y.mean((2, 3)))


class Painted(nn.Module):
    """Answers are sums over a map made of the picture's own red and green, on `cells` x `cells` places."""

    def __init__(self, *, weights: tuple[float, ...], pool: int = 1) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(pool)
        self.features = nn.Conv2d(3, 1, 1)
        self.head = nn.Linear(1, len(weights), bias=False)
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1))
            self.features.bias.zero_()
            self.head.weight.copy_(torch.tensor(weights).view(-1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(self.pool(x)).mean((2, 3)))


def load_tiny(module: nn.Module) -> LoadedModel:
    spec = ModelSpec("tiny", "tiny", "s", "none", "tiny", "classify", "none")
    preprocessing = Preprocessing((16, 16), 16, (0.0,) * 3, (1.0,) * 3)
    return LoadedModel(Classifier(spec, module, LABELS, preprocessing, "0" * 64), CPU)


def evidence_of(
    module: nn.Module | LoadedModel, *paths: str, pixels: np.ndarray | None = None, way: str = "squash"
) -> Any:
    loaded = module if isinstance(module, LoadedModel) else load_tiny(module)
    model_input = loaded.adapter.prepare(noise(16, 16) if pixels is None else pixels, way)
    return Evidence(loaded, model_input, layers_at(loaded, paths))


def gradients(evidence: Evidence, *targets: Target) -> list[torch.Tensor]:
    """One (k, C, h, w) per layer."""
    return [torch.stack([g.dense() for g in layer]) for layer in evidence.gradients(targets)]


def explained(evidence: Evidence, pixels: np.ndarray | None = None, **options: Any) -> Explanation:
    picture = Image(noise(16, 16) if pixels is None else pixels)
    return explain(picture, evidence, Options(**({"method": "gradcam"} | options)), milliseconds={})


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 256, (height, width, 3), np.uint8)


def test_hooks_after_an_error() -> None:
    loaded = load_tiny(Tiny())
    layers = layers_at(loaded, ("stem", "body"))
    wrong = ModelInput(torch.zeros(1, 5, 16, 16), loaded.adapter.prepare(noise(16, 16), "squash").geometry)
    with pytest.raises(ModelProblem, match=r" failed on pictures as \(1 x 5 x 16 x 16\) \(RuntimeError: .*\.$"):
        Evidence(loaded, wrong, layers)
    assert hooks_on(loaded.adapter.module) == 0
    thread = threading.Thread(target=loaded.lock.__enter__, daemon=True)
    thread.start()
    thread.join(1)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("network", "paths"),
    [
        (Tiny, ("stem", "body.1")),
        (Tiny, ("body", "body.2")),
        (Tiny, ("body.2", "body")),
        (Tiny, ("body", "stem", "body.0")),
        (Writing, ("stem",)),
    ],
)
def test_gradients_of_layers(network: type[nn.Module], paths: tuple[str, ...]) -> None:
    """Compare with autograd on a copy whose layers' outputs nothing overwrites."""
    evidence, module, outputs = evidence_of(network(), *paths), network(), dict[str, torch.Tensor]()
    for path in paths:

        def record(_m: nn.Module, _i: Any, output: torch.Tensor, path: str = path) -> torch.Tensor:
            outputs[path] = output
            return output.clone()

        module.get_submodule(path).register_forward_hook(record)
    logits, expected = module(evidence.tensor), [outputs[path] for path in paths]
    assert network is Tiny or outputs["stem"].min() < 0, "nothing for relu_ to overwrite"
    torch.testing.assert_close(evidence.outputs.logits, logits, rtol=0, atol=0)
    for index in range(3):
        slopes = torch.autograd.grad(logits[0, index], expected, retain_graph=True)
        assert all(slope.any() for slope in slopes)
        torch.testing.assert_close(gradients(evidence, Target(index, "")), [*slopes], rtol=0, atol=0)
        torch.testing.assert_close(evidence.activations, [output.detach() for output in expected], rtol=0, atol=0)


def test_overwritten_activation_is_refused() -> None:
    evidence = evidence_of(Destroying(), "stem")
    with pytest.raises((RuntimeError, ModelProblem)):
        evidence.gradients([Target(0, "")])


def test_layer_beside_the_answer() -> None:
    class Aside(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.aside(x)
            return super().forward(x)

    module = Aside()
    module.aside = nn.Conv2d(3, 2, 3, padding=1)
    aside, stem = gradients(evidence_of(module, "aside", "stem"), Target(0, ""))
    assert aside.shape == (1, 2, 16, 16)
    assert not aside.any() and stem.any()
    with pytest.raises(ModelProblem, match=r"No gradient of tiny reaches aside: .*; choose another layer"):
        explained(evidence_of(module, "aside"), targets=(0,))


@pytest.mark.parametrize("chosen", [slice(None), slice(1), slice(-1, None)], ids=["all", "the first", "the last"])
def test_pictures_in_a_pass_are_as_many_as_it_answers(chosen: slice) -> None:
    class Some(Tiny):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x[chosen])

    loaded = load_tiny(Some())
    loaded.verify()
    most = 4 if chosen == slice(None) else 1
    assert loaded.pictures_in_a_pass(4, loaded.adapter.flat_input()) == most
    assert loaded.adapter.splits_batches == (most > 1)


def test_stored_evidence_runs_no_model() -> None:
    loaded = load_tiny(Tiny())
    loaded.layers  # noqa: B018 - found by a pass of its own, before the counting begins
    passes: list[int] = []
    loaded.adapter.module.register_forward_pre_hook(lambda *_: passes.append(1))
    result = explained(evidence_of(loaded, "stem", "body"), top_k=2)
    assert len(passes) == 1
    for name in ("gradcam++", "hirescam", "xgradcam", "layercam", "eigencam", "eigengradcam"):
        assert result.with_method(name).heatmaps[0].method == name
    assert [h.target.index for h in result.with_targets(2, "goldfish").heatmaps] == [2, 1]
    result.with_options(scale="shared").with_targets(0).with_method("layercam")
    with pytest.raises(ModelProblem, match="Other layers and preprocessing need a model pass"):
        result.with_options(layers="body", preprocessing="squash")
    assert len(passes) == 1


def test_layers_listed_once_in_order() -> None:
    loaded = load_tiny(Tiny())
    assert [layer.path for layer in loaded.layers] == ["stem", "body.0", "body.1", "body"]
    assert "head" not in loaded.survey.by_path


def test_shared_scale_ignores_nan() -> None:
    broken = torch.full((4, 4), 100.0)
    broken[0, 0] = torch.nan
    good = torch.arange(16.0).view(4, 4)
    geometry = Geometry((4, 4), (4, 4), (1.0, 1.0), (0.0, 0.0))
    targets = [Target(0, "good"), Target(1, "broken")]
    maps = heatmaps(
        [torch.stack([good, broken])], targets, method="gradcam", layers=("a",), geometry=geometry, scale="shared"
    )
    assert [h.state for h in maps] == ["ok", "not a number"]
    np.testing.assert_allclose(maps[0].values, good / 15, atol=1e-5)


WIDE = (20, 40)
"""Into 16 x 16: rows 4 to 12 are picture."""


def letterboxed(pool: int, pixels: np.ndarray, **options: Any) -> Explanation:
    evidence = evidence_of(Painted(weights=(1.0, -1.0, 0.5), pool=pool), "features", pixels=pixels, way="letterbox")
    return explained(evidence, pixels=pixels, method="hirescam", **options)


@pytest.mark.parametrize("pool", [1, 2, 4])
def test_bars_get_no_heat_and_do_not_set_the_scale(pool: int) -> None:
    # The bars are grey, brighter than anything painted here.
    pixels = np.zeros((*WIDE, 3), np.uint8)
    pixels[10:20, 20:30] = 60
    (heatmap,) = letterboxed(pool, pixels, targets=(0,)).heatmaps
    assert heatmap.geometry.content == (0, 4, 16, 12)
    cells = 16 // pool
    picture = heatmap.raw[0][4 * cells // 16 : 12 * cells // 16]
    assert heatmap.raw[0].max() > 1.5 * picture.max() > 0, "the bars are not hottest"
    assert not heatmap.at_input[:4].any() and not heatmap.at_input[12:].any()
    assert heatmap.state == "ok" and heatmap.at_input.max() == pytest.approx(1, abs=1e-4)
    row, column = np.unravel_index(heatmap.values.argmax(), WIDE)
    assert 10 <= row < 20 and 20 <= column < 30
    assert heatmap.values[:3].max() < 0.05, "heat of the bar bleeds into the picture"


@pytest.mark.parametrize("pool", [1, 4])
def test_heat_in_the_bars_alone_is_no_evidence(pool: int) -> None:
    (heatmap,) = letterboxed(pool, np.zeros((*WIDE, 3), np.uint8), targets=(0,)).heatmaps
    assert heatmap.raw[0].max() > 0 and not heatmap.values.any()
    assert heatmap.state == "no evidence"


@pytest.mark.parametrize(
    ("grids", "size"),
    [([(80, 60), (40, 30), (20, 15)], (640, 480)), ([(5, 13), (3, 7)], (50, 101)), ([(12, 16)], (6, 8))],
    ids=["three scales", "nothing in common", "shrunk"],
)
def test_maps_grow_as_torch_grows_them(grids: list[tuple[int, int]], size: tuple[int, int]) -> None:
    seeded = torch.Generator().manual_seed(1)
    raws = [torch.rand(3, *grid, generator=seeded) for grid in grids]

    def to_unit(maps: torch.Tensor) -> torch.Tensor:
        return (maps - maps.amin((1, 2), True)) / (maps.amax((1, 2), True) - maps.amin((1, 2), True) + 1e-7)

    grown = [nn.functional.interpolate(to_unit(raw)[None], size, mode="bilinear")[0] for raw in raws]
    scaled, _ = scale_maps(raws, Geometry(size, size, (1.0, 1.0), (0.0, 0.0)), "own")
    torch.testing.assert_close(scaled, to_unit(sum(grown) / len(grown)), rtol=0, atol=2e-6)


def test_cell_offsets() -> None:
    raw = torch.zeros(1, 8, 8)
    raw[0, 3, 4] = 1
    even = Geometry((64, 64), (64, 64), (1.0, 1.0), (0.0, 0.0))
    moved = replace(even, cell_offsets=(("stem", -0.5, -0.25),))
    before, after = (scale_maps([raw], geometry, "own", ["stem"])[0][0] for geometry in (even, moved))
    # Half a cell of 8 pixels up and a quarter to the left; the offsets of a layer are no other's.
    torch.testing.assert_close(after, before.roll((-4, -2), (0, 1)))
    torch.testing.assert_close(scale_maps([raw], moved, "own", ["other"])[0][0], before, rtol=0, atol=0)
    torch.testing.assert_close(scale_maps([raw], moved, "own")[0][0], before, rtol=0, atol=0)
    both = scale_maps([raw, raw, raw[:, ::2, ::2]], moved, "own", ["stem", "other", "coarse"])[0][0]
    parts = [scale_maps([raw], moved, "own", ["stem"])[0][0], before]
    parts.append(nn.functional.interpolate(raw[None, :, ::2, ::2], (64, 64), mode="bilinear")[0, 0])
    mean = torch.stack(parts).mean(0)
    torch.testing.assert_close(both, (mean - mean.min()) / (mean.max() - mean.min()), rtol=0, atol=1e-5)
    torch.testing.assert_close(upsample(raw, moved, "stem")[0].roll((4, 2), (0, 1)), upsample(raw, even, "stem")[0])
