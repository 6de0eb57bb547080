"""Pictures from storages by address: the same results, and nothing that comes from there trusted."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from sightglass.batch import run
from sightglass.batch.table import stem
from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.explain.picture.image import MAX_BYTES
from sightglass.explain.picture.source import Unreachable, fetch, find, short

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("fsspec.implementations.memory")
MODEL = "demo-cls-s"


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


@pytest.fixture
def here(tmp_path: Path, pictures: list[Path]) -> Path:
    """Four photographs in two folders, small; one that is none, and what is no picture."""
    from PIL import Image as Pillow

    folder = tmp_path / "here"
    for number, path in enumerate([*pictures, *pictures][:4]):
        (folder / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        with Pillow.open(path) as opened:
            opened.convert("RGB").resize((64 + number, 48)).save(folder / "ab"[number % 2] / f"{number}.png")
    (folder / "a" / "bad.jpg").write_bytes(b"no picture")
    (folder / "a" / "notes.md").write_text("no picture")
    return folder


def brought(system: Any, folder: Path, to: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            system.pipe_file(f"{to}/{path.relative_to(folder).as_posix()}", path.read_bytes())


def test_a_storage_holds_what_a_folder_holds(memory: Any, here: Path, tmp_path: Path) -> None:
    brought(memory, here, "/bucket/in")
    memory.pipe_file("/bucket/in/.hidden/1.png", b"")
    run(here, MODEL, tmp_path / "plain", batch_size=2)
    summary = run("memory://bucket/in", MODEL, tmp_path / "out", batch_size=2)
    assert (summary.done, len(summary.failed)) == (4, 1)
    for path in (tmp_path / "plain").rglob("*"):
        if path.suffix in (".parquet", ".csv", ".jpg", ".npy"):
            assert (tmp_path / "out" / path.relative_to(tmp_path / "plain")).read_bytes() == path.read_bytes()
    memory.pipe_file("/bucket/in/a/0.png", (here / "b" / "1.png").read_bytes())
    assert run("memory://bucket/in", MODEL, tmp_path / "out", batch_size=2).resumed == 4
    with pytest.raises(ModelProblem, match=r"^Results are written to a folder, not to memory://out: give one"):
        run(here, MODEL, "memory://out")


def test_no_sentence_holds_what_an_address_logs_in_with() -> None:
    assert short("s3://key:secret@bucket/photos") == "s3://bucket/photos"
    with pytest.raises(ModelProblem) as error:
        find("nowhere://key:secret@host/photos")
    assert "secret" not in str(error.value)


def test_names_from_a_storage_are_keys_and_never_paths(memory: Any) -> None:
    for name in ("../../up.png", "..\\..\\up.png", "a\u202eb.png", "x\ny.png", "=cmd().png"):
        memory.pipe_file(f"/in/{name}", b"")
    items = find("memory://in")
    assert len(items) > 2 and all(item.key.isprintable() and ".." not in stem(item) for item in items)


def test_no_more_is_read_than_a_picture_may_have(memory: Any) -> None:
    memory.pipe_file("/in/large.png", b"\0" * (MAX_BYTES + 1))
    with pytest.raises(ImageProblem, match="at most 67,108,864 bytes"):
        find("memory://in")[0].open()

    # It says nothing of its size.
    assert len(fetch(SimpleNamespace(open=lambda *_: io.BytesIO(b"\0" * (MAX_BYTES + 100))), "x")) == MAX_BYTES + 1
    broken = SimpleNamespace(open=Mock(side_effect=OSError("reset by peer")))
    with pytest.raises(Unreachable, match=r"^x could not be fetched \(reset by peer\): the next run tries again\.$"):
        fetch(broken, "x")
