"""Files are whole or not there, and their names are those that users know."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from sightglass.common.files import (
    atomic_write,
    file_stem,
    packing,
    write_file,
)
from sightglass.common.files.packing import PHOTOGRAPHS, packaged_file, photograph, photographs


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
