"""Models that people add by dropping files: what is kept, what is refused, and who sees it."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torchvision.models import resnet18

from sightglass.common import access, users
from sightglass.common.errors import ModelProblem, Problem
from sightglass.models import catalog
from sightglass.models.inspect import TRUST
from sightglass.models.load import load
from sightglass.models.own import store
from tests import plant_net

if TYPE_CHECKING:
    from collections.abc import Iterator

ANN, BEN = "ann@example.org", "ben@example.org"
NAMES = ["late blight", "healthy", "rust", "mosaic", "spot"]


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(tmp_path / "store"))
    yield tmp_path / "store"


@pytest.fixture(scope="module")
def leaf() -> bytes:
    torch.manual_seed(0)
    return saved(resnet18(num_classes=5).state_dict())


def saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def packed(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def add(*files: tuple[str, bytes], **answers: object) -> str:
    into = store.receive(files)
    return store.register(into, store.draft(into), answers)


def left(kept: Path) -> list[str]:
    return sorted(str(path.relative_to(kept)) for path in kept.rglob("*")) if kept.exists() else []


YAML = "path: ../plants  # dataset root\ntrain: images/train\nnc: 5\nnames: "


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_to_idx.json", json.dumps({name: i for i, name in enumerate(NAMES)})),
        ("data.yaml", f"{YAML}[late blight, healthy, rust, mosaic, spot]"),
        ("data.yaml", YAML + "".join(f"\n  {i}: {name}" for i, name in enumerate(NAMES))),
    ],
)
def test_a_checkpoint_and_its_class_names_become_a_model_by_two_files(name: str, text: str, leaf: bytes) -> None:
    id_ = add(("Leaf model.pth", leaf), (name, text.encode()))
    assert id_ == "leaf_model"
    spec = catalog.spec(id_)
    assert store.owns(spec) and spec.family == id_ and spec.arch == "resnet18"
    assert load(spec).labels == tuple(NAMES)


FLAT = "x0: &x0 [l, l]\n" + "".join(f"x{i}: &x{i} [*x{i - 1}, *x{i - 1}]\n" for i in range(1, 40))
HOSTILE_YAML = {
    "nested": (b"names: " + b"[" * 400_000, "nested too deeply"),
    "billions": (f"{FLAT}names: *x39".encode(), "refers to parts of itself"),
    "merged": (b"a: &a {b: c}\nd: &d {<<: [*a, *a]}\nnames: {<<: [*d, *d]}", "refers to parts of itself"),
    "recursive": (b"names: &a [*a]", "refers to parts of itself"),
    "bytes": (b"names: \xff\xfe", "is it a text file"),
    "unfinished": (b"names: a: b", r"is no YAML \(line 1\)"),
    "large": (b"names: [" + b"a, " * 500_000 + b"]", "more than 1 MB"),
    "other number": (b"names: [a, b, c, d]", "leaf has 5 classes and data.yaml names 4"),
}


@pytest.mark.parametrize("kind", HOSTILE_YAML)
def test_hostile_yaml_ends_in_one_sentence(kind: str, leaf: bytes, kept: Path) -> None:
    data, words = HOSTILE_YAML[kind]
    with pytest.raises(Problem, match=words) as refused:
        add(("leaf.pth", leaf), ("data.yaml", data))
    said = str(refused.value)
    assert said.endswith((".", "?")) and "\n" not in said and str(kept) not in said and len(said) < 200


def test_yaml_makes_no_objects(leaf: bytes, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    text = f"names: !!python/object/apply:os.mkdir ['{ran}']\nclasses: [a, b, c, d, e]"
    add(("leaf.pth", leaf), ("data.yaml", text.encode()))
    assert load(catalog.spec("leaf")).labels == tuple("abcde") and not ran.exists()


def test_two_models_of_one_name_are_two(leaf: bytes) -> None:
    assert [add(("leaf.pth", leaf)), add(("leaf.pth", leaf))] == ["leaf", "leaf-2"]
    assert add(("yolo11n.pth", leaf)) == "yolo11n-2", "a name of the catalogue stays what it is"


def test_what_is_removed_is_gone_and_nothing_else(kept: Path, leaf: bytes) -> None:
    add(("leaf.pth", leaf)), add(("fern.pth", leaf))
    store.remove("leaf")
    assert left(kept) == ["fern", "fern/fern.pth", "models.toml"]
    assert "leaf" not in catalog.catalog() and "fern" in catalog.catalog()
    with pytest.raises(Problem, match="There is no model leaf of yours"):
        store.remove("leaf")


def test_nobody_sees_or_overwrites_or_removes_anothers(kept: Path, leaf: bytes) -> None:
    with users.acting(ANN):
        add(("leaf.pth", leaf))
        anns = catalog.spec("leaf")
    with users.acting(BEN):
        assert "leaf" not in catalog.catalog() and not store.owns(anns)
        with pytest.raises(Problem, match="of yours"):
            store.remove("leaf")
        assert add(("leaf.pth", leaf)) == "leaf", "a suffix would tell that somebody has one"
        assert catalog.spec("leaf").weights.path != anns.weights.path
        store.remove("leaf")
    assert "leaf" not in catalog.catalog()
    with users.acting(ANN):
        assert catalog.spec("leaf") == anns and Path(str(anns.weights.path)).is_file()


@pytest.mark.parametrize(
    ("way", "user", "setting", "allowed"),
    [
        ("local", users.LOCAL, "0", True),
        ("open", users.LOCAL, "0", False),
        ("oidc", ANN, "0", False),
        ("oidc", ANN, "1", True),
    ],
)
def test_code_runs_only_where_the_operator_lets_it(
    way: access.Way, user: str, setting: str, allowed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SIGHTGLASS_MODEL_CODE", setting)
    monkeypatch.setattr(access, "_IN_USE", [access.Access(way)])
    ran = tmp_path / "ran"
    code = f"open({str(ran)!r}, 'w').close()\n".encode() + plant_net.SOURCE
    with users.acting(user):
        into = store.receive([("net.pth", saved(plant_net.tensors())), ("net.py", code)])
        found = store.draft(into)
        (question,) = [one for one in found.unknown if one.key == "arch"]
        assert question.choices[0] == f"{into / 'net.py'}:PlantNet"
        answers = {"arch": question.choices[0], TRUST: "yes"}
        assert store.runs_code(found, answers) and not ran.exists()
        if not allowed:
            with pytest.raises(ModelProblem, match="runs code"):
                store.register(into, found, answers)
            assert not ran.exists() and into.name not in catalog.catalog()
            return
        assert len(load(catalog.spec(store.register(into, found, answers))).labels) == 3
    assert ran.exists()


def test_an_archive_that_unpacks_to_more_than_there_is_room_for_is_refused(
    kept: Path, monkeypatch: pytest.MonkeyPatch, leaf: bytes
) -> None:
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS_MB", "1")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.pth", b"\0" * 3_000_000)
    for files in ([("zeros.zip", buffer.getvalue())], [("leaf.pth", leaf)]):
        with pytest.raises(Problem, match=r"more than one model may take|may take 1 MB together"):
            store.receive(files)
    assert left(kept) == []
