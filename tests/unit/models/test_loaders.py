"""Loaders are found by the names in tables, also by those of earlier versions, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightglass.common.errors import ModelProblem
from sightglass.models import catalog
from sightglass.models import load as loaders
from sightglass.models.load import load

FORMER = Path(__file__).parents[2] / "former" / "models.toml"
"""Written by an earlier version."""


@pytest.mark.parametrize(("former", "now"), loaders.FORMER_NAMES.items())
def test_every_former_name_stands_for_a_loader(former: str, now: str) -> None:
    assert loaders.current_name(former) == now
    assert loaders.loader_exists(now)
    assert callable(loaders.loader_module(now).load)
    # Else the former name would mean something else by now.
    assert not loaders.loader_exists(former)


def test_a_file_of_before_names_models_that_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(FORMER))
    assert list(catalog.faults()) == ["elsewhere"]
    with pytest.raises(ModelProblem, match=r"behind an HTTP address, which was removed: export .* ONNX"):
        catalog.spec("elsewhere")
    found = {name: catalog.spec(name).loader for name in ("plain", "small vit")}
    assert found == {"plain": "torchvision.classifiers", "small vit": "timm"}
    for name in found:
        assert load(catalog.spec(name)).spec.id == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../adapter", "/etc/passwd", "timm/loader", "timm.", "timm..loader", "timm\0", "os", "__init__"],
)
def test_no_other_name_is_a_loader(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert loaders.current_name(name) == name
    assert not loaders.loader_exists(name)
    table = tmp_path / "models.toml"
    table.write_text(f"[model.mine]\nloader = {_toml(name)}\n")
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(table))
    with pytest.raises(ModelProblem, match="and should be a file of models/families"):
        catalog.spec("mine")


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace("\0", "\\u0000") + '"'
