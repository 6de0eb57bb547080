"""Write the table of a run as Parquet and as CSV, from the journal, in chunks."""

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
CHUNK = 512
"""Number of pictures in memory."""


def write(folder: Path, journal: Journal, keys: list[str]) -> None:
    """Write `results.parquet`, `results.csv` and, if there are unusable pictures, `problems.csv`."""
    types = _types(row for one in journal.outcomes(keys) for row in one.get("rows", ()))
    columns = [name for name in types if name != "cells"]
    problems = [(one["key"], one["problem"]) for one in journal.outcomes(keys) if "problem" in one]
    _parquet(folder / PARQUET, types, journal, keys)
    with atomic_write(folder / CSV) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for one in journal.outcomes(keys):
            writer.writerows(_harmless(row) for row in one.get("rows", ()))
    if not problems:
        (folder / PROBLEMS).unlink(missing_ok=True)
        return
    with atomic_write(folder / PROBLEMS) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        named = [{"picture": key, "problem": problem} for key, problem in problems]
        problem_writer = csv.DictWriter(file, ("picture", "problem"))
        problem_writer.writeheader()
        problem_writer.writerows(map(_harmless, named))


def read(folder: Path) -> pd.DataFrame:
    """Return the table of a folder of results, one row a map; `cells` as bytes."""
    import pandas as pd

    return pd.read_parquet(folder / PARQUET)


def _types(rows: Iterable[Row]) -> dict[str, str]:
    """Return the columns in order of appearance, each with the narrowest type for all its values."""
    order = ("null", "bool_", "int64", "float64", "string")
    kinds = {type(None): "null", bool: "bool_", int: "int64", float: "float64", str: "string"}
    found: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            found[name] = max(found.get(name, "null"), kinds[type(value)], key=order.index)
    return {name: "binary" if name == "cells" else kind for name, kind in found.items()}


def _harmless(row: Row) -> Row:
    """Prefix text that a spreadsheet would read as a formula with an apostrophe: names are not trusted."""
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
        for name, value in row.items()
    }


def _parquet(path: Path, types: dict[str, str], journal: Journal, keys: list[str]) -> None:
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in types.items()])
    with atomic_write(path) as draft, parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
        for start in range(0, len(keys), CHUNK):
            outcomes = journal.outcomes(keys[start : start + CHUNK])
            held = [_typed(row, types) for one in outcomes for row in one.get("rows", ())]
            if held:
                writer.write_table(pa.Table.from_pylist(held, schema))


def _typed(row: Row, types: dict[str, str]) -> dict[str, Any]:
    made: dict[str, Any] = {name: row.get(name) for name in types}
    if isinstance(coded := made.get("cells"), str):
        made["cells"] = base64.b64decode(coded)
    return made
