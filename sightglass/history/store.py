"""The history on the disk: a folder of files for each record, an index of them in SQLite, and the decks.

A record is its folder; `record.json`, the last of its files, says everything but pictures and numbers. Where the index
is lost or behind, it is made again of what the folders say: so what a killed process leaves is finished or removed by
the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sightglass.common.errors import DISK_FULL, Problem
from sightglass.common.files import ABANDONED, remove_drafts, write_file
from sightglass.explain.phrases import megabytes
from sightglass.history import records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sightglass.history.records import Record

TABLE = """CREATE TABLE IF NOT EXISTS records (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, written INTEGER NOT NULL, deleted REAL, created INTEGER NOT NULL,
    picture_sha256 TEXT NOT NULL, model TEXT NOT NULL, labels TEXT NOT NULL, tags TEXT NOT NULL, text TEXT NOT NULL,
    bytes INTEGER NOT NULL
)"""
"""`written`: time of `record.json` in nanoseconds; `created`: microseconds since 1970; `deleted`: seconds; `labels`,
`tags`: lists in JSON; `text`: what is searched."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RECORD = "record.json"
DAMAGED = "This record is damaged, and not all of it can be shown."
WAIT = 10.0
"""Seconds that a writer waits for another."""
UNDO = 60.0
"""Seconds for which a removed record can be put back."""
ROOM = 16 * 1024
"""Approximate bytes of a row."""
_ID = re.compile(r"[0-9a-f]{16}")


class Store:
    """One folder: `index.db`, the records' files in `records/ID`, and `decks`; at most `limit` bytes."""

    def __init__(self, folder: Path, limit: int, upgrade: Callable[[Path, Store], None]) -> None:
        """`upgrade`: rewrite the database of a former version."""
        self.folder, self.limit, self._upgrade = folder, limit, upgrade
        self.path, self.records, self.decks = folder / "index.db", folder / "records", folder / "decks"
        self._is_tidy = False

    @contextlib.contextmanager
    def reading(self, begin: str = "BEGIN") -> Iterator[sqlite3.Connection]:
        """Yield the database as a consistent snapshot."""
        with self._reported():
            self.records.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.closing(sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)) as database:
                # Also the folder is synced where there is no write-ahead log.
                database.execute("PRAGMA synchronous = EXTRA")
                database.execute(TABLE)
                if not self._is_tidy:
                    self._tidy(database)
                    self._is_tidy = True
                database.execute(begin)
                yield database

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the database in a transaction; nobody else writes to the folder meanwhile."""
        with self.reading("BEGIN IMMEDIATE") as database, database:
            self._purge(database)
            yield database

    def _tidy(self, database: sqlite3.Connection) -> None:
        """Rewrite a former history; remove deleted records; finish or remove what a killed process left."""
        remove_drafts(self.decks)
        former = self.folder / "history.db"
        if not (former.exists() or self._expired(database) or self._unknown(database)):
            return
        with database:
            database.execute("BEGIN IMMEDIATE")
            # Another process may have done it meanwhile.
            if former.exists():
                self._upgrade(former, self)
            self._purge(database)
            for record in sorted(map(self.record, self._unknown(database)), key=lambda record: record.created):
                folder = self.records / record.id
                if (folder / RECORD).exists():
                    self.put(database, record)
                # Of a clock that was set back, a folder may be of tomorrow.
                elif abs(time.time() - folder.stat().st_mtime) > ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)

    def _unknown(self, database: sqlite3.Connection) -> list[str]:
        """Return the records of which the index has nothing, or what they said before."""
        known = dict(database.execute("SELECT id, written FROM records"))
        ids = [folder.name for folder in self.records.iterdir() if _ID.fullmatch(folder.name)]
        return [id for id in ids if id not in known or self._written(id) not in (0, known[id])]

    def _written(self, id: str) -> int:
        try:
            return (self.records / id / RECORD).stat().st_mtime_ns
        except OSError:
            return 0

    def _expired(self, database: sqlite3.Connection) -> list[str]:
        # Also where the clock was ahead when it was removed.
        sql = "SELECT id FROM records WHERE abs(deleted - ?) > ?"
        return [id for (id,) in database.execute(sql, (time.time(), UNDO))]

    def _purge(self, database: sqlite3.Connection) -> None:
        """Delete what was removed a while ago."""
        for id in self._expired(database):
            shutil.rmtree(self.records / id, ignore_errors=True)
            database.execute("DELETE FROM records WHERE id = ?", (id,))

    def record(self, id: str) -> Record:
        """Return a record; a damaged one says so."""
        try:
            return records.from_text((self.records / id / RECORD).read_text("utf-8"))
        except (ValueError, OSError, RecursionError):
            about = {"model": "", "task": "classify", "method": "", "headline": DAMAGED, "damaged": DAMAGED}
            return records.Record(id=id, created=EPOCH, **about)  # type: ignore[arg-type]

    def put(self, database: sqlite3.Connection, record: Record) -> None:
        """Insert a record's row, or update it, within `writing`."""
        row = {name: getattr(record, name) for name in ("id", "picture_sha256", "model", "bytes")} | {
            "written": self._written(record.id),
            "created": microseconds(record.created),
            "labels": json.dumps(record.classes),
            "tags": json.dumps(record.tags),
            "text": records.fold(record.text),
        }
        update = ", ".join(f"{name} = excluded.{name}" for name in row)
        sql = f"INSERT INTO records ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        database.execute(f"{sql} ON CONFLICT (id) DO UPDATE SET {update}", tuple(row.values()))

    def add(self, record: Record, files: Mapping[str, bytes]) -> None:
        """Save a new record with its files. Raises Problem where they go beyond the limit."""
        with self.writing() as database:
            self.check_room(database, record.bytes)
        try:
            self.save(record, files)
            with self.writing() as database:
                self.put(database, record)
        except Exception:
            shutil.rmtree(self.records / record.id, ignore_errors=True)
            raise

    def save(self, record: Record, files: Mapping[str, bytes]) -> None:
        """Write a record's files to the disk, and last what it says."""
        with self._reported():
            write_folder(self.records / record.id, {**files, RECORD: records.to_text(record).encode()})

    def check_room(self, database: sqlite3.Connection, more: int) -> None:
        """Raise Problem where so many more bytes go beyond the limit."""
        if more and (taken := self.taken(database)) + more + ROOM > self.limit:
            raise Problem(
                f"The history is full: {megabytes(taken)} of {megabytes(self.limit)} are taken. Delete some records, "
                "or allow more in SIGHTGLASS_HISTORY_MB."
            )

    def has(self, id: str, name: str) -> bool:
        """Return whether a record has a file of a name without its ending."""
        return any((self.records / id).glob(f"{name}.*"))

    def read(self, id: str, name: str) -> bytes:
        """Return a record's file by its name without an ending; raise Problem if it is gone."""
        folder = self.records / id
        try:
            return next(folder.glob(f"{name}.*")).read_bytes()
        except StopIteration:
            raise Problem(f"A file of this record is gone from {folder}: its content cannot be shown.") from None
        except OSError as error:
            raise Problem(f"A file of this record cannot be read: {error.strerror or error}.") from error

    def taken(self, database: sqlite3.Connection) -> int:
        """Return the bytes of all records' files, the decks and the index."""
        (total,) = database.execute("SELECT coalesce(sum(bytes), 0) FROM records WHERE deleted IS NULL").fetchone()
        for path in (self.path, *self.decks.glob("*")):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return int(total)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Raise disk and database errors as a Problem."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise Problem(self._explain(error, str(error))) from error

    def _explain(self, error: Exception, text: str) -> str:
        if "is full" in text or getattr(error, "errno", None) in DISK_FULL:
            return f"The disk with {self.folder} is full, and nothing was saved: make room, or delete some records."
        if isinstance(error, sqlite3.Error) and ("locked" in text or "busy" in text):
            waited = f"another process has been writing to {self.folder} for {WAIT:.0f} seconds"
            return f"The history is busy: {waited}; try again."
        if "malformed" in text or "not a database" in text:
            return f"A database in {self.folder} is damaged: move it away, and the records are read from their folders."
        return f"The history cannot use {self.folder}: make it writable, or name another in SIGHTGLASS_HISTORY."


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, each whole or not at all, and to the disk."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in files.items():
        write_file(folder / name, data, sync=True)
    for place in (folder, folder.parent) if os.name != "nt" else ():
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def microseconds(time: datetime) -> int:
    """Return a time with a zone in microseconds since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)
