"""Fill, write and remove the table of an own model; read typed units and ranges."""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sightglass.common.errors import ModelProblem
from sightglass.common.files import write_file
from sightglass.common.typed_text import line as read_line
from sightglass.models.inspect import TRUST, TableDraft, Toml, Unknown
from sightglass.models.own import table_file
from sightglass.models.spec import OutputTable

Answers = dict[str, Any]
"""Values of a table by the dotted path of their keys, and of `TRUST`; as `Unknown.key` names them."""


def make_id(name: str) -> str:
    """Return a model's id made of a name: small letters, digits, dots, dashes and underscores.

    Raises ModelProblem where nothing is left.

    >>> make_id("Leaf model (5)")
    'leaf-model-5'
    """
    id_ = re.sub(r"[^\w.-]+", "-", name).strip("-.").lower()
    if not id_:
        raise ModelProblem(f"{name!r} is not a name for a model: give one with letters or digits.")
    return id_


def parse_value(text: str) -> Any:
    """Return a value as TOML reads it; what is not TOML is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def fill(draft: TableDraft, answers: Mapping[str, Any]) -> tuple[Toml, tuple[Unknown, ...]]:
    """Fill a draft's table with answers or defaults; return open questions too.

    With one open the model cannot be loaded. The first is whether to trust a file that runs code, unless `TRUST` is
    answered with yes.
    """
    table: Toml = {"loader": draft.loader, **({"arch": draft.arch} if draft.arch else {}), **_copy(draft.table)}
    values = {key: value for key, value in answers.items() if key != TRUST}
    open_: list[Unknown] = []
    for unknown in draft.unknown:
        if unknown.key == TRUST:
            if not str(answers.get(TRUST, "")).lower().startswith("y"):
                open_.insert(0, unknown)
        elif unknown.key not in values and unknown.default:
            values[unknown.key] = unknown.default if is_text(unknown.key) else parse_value(unknown.default)
        elif unknown.key not in values and unknown.needed:
            open_.append(unknown)
    for key, value in values.items():
        *above, last = key.split(".")
        place = table
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return table, tuple(open_)


def is_text(key: str) -> bool:
    """Return whether a key's value is plain text: an architecture's or a file's name."""
    return key in ("arch", "weights.labels")


def _copy(table: Toml) -> Toml:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in table.items() if value != ""}


def write(to: Path, id_: str, table: Toml, *, force: bool = False) -> None:
    """Write a model's table into a models.toml; everything else in it stays.

    Raises ModelProblem where the file cannot be read, or has a table of that id and `force` is not set.
    """
    with table_file.file_lock(to):
        write_file(to, table_file.with_table(to, id_, table, force=force).encode("utf-8"))


def remove(to: Path, id_: str) -> None:
    """Remove a model's table from a models.toml; everything else in it stays."""
    with table_file.file_lock(to):
        write_file(to, table_file.without_table(to, id_).encode("utf-8"))


LONGEST = 80
"""Letters of a name or a unit."""
NO_UNIT = "–"
MINUS = "\N{MINUS SIGN}"


def line_of(output: OutputTable) -> str:
    """Return an output as it is typed: `yaw, °, -90, 90`."""
    ends = [f"{end:g}" for end in output.range or ()]
    return ", ".join(filter(None, (output.name, output.unit or (NO_UNIT if ends else ""), *ends)))


def read_lines(lines: Sequence[str]) -> list[Toml]:
    """Parse `weights.outputs` from lines of name, unit and range.

    Raises ModelProblem for a line that is not understood.
    """
    return [_read(line) for line in lines]


def _read(line: str) -> Toml:
    name, *more = (part.strip() for part in line.split(","))
    unit, ends = (more[0] if more else ""), more[1:]
    try:
        numbers = [float(end.replace(MINUS, "-")) for end in ends]
    except ValueError:
        numbers = [math.nan]
    ordered = len(numbers) == 2 and all(map(math.isfinite, numbers)) and numbers[0] < numbers[1]
    if not name or (numbers and not ordered):
        raise ModelProblem(f"{line[:LONGEST]!r} is not understood: write name, unit, least, largest value.")
    row: Toml = {"name": read_line(name, LONGEST, "The name")}
    if unit not in ("", NO_UNIT):
        row["unit"] = read_line(unit, LONGEST, "The unit")
    return {**row, "range": numbers} if numbers else row
