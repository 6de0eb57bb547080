"""Validate the tables of a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.models.load import current_name, loader_exists
from sightglass.models.spec import (
    TASKS,
    InputTable,
    ModelSpec,
    OutputTable,
    PreprocessingTable,
    Table,
    kinds,
    read_row,
    required,
    row_tables,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_INPUT_SIDE = 4096
"""Maximum side of a model's input in pixels."""

_NUMBER = (int, float)
_ROW = kinds(ModelSpec)
_PREPROCESSING = kinds(PreprocessingTable)
_OUTPUT = kinds(OutputTable)
_BOTH = "loader task licence source method channels_last target_layers why example arch weights"
SHARED = {key: _ROW[key] for key in _BOTH.split(" ")} | {"arch": (str, dict)}
"""Keys of a family that hold for all of its models, and that a model may have too, with the kinds of their values."""
TOP = {"family": (list,), "model": (dict,)}
FAMILY = {**SHARED, "name": (str,), "sizes": (dict,), "files": (dict,), "megabytes": (dict,)}
MODEL = {**SHARED, **{key: _ROW[key] for key in ("family", "size", "arch", "megabytes")}}


def read_outputs(given: Any) -> tuple[OutputTable, ...]:
    """Return the rows of an `outputs` in Python; raise ModelProblem for one that is unknown or of the wrong kind."""
    for number, row in enumerate(given, 1):
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in dict(row).items()}
        check(Path("outputs"), f"number {number}", plain, _OUTPUT, required(OutputTable))
    return tuple(OutputTable.read(row) for row in given)


def read_inputs(given: Any) -> tuple[InputTable, ...]:
    """Return the rows of an `inputs` in Python, names or tables; raise ModelProblem for one of the wrong kind."""
    for number, row in enumerate(given, 1):
        if not isinstance(row, (str, InputTable)):
            plain = {key: list(value) if isinstance(value, tuple) else value for key, value in dict(row).items()}
            check(Path("inputs"), f"number {number}", plain, kinds(InputTable), required(InputTable))
    return tuple(read_row(InputTable, row) for row in given)


def check_preprocessing(given: Mapping[str, Any]) -> None:
    """Raise ModelProblem naming the first key of a `preprocess` in Python that is unknown or of the wrong kind."""
    # Where a file has one number or a list, Python may give (h, w), a tuple or an array as well.
    plain = {key: value.tolist() if hasattr(value, "tolist") else value for key, value in given.items()}
    for key in ("mean", "std", "size"):
        if isinstance(value := plain.get(key), (list, tuple)):
            numbers = [float(one) if isinstance(one, int) else one for one in value]
            plain[key] = int(numbers[0]) if key == "size" and len(numbers) == 2 else numbers
    check(Path("preprocess"), "it", plain, _PREPROCESSING)


def _rises(value: Any) -> bool:
    """Return whether a value is two finite numbers, the first below the second."""
    numbers = len(value) == 2 and all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in value)
    return numbers and float("-inf") < value[0] < value[1] < float("inf")


def check(
    path: Path, where: str, table: Any, allowed: Mapping[str, tuple[type, ...]], needed: tuple[str, ...] = ()
) -> None:
    """Raise ModelProblem naming the table and the key that is unknown, missing or of the wrong kind."""
    if not isinstance(table, dict):
        raise ModelProblem(f"{path.name}: {where} should be a table.")
    for key, value in table.items():
        if key not in allowed:
            hint = did_you_mean(key, allowed, f"it may have {', '.join(allowed)}.")
            raise ModelProblem(f"{path.name}: {where} has an unknown key {key}: {hint}")
        kind = allowed[key]
        inner = kind[0] if issubclass(kind[0], Table) else None
        expected: Any = dict if inner else kind
        if not isinstance(value, expected):
            raise ModelProblem(f"{path.name}: {key} in {where} is of the wrong kind ({value!r}).")
        if key == "task" and value not in TASKS:
            raise ModelProblem(f"{path.name}: task in {where} is one of {', '.join(TASKS)}, not {value!r}.")
        if key == "loader" and not loader_exists(current_name(value)):
            raise ModelProblem(f"{path.name}: loader in {where} is {value!r}, which is no file of models/families.")
        if inner:
            check(path, f"{key} of {where}", value, kinds(inner), required(inner))
            for name, row in row_tables(inner).items():
                for number, one in enumerate(value.get(name, ()), 1):
                    if row is InputTable and isinstance(one, str):
                        continue
                    check(path, f"{name} {number} of {where}", one, kinds(row), required(row))
        elif allowed is _OUTPUT and key == "range" and not _rises(value):
            raise ModelProblem(
                f"{path.name}: range in {where} should be two numbers, the least and the largest, not {value}."
            )
        elif key in ("mean", "std") and not (0 < len(value) <= 16 and all(type(number) is float for number in value)):
            raise ModelProblem(f"{path.name}: {key} in {where} should be three numbers such as 0.5, or one a channel.")
        elif allowed is _PREPROCESSING and key in ("size", "short_side") and not 1 <= value <= MAX_INPUT_SIDE:
            raise ModelProblem(f"{path.name}: {key} in {where} is from 1 to {MAX_INPUT_SIDE} pixels, not {value}.")
        elif key == "std" and not all(0 < number < float("inf") for number in value):
            raise ModelProblem(f"{path.name}: std in {where} is more than 0 for every channel, not {value}.")
        elif key == "channels_in" and not 1 <= value <= 16:
            raise ModelProblem(f"{path.name}: channels_in in {where} is from 1 to 16, not {value}.")
        elif key == "divide_by" and not value > 0:
            raise ModelProblem(f"{path.name}: divide_by in {where} is more than 0, not {value}.")
        elif isinstance(value, dict) and allowed is not TOP and key != "args":
            check(path, f"{key} of {where}", value, dict.fromkeys(value, _NUMBER if key == "megabytes" else (str,)))
    for key in needed:
        if key not in table:
            raise ModelProblem(f"{path.name}: {where} needs the key {key}.")
