"""Store records: a row of one SQLite table each, and a folder of files.

A record's files are on the disk before its row, and deleted before it; `record.json`, which repeats the row, is the
last of them. So what a killed process leaves is finished or removed by the next one, and where the database is lost,
the records are read back from their folders.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import DISK_FULL, Problem
from sightglass.common.files import write_file
from sightglass.explain.phrases import megabytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Write = Callable[[sqlite3.Connection, Path], None]

APPLICATION = 0x53474849  # "SGHI"
VERSION = 3
"""Of the tables; `migration` rewrites earlier ones."""
TABLES = (
    # The long texts are last: a search does not read beyond the columns that it needs.
    """CREATE TABLE records (
        n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, deleted REAL,
        picture_sha256 TEXT NOT NULL, model TEXT NOT NULL, method TEXT NOT NULL, score REAL, bytes INTEGER NOT NULL,
        labels TEXT NOT NULL, tags TEXT NOT NULL, text TEXT NOT NULL, record TEXT NOT NULL
    )""",
    "CREATE INDEX records_picture ON records (picture_sha256)",
    """CREATE TABLE decks (
        n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL, changed INTEGER NOT NULL,
        title TEXT NOT NULL, ready TEXT NOT NULL, theme TEXT NOT NULL
    )""",
    """CREATE TABLE slides (
        n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, deck INTEGER NOT NULL, place INTEGER NOT NULL,
        kind TEXT NOT NULL, title TEXT NOT NULL, sentence TEXT NOT NULL, notes TEXT NOT NULL, view TEXT NOT NULL,
        records TEXT NOT NULL, thumbnail BLOB NOT NULL, scene BLOB NOT NULL
    )""",
    "CREATE INDEX slides_deck ON slides (deck, place)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
"""`created` and `changed`: microseconds since 1970; `deleted`: seconds; `labels`, `tags`: lists in JSON."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RECORD = "record.json"
WAIT = 10.0
"""Seconds that a writer waits for another."""
ABANDONED = 3600.0
"""Seconds after which nobody is still writing a folder."""
UNDO = 60.0
"""Seconds for which a removed record can be put back."""
ROOM = 16 * 1024
"""Approximate bytes of a row."""
_ID = re.compile(r"[0-9a-f]{16}")


class Store:
    """One folder: `history.db`, and the records' files in `records/ID`."""

    def __init__(self, folder: Path, adopt: Write, upgrade: Write) -> None:
        """`adopt`: insert the row of a record's folder that has none. `upgrade`: rewrite the tables of an earlier
        version, of the history in a folder."""
        self.folder, self.path, self.records = folder, folder / "history.db", folder / "records"
        self._adopt, self._rewrite, self._is_tidy = adopt, upgrade, False

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the database as a consistent snapshot."""
        with self.reported(), contextlib.closing(self._connect()) as database:
            database.execute("BEGIN")
            yield database

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the database for exclusive writing, in a transaction."""
        with self.reported(), contextlib.closing(self._connect()) as database, _transaction(database):
            yield database

    def _connect(self) -> sqlite3.Connection:
        self.records.mkdir(mode=0o700, parents=True, exist_ok=True)
        database = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
        try:
            # Also the folder is synced where there is no write-ahead log.
            database.execute("PRAGMA synchronous = EXTRA")
            if self._version(database) != VERSION:
                self._upgrade(database)
            if not self._is_tidy:
                self._is_tidy = True
                self.tidy(database)
        except BaseException:
            database.close()
            raise
        return database

    def _version(self, database: sqlite3.Connection) -> int:
        """Return the tables' version, 0 if there are none. Raises Problem."""
        # One statement sees one moment: between several, another process may create the tables.
        version, application, tables = database.execute(
            "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master) "
            "FROM pragma_user_version, pragma_application_id"
        ).fetchone()
        if (application != APPLICATION) if version else tables:
            raise Problem(f"{self.path} is another program's: name another folder in SIGHTGLASS_HISTORY.")
        if version > VERSION:
            raise Problem(
                f"The history in {self.folder} was written by a newer Sightglass: update this one, or name another "
                "folder in SIGHTGLASS_HISTORY."
            )
        return int(version)

    def _upgrade(self, database: sqlite3.Connection) -> None:
        """Create the tables, or rewrite those of an earlier version."""
        database.execute("PRAGMA auto_vacuum = FULL")
        with _transaction(database):
            # Another process may have done it meanwhile.
            version = self._version(database)
            if version == 0:
                create_tables(database)
            elif version < VERSION:
                self._rewrite(database, self.folder)
        if version:
            for former in ("files", "drafts"):
                shutil.rmtree(self.folder / former, ignore_errors=True)

    def tidy(self, database: sqlite3.Connection) -> None:
        """Remove deleted records; finish or remove what a killed process left."""
        if self._expired(database) or self._without_row(database):
            with _transaction(database):
                self.purge(database)
                for folder in self._without_row(database):
                    if (folder / RECORD).exists():
                        self._adopt(database, folder)
                    # Of a clock that was set back, a folder may be of tomorrow.
                    elif abs(time.time() - folder.stat().st_mtime) > ABANDONED:
                        shutil.rmtree(folder, ignore_errors=True)

    def _without_row(self, database: sqlite3.Connection) -> list[Path]:
        """Return the folders that no row names, oldest first."""
        known = {id for (id,) in database.execute("SELECT id FROM records")}
        folders = [place for place in self.records.iterdir() if place.name not in known and _ID.fullmatch(place.name)]
        return sorted(folders, key=lambda folder: folder.stat().st_mtime)

    def _expired(self, database: sqlite3.Connection) -> list[str]:
        # Also where the clock was ahead when it was removed.
        sql = "SELECT id FROM records WHERE abs(deleted - ?) > ?"
        return [id for (id,) in database.execute(sql, (time.time(), UNDO))]

    def purge(self, database: sqlite3.Connection) -> None:
        """Delete what was removed a while ago, within `writing`."""
        for id in self._expired(database):
            shutil.rmtree(self.records / id, ignore_errors=True)
            database.execute("DELETE FROM records WHERE id = ?", (id,))

    def add(
        self, id: str, files: Mapping[str, bytes], write: Callable[[sqlite3.Connection], None], *, limit: int
    ) -> None:
        """Save a record's files, and `write` its row. Raises Problem where they go beyond `limit` bytes."""
        folder = self.records / id
        with self.reported():
            try:
                with self.writing() as database:
                    self.purge(database)
                    self.check_room(database, sum(map(len, files.values())), limit)
                write_folder(folder, files)
                with self.writing() as database:
                    write(database)
            except Exception:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def check_room(self, database: sqlite3.Connection, more: int, limit: int) -> None:
        """Raise Problem where so many more bytes go beyond the limit."""
        if (taken := self.taken(database)) + more + ROOM > limit:
            raise Problem(
                f"The history is full: {megabytes(taken)} of {megabytes(limit)} are taken. Delete some records, or "
                "allow more in SIGHTGLASS_HISTORY_MB."
            )

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
        """Return the bytes of all records' files and the database."""
        (total,) = database.execute("SELECT coalesce(sum(bytes), 0) FROM records WHERE deleted IS NULL").fetchone()
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                total += os.stat(f"{self.path}{suffix}").st_size
        return int(total)

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
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
            return f"{self.path} is damaged: move it away, and the records are read from their folders."
        return f"The history cannot use {self.folder}: make it writable, or name another in SIGHTGLASS_HISTORY."


def create_tables(database: sqlite3.Connection) -> None:
    for statement in TABLES:
        database.execute(statement)


def insert(database: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> None:
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    database.execute(sql, tuple(row.values()))


@contextlib.contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Write exclusively; commit at the end, roll back on an exception."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def write_folder(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a folder of files to the disk."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in files.items():
        write_file(folder / name, data, sync=True)
    for place in (folder, folder.parent) if os.name != "nt" else ():
        handle = os.open(place, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
