"""Models without classes: what they answer, what every door says of them, and OSNet's file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer, replay
from sightglass.explain.trust.diagnosis import headline
from sightglass.models.load import load
from sightglass.models.spec import ModelSpec, WeightsTable
from tests.unit.models.specs import own_spec


def embedder(loader: str, arch: str, **weights: object) -> ModelSpec:
    return own_spec("looks", loader, arch, "embed", **{"random": 1, **weights})


def test_a_picture_alone_is_explained_by_the_length_of_its_own_vector(persons: str, bus: Path) -> None:
    explainer = Explainer(persons)
    result = explainer(bus, method="hirescam")
    assert (result.predictions, [heatmap.target.index for heatmap in result.heatmaps]) == ((), [None])
    adapter, evidence = explainer.resident.adapter, result.evidence
    (recorded,) = evidence.recorded
    vector = adapter.embedding(evidence.outputs)[0]
    (gradient,) = torch.autograd.grad(vector.square().sum().sqrt(), recorded, retain_graph=True)
    expected = (gradient * recorded)[0].sum(0).detach().cpu().numpy()
    assert np.abs(result.heatmaps[0].raw[0] - expected).max() < 1e-5 * np.abs(expected).max()
    said = headline(result, "yellow")
    assert said.startswith(f"{result.model.name} compares pictures. Yellow is what its embedding is based on")
    assert any("untrained" in note for note in result.notes)
    again = replay(result.recipe, bus)
    assert np.array_equal(again.heatmaps[0].raw[0], result.heatmaps[0].raw[0])


def test_a_classifiers_embedding_is_what_its_last_layer_is_given() -> None:
    from sightglass.models.adapters.classifier import Classifier

    for arch, count in (("resnet18", 512), ("squeezenet1_1", 1000)):
        adapter = load(own_spec(arch, "torchvision.classifiers", arch, random=1))
        assert isinstance(adapter, Classifier)
        with torch.no_grad():
            outputs = adapter.run(torch.rand(2, 3, 64, 64))
        vectors = adapter.embedding(outputs)
        assert vectors.shape == (2, count)
        if arch == "resnet18":
            assert torch.allclose(adapter.module.get_submodule("fc")(vectors), outputs.logits, atol=1e-5)


def test_osnet_reads_torchreids_file_as_it_is(tmp_path: Path) -> None:
    from sightglass.models.families.osnet import WIDTHS, OSNet

    torch.manual_seed(0)
    module = OSNet(WIDTHS["osnet_x0_25"])
    held = {f"module.{key}": value for key, value in module.state_dict().items()}
    held["module.classifier.weight"] = torch.zeros(7, 512)
    torch.save({"state_dict": held}, tmp_path / "mine.pth")
    spec = replace(embedder("osnet", "osnet_x0_25"), weights=WeightsTable(path=str(tmp_path / "mine.pth")))
    adapter = load(spec)
    probe = torch.rand(1, 3, 256, 128)
    with torch.no_grad():
        assert torch.equal(adapter.run(probe).vector, module.eval()(probe))
    with pytest.raises(WeightsProblem, match=r"does not fit osnet_x0_5: conv1.conv.weight is "):
        load(replace(spec, arch="osnet_x0_5"))
    with pytest.raises(ModelProblem, match="There is no OSNet called osnet"):
        load(embedder("osnet", "osnet"))
