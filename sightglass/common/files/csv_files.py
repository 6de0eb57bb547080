"""Write and read CSV whose cells no spreadsheet takes for formulas."""

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Beginnings of cells that a spreadsheet takes for formulas."""


def escape(value: Any) -> Any:
    """Put an apostrophe before a text like a spreadsheet formula, and leave out what is not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(FORMULA) else value


def unescape(text: str) -> str:
    """Undo `escape`."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA) else text


def write(file: TextIO, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as CSV (RFC 4180); of each only these columns. `file`: opened with `newline=""`."""
    writer = csv.DictWriter(file, [str(escape(name)) for name in columns], extrasaction="ignore")
    writer.writeheader()
    writer.writerows({escape(name): escape(value) for name, value in row.items()} for row in rows)


def read(file: Iterable[str]) -> Iterator[dict[str, str]]:
    """Yield the rows of such a file."""
    for row in csv.DictReader(file):
        yield {name: unescape(text) if isinstance(text, str) else text for name, text in row.items()}
