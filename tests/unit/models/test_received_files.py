"""Files of strangers: what is checked is what is opened, nothing runs untrusted, and no other file is read."""

from __future__ import annotations

import io
import json
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sightglass import models
from sightglass.cli import main
from sightglass.common import access
from sightglass.common.errors import ModelProblem, Problem
from sightglass.explain import Explainer
from sightglass.models.families.transformers.folders import check_folder
from sightglass.models.inspect import TRUST, inspect_model
from sightglass.models.load import load
from sightglass.models.own import store
from sightglass.models.spec import ModelSpec, WeightsTable

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    access.install(access.Access("open"))
    yield tmp_path / "store"
    access.install(access.Access())


def small_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def save(kind: str, path: Path) -> Path:
    noise = torch.rand(1, 3, 32, 32)
    if kind == "torch.export":
        torch.export.save(torch.export.export(small_net(), (noise,)), path)
    elif kind == "TorchScript":
        torch.jit.save(torch.jit.trace(small_net(), noise), str(path))
    elif kind == "checkpoint":
        torch.save(small_net().state_dict(), path)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": []}}))
    return path


def rewrite(path: Path, more: dict[str, bytes], change: Any = lambda _name, data: data) -> None:
    """Write an archive again, with `more` entries after its own."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, change(name, archive.read(name))) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive, pytest.warns() if dict(entries).keys() & more else nullcontext():
        for name, data in (*entries, *more.items()):
            archive.writestr(name, data)


ENTRIES = {"torch.export": "models/model.json", "TorchScript": "data.pkl", "checkpoint": "data.pkl", "Keras": "config"}
SUFFIX = {"torch.export": ".pt2", "TorchScript": ".torchscript", "checkpoint": ".pth", "Keras": ".keras"}


@pytest.mark.parametrize("twin", [str, str.upper])
@pytest.mark.parametrize("kind", ENTRIES)
def test_an_archive_with_two_entries_of_one_name_is_refused(kind: str, twin: Any, tmp_path: Path) -> None:
    path = save(kind, tmp_path / f"net{SUFFIX[kind]}")
    with zipfile.ZipFile(path) as archive:
        top, entry = next(
            (name[: name.index(ENTRIES[kind])], name) for name in archive.namelist() if ENTRIES[kind] in name
        )
    rewrite(path, {top + twin(entry[len(top) :]): b"{}"})
    for opened in (path, store.receive([(path.name, path)]) / path.name):
        with pytest.raises(Problem, match="holds two entries called"):
            inspect_model(opened)
        if kind != "checkpoint":
            loader = "keras" if kind == "Keras" else "exported"
            with pytest.raises(Problem, match="holds two entries called"):
                load(ModelSpec("m", "m", "", loader, "m", "classify", "", weights=WeightsTable(path=str(opened))))


@pytest.mark.parametrize("kind", ["torch.export", "TorchScript"])
def test_a_file_that_torch_evaluates_is_opened_by_nobody_who_does_not_trust_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(kind, tmp_path / f"net{SUFFIX[kind]}")
    evil = f"open({str(tmp_path / 'ran')!r}, 'w')"

    def poison(name: str, data: bytes) -> bytes:
        return data.replace(b'"as_int": 3', f'"as_expr": {{"expr_str": {json.dumps(evil)}}}'.encode())

    rewrite(path, {}, poison)
    with pytest.raises(ModelProblem, match="can run code in it: do you trust its source"):
        Explainer(str(path))
    assert main(["models", "add", str(path), "--yes"]) == 2 and "Add --trust if you do" in capsys.readouterr().err
    into = store.receive([(path.name, path)])
    draft = store.draft(into)
    assert store.runs_code(draft, {})
    for setting in ("no", "yes"):
        monkeypatch.setenv("SIGHTGLASS_MODEL_CODE", setting)
        with pytest.raises(ModelProblem, match=r"runs code|do you trust"):
            store.register(into, draft, {TRUST: "yes"} if setting == "no" else {})
    assert not (tmp_path / "ran").exists()


def test_a_keras_layer_with_code_is_found_wherever_it_stands(tmp_path: Path) -> None:
    layer = {"class_name": "Bidirectional", "config": {"backward_layer": {"class_name": "Lambda", "config": {}}}}
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}))
    with pytest.raises(Problem, match=r"Lambda layer .* holds code"):
        inspect_model(tmp_path / "m.keras")


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("kind", ["link", "external", "virtual"])
def test_a_keras_file_reads_no_numbers_of_another_file(kind: str, suffix: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["kernel"] = [1.0, 2.0]
    memory, config = io.BytesIO(), json.dumps({"class_name": "Sequential", "config": {"layers": []}})
    with h5py.File(tmp_path / "m.h5" if suffix == ".h5" else memory, "w") as file:
        file.attrs["model_config"] = config
        group = file.create_group("layers")
        if kind == "link":
            group["kernel"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "kernel")
        elif kind == "external":
            group.create_dataset("kernel", (2,), "f8", external=[(str(tmp_path / "other.h5"), 0, 16)])
        else:
            layout = h5py.VirtualLayout((2,), "f8")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "kernel", (2,))
            group.create_virtual_dataset("kernel", layout)
    if suffix == ".keras":
        with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
            archive.writestr("config.json", config)
            archive.writestr("model.weights.h5", memory.getvalue())
    with pytest.raises(Problem, match="takes layers/kernel from another file"):
        inspect_model(tmp_path / f"m{suffix}")


# Folders of Transformers and OpenCLIP.


def vit(folder: Path, config: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    text = {"model_type": "vit", "architectures": ["ViTForImageClassification"], "num_labels": 2, **(config or {})}
    (folder / "config.json").write_text(json.dumps(text), "utf-8")
    return folder


@pytest.mark.parametrize("index", ["model.safetensors.index.json", "pytorch_model.bin.index.json"])
@pytest.mark.parametrize("name", ["../other/model.safetensors", "{other}", "sub/a.safetensors", "..\\a", "..", 5])
def test_an_index_names_no_file_outside_its_folder(index: str, name: Any, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    other = tmp_path / "other" / "model.safetensors"
    other.parent.mkdir()
    save_file({"classifier.bias": torch.zeros(2)}, other)
    name = name.format(other=other) if isinstance(name, str) else name
    text = json.dumps({"metadata": {}, "weight_map": {"classifier.bias": name}})
    folder = vit(tmp_path / "mine")
    (folder / index).write_text(text, "utf-8")
    if "bin" in index:
        torch.save({}, folder / "pytorch_model.bin")
    table = WeightsTable(path=str(folder))
    refused = "which is no file of that folder"
    with pytest.raises(Problem, match=refused):
        inspect_model(folder)
    with pytest.raises(Problem, match=refused):
        load(ModelSpec("m", "m", "", "transformers", "m", "classify", "", weights=table))
    files = [(file.name, file) for file in folder.iterdir()]
    with pytest.raises(Problem, match=refused):
        store.draft(store.receive(files))


FOREIGN = {
    "config": {"transformers_weights": "other.safetensors"},
    "timm": {"model_args": {"checkpoint_path": "other.bin"}},
    "backbone": {"backbone": "local-dir:/srv/other"},
    "above": {"backbone_config": {"backbone": "../other"}},
    "open_clip": {"model_cfg": {"text_cfg": {"hf_model_name": "/srv/other"}}},
    "open_clip with code": {"model_cfg": {"text_cfg": {"tokenizer_kwargs": {"trust_remote_code": True}}}},
    "preprocessor with code": {"auto_map": {"AutoImageProcessor": "code.Own"}},
    "tokenizer with code": {"auto_map": {"AutoTokenizer": ["code.Own", None]}},
    "tokenizer": {"vocab_file": "/etc/passwd"},
    "adapter": {"base_model_name_or_path": "/srv/other"},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_configuration_names_neither_other_files_nor_code(kind: str, tmp_path: Path) -> None:
    prefix = kind.partition(" ")[0] + "_"
    file = f"{prefix}config.json" if prefix[:4] in ("open", "prep", "toke", "adap") else "config.json"
    folder = vit(tmp_path / "mine", FOREIGN[kind] if file == "config.json" else None)
    if file != "config.json":
        (folder / file).write_text(json.dumps(FOREIGN[kind]), "utf-8")
    with pytest.raises(Problem, match=r"no file of that folder|brings its own code"):
        check_folder(folder)


def test_what_libraries_write_themselves_is_accepted(tmp_path: Path) -> None:
    folder = vit(tmp_path / "mine", {"_name_or_path": "/home/me/vit", "backbone": "facebook/dinov2-small"})
    stale = {"special_tokens_map_file": "./special_tokens_map.json", "vocab_file": None, "name_or_path": "a/b"}
    (folder / "tokenizer_config.json").write_text(json.dumps(stale), "utf-8")
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    check_folder(folder)


def test_every_folder_is_opened_through_the_check() -> None:
    files = Path(models.__path__[0]).rglob("*.py")
    assert {file.name for file in files if ".from_pretrained(" in file.read_text("utf-8")} == {"folders.py"}


# Files beside a model.


def test_class_names_are_read_from_received_files_alone(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a\nb\nc\nd\n", "utf-8")
    data = io.BytesIO()
    torch.save({"fc.weight": torch.zeros(4, 8), "fc.bias": torch.zeros(4)}, data)
    into = store.receive([("net.pth", data.getvalue()), ("names.md.txt", b"a\nb\nc\nd\n")])
    draft = inspect_model(save("TorchScript", tmp_path / "net.pt"))
    for answer in (str(tmp_path / "secret.txt"), "../secret.txt"):
        with pytest.raises(ModelProblem, match=r"secret\.txt is none of the received files"):
            store._check_labels(into, {"weights": {"labels": answer}})
    table = {**draft.table, "weights": {"labels": "names.md.txt"}}
    store._check_labels(into, table)
    assert table["weights"]["labels"] == str(into / "names.md.txt")


def test_two_received_files_of_one_name_are_refused() -> None:
    with pytest.raises(ModelProblem, match=r"two files called Config\.json"):
        store.receive([("config.json", b"{}"), ("Config.json", b"{}")])
