"""No weights are lost where the list of added models is damaged, unreadable or gone."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import shufflenet_v2_x0_5

from sightglass.common.errors import ModelProblem
from sightglass.models.own import adding, store
from tests.unit.models.test_own_models import saved

NAMES = ("fern", "leaf")
LABELS = ["late blight", "rouillé", "healthy", "mosaic", "spot"]
"""One has a letter that is other bytes in other encodings."""


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of added models with two models in it."""
    folder = tmp_path_factory.mktemp("two") / "store"
    torch.manual_seed(0)
    weights = saved(shufflenet_v2_x0_5(num_classes=5).state_dict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTGLASS_OWN_MODELS", str(folder))
        for name in NAMES:
            into = store.receive([(f"{name}.pth", weights)])
            store.register(into, store.draft(into), {"weights.labels": LABELS})
    return folder


@pytest.fixture
def stored(two_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which was made long ago."""
    folder = tmp_path / "store"
    shutil.copytree(two_models, folder)
    for name in NAMES:
        os.utime(folder / name, (0, 0))
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def files_of(stored: Path) -> dict[str, int]:
    """Return the sizes of the two models' files."""
    files = (file for name in NAMES for file in (stored / name).rglob("*"))
    return {str(file.relative_to(stored)): file.stat().st_size for file in files}


def replace_by_folder(table: Path) -> None:
    table.unlink()
    table.mkdir()


def replace_by_broken_link(table: Path) -> None:
    table.unlink()
    table.symlink_to(table.with_name("elsewhere.toml"))


def encode(table: Path, encoding: str) -> None:
    table.write_bytes(table.read_text("utf-8").encode(encoding))


def flip(table: Path, place: int, bit: int) -> None:
    data = bytearray(table.read_bytes())
    data[place] ^= 1 << bit
    table.write_bytes(data)


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "truncated": lambda table: os.truncate(table, table.read_bytes().index(b"loader") + 3),
    "one bit": lambda table: flip(table, 0, 1),
    "UTF-16": lambda table: encode(table, "utf-16"),
    "Latin-1": lambda table: encode(table, "latin-1"),
    "zeros": lambda table: table.write_bytes(bytes(table.stat().st_size)),
    "nested": lambda table: table.write_text("a = " + "[" * 100_000, "utf-8"),
    "no tables": lambda table: table.write_text("model = 5", "utf-8"),
    "a folder": replace_by_folder,
    "a link to nothing": replace_by_broken_link,
}
UNNAMED: dict[str, Callable[[Path], object]] = {
    "empty": lambda table: table.write_bytes(b""),
    "blank": lambda table: table.write_text("\n\n# nothing\n", "utf-8"),
    "gone": Path.unlink,
    "another key": lambda table: table.write_text(table.read_text("utf-8").replace("[model.", "[models."), "utf-8"),
}


def content_of(table: Path) -> bytes | str:
    if table.is_symlink():
        return os.readlink(table)
    return table.read_bytes() if table.is_file() else b""


@pytest.mark.parametrize("damage", UNREADABLE)
def test_unreadable_list_loses_no_weights(damage: str, stored: Path) -> None:
    table, before = store.table(), files_of(stored)
    UNREADABLE[damage](table)
    content = content_of(table)
    routes: dict[str, Callable[[], object]] = {
        "add": lambda: store.receive([("moss.pth", b"x")]),
        "remove": lambda: store.remove("leaf"),
        "withdraw": lambda: store.withdraw("leaf"),
        "change": lambda: store.change("leaf", {"weights.labels": None}),
        "write": lambda: adding.write(table, "moss", {"loader": "timm"}, force=True),
        "take out": lambda: adding.remove(table, "leaf"),
    }
    for name, route in routes.items():
        with pytest.raises(
            ModelProblem, match=r"models\.toml cannot be read \(.+\), so no model is added or removed: "
        ):
            route()
        assert files_of(stored) == before, name
        assert content_of(table) == content, name
    store.discard(stored / "leaf")
    assert files_of(stored) == before
    assert store.list_own() == ()
    assert store.unreadable().startswith("models.toml cannot be read (")


def test_list_that_becomes_unreadable_while_files_wait(stored: Path) -> None:
    before = files_of(stored)
    into = store.receive([("moss.pth", (stored / "leaf" / "leaf.pth").read_bytes())])
    draft = store.draft(into)
    text = store.table().read_text("utf-8")
    store.table().write_text(text[:20], "utf-8")
    with pytest.raises(ModelProblem, match=r"^models\.toml cannot be read"):
        store.register(into, draft, {})
    assert files_of(stored) == before
    store.table().write_text(text, "utf-8")
    assert store.register(into, draft, {}) == "moss"
    assert [*store.tables()] == [*NAMES, "moss"]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_list_that_the_system_does_not_read(number: int, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, read = files_of(stored), Path.read_text

    def fail(path: Path, *args: Any, **more: Any) -> str:
        if path == store.table():
            raise OSError(number, os.strerror(number), str(path))
        return read(path, *args, **more)

    monkeypatch.setattr(Path, "read_text", fail)
    for route in (lambda: store.receive([("moss.pth", b"x")]), lambda: store.remove("leaf")):
        with pytest.raises(ModelProblem, match=rf"cannot be read \({os.strerror(number)}\)"):
            route()
    assert files_of(stored) == before


@pytest.mark.parametrize("damage", UNNAMED)
def test_list_that_lost_its_models_loses_no_weights(damage: str, stored: Path) -> None:
    before = files_of(stored)
    UNNAMED[damage](store.table())
    assert store.unlisted() == NAMES
    into = store.receive([("leaf.pth", b"x")])
    assert into.name == "leaf-2"
    assert store.unlisted() == NAMES
    store.discard(into)
    with pytest.raises(ModelProblem, match="no model leaf of yours"):
        store.remove("leaf")
    assert files_of(stored) == before


def test_no_flipped_bit_loses_weights(stored: Path) -> None:
    before, table = files_of(stored), store.table()
    whole = table.read_bytes()
    for place in range(len(whole)):
        table.write_bytes(whole)
        flip(table, place, place % 8)
        try:
            into = store.receive([("moss.pth", b"x")])
        except ModelProblem:
            assert store.unreadable()
        else:
            store.discard(into)
        assert files_of(stored) == before, place


def test_only_folders_that_wait_are_deleted(stored: Path) -> None:
    before = files_of(stored)
    waiting = store.receive([("moss.pth", b"x")])
    empty = stored / "empty"
    empty.mkdir()
    for folder in (waiting, empty):
        os.utime(folder, (0, time.time() - 2 * store.ABANDONED))
    store.receive([("ivy.pth", b"x")])
    assert not waiting.exists()
    assert not empty.exists()
    assert files_of(stored) == before
    assert sorted(path.name for path in stored.iterdir()) == [".ivy.waiting", "fern", "ivy", "leaf", "models.toml"]


def test_files_deleted_while_they_waited(stored: Path) -> None:
    into = store.receive([("moss.pth", (stored / "leaf" / "leaf.pth").read_bytes())])
    draft = store.draft(into)
    store._marker(into).unlink()
    with pytest.raises(ModelProblem, match=r"^The files of moss are no longer here: drop them again\.$"):
        store.register(into, draft, {})
    assert "moss" not in store.tables()


def test_withdrawn_model_is_registered_again(stored: Path) -> None:
    leaf = stored / "leaf"
    store.withdraw("leaf")
    assert [*store.tables()] == ["fern"]
    assert store.register(leaf, store.draft(leaf), {}) == "leaf"
    store.withdraw("leaf")
    store.discard(leaf)
    assert not leaf.exists()
