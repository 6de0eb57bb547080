"""Escape formulas in CSV cells."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TextIO

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes a cell for a formula by."""


def escape(value: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would read as a formula; numbers stay as they are."""
    return f"'{value}" if isinstance(value, str) and value.lstrip("'").startswith(FORMULA) else value


def unescape(text: str) -> str:
    """Return the text that `escape` was given."""
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
