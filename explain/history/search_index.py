"""Maintain the search index and the table of files beside the rows of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explain.history import query, schema

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from explain.history.records import Mark
    from explain.history.rows import Body


def text_of(columns: dict[str, Any], body: Body | None, tags: Sequence[str], marks: Sequence[Mark] = ()) -> str:
    """Return everything under which a record is found, as one text; `body` is None if it is damaged."""
    headline = (body.headline, *body.labels) if body else ("",)
    parts = [*headline, columns["note"], *tags, *(mark.text for mark in marks)]
    parts += [columns["picture_name"], columns["model"], columns["method"]]
    return query.folded("\n".join(parts))


def add(database: sqlite3.Connection, n: int | None, text: str, tags: Sequence[str]) -> None:
    """Index a record."""
    database.executemany("INSERT OR IGNORE INTO words VALUES ('tag', ?, ?)", [(tag, n) for tag in tags])
    if schema.searchable(database):
        database.execute("INSERT INTO found (rowid, text) VALUES (?, ?)", (n, text))


def remove(database: sqlite3.Connection, n: int) -> None:
    database.execute("DELETE FROM words WHERE kind = 'tag' AND record = ?", (n,))
    if schema.searchable(database):
        database.execute("DELETE FROM found WHERE rowid = ?", (n,))


def delete_record(database: sqlite3.Connection, n: int) -> dict[str, int]:
    """Delete a record's rows; return the files, with their sizes, that no record uses any more."""
    remove(database, n)
    files = [name for (name,) in database.execute("SELECT file FROM uses WHERE record = ?", (n,))]
    for sql in ("words WHERE record", "maps WHERE record", "uses WHERE record", "bodies WHERE n", "records WHERE n"):
        database.execute(f"DELETE FROM {sql} = ?", (n,))
    freed = {}
    for name in files:
        if database.execute("SELECT 1 FROM uses WHERE file = ? LIMIT 1", (name,)).fetchone() is None:
            row = database.execute("SELECT bytes FROM files WHERE name = ?", (name,)).fetchone()
            database.execute("DELETE FROM files WHERE name = ?", (name,))
            freed[name] = row[0] if row else 0
    return freed
