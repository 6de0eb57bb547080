"""Full-text search over records.

Typed text is passed as values only.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any, get_args

from sightglass.common.errors import Problem
from sightglass.history import schema
from sightglass.history.records import FilterChoices, Order
from sightglass.history.store import release

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from sightglass.export.annotations import Mark
    from sightglass.history.records import RecordBody

ORDERS: dict[str, str] = {
    # As they were saved: times go back where a clock is set.
    "newest": "n DESC",
    "oldest": "n",
    "surest": "score DESC, n DESC",
    "least sure": "score IS NULL, score, n DESC",
    "largest": "bytes DESC, n DESC",
}
assert tuple(ORDERS) == get_args(Order)
MAX_WORDS = 12
"""Number of words of a search that count."""
MAX_PAGE = 1000
"""Maximum number of records on a page."""


_FILTERS = {name: f"{name} = ?" for name in ("model", "method")} | {
    kind: f"n IN (SELECT record FROM words WHERE kind = '{kind}' AND word = ?)" for kind in ("label", "tag")
}


def where(
    text: str, filters: dict[str, str | None], *, indexed: bool, span: Sequence[int | None] = (None, None)
) -> tuple[str, list[str | int]]:
    """Return the condition and its values. `indexed`: find words by the index, else by LIKE. `span`: first and last
    time at which a record was saved, in microseconds since 1970."""
    criteria = {_FILTERS[name]: storable(value) for name, value in filters.items() if value is not None}
    parts: list[str] = [*criteria]
    values: list[str | int] = [*criteria.values()]
    for sign, end in zip((">=", "<"), span, strict=True):
        if end is not None:
            parts.append(f"created {sign} ?")
            values.append(end)
    prefixes = []
    for word in fold(text).split()[:MAX_WORDS]:
        if indexed and _is_indexed(word):
            prefixes.append('"{}"*'.format(word.replace('"', '""')))
        else:
            parts.append("text LIKE ? ESCAPE '\\'")
            values.append(f"%{_literal(word)}%")
    if prefixes:
        parts.append("n IN (SELECT rowid FROM found WHERE found MATCH ?)")
        values.append(" ".join(prefixes))
    return " AND ".join(parts) or "1", values


def order_clause(name: str) -> str:
    if name not in ORDERS:
        raise Problem(f"There is no order called {name}: use {', '.join(ORDERS)}.")
    return ORDERS[name]


def page(limit: int, offset: int) -> tuple[int, int]:
    if not 1 <= limit <= MAX_PAGE or not 0 <= offset < 2**31:
        raise Problem(f"A page has 1 to {MAX_PAGE} records and starts at 0 or later, not {limit} from {offset}.")
    return limit, offset


def choices(database: sqlite3.Connection) -> FilterChoices:
    """Return every value with its number of records."""

    def count(sql: str) -> dict[str, int]:
        return dict(database.execute(f"{sql} ORDER BY 2 DESC, 1").fetchall())

    return FilterChoices(
        models=count("SELECT model, count(*) FROM records GROUP BY model"),
        methods=count("SELECT method, count(*) FROM records GROUP BY method"),
        labels=count("SELECT word, count(*) FROM words WHERE kind = 'label' GROUP BY word"),
        tags=count("SELECT word, count(*) FROM words WHERE kind = 'tag' GROUP BY word"),
    )


def storable(text: str) -> str:
    """Return text in valid Unicode: undecodable parts become question marks."""
    return text.encode("utf-8", "replace").decode()


def fold(text: str) -> str:
    """Return text as it is searched: without case and accents."""
    parts = unicodedata.normalize("NFKD", text).casefold().replace("\0", " ")
    return "".join(
        letter for letter in parts if not unicodedata.combining(letter) and not "\ud800" <= letter <= "\udfff"
    )


def _is_indexed(word: str) -> bool:
    """Return whether the index has a word."""
    return all(ord(letter) < 0x0530 for letter in word) and any(letter.isalnum() for letter in word)


def _literal(word: str) -> str:
    for special in ("\\", "%", "_"):
        word = word.replace(special, f"\\{special}")
    return word


def text_of(columns: dict[str, Any], body: RecordBody | None, tags: Sequence[str], marks: Sequence[Mark] = ()) -> str:
    """Return a record's searchable text; `body` is None if damaged."""
    headline = (body.headline, *body.labels) if body else ("",)
    parts = [*headline, columns["note"], *tags, *(mark.text for mark in marks)]
    parts += [columns["picture_name"], columns["model"], columns["method"]]
    return fold("\n".join(parts))


def add(database: sqlite3.Connection, n: int | None, text: str, tags: Sequence[str]) -> None:
    database.executemany("INSERT OR IGNORE INTO words VALUES ('tag', ?, ?)", [(tag, n) for tag in tags])
    if schema.make_searchable(database):
        database.execute("INSERT INTO found (rowid, text) VALUES (?, ?)", (n, text))


def remove(database: sqlite3.Connection, n: int) -> None:
    database.execute("DELETE FROM words WHERE kind = 'tag' AND record = ?", (n,))
    if schema.make_searchable(database):
        database.execute("DELETE FROM found WHERE rowid = ?", (n,))


def delete_record(database: sqlite3.Connection, n: int) -> dict[str, int]:
    """Delete a record's rows; return unused files with sizes."""
    remove(database, n)
    files = [name for (name,) in database.execute("SELECT file FROM uses WHERE record = ?", (n,))]
    for sql in ("words WHERE record", "maps WHERE record", "uses WHERE record", "bodies WHERE n", "records WHERE n"):
        database.execute(f"DELETE FROM {sql} = ?", (n,))
    return release(database, files)
