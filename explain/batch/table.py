"""The table of a run: every row as Parquet and as CSV, written from the journal a part at a time."""

from __future__ import annotations

import base64
import csv
from typing import TYPE_CHECKING, Any

from common.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

    from explain.batch.journal import Journal
    from explain.batch.records import Row

PARQUET, CSV, PROBLEMS = "results.parquet", "results.csv", "problems.csv"
AT_ONCE = 512
"""Pictures in memory at a time."""


def write(folder: Path, journal: Journal, keys: list[str]) -> None:
    """`results.parquet`, `results.csv` and, where pictures could not be used, `problems.csv`; each whole or not."""
    types = _types(row for entry in journal.entries(keys) for row in entry.get("rows", ()))
    columns = [name for name in types if name != "cells"]
    problems = [(entry["key"], entry["problem"]) for entry in journal.entries(keys) if "problem" in entry]
    _parquet(folder / PARQUET, types, journal, keys)
    with atomic_write(folder / CSV) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for entry in journal.entries(keys):
            writer.writerows(_harmless(row) for row in entry.get("rows", ()))
    if not problems:
        (folder / PROBLEMS).unlink(missing_ok=True)
        return
    with atomic_write(folder / PROBLEMS) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        named = [{"picture": key, "problem": problem} for key, problem in problems]
        problem_writer = csv.DictWriter(file, ("picture", "problem"))
        problem_writer.writeheader()
        problem_writer.writerows(map(_harmless, named))


def read(folder: Path) -> pd.DataFrame:
    """The table of a folder of results, one row a map; `cells` as bytes."""
    import pandas as pd

    return pd.read_parquet(folder / PARQUET)


def _types(rows: Iterable[Row]) -> dict[str, str]:
    """The columns in the order of their first appearance, each with the narrowest type that holds all its values."""
    order = ("null", "bool_", "int64", "float64", "string")
    kinds = {type(None): "null", bool: "bool_", int: "int64", float: "float64", str: "string"}
    found: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            found[name] = max(found.get(name, "null"), kinds[type(value)], key=order.index)
    return {name: "binary" if name == "cells" else kind for name, kind in found.items()}


def _harmless(row: Row) -> Row:
    """Names come from anywhere: what a spreadsheet would take for a formula begins with an apostrophe."""
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
        for name, value in row.items()
    }


def _parquet(path: Path, types: dict[str, str], journal: Journal, keys: list[str]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in types.items()])
    with atomic_write(path) as draft, parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
        for start in range(0, len(keys), AT_ONCE):
            entries = journal.entries(keys[start : start + AT_ONCE])
            held = [_typed(row, types) for entry in entries for row in entry.get("rows", ())]
            if held:
                writer.write_table(pa.Table.from_pylist(held, schema))


def _typed(row: Row, types: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {name: row.get(name) for name in types}
    if isinstance(coded := made.get("cells"), str):
        made["cells"] = base64.b64decode(coded)
    return made
