"""Folders of timm as on the hub: `config.json` says architecture, preprocessing and names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image as Pillow
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config
from torch import nn

from sightglass.cli import main
from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer
from sightglass.models import catalog
from sightglass.models.checkpoints.architectures import timm_preprocessing
from sightglass.models.families.timm import config_file
from sightglass.models.load import inspect_model, load
from sightglass.models.preprocess import Preprocessing, prepare

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
    net = timm.create_model(**{"model_name": ARCH, "num_classes": 3} | options).eval()
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


PUBLISHED = sorted(
    {
        (how["input_size"], how["crop_pct"], how["crop_mode"], how["interpolation"], how["mean"], how["std"])
        for how in (
            resolve_data_config(pretrained_cfg=timm.models.get_pretrained_cfg(name).to_dict())
            for name in timm.list_pretrained()
        )
    }
)
"""How timm's own weights take their pictures."""
CHANGED = [
    ((3, *size), share, mode, interpolation, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    for size in ((96, 128), (128, 96), (95, 97), (96, 96))
    for share in (0.8, 0.9, 0.95, 1.0, 1.15)
    for mode in ("center", "squash", "border")
    for interpolation in ("bilinear", "bicubic")
]
"""What weights of others may state."""
KEYS = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std")


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def differences(how: dict[str, Any], preprocessing: Preprocessing, shapes: list[tuple[int, int]]) -> Iterator[float]:
    """Yield by how much a prepared picture differs from timm's, at most."""
    transform = create_transform(**how)
    for pixels in (noise(*shape) for shape in shapes):
        ours = prepare(pixels, preprocessing, "trained").tensor[0]
        yield float((ours - transform(Pillow.fromarray(pixels))).abs().max())


def test_pictures_are_prepared_as_by_timms_transform(tmp_path: Path) -> None:
    assert any(mode == "squash" and share < 1 for _, share, mode, *_ in PUBLISHED)
    net, other = nn.Module(), Preprocessing((8, 8), 8, (0.0,) * 3, (1.0,) * 3, "nearest")
    for numbers in (*PUBLISHED, *CHANGED):
        how = dict(zip(KEYS, numbers, strict=True))
        net.pretrained_cfg = how
        (tmp_path / "config.json").write_text(json.dumps({"architecture": ARCH, "pretrained_cfg": how}))
        stated = config_file.read_beside(tmp_path / "model.safetensors").preprocessing
        preprocessing = timm_preprocessing(net)
        assert preprocessing == other.changed(stated) == other.changed(preprocessing.table())
        shapes = [(150, 221), (221, 150), (101, 101), (60, 45)] if numbers[0][1] < 200 else [(150, 221)]
        assert max(differences(how, preprocessing, shapes)) < 1e-4, how


@pytest.mark.parametrize("numbers", CHANGED)
def test_maps_lie_where_timms_transform_puts_the_picture(numbers: tuple[Any, ...]) -> None:
    net, how = nn.Module(), dict(zip(KEYS, numbers, strict=True))
    net.pretrained_cfg = how
    transform = create_transform(**how)
    for height, width in ((150, 221), (221, 150)):
        pixels = np.zeros((height, width, 3), np.uint8)
        bright = pixels.copy()
        bright[height // 2 + 5 : height // 2 + 20, width // 2 - 30 : width // 2 - 10] = 255
        light, dark = (transform(Pillow.fromarray(each)) for each in (bright, pixels))
        change = (light - dark).sum(0).double().numpy()
        y, x = (((np.indices(change.shape) + 0.5) * change).sum((1, 2)) / change.sum()).tolist()
        geometry = prepare(pixels, timm_preprocessing(net), "trained").geometry
        ((across, down),) = geometry.points_to_original([(x, y)])
        assert (down, across) == pytest.approx((height // 2 + 12.5, width // 2 - 20), abs=0.3)


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(96, 128), (96, 96)])
def test_the_answer_is_that_of_timm(mode: str, size: tuple[int, int], tmp_path: Path, picture: Pillow.Image) -> None:
    changed = {"input_size": [3, *size], "crop_pct": 0.9, "crop_mode": mode}
    net = make(tmp_path / "net", {"label_names": NAMES, "pretrained_cfg": STATED | changed})
    right = dict(zip(NAMES, expected(net, picture, **changed), strict=True))
    assert answers(Explainer(str(tmp_path / "net")), picture) == pytest.approx(right, abs=1e-6)
    in_memory = timm.create_model(ARCH, num_classes=3, pretrained_cfg_overlay=STATED | changed).eval()
    in_memory.load_state_dict(net.state_dict())
    assert answers(Explainer(in_memory, labels=NAMES), picture) == pytest.approx(right, abs=1e-6)


def test_a_network_built_for_another_size_keeps_its_share() -> None:
    net = timm.create_model("vit_tiny_patch16_224", img_size=64, embed_dim=24, depth=1, num_classes=3).eval()
    how = resolve_data_config({"input_size": (3, 64, 64)}, model=net)
    assert how["crop_pct"] == 0.9
    adapter = Explainer(net).loaded.adapter
    assert max(differences(how, adapter.preprocessing, [(150, 221), (97, 60)])) < 1e-4


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
    ("arch", "arguments"),
    [
        (ARCH, {"act_layer": "silu", "drop_rate": None}),
        (ARCH, {"output_stride": 8}),
        (ARCH, {"global_pool": "avgmax", "act_layer": "gelu", "num_classes": 3, "in_chans": 3}),
        ("test_convnext", {"act_layer": "relu", "conv_mlp": False}),
        ("test_vit", {"img_size": 64, "act_layer": "relu"}),
        ("test_vit", {"dynamic_img_size": True}),
    ],
)
def test_the_arguments_of_its_architecture_are_used(
    arch: str, arguments: dict[str, Any], tmp_path: Path, picture: Pillow.Image
) -> None:
    folder = tmp_path / "net"
    how = STATED | {"fixed_input_size": arch == "test_vit", "input_size": [3, 160, 160]}
    form = {
        "architecture": arch,
        "pretrained_cfg": how,
        "model_args": arguments,
        "label_names": NAMES,
        "num_classes": 3,
    }
    make(folder, form, **{"model_name": arch, **arguments})
    # timm builds the network from the same folder, and prepares its pictures.
    net = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = create_transform(**resolve_data_config(pretrained_cfg=net.pretrained_cfg))
    with torch.no_grad():
        right = net(transform(picture)[None]).softmax(1)[0].tolist()
    for given in (folder, folder / "model.safetensors"):
        assert answers(Explainer(given), picture) == pytest.approx(dict(zip(NAMES, right, strict=True)), abs=2e-4)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"checkpoint_path": "/etc/passwd"}, "states checkpoint_path, which is no argument of an architecture"),
        ({"pretrained": True}, "states pretrained, which"),
        ({"pretrained_cfg": {"file": "/etc/passwd"}}, "states pretrained_cfg, which"),
        ({"features_only": True}, "states features_only, which"),
        ({"device": "meta"}, "states device, which"),
        ({"act_layer": {"a": 1}}, r"'act_layer' of model_args in config.json is {'a': 1}, and should be a number"),
        ({"channels": [[1] * 99]}, r"'channels' of model_args in config.json is \[\[1, 1, .* …, and should be"),
        ({"channels": 10**9}, "and should be a number up to 65,536, a text"),
        ({"drop_rate": float("nan")}, "is nan, and should be a number"),
        ({"act_layer": "os.system"}, r"test_resnet of timm does not take model_args in config.json \("),
        ({"nonsense": 1}, r"does not take model_args in config.json \(.*nonsense.*\): correct it there."),
        (
            {"channels": [8192] * 4},
            "test_resnet has [0-9,]+ numbers by model_args in config.json, and its file [0-9,]+:",
        ),
        ([1], r"model_args in config.json is \[1\], and should be a table of arguments."),
    ],
)
def test_arguments_that_are_none_of_an_architecture_are_refused(arguments: Any, said: str, tmp_path: Path) -> None:
    make(tmp_path / "net", {"pretrained_cfg": STATED, "label_names": NAMES, "model_args": arguments})
    with pytest.raises(ModelProblem, match=said):
        load(catalog.of_file(tmp_path / "net"))


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
