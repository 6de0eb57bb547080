"""Scrambled weights: the copy is scrambled from the top, the model in use never is, and the verdict follows."""

from __future__ import annotations

import gc
import hashlib
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence.resident import Resident
from sightglass.explain.faithfulness import scramble as module
from sightglass.explain.faithfulness.randomised import STAGES, copy_resident, redrawn, stages
from sightglass.explain.faithfulness.scramble import Scramble, Stage, scramble
from sightglass.models.families.keras import network

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain.explanation import Explanation


@pytest.fixture(scope="module")
def explained(bus: Path) -> Explanation:
    return Explainer()(bus, top_k=1)


def digest(net: nn.Module) -> str:
    found = hashlib.sha256()
    for tensor in (*net.parameters(), *net.buffers()):
        found.update(tensor.detach().cpu().numpy().tobytes())
    return found.hexdigest()


def test_the_last_executed_come_first_and_every_parameter_once(explained: Explanation) -> None:
    resident = copy_resident(explained.evidence.resident)
    groups = stages(resident, explained.evidence.tensor)
    names = {id(each): name for name, each in resident.adapter.module.named_parameters()}
    found = [[names[id(each)] for each in group] for group in groups]
    assert len(found) == STAGES and sorted(name for group in found for name in group) == sorted(names.values())
    assert found[0][0].startswith("classifier") and found[-1][-1].startswith("conv_stem")
    first = [next(at for at, group in enumerate(found) if any(f"blocks.{b}." in n for n in group)) for b in range(7)]
    assert first == sorted(first, reverse=True)


def test_a_transformers_position_embedding_is_its_beginning(scene: Path) -> None:
    evidence = Explainer("demo-vit")(scene, top_k=1).evidence
    groups = stages(copy_resident(evidence.resident), evidence.tensor)
    shapes = [tuple(each.shape) for each in groups[-1]]
    own = [tuple(each.shape) for each in evidence.resident.adapter.module.parameters(recurse=False)]
    assert own and all(shape in shapes for shape in own)


def test_a_stage_is_redrawn_with_the_mean_and_deviation_it_had_and_the_rest_is_not() -> None:
    net = nn.Sequential(nn.Conv2d(3, 64, 5), nn.Conv2d(64, 8, 3))
    nn.init.normal_(net[1].weight, 2.0, 0.5)
    before = [each.detach().clone() for each in net.parameters()]
    turns = redrawn([[net[1].weight], [net[0].weight]], 7)
    assert next(turns) == 1
    assert torch.equal(net[0].weight, before[0]) and not torch.equal(net[1].weight, before[2])
    assert float(net[1].weight.detach().mean()) == pytest.approx(2, abs=0.05)
    assert float(net[1].weight.detach().std()) == pytest.approx(0.5, abs=0.05)
    assert next(turns) == 2 and not torch.equal(net[0].weight, before[0])


def test_the_model_in_use_is_not_touched_and_the_copy_is_freed(
    explained: Explanation, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident, kept = explained.evidence.resident, []

    def watched(given: Resident) -> Resident:
        made = copy_resident(given)
        kept.append(weakref.ref(made.adapter.module))
        return made

    monkeypatch.setattr(module, "copy_resident", watched)
    module._CACHE.clear()
    before = digest(resident.adapter.module), digest(resident.fastest_adapter(()).module)
    found = scramble(explained)
    assert (digest(resident.adapter.module), digest(resident.fastest_adapter(()).module)) == before
    gc.collect()
    assert len(kept) == 1 and kept[0]() is None
    # Held: nothing is copied again, and another method is another one.
    assert scramble(explained) is found and len(kept) == 1
    assert scramble(explained.with_method("layercam")) is not found
    module._CACHE.clear()
    assert scramble(explained).summary() == found.summary(), "seeded"


def test_the_map_of_the_packaged_model_depends_on_it(explained: Explanation) -> None:
    found = scramble(explained)
    assert found.verdict == "depends" and found.similarity < 0.3
    assert [stage.share for stage in found.stages] == sorted(stage.share for stage in found.stages)
    assert found.stages[-1].share == pytest.approx(1)
    assert all(stage.map.shape == explained.heatmaps[0].coarse.shape for stage in found.stages)
    assert "depends on the model" in found.sentence


def test_a_map_of_edges_is_found_out(explained: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that never asks the model: the picture's edges, whatever the weights."""
    from sightglass.explain.methods.method import Method, RawMaps
    from sightglass.explain.proof import controls

    def edges(self: Method, evidence: object, targets: object, request: object = None) -> RawMaps:
        tensor = evidence.tensor[0].permute(1, 2, 0)  # type: ignore[attr-defined]
        return RawMaps([torch.from_numpy(controls.edges(tensor.numpy()))[None]], ("bn2",))

    monkeypatch.setattr(Method, "run", edges)
    module._CACHE.clear()
    made = explained.with_method("gradcam")
    found = scramble(made)
    module._CACHE.clear()
    assert found.similarity > 0.95 and found.verdict == "edges"


def test_a_model_whose_copy_shares_its_weights_is_refused_and_left_as_it_is(bus: Path) -> None:
    class Shared(nn.Sequential):
        def __deepcopy__(self, memo: object) -> Shared:
            return Shared(*self)

    torch.manual_seed(0)
    net = Shared(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 3, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    before = [each.clone() for each in net.parameters()]
    explained = Explainer(net, preprocess={"size": 64})(bus, layers=["2"], top_k=1)
    with pytest.raises(ModelProblem, match="cannot be copied"):
        scramble(explained)
    assert all(torch.equal(one, each) for one, each in zip(before, net.parameters(), strict=True))


def test_a_model_of_keras_is_scrambled_beside_the_one_in_use(bus: Path) -> None:
    keras = network.keras()
    layers = keras.layers
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input((32, 32, 4)), layers.Conv2D(4, 3, activation="relu")])
    net = keras.Sequential(
        [keras.Input((64, 64, 3)), layers.Conv2D(4, 3, 2, padding="same"), inner, layers.GlobalAveragePooling2D()]
    )
    explained = Explainer(net, preprocess={"size": 64}, labels=list("abcd"))(bus, top_k=1)
    weights = list(explained.evidence.resident.adapter.module.parameters())
    before = [each.clone() for each in weights]
    found = scramble(explained)
    assert found.stages[-1].share == pytest.approx(1)
    assert found.stages[-1].rank_correlation < 0.999
    assert all(torch.equal(one, each) for one, each in zip(before, weights, strict=True))


def test_verdicts_by_hand() -> None:
    stage = Stage(1.0, np.zeros((2, 2), np.float32), 0.6, 0.5, 0.5)

    def made(*final: float, **known: float) -> Scramble:
        return Scramble("dog", "gradcam", (stage,), final, 0.4, known)  # type: ignore[arg-type]

    assert made(0.6, 0.1, 0.5, edges=0.9, centre=0.0).verdict == "depends"  # a mean of .4
    assert made(0.6, 0.6, 0.6, edges=0.9, centre=0.5).verdict == "edges"
    assert made(0.6, 0.6, 0.6, edges=0.2, centre=0.5).verdict == "centre"
    assert made(0.6, 0.6, 0.6, edges=0.2, centre=0.3).verdict == "survives"
    assert made(0.6, 0.6, 0.6, edges=0.9).sentence == (
        "With all weights redrawn the map's rank correlation with the true one is 0.60; random maps reach 0.40. "
        "The map survives scrambling: draws edges here."
    )


def test_a_box_keeps_its_candidate(scene: Path) -> None:
    explained = Explainer("demo-s")(scene, per="detection", top_k=1)
    found = scramble(explained)
    assert {"edges", "centre", "box"} == set(found.known) and len(found.stages) == STAGES


def test_it_stops_and_what_cannot_be_scrambled_is_a_sentence(explained: Explanation) -> None:
    from dataclasses import replace

    cancel = threading.Event()
    cancel.set()
    module._CACHE.clear()
    with pytest.raises(Cancelled):
        scramble(explained, cancel=cancel)
    flat = replace(explained, heatmaps=(replace(explained.heatmaps[0], state="flat"),))
    with pytest.raises(ModelProblem, match="is empty"):
        scramble(flat)
