"""Folders of timm as on the hub: `config.json` says architecture, preprocessing and names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file
from timm.data import create_transform
from torch import nn

from sightglass.cli import main
from sightglass.common import access
from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer
from sightglass.models import catalog
from sightglass.models.load import inspect_model, load
from sightglass.models.own import store

NAMES = ["cat", "dog", "bear"]
STATED = {
    "input_size": [3, 96, 96],
    "interpolation": "bilinear",
    "crop_pct": 0.8,
    "crop_mode": "center",
    "mean": [0.3, 0.4, 0.6],
    "std": [0.2, 0.3, 0.4],
}
"""None of these is `ARCH`'s usual one."""
ARCH = "test_resnet"
FORMS: dict[str, dict[str, Any]] = {
    "nested": {"num_classes": 3, "label_names": NAMES, "pretrained_cfg": {**STATED, "tag": "mine"}},
    "names inside": {"pretrained_cfg": {**STATED, "label_names": NAMES}},
    "flat": {**STATED, "num_classes": 3, "labels": NAMES},
    "synsets": {
        "label_names": ["n02121808", "n02084071", "n02131653"],
        "label_descriptions": dict(zip(["n02131653", "n02084071", "n02121808"], reversed(NAMES), strict=True)),
        "pretrained_cfg": STATED,
    },
}


def make(folder: Path, form: dict[str, Any], file: str = "model.safetensors", **options: Any) -> nn.Module:
    """Save an untrained network as on the hub, and return it."""
    torch.manual_seed(0)
    net = timm.create_model(ARCH, **{"num_classes": 3} | options).eval()
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architecture": ARCH, **form}))
    (folder / "README.md").write_text("---\nlibrary_name: timm\n---")
    if file.endswith(".bin"):
        torch.save(net.state_dict(), folder / file)
    else:
        save_file({name: tensor.contiguous() for name, tensor in net.state_dict().items()}, folder / file)
    return net


@pytest.fixture(scope="module")
def picture() -> Pillow.Image:
    return Pillow.fromarray(np.random.default_rng(0).integers(0, 256, (150, 220, 3), np.uint8))


def expected(net: nn.Module, picture: Pillow.Image, **changed: Any) -> list[float]:
    """Return what timm's own transform and the network make of a picture."""
    how = STATED | changed
    transform = create_transform(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in how.items()}
    )
    with torch.no_grad():
        return net(transform(picture)[None]).softmax(1)[0].tolist()


def answers(explainer: Explainer, picture: Pillow.Image) -> dict[str, float]:
    explained = explainer(picture, top_k=3)
    return {prediction.label: prediction.score for prediction in explained.predictions}


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("form", FORMS)
def test_a_folder_is_what_its_configuration_says(form: str, file: str, tmp_path: Path, picture: Pillow.Image) -> None:
    net = make(tmp_path / "net.v1", FORMS[form], file)
    right = dict(zip(NAMES, expected(net, picture), strict=True))
    for path in (tmp_path / "net.v1", tmp_path / "net.v1" / file):
        assert answers(Explainer(str(path)), picture) == pytest.approx(right, abs=1e-6)
    assert catalog.of_file(tmp_path / "net.v1").id == "net.v1"


def test_a_folder_is_a_model_by_its_bare_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "net.v1", FORMS["nested"])
    (tmp_path / "results").mkdir()
    assert catalog.is_file("net.v1")
    assert not catalog.is_file("results")
    assert Explainer("net.v1").labels == tuple(NAMES)


def test_a_renamed_file_keeps_its_configuration(tmp_path: Path, picture: Pillow.Image) -> None:
    net = make(tmp_path / "net", FORMS["nested"])
    path = (tmp_path / "net" / "model.safetensors").rename(tmp_path / "net" / "mine.safetensors")
    right = dict(zip(NAMES, expected(net, picture), strict=True))
    assert answers(Explainer(str(path)), picture) == pytest.approx(right, abs=1e-6)


def test_the_command_line_adds_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGHTGLASS_MODELS", raising=False)
    make(tmp_path / "net.v1", FORMS["nested"])
    assert main(["models", "add", "net.v1"]) == 0
    said = capsys.readouterr().out
    assert "config.json beside it says that it is a test_resnet of timm." in said
    assert "The names of its 3 classes are in config.json." in said
    adapter = load(catalog.spec("net.v1"))
    assert adapter.labels == tuple(NAMES)
    assert not [note for note in adapter.notes if "inferred" in note]


def test_the_drop_zone_takes_its_files(tmp_path: Path, picture: Pillow.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(tmp_path / "store"))
    access.install(access.Access("open"))
    try:
        net = make(tmp_path / "net", FORMS["flat"])
        files = [(file.name, file.read_bytes()) for file in sorted((tmp_path / "net").iterdir())]
        into = store.receive(files)
        id_ = store.register(into, store.draft(into), {})
        right = dict(zip(NAMES, expected(net, picture), strict=True))
        assert answers(Explainer(id_), picture) == pytest.approx(right, abs=1e-6)
    finally:
        access.install(access.Access())


def test_a_network_in_memory_has_the_names_of_its_configuration(picture: Pillow.Image) -> None:
    torch.manual_seed(0)
    net = timm.create_model(ARCH, num_classes=3, pretrained_cfg_overlay=STATED | {"label_names": NAMES}).eval()
    right = dict(zip(NAMES, expected(net, picture), strict=True))
    assert answers(Explainer(net), picture) == pytest.approx(right, abs=1e-6)


def test_what_the_table_states_wins(tmp_path: Path, picture: Pillow.Image) -> None:
    net = make(tmp_path / "net", FORMS["nested"])
    spec = catalog.of_file(tmp_path / "net")
    how = spec.preprocessing.over(load(spec).preprocessing.table())
    stated = spec.with_weights(labels=("a", "b", "c"), preprocessing=type(how)(size=64, mean=(0.5,) * 3))
    adapter = load(stated)
    assert adapter.labels == ("a", "b", "c")
    tensor = adapter.prepare(np.asarray(picture), "trained").tensor
    right = expected(net, picture, input_size=[3, 64, 64], crop_pct=1.0, mean=[0.5] * 3)
    assert adapter.class_scores(adapter.run(tensor))[0].tolist() == pytest.approx(right, abs=1e-6)


def test_other_channels_and_pooling(tmp_path: Path) -> None:
    grey = {**STATED, "input_size": [1, 64, 64], "mean": [0.4], "std": [0.3]}
    make(tmp_path / "grey", {"pretrained_cfg": grey, "model_args": {"in_chans": 1}}, in_chans=1)
    how = load(catalog.of_file(tmp_path / "grey")).preprocessing
    assert (how.size, how.mean, how.std, how.short_side) == ((64, 64), (0.4,), (0.3,), 80)
    # Its mean may still be that of three colours.
    make(tmp_path / "five", {"pretrained_cfg": STATED, "model_args": {"in_chans": 5}}, in_chans=5)
    how = load(catalog.of_file(tmp_path / "five")).preprocessing
    assert (how.size, how.mean, how.std) == ((96, 96), (0.0,) * 5, (1.0,) * 5)
    net = make(tmp_path / "max", {"pretrained_cfg": STATED, "model_args": {"global_pool": "max"}}, global_pool="max")
    noise = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        assert torch.allclose(load(catalog.of_file(tmp_path / "max")).run(noise).logits, net(noise), atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mean": ["a", "b", "c"]}, "config.json: mean in it is"),
        ({"crop_pct": "0.9"}, "crop_pct in config.json is '0.9', and should be a number above 0."),
        ({"input_size": [96]}, r"input_size in config.json is \[96\]"),
        ({"input_size": [3, 99999, 99999]}, "config.json: size in it is"),
        ({"interpolation": "guess"}, "interpolation in it is 'guess'"),
    ],
)
def test_a_wrong_value_is_a_sentence(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    make(tmp_path / "net", {"pretrained_cfg": STATED | changed})
    with pytest.raises(ModelProblem, match=said):
        inspect_model(tmp_path / "net")


def test_other_configurations_are_no_reason_to_refuse_weights(tmp_path: Path) -> None:
    make(tmp_path / "net", {})
    (tmp_path / "net" / "model.safetensors").rename(tmp_path / "net" / "mine.safetensors")
    for text in ('{"lr": 0.1}', "[", '{"architecture": "vgg16", "pretrained_cfg": {"mean": [9, 9, 9]}}', "7"):
        (tmp_path / "net" / "config.json").write_text(text)
        spec = catalog.of_file(tmp_path / "net" / "mine.safetensors", "timm/test_resnet")
        assert load(spec).preprocessing.mean != (9.0, 9.0, 9.0)


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    make(tmp_path / "net", {"architecture": "resnet19"})
    with pytest.raises(ModelProblem, match=r"architecture timm/resnet19: did you mean"):
        inspect_model(tmp_path / "net")


def test_a_folder_of_several_models_or_none_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsProblem, match="holds no model known here"):
        inspect_model(tmp_path)
    for name in ("a.pth", "b.onnx"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(WeightsProblem, match=r"holds several models \(a\.pth and b\.onnx\): give the file of one\."):
        inspect_model(tmp_path)
