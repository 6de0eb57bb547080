"""Files are whole or not there, and their names are those that users know."""

from __future__ import annotations

import ast
import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sightglass.common.files import atomic_write, file_stem, packing, scratch, write_file
from sightglass.common.files.packing import PHOTOGRAPHS, packaged_file, photograph, photographs
from tests.rooms import every_room, sources


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as draft:
        draft.write_bytes(b"half")
        assert (draft.parent, draft.name[0], draft.suffix) == (tmp_path, ".", ".part")
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.json", b"old")]
    write_file(path, b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.json", b"new")]


def test_nothing_is_left_where_a_file_cannot_take_its_place(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_file(tmp_path / "folder", b"x")
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "nowhere" / "file", b"x")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_two_writers_of_a_long_name_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    with atomic_write(path) as first, atomic_write(path) as second:
        first.write_bytes(b"1")
        second.write_bytes(b"2")
    assert path.read_bytes() == b"1" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("text", "options", "stem"),
    [
        ("  a//b\\..c_d ", {}, "a-b-c_d"),
        ("Müller & Söhne", {}, "Müller-Söhne"),
        ("../../etc/passwd", {}, "etc-passwd"),
        ("../..", {}, "picture"),
        ("../..", {"otherwise": ""}, ""),
        ("rod-cross (big)", {"separator": "_", "keep": "-"}, "rod-cross_big"),
        ("abcdef", {"max_length": 3}, "abc"),
        ("a  b.", {"separator": "_", "collapse": False}, "a__b_"),
    ],
)
def test_stems(text: str, options: dict[str, object], stem: str) -> None:
    assert file_stem(text, **options) == stem  # type: ignore[arg-type]


def test_every_photograph_is_found_by_its_name() -> None:
    assert list(photographs()) == list(PHOTOGRAPHS)
    assert all(photograph(name) == path and path.is_file() for name, path in photographs().items())
    assert packaged_file("no_such_package", "bus.jpg") is packaged_file("ultralytics", "assets/no-such.jpg") is None


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "-2+3+cmd|'x'!A0"]
HARMLESS = ["", "palace", "'quoted'", "it's =", " = ", "1-1", "'", "''", "a\nb", 'say "x", please', "é=1"]


@pytest.mark.parametrize("text", [*HOSTILE, *HARMLESS, *("'" + text for text in HOSTILE)])
def test_what_is_written_is_no_formula_and_is_read_back(text: str) -> None:
    file = io.StringIO(newline="")
    packing.write(file, ["label", text or "x"], [{"label": text, text or "x": 1}])
    for row in csv.reader(io.StringIO(file.getvalue(), newline="")):
        assert not [cell for cell in row if cell.startswith(packing.FORMULA)]
    (found,) = packing.read(io.StringIO(file.getvalue(), newline=""))
    assert found["label"] == text


def test_numbers_stay_numbers_and_other_columns_are_left_out() -> None:
    file = io.StringIO(newline="")
    packing.write(file, ["a", "b"], [{"a": -1.5, "b": None, "c": "=1"}])
    assert file.getvalue() == "a,b\r\n-1.5,\r\n"


def test_nobody_writes_csv_in_another_way() -> None:
    for path in sources(*every_room()):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Attribute)}
        assert path.name == "packing.py" or not names & {"to_csv", "DictWriter", "DictReader"}, path


MAKE = (
    "from sightglass.common.files.scratch import scratch_folder; folder = scratch_folder('kind'); "
    "print(folder.name, flush=True); "
)
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(scratch, "_HOMES", {})


def started(then: str) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKE + then], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_a_folder_goes_with_its_process_or_with_the_next_one_if_that_is_killed(tmp_path: Path) -> None:
    alive, used = started("input()")
    dead, left = started("input()")
    (left / "clip.mp4").write_bytes(b"some")
    dead.kill()
    dead.communicate()
    assert left.is_dir() and left.parent.parent == tmp_path
    (tmp_path / f"{scratch.PREFIX}link").symlink_to(tmp_path)
    with scratch.scratch_folder("kind") as mine:
        assert Path(mine).is_dir() and used.is_dir() and not left.parent.exists()
    alive.communicate("\n")
    assert not used.exists()


def test_one_without_a_lock_goes_after_an_hour_and_one_that_was_deleted_is_made_anew(tmp_path: Path) -> None:
    new, old = (tmp_path / f"{scratch.PREFIX}{name}" for name in ("new", "old"))
    for folder in (new, old):
        folder.mkdir()
    os.utime(old, (0, 0))
    first = Path(scratch.scratch_folder("kind").name)
    assert new.exists() and not old.exists()
    shutil.rmtree(first.parent)
    with scratch.scratch_folder("kind") as again:
        assert Path(again).is_dir()
