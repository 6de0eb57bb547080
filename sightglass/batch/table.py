"""Write a run's table as Parquet and CSV."""

from __future__ import annotations

import base64
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sightglass.common.files import atomic_write, packing, write_file
from sightglass.evaluation.stored import write_chunks
from sightglass.explain.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from sightglass.batch.journal import Journal
    from sightglass.batch.records import Row

PARQUET, CSV, PROBLEMS = "results.parquet", "results.csv", "problems.csv"
CHUNK = 512
"""Number of pictures in memory."""
_CLASSES = b"sightglass_classes"
"""Key of the model's classes in the metadata of the Parquet file."""
_TASK, _UNITS = b"sightglass_task", b"sightglass_units"


@dataclass(frozen=True)
class Scores:
    """The meaning of a run's scores: confidences, shares, or numbers."""

    task: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    """The unit of each number, by its name."""

    @property
    def sure(self) -> bool:
        """Whether scores are confidences, not shares of the picture or numbers."""
        return not (task_of(self.task).gives_pixels or self.numbers)

    @property
    def numbers(self) -> bool:
        """Whether the answer itself is a number, such as an angle."""
        return task_of(self.task).measures

    def describe(self, score: float, label: str) -> str:
        """Format the score of an answer: `62 %`, `12 % of the picture` or `−12.4°`."""
        return task_of(self.task).text(score, self.units.get(label, ""))

    @property
    def unit(self) -> str:
        """The unit of all numbers, or ""."""
        (first, *others) = {*self.units.values()} or {""}
        return "" if others else first


def write(
    folder: Path, journal: Journal, keys: list[str], classes: Sequence[str] = (), scores: Scores | None = None
) -> None:
    """Write `results.parquet`, `results.csv` and, if there are unusable pictures, `problems.csv`.

    `classes`: all that the model knows, which are saved with the table, as is what its `scores` are.
    """

    def list_rows(keys: list[str]) -> Iterator[Row]:
        return (row for outcome in journal.outcomes(keys) for row in outcome.get("rows", ()))

    scores = scores or Scores()
    about = {_CLASSES: json.dumps(list(classes)), _TASK: scores.task, _UNITS: json.dumps(dict(scores.units))}
    columns = _find_columns(list_rows(keys))
    chunks = (list_rows(keys[start : start + CHUNK]) for start in range(0, len(keys), CHUNK))
    decoded = ([row | _decode_cells(row) for row in chunk] for chunk in chunks)
    write_chunks(folder / PARQUET, decoded, columns, about)
    _csv(folder / CSV, [name for name in columns if name != "cells"], list_rows(keys))
    problems = [
        {"picture": outcome["key"], "problem": outcome["problem"]}
        for outcome in journal.outcomes(keys)
        if "problem" in outcome
    ]
    if problems:
        _csv(folder / PROBLEMS, ["picture", "problem"], problems)
    else:
        (folder / PROBLEMS).unlink(missing_ok=True)


def read(folder: Path) -> pd.DataFrame:
    """Read a result folder's table, one row a map; `cells` as bytes."""
    import pandas as pd

    return pd.read_parquet(folder / PARQUET)


def read_problems(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return a result folder's unusable pictures, each with its sentence."""
    try:
        with (folder / PROBLEMS).open(newline="", encoding="utf-8") as file:
            return tuple((row["picture"], row["problem"]) for row in packing.read(file))
    except FileNotFoundError:
        return ()


def classes(folder: Path) -> tuple[str, ...]:
    """Return the class names of a run's model; empty for old results."""
    return tuple(json.loads(_read_about(folder).get(_CLASSES, b"[]")))


def read_scores(folder: Path) -> Scores:
    """Return the kind of a run's scores, by default confidences."""
    about = _read_about(folder)
    return Scores(about.get(_TASK, b"").decode(), json.loads(about.get(_UNITS, b"{}")))


def _read_about(folder: Path) -> Mapping[bytes, bytes]:
    """Return the metadata of a result folder's table; empty without a readable one."""
    from pyarrow import parquet  # type: ignore[import-untyped]

    with contextlib.suppress(OSError, ValueError):
        return parquet.read_schema(folder / PARQUET).metadata or {}
    return {}


def read_lists(path: Path) -> dict[str, tuple[str, ...]]:
    """Read lists of texts by name; empty for a missing file."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        return {str(name): tuple(map(str, names)) for name, names in json.loads(path.read_text("utf-8")).items()}
    return {}


def write_lists(path: Path, lists: Mapping[str, Collection[str]]) -> None:
    """Write the file of `read_lists`."""
    write_file(path, json.dumps(lists, indent=1, default=list, ensure_ascii=False).encode())


def _find_columns(rows: Iterable[Row]) -> dict[str, str]:
    """Return the columns, each with the narrowest type for its values."""
    order = ("null", "bool_", "int64", "float64", "string")
    kinds = {type(None): "null", bool: "bool_", int: "int64", float: "float64", str: "string"}
    columns: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            columns[name] = max(columns.get(name, "null"), kinds[type(value)], key=order.index)
    return columns | ({"cells": "binary"} if "cells" in columns else {})


def _csv(path: Path, columns: list[str], rows: Iterable[Row]) -> None:
    with atomic_write(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        packing.write(file, columns, rows)


def _decode_cells(row: Row) -> Row:
    return {"cells": base64.b64decode(row["cells"])} if row.get("cells") else {}
