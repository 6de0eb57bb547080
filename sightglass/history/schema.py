"""Database schema and its upgrades."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import time
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLICATION = 0x53474849  # "SGHI"
STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE records (
            n INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            created INTEGER NOT NULL,
            picture_name TEXT NOT NULL,
            picture_sha256 TEXT NOT NULL,
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            model TEXT NOT NULL,
            task TEXT NOT NULL,
            method TEXT NOT NULL,
            score REAL,
            bytes INTEGER NOT NULL,
            picture TEXT NOT NULL,
            thumbnail TEXT NOT NULL,
            text TEXT NOT NULL,
            note TEXT NOT NULL,
            tags TEXT NOT NULL,
            marks TEXT NOT NULL
        )""",
        # A table of its own, since bodies are long and a search through all records does not need them.
        "CREATE TABLE bodies (n INTEGER PRIMARY KEY, body TEXT NOT NULL, crc INTEGER NOT NULL)",
        "CREATE INDEX records_created ON records (created)",
        "CREATE INDEX records_score ON records (score)",
        "CREATE INDEX records_bytes ON records (bytes)",
        "CREATE INDEX records_model ON records (model)",
        "CREATE INDEX records_method ON records (method)",
        "CREATE INDEX records_picture ON records (picture_sha256)",
        """CREATE TABLE maps (
            record INTEGER NOT NULL,
            place INTEGER NOT NULL,
            file TEXT NOT NULL,
            about TEXT NOT NULL,
            crc INTEGER NOT NULL,
            PRIMARY KEY (record, place)
        ) WITHOUT ROWID""",
        """CREATE TABLE words (
            kind TEXT NOT NULL,
            word TEXT NOT NULL,
            record INTEGER NOT NULL,
            PRIMARY KEY (kind, word, record)
        ) WITHOUT ROWID""",
        "CREATE INDEX words_record ON words (record)",
        "CREATE TABLE files (name TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
        """CREATE TABLE uses (
            file TEXT NOT NULL,
            record INTEGER NOT NULL,
            PRIMARY KEY (file, record)
        ) WITHOUT ROWID""",
        "CREATE INDEX uses_record ON uses (record)",
        "CREATE TABLE said (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    (
        """CREATE TABLE decks (
            n INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            created INTEGER NOT NULL,
            changed INTEGER NOT NULL,
            title TEXT NOT NULL,
            ready TEXT NOT NULL
        )""",
        """CREATE TABLE slides (
            n INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            deck INTEGER NOT NULL,
            place INTEGER NOT NULL,
            kind TEXT NOT NULL,
            title TEXT NOT NULL,
            sentence TEXT NOT NULL,
            notes TEXT NOT NULL,
            view TEXT NOT NULL,
            records TEXT NOT NULL,
            file TEXT NOT NULL,
            thumbnail TEXT NOT NULL
        )""",
        "CREATE INDEX slides_deck ON slides (deck, place)",
    ),
)
"""The step at index i upgrades version i to i + 1. A released step is never changed."""
CREATE_INDEX = "CREATE VIRTUAL TABLE found USING fts5(text, tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3')"


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Write exclusively; commit at the end, roll back on an exception."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def prepare(database: sqlite3.Connection, path: Path, *, wait: float, others: bool) -> None:
    """Configure a connection and upgrade the tables. Raises Problem.

    `others`: there are files already; if the database is new, they are not its own.
    """
    version = _version(database, path)
    if version == 0:
        database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    # Without a write-ahead log (on a network drive): as safe, only slower.
    database.execute(f"PRAGMA synchronous = {'FULL' if _enable_wal(database, wait) else 'EXTRA'}")
    if version < len(STEPS):
        with transaction(database):
            # Another process may have upgraded it meanwhile.
            version = _version(database, path)
            for statement in itertools.chain(*STEPS[version:]):
                database.execute(statement)
            if version == 0:
                database.execute(f"PRAGMA application_id = {APPLICATION}")
                if others:
                    write_note(database, "others", "1")
            database.execute(f"PRAGMA user_version = {len(STEPS)}")
    _create_index(database)


def _version(database: sqlite3.Connection, path: Path) -> int:
    """Return the tables' version, 0 if empty. Raises Problem."""
    # One statement sees one moment: between several, another process may create the tables, which would then look like
    # those of another program.
    version, application, tables = database.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master) "
        "FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if (application != APPLICATION) if version else tables:
        raise Problem(f"{path} is another program's: name another folder in SIGHTGLASS_HISTORY.")
    if version > len(STEPS):
        raise Problem(
            f"The history in {path.parent} was written by a newer Sightglass: update this one, or name another folder "
            "in SIGHTGLASS_HISTORY."
        )
    return int(version)


def _enable_wal(database: sqlite3.Connection, wait: float) -> bool:
    """Switch to a write-ahead log; return whether that worked."""
    until = time.monotonic() + wait
    while True:
        try:
            if database.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
                return True
            return bool(database.execute("PRAGMA journal_mode = WAL").fetchone()[0] == "wal")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def make_searchable(database: sqlite3.Connection) -> bool:
    try:
        database.execute("SELECT rowid FROM found LIMIT 1").fetchone()
    except sqlite3.OperationalError:
        return False
    return True


def _create_index(database: sqlite3.Connection) -> None:
    """Create or rebuild the full-text index, if SQLite has FTS5."""
    is_complete = "SELECT (SELECT count(*) FROM records) = (SELECT count(*) FROM found_docsize)"
    with contextlib.suppress(sqlite3.OperationalError):
        if database.execute(is_complete).fetchone()[0]:
            return
    if not any("ENABLE_FTS5" in name for (name,) in database.execute("PRAGMA compile_options")):
        return
    with transaction(database):
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'found'").fetchone():
            database.execute(CREATE_INDEX)
        if not database.execute(is_complete).fetchone()[0]:
            database.execute("DELETE FROM found")
            database.execute("INSERT INTO found (rowid, text) SELECT n, text FROM records")


def read_note(database: sqlite3.Connection, name: str) -> str | None:
    """Return one of the store's internal notes."""
    row = database.execute("SELECT value FROM said WHERE name = ?", (name,)).fetchone()
    return row[0] if row else None


def write_note(database: sqlite3.Connection, name: str, value: str) -> None:
    database.execute("INSERT OR REPLACE INTO said (name, value) VALUES (?, ?)", (name, value))
