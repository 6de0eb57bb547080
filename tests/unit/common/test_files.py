"""Files are whole or not there; names from outside are one line of text, and no formula."""

import csv
import io
import json
from pathlib import Path

import pytest
from torch import nn

from sightglass.cli.console import Console
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import atomic_write, csv_files, write_file
from sightglass.common.legible import MAX_NAME, MAX_WORD, legible, one_line
from sightglass.explain import Explainer


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_file(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as draft:
        draft.write_bytes(b"half")
        assert (draft.parent, draft.name[0], draft.suffix) == (tmp_path, ".", ".part")
        assert path.read_bytes() == b"old"
        raise KeyboardInterrupt
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.json", b"old")]
    with pytest.raises(FileNotFoundError, match=r"nowhere/a\.json'$"):
        write_file(tmp_path / "nowhere" / "a.json", b"lost")
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


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "-2+3+cmd|'x'!A0"]
HARMLESS = ["", "palace", "'quoted'", "it's =", " = ", "1-1", "'", "''", "a\nb", 'say "x", please', "é=1"]


@pytest.mark.parametrize("text", [*HOSTILE, *HARMLESS, *("'" + text for text in HOSTILE)])
def test_what_is_written_is_no_formula_and_is_read_back(text: str) -> None:
    file = io.StringIO(newline="")
    csv_files.write(file, ["label", text or "x"], [{"label": text, text or "x": 1}])
    for row in csv.reader(io.StringIO(file.getvalue(), newline="")):
        assert not [cell for cell in row if cell.startswith(csv_files.FORMULA)]
    (found,) = csv_files.read(io.StringIO(file.getvalue(), newline=""))
    assert found["label"] == text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<b>$x$</b>", "<b>$x$</b>"),
        ("cat\nERROR injected", "cat ERROR injected"),
        ("\u202egnp.exe\u2066", "gnp.exe"),
        ("a\x00b\x1b[31m", "a b [31m"),
        ("\ud800", "(no name)"),
        ("a\ufffe\uffffb", "a b"),
        ("家\u200d族", "家\u200d族"),
        ("x" * MAX_NAME, "x" * MAX_NAME),
    ],
)
def test_a_name_is_one_line_without_what_is_not_seen(given: str, shown: str) -> None:
    assert legible(given) == shown and len(legible("x" * 10_000)) == MAX_NAME


class Nothing:
    """An object of which only its address is known."""


def test_sentence_is_one_bounded_line(capsys: pytest.CaptureFixture[str]) -> None:
    name = f"{'x' * MAX_NAME!r}"
    assert one_line(f"There is no model {name}.") == f"There is no model {name}."
    folder = f"/start/{'x' * 10_000}/end.png"
    short = str(Problem(f"{folder} cannot be read."))
    assert short.startswith("/start/x") and "x…x" in short and short.endswith("/end.png cannot be read.")
    assert len(short.split()[0]) == MAX_WORD
    assert str(Problem("a\nb\u202e cannot be read.")) == "a b cannot be read."
    assert str(Problem("\x1b[1mA layer\x1b[0m failed.")) == "A layer failed."
    assert str(Problem(f"targets is {[Nothing(), 1]!r}.")) == "targets is [Nothing, 1]."
    Console(as_json=True).fail(f"{folder} cannot be read.")
    said = capsys.readouterr()
    assert said.err == f"{short}\n" and json.loads(said.out) == {"error": short}


def test_no_name_reaches_a_terminal_as_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b]0;title\a\x9b2Jb\r\u202ec"
    console = Console()
    console.say(f"one {hostile}\n\ttwo")
    console.table(("name",), [[hostile]])
    console.warn(hostile)
    said = capsys.readouterr()
    for text in (said.out, said.err):
        assert "title" in text and not set(text) & set("\x1b\a\x9b\r\u202e")
    assert said.out.startswith("one a ]0;title 2Jb c\n two\n")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31m", "\uffff", "\u202ex"])
def test_illegible_layer_names_are_refused(name: str) -> None:
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net.add_module(name, nn.Linear(3, 4))
    with pytest.raises(ModelProblem, match="has a layer with control characters in its name") as caught:
        Explainer(net, labels=["a", "b", "c", "d"])
    assert str(caught.value).isprintable()
