"""Scrambled weights: only a copy is scrambled, the verdict follows, and what is remembered of it."""

from __future__ import annotations

import gc
import hashlib
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explanation import Explanation
from sightglass.explain.methods.method import Method, RawMaps
from sightglass.explain.trust import controls
from sightglass.explain.trust import scramble as module
from sightglass.explain.trust.scramble import Scramble, copy_loaded, interval_of, parameters_of, redrawer, scramble


@pytest.fixture(scope="module")
def explained(bus: Path) -> Explanation:
    return Explainer()(bus, top_k=1)


def digest(net: nn.Module) -> str:
    checksum = hashlib.sha256()
    for tensor in (*net.parameters(), *net.buffers()):
        checksum.update(tensor.detach().cpu().numpy().tobytes())
    return checksum.hexdigest()


def test_scramble_order_covers_each_parameter_once(explained: Explanation) -> None:
    loaded = copy_loaded(explained.evidence.loaded)
    names = {id(each): name for name, each in loaded.adapter.module.named_parameters()}
    order = [names[id(each)] for each in parameters_of(loaded, explained.evidence.tensor)]
    assert sorted(order) == sorted(names.values())
    assert order[0].startswith("classifier") and order[-1].startswith("conv_stem")
    first = [next(at for at, name in enumerate(order) if f"blocks.{b}." in name) for b in range(7)]
    assert first == sorted(first, reverse=True)


def test_redrawn_weights_keep_moments() -> None:
    net = nn.Sequential(nn.Conv2d(3, 64, 5), nn.Conv2d(64, 8, 3))
    nn.init.normal_(net[1].weight, 2.0, 0.5)
    before = net[1].weight.detach().clone()
    redraw = redrawer([net[1].weight, net[0].weight])
    for seed in (7, 8):
        redraw(seed)
        assert not torch.equal(net[1].weight, before)
        assert float(net[1].weight.detach().mean()) == pytest.approx(2, abs=0.05)
        assert float(net[1].weight.detach().std()) == pytest.approx(0.5, abs=0.05)


def test_scramble_leaves_model_and_frees_copy(explained, monkeypatch):
    loaded, kept = explained.evidence.loaded, []

    def watched(given: LoadedModel) -> LoadedModel:
        copied = copy_loaded(given)
        kept.append(weakref.ref(copied.adapter.module))
        return copied

    monkeypatch.setattr(module, "copy_loaded", watched)
    module._CACHE.clear()
    before = digest(loaded.adapter.module), digest(loaded.fastest_adapter(()).module)
    result = scramble(explained)
    assert (digest(loaded.adapter.module), digest(loaded.fastest_adapter(()).module)) == before
    gc.collect()
    assert len(kept) == 1 and kept[0]() is None
    # Held: nothing is copied again, and another method is another one.
    assert scramble(explained) is result and len(kept) == 1
    assert scramble(explained.with_method("layercam")) is not result
    module._CACHE.clear()
    again = scramble(explained)
    assert (again.final, again.known, again.threshold) == (result.final, result.known, result.threshold), "seeded"


def test_a_map_of_edges_is_found_out(explained: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that never asks the model: the picture's edges, whatever the weights."""

    def edges(self: Method, evidence: object, targets: object, request: object = None) -> RawMaps:
        return RawMaps([torch.from_numpy(controls.edges(evidence.tensor[0].cpu().numpy()))[None]], ("bn2",))

    monkeypatch.setattr(Method, "run", edges)
    module._CACHE.clear()
    result = scramble(explained.with_method("gradcam"))
    module._CACHE.clear()
    assert result.similarity > 0.95 and result.verdict == "edges" and result.mark == "no"


def test_model_with_shared_copy_is_refused(bus: Path) -> None:
    class Shared(nn.Sequential):
        def __deepcopy__(self, memo: object) -> Shared:
            return Shared(*self)

    torch.manual_seed(0)
    net = Shared(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 3, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = [each.clone() for each in net.parameters()]
    explained = Explainer(net, preprocess={"size": 64})(bus, layers=["2"], top_k=1)
    with pytest.raises(ModelProblem, match="cannot be copied"):
        scramble(explained)
    assert all(torch.equal(old, each.cpu()) for old, each in zip(before, net.parameters(), strict=True))


def made(*drawn: float, **known: float) -> Scramble:
    """A test whose threshold is 0.4."""
    return Scramble(np.zeros((2, 2), np.float32), drawn, 0.4, known)  # type: ignore[arg-type]


def test_verdicts_by_hand() -> None:
    # The mean is .2, and the interval of 90 % is 2.92 * .1 / sqrt(3) = .17 to both sides.
    result = made(0.1, 0.2, 0.3, edges=0.9)
    assert interval_of(result.final) == pytest.approx((0.2 - 0.1686, 0.2 + 0.1686), abs=1e-4)
    assert (result.verdict, result.mark) == ("depends", "yes")
    assert result.sentence == (
        "With random weights the map changes completely: similarity 0.20, from 0.03 to 0.37; unrelated maps reach 0.40."
    )
    survived = made(0.6, 0.6, 0.6, edges=0.9, centre=0.5)
    assert (survived.verdict, survived.mark) == ("edges", "no")
    assert survived.sentence.startswith("Random weights give a similar map: similarity 0.60, from 0.60 to 0.60;")
    assert made(0.6, 0.6, 0.6, edges=0.2, centre=0.7).verdict == "centre"
    # A map that is on something else is not said to show the middle.
    assert made(0.6, 0.6, 0.6, edges=0.2, centre=0.5).verdict == "survives"
    assert made(0.6, 0.6, 0.6, edges=0.2, centre=0.3).verdict == "survives"
    # Draws of very different values: those of bus.jpg, of which the mean of −.01 was a verdict.
    result = made(0.51, -0.09, -0.46, edges=0.9)
    assert (result.verdict, result.mark) == ("unclear", "cannot be told")
    assert result.sentence == (
        "Maps by random weights are neither clearly like this one nor clearly another: after 3 tries it cannot be "
        "told whether it depends on the model (similarity −0.01, from −0.84 to 0.81; unrelated maps reach 0.40)."
    )
    assert made(0.2).verdict == made(0.9).verdict == "unclear", "of one draw nothing is known"


@pytest.fixture
def draws(explained: Explanation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Scramble]]:
    """Test a map whose random weights give rank correlations of the test's choice."""
    monkeypatch.setattr(module, "chance_level", lambda *_: 0.4)

    def of(*values: float | None) -> Scramble:
        left, drawn = iter(values), list[float]()

        def map_again(*_: object) -> np.ndarray:
            value = next(left)
            drawn.append(value or 0.0)
            # None stands for a map without evidence.
            return np.full((224, 224), 0.0 if value is None else max(value, 0.01), np.float32)

        monkeypatch.setattr(module, "map_again", map_again)
        monkeypatch.setattr(module, "rank_correlation", lambda *_: drawn[-1])
        module._CACHE.clear()
        return scramble(explained)

    yield of
    module._CACHE.clear()


def test_draws_until_verdict_is_clear(draws: Callable[..., Scramble]) -> None:
    assert draws(0.1, 0.2, 0.3, 9).final == (0.1, 0.2, 0.3)
    assert draws(0.9, 0.8, 0.9, 9).verdict == "survives"
    # Three draws do not tell, and the fourth does.
    result = draws(0.1, 0.4, 0.0, 0.0, 9)
    assert (result.final, result.verdict) == ((0.1, 0.4, 0.0, 0.0), "depends")
    assert [len(draws(*([0.2, 0.6] * 4), 9).final), draws(*([0.2, 0.6] * 4)).verdict] == [8, "unclear"]


def test_of_a_box_the_outlines_inside_it_are_compared(scene: Path) -> None:
    result = module.scramble(Explainer("demo-m")(scene, per="detection", top_k=1))
    assert result.keeps_box is not None and result.threshold >= 0.2 and 0 < (result.inside or 0) <= 1
    moved = replace(result, final=(0.1, 0.12, 0.11), threshold=0.2, keeps_box=True, empty=0)
    sentence = moved.sentence.replace("\N{NO-BREAK SPACE}", " ")
    assert (moved.verdict, moved.mark) == ("box", "yes")
    assert (
        sentence == "Random weights keep the box but move the hot spots: the outlines overlap by 11 %, from 9 % to "
        "13 %; unrelated maps reach 20 %."
    )
    assert replace(moved, keeps_box=False).verdict == "depends" and replace(moved, final=(0.9, 0.8, 0.9)).mark == "no"


def test_empty_random_maps_cannot_be_told(draws: Callable[..., Scramble]) -> None:
    result = draws(None, None, None)
    assert (result.final, result.empty, result.describe_draws()) == ((), 3, "3 random models: 3 empty maps.")
    result = draws(None, 0.1, *[None] * 4, 0.2, 0.3)
    assert (result.final, result.empty) == ((0.1, 0.2, 0.3), 5)
    assert (result.verdict, result.mark) == ("unclear", "cannot be told")
    assert result.sentence.startswith("With random weights 5 of 8 maps are empty. Whether this map depends")
    # An empty map is not counted as unlike the true one, and is not the panel that is shown.
    few = draws(0.1, None, -0.05, 0.0, 9)
    assert (few.final, few.empty, few.verdict) == ((0.1, -0.05, 0), 1, "depends")
    assert few.describe_draws() == "4 random models: 1 empty map, the others −0.05 to 0.10."
    assert few.map.any() and few.similarity_text == "0.00"
