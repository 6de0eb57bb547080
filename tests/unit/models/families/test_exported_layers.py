"""An exported classifier whose file keeps its modules has the layers and maps of the model that it was made of."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.explain.evidence.resident import Resident
from sightglass.explain.methods import list_methods
from sightglass.models.adapter import Target
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.families.exported import runtimes
from sightglass.models.families.exported.classifier import ExportedClassifier
from sightglass.models.families.exported.loader import inspect
from sightglass.models.load import load
from sightglass.models.preprocess import Preprocessing
from sightglass.models.spec import ModelSpec
from tests.unit.models.specs import own_spec

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def spec(path: Path, **weights: Any) -> ModelSpec:
    given = {"path": str(path), "preprocessing": {"size": 64, "mean": [*MEAN], "std": [*STD]}}
    return own_spec(path.name, "exported", path.name, **given | weights)


@cache
def network(name: str) -> nn.Module:
    import timm
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if name == "resnet18":
            return torchvision.models.resnet18(num_classes=6).eval()
        return timm.create_model("vit_tiny_patch16_224", img_size=64, depth=3, num_classes=6).eval()


def exported(module: nn.Module, kind: str, folder: Path, channels: int = 3) -> Path:
    noise = torch.rand(2, channels, 64, 64, generator=torch.Generator().manual_seed(1))
    if kind == "export":
        free = ({0: torch.export.Dim("batch")},)
        torch.export.save(torch.export.export(module, (noise,), dynamic_shapes=free), folder / "m.pt2")
        return folder / "m.pt2"
    torch.jit.save(torch.jit.trace(module, noise, check_trace=False), str(folder / "m.torchscript"))
    return folder / "m.torchscript"


def picture() -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


def maps(adapter: Any, layer: str, method: str) -> torch.Tensor:
    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.methods import METHODS
    from sightglass.explain.methods.from_evidence import raw_maps

    resident = Resident(adapter, CPU)
    evidence = Evidence(resident, adapter.prepare(picture(), "trained"), (resident.known_layers[layer],))
    (found,) = raw_maps(evidence, METHODS[method], [Target(i, str(i)) for i in range(3)])
    return found


@pytest.mark.usefixtures("as_built")
@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_layers_and_maps_are_those_of_the_model_that_was_exported(name: str, tmp_path: Path) -> None:
    module = network(name)
    adapter = load(spec(exported(module, "export", tmp_path)))
    own = Classifier(spec(tmp_path), module, adapter.labels, Preprocessing((64, 64), 64, MEAN, STD), "")
    own.preprocessing = adapter.preprocessing  # type: ignore[attr-defined]
    assert isinstance(adapter, ExportedClassifier)
    assert adapter.gradients
    assert any("which answer as the file does" in note for note in adapter.notes)
    resident, reference = Resident(adapter, CPU), Resident(own, CPU)
    assert resident.default_layers == reference.default_layers
    layer = resident.default_layers[0]
    assert resident.known_layers[layer].shape == reference.known_layers[layer].shape
    assert {one.path for one in resident.attentions} == {one.path for one in reference.attentions}
    for method in ("gradcam", "layercam", "eigencam", "gradcam++"):
        expected = maps(own, layer, method)
        torch.testing.assert_close(maps(adapter, layer, method), expected, atol=1e-6, rtol=1e-4)
    # The logits' own features, for one row of the gradient and for similarity.
    given = adapter.prepare(picture(), "trained")
    torch.testing.assert_close(
        adapter.embedding(adapter.run(given.tensor)), own.embedding(own.run(given.tensor)), atol=1e-5, rtol=0
    )


def test_an_early_layer_is_not_overwritten_by_what_works_in_place(tmp_path: Path) -> None:
    adapter = load(spec(exported(network("resnet18"), "export", tmp_path)))
    found = maps(adapter, "layer1.0.bn1", "hirescam")
    own = Classifier(spec(tmp_path), network("resnet18"), adapter.labels, adapter.preprocessing, "")  # type: ignore[attr-defined]
    torch.testing.assert_close(found, maps(own, "layer1.0.bn1", "hirescam"), atol=1e-6, rtol=1e-4)


# What has no layers says why, and is explained all the same.


def test_torchscript_only_answers_and_says_why(tmp_path: Path) -> None:
    adapter = load(spec(exported(network("resnet18"), "traced", tmp_path)))
    assert not adapter.gradients  # type: ignore[attr-defined]
    (said,) = [note for note in adapter.notes if "only answers" in note]  # type: ignore[attr-defined]
    assert "the inside of TorchScript files is not read here" in said
    assert {method.family for method in list_methods(Resident(adapter, CPU))} == {"mask"}


def test_modules_that_answer_otherwise_are_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = exported(network("resnet18"), "export", tmp_path)
    original = runtimes.Program.inside

    def wrong(self: runtimes.Program) -> nn.Module:
        module = original(self)
        dict(module.named_parameters())["fc.bias"].data += 1
        return module

    monkeypatch.setattr(runtimes.Program, "inside", wrong)
    adapter = load(spec(path))
    assert not adapter.gradients  # type: ignore[attr-defined]
    assert any("answer differently from the file" in note for note in adapter.notes)  # type: ignore[attr-defined]


def test_probabilities_are_explained_by_their_logarithms(tmp_path: Path) -> None:
    module = nn.Sequential(network("resnet18"), nn.Softmax(1)).eval()
    adapter = load(spec(exported(module, "export", tmp_path)))
    given = adapter.prepare(picture(), "trained")
    expected = network("resnet18")(given.tensor).log_softmax(1)
    torch.testing.assert_close(adapter.class_logits(adapter.run(given.tensor)), expected, atol=1e-5, rtol=0)
    assert adapter.gradients  # type: ignore[attr-defined]


# A look at a file.


def test_a_look_does_not_open_what_can_run_code(tmp_path: Path) -> None:
    for kind in ("export", "traced"):
        path = exported(network("resnet18"), kind, tmp_path)
        # A checkpoint's ending, as many give it.
        draft = inspect(path if kind == "export" else path.rename(tmp_path / "m.pt"))
        assert draft is not None and draft.loader == "exported"
        assert [one.key for one in draft.unknown if one.needed] == ["trust"]
    torch.save({"a": torch.zeros(2)}, tmp_path / "plain.pt")
    assert inspect(tmp_path / "plain.pt") is None
