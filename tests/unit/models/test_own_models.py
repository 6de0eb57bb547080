"""Models that people add by dropping files: what is stored, what is refused, and who sees it."""

import errno
import io
import json
import os
import pickle
import time
import zipfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18

from sightglass import models
from sightglass.cli import main
from sightglass.common import access
from sightglass.common.errors import MachineProblem, ModelProblem, Problem
from sightglass.common.left_out import describe_left_out
from sightglass.explain import Explainer
from sightglass.models import catalog, isolated
from sightglass.models.families.transformers.folders import check_folder
from sightglass.models.load import TRUST, inspect_model, load
from sightglass.models.own import adding, store
from sightglass.models.spec import ModelSpec, WeightsTable
from tests import plant_net
from tests.corpus import Touch, zip_of

NAMES = ["late blight", "healthy", "rust", "mosaic", "spot"]


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    access.install(access.Access("open"))
    yield tmp_path / "store"
    access.install(access.Access())


@pytest.fixture(scope="module")
def leaf() -> bytes:
    torch.manual_seed(0)
    return saved(resnet18(num_classes=5).state_dict())


def add(*files: tuple[str, bytes], **answers: object) -> str:
    into = store.receive(files)
    return store.register(into, store.draft(into), answers)


def left(stored: Path) -> list[str]:
    return sorted(str(path.relative_to(stored)) for path in stored.rglob("*")) if stored.exists() else []


YAML = "path: ../plants  # dataset root\ntrain: images/train\nnc: 5\nnames: "


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_to_idx.json", json.dumps({name: i for i, name in enumerate(NAMES)})),
        ("data.yaml", f"{YAML}[late blight, healthy, rust, mosaic, spot]"),
        ("data.yaml", YAML + "".join(f"\n  {i}: {name}" for i, name in enumerate(NAMES))),
    ],
)
def test_checkpoint_with_class_names(name: str, text: str, leaf: bytes) -> None:
    id_ = add(("Leaf model.pth", leaf), (name, text.encode()))
    assert id_ == "leaf_model"
    spec = catalog.spec(id_)
    assert spec in store.list_own() and spec.family == id_ and spec.arch == "resnet18"
    assert load(spec).labels == tuple(NAMES)


FLAT = "x0: &x0 [l, l]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 40))
HOSTILE_YAML = {
    "nested": (b"names: " + b"[" * 200 + b"]" * 200, "nested too deeply"),
    "endless": (b"names: " + b"[" * 400_000, "it is no YAML"),
    "billions": (f"{FLAT}names: *x39".encode(), "refers to parts of itself"),
    "merged": (b"a: &a {b: c}\nd: &d {<<: [*a, *a]}\nnames: {<<: [*d, *d]}", "refers to parts of itself"),
    "recursive": (b"names: &a [*a]", "refers to parts of itself"),
    "bytes": (b"names: \xff\xfe", "it is no text in UTF-8"),
    "unfinished": (b"names: a: b", r"is no YAML \(line 1\)"),
    "large": (b"names: [" + b"a, " * 500_000 + b"]", "more than 1 MB"),
    "other number": (b"names: [a, b, c, d]", "leaf has 5 classes and data.yaml names 4"),
}


@pytest.mark.parametrize("kind", HOSTILE_YAML)
def test_hostile_yaml_ends_in_one_sentence(kind: str, leaf: bytes, stored: Path) -> None:
    data, words = HOSTILE_YAML[kind]
    with pytest.raises(Problem, match=words) as refused:
        add(("leaf.pth", leaf), ("data.yaml", data))
    message = str(refused.value)
    assert message.endswith((".", "?")) and "\n" not in message and str(stored) not in message and len(message) < 200


def test_yaml_makes_no_objects(leaf: bytes, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    text = f"names: !!python/object/apply:os.mkdir ['{ran}']\nclasses: [a, b, c, d, e]"
    add(("leaf.pth", leaf), ("data.yaml", text.encode()))
    assert load(catalog.spec("leaf")).labels == tuple("abcde") and not ran.exists()


@pytest.mark.parametrize("place", [(store, "_store"), (adding, "write_file")])
def test_a_full_disk_is_one_sentence_and_leaves_no_model(place, leaf, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*place, fail)
    with pytest.raises(MachineProblem, match=r"^The disk is full: make room on it, and try again\.$"):
        add(("leaf.pth", leaf))
    assert not store.tables()


def test_archive_on_a_full_disk_is_not_damaged(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stored.mkdir(parents=True, exist_ok=True)
    (stored / "m.zip").write_bytes(zip_of({"m.pth": b"x"}))
    monkeypatch.setattr(store, "_store", fail)
    with pytest.raises(MachineProblem, match=r"^The disk is full: make room on it, and try again\.$"):
        store._unpack(stored, "m.zip", 100)
    assert (stored / "m.zip").is_file()


def test_a_table_that_is_nested_deeply_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, deep = tmp_path / "models.toml", "[" * 100_000
    path.write_text(f"a = {deep}", "utf-8")
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(path))
    assert adding.parse_value(deep) == deep
    with pytest.raises(ModelProblem, match="nested too deeply"):
        adding.tables(path)
    assert any("nested too deeply" in fault for fault in catalog.faults().values())
    with pytest.raises(Problem, match="cannot be read"):
        adding.write(path, "a", {"loader": "timm"})


def test_two_models_of_one_name_are_two(leaf: bytes) -> None:
    assert [add(("leaf.pth", leaf)), add(("leaf.pth", leaf))] == ["leaf", "leaf-2"]
    assert add(("yolo11n.pth", leaf)) == "yolo11n-2", "a name of the catalogue stays what it is"


def test_what_is_removed_is_gone_and_nothing_else(stored: Path, leaf: bytes) -> None:
    add(("leaf.pth", leaf)), add(("fern.pth", leaf))
    store.remove("leaf")
    assert left(stored) == ["fern", "fern/fern.pth", "models.toml"]
    assert "leaf" not in catalog.catalog() and "fern" in catalog.catalog()
    with pytest.raises(Problem, match="There is no model leaf of yours"):
        store.remove("leaf")


@pytest.mark.parametrize(
    ("way", "setting", "allowed"),
    [("local", "0", True), ("open", "0", False), ("token", "0", False), ("token", "1", True)],
)
def test_code_runs_only_where_the_operator_lets_it(way, setting, allowed, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_MODEL_CODE", setting)
    monkeypatch.setattr(access, "_IN_USE", [access.Access(way)])
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').close()\n".encode() + plant_net.SOURCE
    into = store.receive([("net.pth", saved(plant_net.tensors())), ("net.py", code)])
    draft = store.draft(into)
    (question,) = [item for item in draft.unknown if item.key == "arch"]
    assert question.choices[0] == f"{into / 'net.py'}:PlantNet"
    answers = {"arch": question.choices[0], TRUST: "yes"}
    assert store.runs_code(draft, answers) and not ran.exists()
    if not allowed:
        with pytest.raises(ModelProblem, match="runs code"):
            store.register(into, draft, answers)
        assert not ran.exists() and into.name not in catalog.catalog()
        return
    assert len(load(catalog.spec(store.register(into, draft, answers))).labels) == 3
    assert ran.exists()


def test_archive_larger_than_the_room(stored, monkeypatch, leaf):
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS_MB", "1")
    for files in ([("zeros.zip", zip_of({"zeros.pth": bytes(3_000_000)}))], [("leaf.pth", leaf)]):
        with pytest.raises(Problem, match=r"more than one model may take|may take 1 MB together"):
            store.receive(files)
    assert left(stored) == []


def small_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()


def save(kind: str, path: Path) -> Path:
    noise = torch.rand(1, 3, 32, 32)
    if kind == "TorchScript":
        torch.jit.save(torch.jit.trace(small_net(), noise), str(path))
    elif kind == "checkpoint":
        torch.save(small_net().state_dict(), path)
    else:
        config = {"class_name": "Sequential", "config": {"layers": []}}
        path.write_bytes(zip_of({"config.json": json.dumps(config).encode()}))
    return path


def rewrite(path: Path, more: dict[str, bytes]) -> None:
    """Write an archive again, with `more` entries after its own."""
    with zipfile.ZipFile(path) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(path, "w") as archive, pytest.warns() if dict(entries).keys() & more else nullcontext():
        for name, data in (*entries, *more.items()):
            archive.writestr(name, data)


ENTRIES = {"TorchScript": "data.pkl", "checkpoint": "data.pkl", "Keras": "config"}
SUFFIX = {"TorchScript": ".torchscript", "checkpoint": ".pth", "Keras": ".keras"}


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


def test_torchscript_needs_trust(tmp_path, monkeypatch, capsys):
    path = save("TorchScript", tmp_path / "net.torchscript")
    with pytest.raises(ModelProblem, match="can run code in it: do you trust its source"):
        Explainer(str(path))
    call = ["models", "add", str(path), "--set", "weights.preprocessing.size=32"]
    assert main(call) == 2 and "Add --trust if you do." in capsys.readouterr().err
    assert not (tmp_path / "models.toml").exists() and main([*call, "--trust"]) == 0
    assert catalog.spec("net").loader == "exported" and "trust" not in (tmp_path / "models.toml").read_text()
    into = store.receive([(path.name, path)])
    draft = store.draft(into)
    assert store.runs_code(draft, {})
    for setting in ("no", "yes"):
        monkeypatch.setenv("SIGHTGLASS_MODEL_CODE", setting)
        with pytest.raises(ModelProblem, match=r"runs code|do you trust"):
            store.register(into, draft, {TRUST: "yes"} if setting == "no" else {})


def test_a_person_is_asked_where_no_memory_can_be_limited(monkeypatch: pytest.MonkeyPatch, leaf: bytes) -> None:
    monkeypatch.setattr(isolated, "LIMITS_MEMORY", False)
    assert add(("leaf.pth", leaf)), "an architecture of a library needs no consent"
    into = store.receive([("net.onnx", onnx_file("classifier"))])
    draft = store.draft(into)
    with pytest.raises(ModelProblem, match="cannot limit the memory"):
        store.register(into, draft, {})
    assert store.register(into, draft, {TRUST: "yes"}) == "net"


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("kind", ["link", "external"])
def test_a_keras_file_reads_no_numbers_of_another_file(kind: str, suffix: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    pytest.importorskip("keras")
    from sightglass.models.families.keras.network import keras

    path, other = tmp_path / f"m{suffix}", str(tmp_path / "other.h5")
    with h5py.File(other, "w") as file:
        file["kernel"] = np.zeros((3, 2), "f4")
    layers = keras().layers
    keras().Sequential([layers.Input((8, 8, 3)), layers.Dense(2)]).save(path)
    entries = {}
    if suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    memory = io.BytesIO(entries.pop("model.weights.h5", b""))
    with h5py.File(memory if entries else path, "r+") as file:
        name = file.visititems(lambda name, node: name if getattr(node, "shape", None) == (3, 2) else None)
        del file[name]
        if kind == "link":
            file[name] = h5py.ExternalLink(other, "kernel")
        else:
            file.create_dataset(name, (3, 2), "f4", external=[(other, 0, 24)])
    if entries:
        path.write_bytes(zip_of({**entries, "model.weights.h5": memory.getvalue()}))
    with pytest.raises(Problem, match="Keras cannot rebuild m") as refused:
        inspect_model(path)
    assert "Not allowed: H5 file with " in str(refused.value.__cause__)


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
    "preprocessor with code": {"auto_map": {"AutoImageProcessor": "code.Own"}},
    "tokenizer with code": {"auto_map": {"AutoTokenizer": ["code.Own", None]}},
    "tokenizer": {"vocab_file": "/etc/passwd"},
    "adapter": {"base_model_name_or_path": "/srv/other"},
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_configuration_names_neither_other_files_nor_code(kind: str, tmp_path: Path) -> None:
    prefix = kind.partition(" ")[0] + "_"
    file = f"{prefix}config.json" if prefix[:4] in ("prep", "toke", "adap") else "config.json"
    folder = vit(tmp_path / "mine", FOREIGN[kind] if file == "config.json" else None)
    if file != "config.json":
        (folder / file).write_text(json.dumps(FOREIGN[kind]), "utf-8")
    with pytest.raises(Problem, match=r"no file of that folder|brings its own code"):
        check_folder(folder)


@pytest.mark.parametrize("row", ["upernet UperNetForSemanticSegmentation segment", "dpt DPTForDepthEstimation regress"])
def test_a_folder_asks_the_hub_for_nothing(row: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    asked: list[object] = []
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "0")
    monkeypatch.setattr("socket.getaddrinfo", lambda *place, **_: asked.append(place))
    type_, arch, task = row.split()
    folder = vit(tmp_path / "mine", {"model_type": type_, "architectures": [arch], "backbone": "owner/name"})
    save_file({"a": torch.zeros(2)}, folder / "model.safetensors")
    table: Any = {"task": task, "licence": "", "weights": WeightsTable(path=str(folder))}
    with pytest.raises(Problem, match="which is not looked up"):
        load(ModelSpec("m", "m", "", "transformers", "m", **table))
    assert not asked


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


def test_class_names_are_read_from_received_files_alone(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("a\nb\nc\nd\n", "utf-8")
    tensors = {"fc.weight": torch.zeros(4, 8), "fc.bias": torch.zeros(4)}
    into = store.receive([("net.pth", saved(tensors)), ("names.md.txt", b"a\nb\nc\nd\n")])
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


BESIDE = (
    *("model.safetensors.index.json", "model-00001-of-00001.safetensors", "chat_template.jinja", "vocab.json"),
    *("merges.txt", "spiece.model", "preprocessor_config.json", "generation_config.json", "tokenizer_config.json"),
)
ELSEWHERE = {
    "README.md": "no file of a model",
    "cat.png": "no file of a model",
    ".gitattributes": "hidden",
    "onnx/model.onnx": "not beside config.json",
    "original/config.json": "not beside config.json",
    "onnx/notes.pdf": "no file of a model",
}


@pytest.mark.parametrize("top", ["", "my-model/"])
def test_a_folder_and_its_archive_are_the_same_files_and_name_the_others(top: str) -> None:
    used = {name: name.encode() for name in ("config.json", *BESIDE)}
    files = {f"{top}{name}": data for name, data in used.items()} | {f"{top}{name}": b"x" for name in ELSEWHERE}
    plain = {name: data for name, data in files.items() if name.count("/") == top.count("/")}
    doors = {"paths": [*files.items()], "archive": [("m.zip", zip_of(files))], "one by one": [*plain.items()]}
    for door, dropped in doors.items():
        left_out: dict[str, str] = {}
        into = store.receive(dropped, left_out)
        assert {file.name: file.read_bytes() for file in into.iterdir()} == used, door
        among = files if door != "one by one" else plain
        assert left_out == {f"{top}{name}": why for name, why in ELSEWHERE.items() if f"{top}{name}" in among}, door


def test_weights_and_names_in_different_folders_are_one_model(leaf: bytes) -> None:
    names = "\n".join(NAMES).encode()
    left_out: dict[str, str] = {}
    files = {"run/weights/leaf.pth": leaf, "run/names.txt": names, "run/results.png": b"x", "__MACOSX/a.txt": b"x"}
    into = store.receive([("run.zip", zip_of(files))], left_out)
    assert store.draft(into).table["weights"]["labels"] == str(into / "names.txt")
    words = "2 files were left out: run/results.png (no file of a model); __MACOSX/a.txt (hidden)."
    assert describe_left_out(left_out) == words


def shared_tables() -> dict[str, Any]:
    table: dict[str, Any] = {"a": 1}
    for _ in range(6):
        table = {f"k{i}": table for i in range(40)}
    return table


def saved(value: object, compressed: bool = False) -> bytes:
    plain = io.BytesIO()
    torch.save(value, plain)
    if not compressed:
        return plain.getvalue()
    with zipfile.ZipFile(plain) as archive:
        return zip_of({name: archive.read(name) for name in archive.namelist()})


def onnx_file(kind: str) -> bytes:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make, number = onnx.helper, onnx.TensorProto.INT64
    batch, row = {"batch": (80_000, 2), "row": (1, 10**8)}.get(kind, (1, 3))
    x = make.make_tensor_value_info("x", 1, [batch, 3, 224, 224])
    y = make.make_tensor_value_info("y", 1, [batch, row])
    fixed = [make.make_tensor("shape", number, [2], [batch, row]), make.make_tensor("many", number, [], [2**62])]
    nodes = [make.make_node("ConstantOfShape", ["shape"], ["start" if kind == "loop" else "y"])]
    if kind == "loop":
        values = [make.make_tensor_value_info(name, type_, []) for name, type_ in (("i", number), ("go", 9))]
        steps = [make.make_node("Identity", ["go"], ["on"]), make.make_node("Exp", ["v"], ["w"])]
        v, w = (make.make_tensor_value_info(name, 1, [1, 3]) for name in "vw")
        body = make.make_graph(steps, "b", [*values, v], [make.make_tensor_value_info("on", 9, []), w])
        nodes.append(make.make_node("Loop", ["many", "", "start"], ["y"], body=body))
    model = make.make_model(make.make_graph(nodes, "g", [x], [y], fixed), opset_imports=[make.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def folder_of(config: dict[str, Any]) -> bytes:
    text = {"model_type": "vit", "architectures": ["ViTForImageClassification"], **config}
    return zip_of({"config.json": json.dumps(text).encode(), "pytorch_model.bin": saved({"a": torch.zeros(2)})})


HOSTILE: dict[str, tuple[str, Any, str]] = {
    "pickle that runs code": ("m.pth", lambda: pickle.dumps(Touch(Path("ran"))), "is a Python pickle"),
    "checkpoint that runs code": ("m.pt", lambda: saved({"model": Touch(Path("ran"))}), "holds no state_dict"),
    "nothing": ("m.pth", lambda: b"", "is empty"),
    "noise": ("m.safetensors", lambda: b"\xff" * 999, "is damaged or no checkpoint"),
    "picture": ("cat.png", lambda: b"\x89PNG", "no file of a model"),
    "labels alone": ("names.txt", lambda: b"a\nb", "holds no model"),
    "path": ("../../etc/evil.pth", lambda: b"x", "^evil.pth is damaged"),
    "path in an archive": ("m.zip", lambda: zip_of({"../../evil.pth": b"x"}), "^evil.pth is damaged"),
    "two models": ("m.zip", lambda: zip_of({"a.onnx": b"x", "b.onnx": b"y"}), "different models"),
    "program": ("run.sh", lambda: b"rm -rf /", "no file of a model"),
    "many files": ("m.zip", lambda: zip_of({f"{n}.txt": b"a" for n in range(99)}), "at most 64 files"),
    "zip of zeros": ("m.zip", lambda: zip_of({"net.onnx": bytes(2**25)}), "unpacks to far more"),
    "compressed": ("m.pth", lambda: saved({"a.weight": torch.zeros(8, 8)}, True), "compressed entries"),
    "shared tables": ("m.pth", lambda: saved(shared_tables()), "in too many ways"),
    "stride 0": ("m.pth", lambda: saved({"fc.weight": torch.zeros(1).expand(10**6, 512)}), "far more than it holds"),
    "deep Keras": ("m.keras", lambda: zip_of({"config.json": b'{"a":' * 99_999 + b"1"}), "cannot rebuild"),
    "architectures": ("m.zip", lambda: folder_of({"architectures": 5}), "should name one of its classes"),
    "id2label": ("m.zip", lambda: folder_of({"id2label": "x"}), "could not be loaded"),
    "hidden_size": ("m.zip", lambda: folder_of({"hidden_size": 199_992}), "does not fit|lacks|more memory"),
    "batch": ("m.onnx", lambda: onnx_file("batch"), "80000 pictures of 224 x 224 pixels at once"),
    "row": ("m.onnx", lambda: onnx_file("row"), "more memory|100,000,000 classes"),
    "loop": ("m.onnx", lambda: onnx_file("loop"), "was not read within 4 s"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_file(kind, stored, tmp_path, monkeypatch):
    name, data, words = HOSTILE[kind]
    content = data()
    if kind in ("architectures", "id2label", "hidden_size"):
        pytest.importorskip("transformers")
    if kind == "loop":
        isolated.run("", 0, type(None), isolated.warm_up)
        monkeypatch.setattr(isolated, "SECONDS", 4.0)
    into = None
    with pytest.raises(Problem, match=words) as refused:
        into = store.receive([(name, content)])
        store.register(into, store.draft(into), {})
    message = str(refused.value)
    assert message.endswith((".", "?")) and len(message) < 400 and "\n" not in message and str(stored) not in message
    assert not store.tables()
    if into:
        store.discard(into)
    assert not list(stored.glob(".*"))
    assert {path.name for path in tmp_path.rglob("*")} <= {"store", "models.toml"}


@pytest.mark.parametrize("forks", [isolated.FORKS, pytest.param(False, marks=pytest.mark.slow)])
def test_a_child_is_ended_at_its_limits(forks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "FORKS", forks)
    monkeypatch.setattr(isolated, "SECONDS", 1.0)
    monkeypatch.setattr(isolated, "START_SECONDS", 10.0 if forks else 0.0)
    monkeypatch.setattr(isolated, "SLACK", 0.0)
    monkeypatch.setattr(isolated, "MEMORY", 2**28)
    ends: list[tuple[Any, int, str]] = [(time.sleep, 99, "not read within 1 s")]
    if forks:
        assert isolated.run("m", 0, int, max, [3, 4]) == 4
        ends += [(bytearray, 2**30, "more memory than the 256 MB"), (os._exit, 3, "crashes its library")]
    for function, argument, words in ends:
        with pytest.raises(ModelProblem, match=f"^m .*{words}"):
            isolated.run("m", 0, object, function, argument)


def test_broken_code_asks_for_arch(tmp_path: Path) -> None:
    into = store.receive([("net.pth", saved({"odd.weight": torch.zeros(4, 8)})), ("net.py", b"-" * 200_000 + b"1")])
    assert [unknown.key for unknown in store.draft(into).unknown] == ["arch"]


def test_files_with_an_open_question_count_and_give_way(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_MODELS", 2)
    for _ in range(2):
        store.receive([("net.pth", b"x")])
    with pytest.raises(ModelProblem, match="You have 2 models here already, with those"):
        store.receive([("net.pth", b"x")])
    os.utime(stored / "net", (0, time.time() - 400))
    assert store.receive([("net.pth", b"x")]) == stored / "net"


def test_no_lock_stays_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelProblem, match="no model m"):
        adding.remove(tmp_path / "models.toml", "m")
    assert not list(tmp_path.iterdir())


BROWSERS = b'{"modelTopology": {}, "weightsManifest": [{"paths": ["weights.bin"], "weights": []}]}'
UNREAD: dict[str, tuple[dict[str, bytes], str]] = {
    "Teachable Machine for browsers": (
        {"model.json": BROWSERS, "weights.bin": bytes(40), "metadata.json": b'{"labels": ["a", "b"]}'},
        "model.json is for TensorFlow.js, which is not read here: export it for Keras or ONNX instead.",
    ),
    "TFLite": (
        {"model.tflite": b"TFL3", "labels.txt": b"a\nb"},
        "model.tflite is compiled for one kind of machine: give the ONNX file or the checkpoint.",
    ),
    "CoreML alone": (
        {"model.mlmodel": b"x"},
        "model.mlmodel is compiled for one kind of machine: give the ONNX file or the checkpoint.",
    ),
    "SavedModel": (
        {"model.savedmodel/saved_model.pb": b"\x08", "labels.txt": b"a\nb"},
        "saved_model.pb is a graph of TensorFlow, which is not read here: give the Keras file or an ONNX file.",
    ),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_formats_that_are_not_read_are_named_wherever_they_come_from(kind: str, stored: Path, tmp_path: Path) -> None:
    files, sentence = UNREAD[kind]
    folder = tmp_path / "export"
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    for given in ([*files.items()], [("export.zip", zip_of(files))]):
        with pytest.raises(ModelProblem) as refused:
            store.receive(given)
        assert str(refused.value) == sentence
    with pytest.raises(Problem) as refused:
        catalog.of_file(folder)
    assert str(refused.value) == sentence
    assert not [name for name in left(stored) if not name.startswith(".")]


def test_other_files_beside_a_model_are_no_reason_to_refuse_it(leaf: bytes) -> None:
    id_ = add(("leaf.pth", leaf), ("leaf.tflite", b"TFL3"), ("model.json", BROWSERS))
    assert len(load(catalog.spec(id_)).labels) == 5
