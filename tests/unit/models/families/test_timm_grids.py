"""The default layer of one model of every family of timm has the picture's grid."""

from __future__ import annotations

import pytest
import timm
import torch
from timm.models import _registry

from sightglass.explain.evidence.resident import LoadedModel
from sightglass.models.families.custom.classifier import CustomClassifier
from sightglass.models.families.timm.networks import preprocessing_of
from sightglass.models.spec import ModelSpec

pytestmark = [pytest.mark.release, pytest.mark.filterwarnings("ignore")]
LARGE = 60_000_000
FAMILIES = {family: sorted(names, key=len) for family, names in _registry._module_to_models.items()}


def smallest(names: list[str]) -> str | None:
    sizes: dict[str, int] = {}
    for name in names[:12]:
        try:
            with torch.device("meta"):
                sizes[name] = sum(part.numel() for part in timm.create_model(name).parameters())
        except (RuntimeError, TypeError, NotImplementedError):
            continue
    name = min(sizes, key=lambda name: sizes[name], default=None)
    return name if name is not None and sizes[name] < LARGE else None


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_default_layer_has_the_picture_s_grid(family: str) -> None:
    if (name := smallest(FAMILIES[family])) is None:
        pytest.skip("too large")
    module = timm.create_model(name, num_classes=4)
    spec = ModelSpec(name, family, "", "timm", name, "classify", "not stated")
    adapter = CustomClassifier(spec, module, list("abcd"), preprocessing_of(module), "0" * 64)
    resident = LoadedModel(adapter, torch.device("cpu"))
    height, width = adapter.preprocessing.size
    _, rows, columns = resident.known_layers[resident.default_layers[0]].shape
    assert min(rows, columns) > 2
    assert abs(rows / columns - height / width) < 0.1
