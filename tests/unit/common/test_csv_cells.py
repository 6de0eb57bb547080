"""No cell of a CSV is a formula, and what is read back is what was written."""

from __future__ import annotations

import ast
import csv
import io

import pytest

from sightglass.common.files import packing
from tests.rooms import every_room, sources

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
