"""Errors of the machine, of libraries and of stored files become sentences that are true."""

import errno
import io
import os
import sys
from pathlib import Path

import pyarrow as pa  # type: ignore[import-untyped]
import pytest
from pyarrow import parquet

from sightglass.common.errors import (
    MachineProblem,
    ModelProblem,
    OutOfMemory,
    Problem,
    Unreadable,
    describe_missing,
    from_machine,
)
from sightglass.common.files.keeping import reading, replace_file, set_aside_unreadable


def wrapped(cause: BaseException) -> RuntimeError:
    """Return what a library raises in place of another error."""
    try:
        raise RuntimeError("it failed") from cause
    except RuntimeError as error:
        return error


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk/a.pth")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (FULL, MachineProblem, "The disk with /disk/a.pth is full: make room on it, and try again."),
        (wrapped(FULL), MachineProblem, "The disk with /disk/a.pth is full: make room on it, and try again."),
        (
            OSError(errno.EIO, os.strerror(errno.EIO), "/disk/a"),
            MachineProblem,
            "/disk/a cannot be read or written (Input/output error): check the disk that it is on.",
        ),
        (
            wrapped(MemoryError()),
            OutOfMemory,
            "This does not fit in memory: give a smaller picture or model, or fewer classes.",
        ),
    ],
)
def test_errors_of_the_machine(error: BaseException, kind: type[Problem], said: str) -> None:
    problem = from_machine(error)
    assert type(problem) is kind
    assert str(problem) == said


def test_other_errors_are_none_of_the_machine() -> None:
    damaged = ModelProblem("net.pth is damaged: copy it again.")
    damaged.__cause__ = FULL
    for error in (ValueError("a bug"), FileNotFoundError(errno.ENOENT, "gone"), damaged, wrapped(damaged)):
        assert from_machine(error) is None


class FullFile(io.RawIOBase):
    """A file on a full disk."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_of_pyarrow() -> None:
    with pytest.raises(OSError, match="No space left on device") as raised:
        parquet.write_table(pa.table({"a": range(100_000)}), FullFile())
    assert str(from_machine(raised.value)) == "The disk is full: make room on it, and try again."


def test_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library may lack another one, or fail for a reason of its own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lib_lacking.py").write_text("import lib_absent\n", "utf-8")
    (tmp_path / "lib_broken.py").write_text("from math import no_such_name\n", "utf-8")
    late = "try:\n    import lib_lacking\nexcept ImportError as error:\n    raise ImportError('no part x') from error\n"
    (tmp_path / "lib_late.py").write_text(late, "utf-8")
    said = {
        "lib_absent": "lib_absent, which is not installed here",
        "lib_lacking": "lib_absent, which is not installed here",
        "lib_late": "lib_absent, which is not installed here",
        "lib_broken": "math, which is installed and cannot be imported here (cannot import name 'no_such_name' from",
    }
    (tmp_path / "lib_asking.py").write_text("raise ImportError('It requires PIL, which was not found.')\n", "utf-8")
    said["lib_asking"] = "what could not be imported here (It requires PIL, which was not found)"
    for name, words in said.items():
        with pytest.raises(ImportError) as missing:
            __import__(name)
        assert describe_missing(missing.value).startswith(words)
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EACCES, "Permission denied"), "(Permission denied): check the disk, and your right to"),
        (ValueError("Parquet magic bytes not found"), "(it is damaged): put a copy of it back"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), "(it is not UTF-8): put a copy of it back"),
        (RecursionError(), "(it is nested too deeply): put a copy of it back"),
    ],
)
def test_stored_file_that_cannot_be_read(error: Exception, said: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable) as raised, reading(tmp_path / "run.json"):
        raise error
    assert str(raised.value).startswith(f"run.json in {tmp_path} cannot be read {said}")


def test_unreadable_file_is_kept_beside(tmp_path: Path) -> None:
    path = tmp_path / "run.json"

    def read() -> None:
        with reading(path):
            int(path.read_text("utf-8"))

    replace_file(path, b"1", read)
    path.write_text("half", "utf-8")
    replace_file(path, b"2", read)
    replace_file(path, b"3", read)
    path.write_text("worse", "utf-8")
    set_aside_unreadable(path, read)
    kept = {file.name.partition(".unreadable-")[0]: file.name for file in tmp_path.iterdir()}
    assert [*kept] == ["run.json"]
    assert sorted(file.read_text("utf-8") for file in tmp_path.iterdir()) == ["half", "worse"]
