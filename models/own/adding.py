"""Fill, write and remove the table of an own model; read typed units and ranges."""

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from sightglass.common.errors import ModelProblem, typed_line
from sightglass.common.files import write_file
from sightglass.common.files.locking import file_lock
from sightglass.models.load import TRUST, TableDraft, Toml, Unknown
from sightglass.models.spec import OutputTable

TEXTS = ("arch", "weights.labels")
"""Keys whose values are plain text: names of an architecture and of a file."""
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
    except (tomllib.TOMLDecodeError, RecursionError):
        return text.strip()


def fill(draft: TableDraft, answers: Mapping[str, Any]) -> tuple[Toml, tuple[Unknown, ...]]:
    """Fill a draft's table with answers; return open questions too.

    With one open the model does not load. The first is whether to trust a file that runs code, unless `TRUST` is yes.
    """
    table: Toml = {"loader": draft.loader, **({"arch": draft.arch} if draft.arch else {}), **_copy(draft.table)}
    values = {key: value for key, value in answers.items() if key != TRUST}
    for key, value in values.items():
        put(table, key, value)
    answered = {*values, *([TRUST] if str(answers.get(TRUST, "")).lower().startswith("y") else [])}
    unknown = (question for question in draft.unknown if question.key not in answered)
    return table, tuple(sorted(unknown, key=lambda question: question.key != TRUST))


def put(table: Toml, key: str, value: Any) -> None:
    """Set the value of a table's dotted key; None removes it."""
    first, _, rest = key.partition(".")
    if rest:
        put(table.setdefault(first, {}), rest, value)
    elif value is None:
        table.pop(first, None)
    else:
        table[first] = value


def _copy(table: Toml) -> Toml:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in table.items() if value != ""}


def write(to: Path, id_: str, table: Toml, *, force: bool = False) -> None:
    """Write a model's table into a models.toml; everything else in it stays.

    Raises ModelProblem where the file cannot be read, or has a table of that id and `force` is not set.
    """
    with file_lock(to):
        write_file(to, with_table(to, id_, table, force=force).encode("utf-8"))


def remove(to: Path, id_: str) -> None:
    """Remove a model's table from a models.toml; everything else in it stays.

    Raises ModelProblem where the file cannot be read, or has no table of that id.
    """
    with file_lock(to):
        whole, _ = _read(to)
        try:
            before, after = _split_around(whole, id_)
        except (ValueError, LookupError) as problem:
            raise ModelProblem(f"{to.name} has no model {id_}: check its name, or reload the page.") from problem
        write_file(to, f"{before}{after}".encode())


LONGEST = 80
"""Letters of a name or a unit."""
NO_UNIT = "–"
"""What is typed for a number without a unit."""
MINUS = "\N{MINUS SIGN}"


def line_of(output: OutputTable) -> str:
    """Return an output as it is typed: `yaw, °, -90, 90`."""
    ends = [f"{end:g}" for end in output.range or ()]
    return ", ".join(filter(None, (output.name, output.unit or (NO_UNIT if ends else ""), *ends)))


def read_line(line: str) -> Toml:
    """Parse a row of `weights.outputs` from name, unit and range; raise ModelProblem for others."""
    name, *more = (part.strip() for part in line.split(","))
    unit, ends = (more[0] if more else ""), more[1:]
    try:
        numbers = [float(end.replace(MINUS, "-")) for end in ends]
    except ValueError:
        numbers = [math.nan]
    is_range = len(numbers) == 2 and all(map(math.isfinite, numbers)) and numbers[0] < numbers[1]
    if not name or (numbers and not is_range):
        raise ModelProblem(f"{line[:LONGEST]!r} is not understood: write name, unit, least, largest value.")
    row: Toml = {"name": typed_line(name, LONGEST, "The name")}
    if unit not in ("", NO_UNIT):
        row["unit"] = typed_line(unit, LONGEST, "The unit")
    return {**row, "range": numbers} if numbers else row


def relative(table: Toml, folder: Path) -> Toml:
    """Return the table with paths below `folder`, that of models.toml, relative to it."""

    def short(text: str) -> str:
        path, colon, name = text.rpartition(":") if ".py:" in text else (text, "", "")
        return (
            f"{Path(path).relative_to(folder).as_posix()}{colon}{name}" if Path(path).is_relative_to(folder) else text
        )

    weights = table.get("weights", {})
    paths = {key: short(weights[key]) for key in ("path", "labels") if isinstance(weights.get(key), str)}
    arch = {"arch": short(table["arch"])} if isinstance(table.get("arch"), str) else {}
    return {**table, **arch, "weights": {**weights, **paths}}


def text_of(id_: str, table: Toml) -> str:
    """Return the table as TOML."""
    return tomlkit.dumps({"model": {id_: {key: value for key, value in table.items() if value != {}}}})


def with_table(to: Path, id_: str, table: Toml, *, force: bool) -> str:
    """Return the text of the file with the table in it; raise ModelProblem as `write` does."""
    whole, models = _read(to)
    text = text_of(id_, table)
    if id_ not in models:
        return f"{whole.rstrip()}\n\n{text}" if whole.strip() else text
    if not force:
        raise ModelProblem(f"{to.name} has a model {id_} already: give another --name, or --force to overwrite it.")
    try:
        before, after = _split_around(whole, id_)
    except (ValueError, LookupError):
        raise ModelProblem(f"{to.name} has {id_} in a form that cannot be overwritten: remove it by hand.") from None
    return f"{before}{text}{after}"


def _split_around(whole: str, id_: str) -> tuple[str, str]:
    """Return the text before and after a model's tables; raise ValueError or LookupError where they are apart."""
    lines = whole.splitlines(keepends=True)
    headers = [number for number, line in enumerate(lines) if line.startswith("[")]
    header = rf"\[+\s*model\s*\.\s*([\"']?){re.escape(id_)}\1\s*[.\]]"
    numbers = [number for number in headers if re.match(header, lines[number])]
    end = next((number for number in headers if number > numbers[-1]), len(lines))
    while not lines[end - 1].strip() or lines[end - 1].startswith("#"):
        end -= 1
    before, after = "".join(lines[: numbers[0]]), "".join(lines[end:])
    expected = tomllib.loads(whole)
    del expected["model"][id_]
    if {"model": {}, **tomllib.loads(before + after)} != expected:
        raise ValueError(id_)
    return before, after


def tables(path: Path) -> dict[str, Toml]:
    """Return the tables of a models.toml by model id, none without a file.

    Raises ModelProblem where the file cannot be read, which does not mean that it names no models.
    """
    return _read(path)[1]


def _read(path: Path) -> tuple[str, dict[str, Toml]]:
    """Return the text of a models.toml, and its tables by model id."""
    try:
        text = path.read_text("utf-8-sig")
        by_id = tomllib.loads(text).get("model", {})
    except FileNotFoundError as error:
        if path.is_symlink():
            raise _unreadable(path, "the file that it links to is missing") from error
        return "", {}
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise _unreadable(path, "it is not UTF-8") from error
    except RecursionError as error:
        raise _unreadable(path, "it is nested too deeply") from error
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    if not isinstance(by_id, dict):
        raise _unreadable(path, "model is not a table")
    return text, by_id


def _unreadable(path: Path, reason: str) -> ModelProblem:
    return ModelProblem(
        f"{path} cannot be read ({reason}), so no model is added or removed: correct it, or put a copy of it back."
    )
