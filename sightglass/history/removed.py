"""Undo a deletion: delete records, and put them back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sightglass.history import search
from sightglass.history.store import Blob

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from sightglass.history.store import Store

TABLES = {"records": "n", "bodies": "n", "maps": "record", "uses": "record", "words": "record"}
"""The tables of a record, and the column that has its number."""
MOST = 64_000_000
"""Bytes of files that are held in memory; more than that cannot be put back."""
_Rows = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class RemovedRecords:
    """Records that were deleted, with everything that brings them back."""

    freed: int
    """Bytes of the files that went with them."""
    records: tuple[_Rows, ...] = field(default=(), repr=False)
    """The rows of each, by table; none where they cannot be put back."""
    blobs: tuple[Blob, ...] = field(default=(), repr=False)


def read_records(store: Store, ids: Sequence[str]) -> RemovedRecords:
    """Return what brings these records back; without records where their files are more than `MOST`.

    Raises Problem where a file is damaged.
    """
    found: list[_Rows] = []
    with store.reading() as database:
        for id in ids:
            row = database.execute("SELECT n FROM records WHERE id = ?", (id,)).fetchone()
            if row is not None:
                found.append({name: _rows(database, name, column, row[0]) for name, column in TABLES.items()})
        files = dict.fromkeys(use["file"] for each in found for use in each["uses"])
        sizes = [database.execute("SELECT bytes FROM files WHERE name = ?", (name,)).fetchone() for name in files]
    if sum(size[0] for size in sizes if size) > MOST:
        return RemovedRecords(0)
    blobs = tuple(Blob(name, store.file(name)) for name in files)
    return RemovedRecords(0, tuple(found), blobs)


def _rows(database: sqlite3.Connection, table: str, column: str, n: int) -> list[dict[str, Any]]:
    found = database.execute(f"SELECT * FROM {table} WHERE {column} = ?", (n,))
    names = [about[0] for about in found.description]
    return [dict(zip(names, row, strict=True)) for row in found]


def write_records(database: sqlite3.Connection, removed: RemovedRecords) -> None:
    """Write the rows again, within `Store.writing`; a record that is there again is left as it is."""
    for record in removed.records:
        (own,) = record["records"]
        if database.execute("SELECT 1 FROM records WHERE id = ?", (own["id"],)).fetchone():
            continue
        # Records are in the order of their numbers; another may have taken this one.
        taken = database.execute("SELECT 1 FROM records WHERE n = ?", (own["n"],)).fetchone()
        n = _insert(database, "records", own | {"n": None} if taken else own)
        for table, column in TABLES.items():
            if table != "records":
                for row in record[table]:
                    _insert(database, table, row | {column: n})
        search.add(database, n, own["text"], json.loads(own["tags"]))


def _insert(database: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> int | None:
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    return database.execute(sql, tuple(row.values())).lastrowid
