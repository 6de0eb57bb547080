"""Read and write the database and its files.

A file is complete and synced before the row that names it is committed, and is removed after the last such row. Files
are moved and removed only under the database's write lock, so that no process removes what another is about to name; a
killed process releases that lock, and leaves at most files that no row names.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.common.errors import DISK_FULL, Problem
from sightglass.common.files import writable
from sightglass.explain.phrases import megabytes
from sightglass.history import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

WAIT = 10.0
"""Seconds that a writer waits for another."""
DRAFT_AGE = 3600.0
"""Seconds after which an unfinished file counts as abandoned."""
SWEEP_EVERY = 86_400.0
ROOM = 16 * 1024
"""Approximate bytes of a record's rows."""
TRIES = 5
_NAME = re.compile(r"[0-9a-f]{64}\.(jpg|webp|png|maps|json|scene)")


@dataclass(frozen=True, eq=False)
class Blob:
    """A file named by its content."""

    name: str
    data: bytes

    @classmethod
    def of(cls, data: bytes, kind: str) -> Blob:
        """`kind`: jpg, webp, png, maps, json or scene."""
        return cls(f"{hashlib.sha256(data).hexdigest()}.{kind}", data)


class FilesChanged(Exception):
    """A file was removed or damaged since it was checked: the caller writes it again."""


class Store:
    """One folder: `history.db`, `files/ab/abcd...`, and `drafts` of files that are being written."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "history.db"
        self._files, self._drafts = folder / "files", folder / "drafts"
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        self._open: dict[str, sqlite3.Connection] = {}
        self._process = os.getpid()

    @property
    def exists(self) -> bool:
        """Whether anything was ever saved: reading creates no folder."""
        with self.reported():
            return self.path.exists()

    def blocked(self) -> str:
        """Return why this process cannot write, else ""."""
        return self._unwritable if writable(self.folder) is None else ""

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the database as a consistent snapshot."""
        with self.reported(), _lock(self._read_lock):
            database = self._database("read")
            database.execute("BEGIN")
            try:
                yield database
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the database for exclusive writing, in a transaction."""
        with self.reported(), _lock(self._write_lock):
            database = self._database("write")
            with schema.transaction(database):
                yield database

    def _database(self, role: str) -> sqlite3.Connection:
        if self._process != os.getpid():
            # A connection must not be used after a fork, and closing it here would release the parent's locks.
            _abandoned.append(self._open)
            self._open, self._process = {}, os.getpid()
        if role not in self._open:
            for place in (self.folder, self._files, self._drafts):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
            new = not self.path.exists()
            database = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None, check_same_thread=False)
            try:
                schema.prepare(database, self.path, wait=WAIT, others=any(self._files.iterdir()))
            except BaseException:
                database.close()
                raise
            if new:
                for place in (self.folder, self.folder.parent):
                    _sync(place)
            self._open[role] = database
        return self._open[role]

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """Raise disk and database errors as a Problem."""
        try:
            yield
        except sqlite3.Error as error:
            raise Problem(self._explain_error(str(error))) from error
        except OSError as error:
            if error.errno in DISK_FULL:
                raise Problem(self._full) from error
            raise Problem(self._unwritable) from error

    @property
    def _full(self) -> str:
        return f"The disk with {self.folder} is full, and nothing was saved: make room, or delete some records."

    @property
    def _unwritable(self) -> str:
        return f"The history cannot use {self.folder}: make it writable, or name another in SIGHTGLASS_HISTORY."

    def _explain_error(self, message: str) -> str:
        sentences = {
            ("locked", "busy"): f"The history is busy: another process has been writing to {self.folder} for "
            f"{WAIT:.0f} seconds; try again.",
            ("is full",): self._full,
            ("readonly", "unable to open", "disk I/O"): self._unwritable,
            ("malformed", "not a database"): f"{self.path} is damaged: move it away and restore a copy, or start a new "
            "history.",
        }
        otherwise = f"The history in {self.folder} could not be used ({message}): try again."
        return next((text for parts, text in sentences.items() if any(part in message for part in parts)), otherwise)

    def file(self, name: str) -> bytes:
        """Return a file's bytes; raise Problem if missing or damaged."""
        if not _NAME.fullmatch(name):
            raise Problem("This record is damaged: the name of one of its files makes no sense.")
        try:
            data = self._at(name).read_bytes()
        except FileNotFoundError as error:
            raise Problem(f"A file of this record is gone from {self._files}: its content cannot be shown.") from error
        except OSError as error:
            raise Problem(f"A file of this record cannot be read: {error.strerror or error}.") from error
        if hashlib.sha256(data).hexdigest() != name[:64]:
            raise Problem("A file of this record is damaged: its content has changed.")
        return data

    def intact(self, name: str) -> bool:
        """Return whether a file exists and is undamaged."""
        try:
            return bool(self.file(name))
        except Problem:
            return False

    def _at(self, name: str) -> Path:
        return self._files / name[:2] / name

    def commit(
        self,
        blobs: Callable[[int], Sequence[Blob]],
        write: Callable[[sqlite3.Connection, Sequence[Blob]], None],
        *,
        limit: int,
    ) -> None:
        """Publish files and write their rows, in one transaction.

        `blobs` gets the number of the attempt: where another process removes a file meanwhile, all is tried again.
        Raises Problem where files and rows go beyond `limit` bytes; then nothing is written.
        """
        for attempt in range(TRIES):
            pending = blobs(attempt)
            ready = self.draft(pending)
            try:
                with self.writing() as database:
                    self._check_room(database, pending, limit)
                    self.publish_files(database, pending, ready)
                    write(database, pending)
                return
            except FilesChanged:
                continue
            finally:
                self.drop(ready)
        raise Problem("Another program is moving the history's files: try again when it has finished.")

    def _check_room(self, database: sqlite3.Connection, blobs: Sequence[Blob], limit: int) -> None:
        """Raise Problem for files above the limit."""
        sizes = {blob.name: len(blob.data) for blob in blobs}
        known = {name for name in sizes if database.execute("SELECT 1 FROM files WHERE name = ?", (name,)).fetchone()}
        new = sum(size for name, size in sizes.items() if name not in known) + ROOM
        taken = self.taken(database)
        if taken + new > limit:
            raise Problem(
                f"The history is full: {megabytes(taken)} of {megabytes(limit)} are taken. Delete some records, or "
                "allow more in SIGHTGLASS_HISTORY_MB."
            )

    def draft(self, blobs: Iterable[Blob]) -> dict[str, Path]:
        """Write the missing files under temporary names; `publish_files` renames them."""
        drafts: dict[str, Path] = {}
        with self.reported():
            try:
                self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
                for blob in blobs:
                    if blob.name in drafts or self.intact(blob.name):
                        continue
                    drafts[blob.name] = draft = self._drafts / secrets.token_hex(16)
                    with draft.open("xb") as file:
                        file.write(blob.data)
                        file.flush()
                        os.fsync(file.fileno())
            except BaseException:
                self.drop(drafts)
                raise
        return drafts

    def drop(self, drafts: dict[str, Path]) -> None:
        for draft in drafts.values():
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def publish_files(self, database: sqlite3.Connection, blobs: Sequence[Blob], drafts: dict[str, Path]) -> None:
        """Publish drafts within `writing`; raise FilesChanged for missing files."""
        known = {blob.name: len(blob.data) for blob in blobs}
        touched: set[Path] = set()
        for name, size in known.items():
            to = self._at(name)
            named = database.execute("SELECT 1 FROM files WHERE name = ?", (name,)).fetchone()
            if name in drafts:
                if not to.parent.is_dir():
                    to.parent.mkdir(mode=0o700, exist_ok=True)
                    touched.add(self._files)
                try:
                    os.replace(drafts[name], to)
                except FileNotFoundError as error:
                    raise FilesChanged(name) from error
                touched.add(to.parent)
            elif not to.is_file() or to.stat().st_size != size:
                raise FilesChanged(name)
            elif not named:
                # Left by a killed process: its name may not be synced.
                touched |= {to.parent, self._files}
            if not named:
                database.execute("INSERT INTO files (name, bytes) VALUES (?, ?)", (name, size))
        for place in touched:
            _sync(place)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files without a row."""
        with self.writing() as database:
            for name in names:
                if not database.execute("SELECT 1 FROM files WHERE name = ?", (name,)).fetchone():
                    with contextlib.suppress(OSError):
                        self._at(name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """Run `sweep` once a day."""
        with self.reading() as database:
            # Also where a clock that was ahead has been set back.
            due = abs(time.time() - float(schema.read_note(database, "swept") or 0)) > SWEEP_EVERY
        if due:
            self.sweep()

    def sweep(self, *, age: float = DRAFT_AGE) -> int:
        """Remove old drafts and files without a row.

        Returns the number of bytes freed. Files that are older than the database are kept.
        """
        freed = 0
        with self.reported():
            for draft in self._drafts.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    seen = draft.stat()
                    if abs(time.time() - seen.st_mtime) >= age:
                        draft.unlink()
                        freed += seen.st_size
            folders = [place for place in self._files.iterdir() if place.is_dir()]
        for folder in folders:
            # One folder at a time, so that writers need not wait.
            with self.writing() as database:
                if schema.read_note(database, "others"):
                    break
                named = {
                    name
                    for (name,) in database.execute(
                        "SELECT name FROM files WHERE name >= ? AND name < ?", (folder.name, folder.name + "g")
                    )
                }
                for path in folder.iterdir():
                    if path.name not in named and _NAME.fullmatch(path.name):
                        freed += path.stat().st_size
                        path.unlink()
        with self.writing() as database:
            schema.write_note(database, "swept", str(time.time()))
        return freed

    def taken(self, database: sqlite3.Connection) -> int:
        """Return the bytes of all files and the database."""
        (total,) = database.execute("SELECT coalesce(sum(bytes), 0) FROM files").fetchone()
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                total += os.stat(f"{self.path}{suffix}").st_size
        return int(total)

    def shrink(self) -> None:
        """Release the space of deleted rows, unless another process is busy."""
        with contextlib.suppress(sqlite3.Error), _lock(self._write_lock):
            database = self._database("write")
            database.execute("PRAGMA busy_timeout = 0")
            try:
                database.execute("PRAGMA incremental_vacuum").fetchall()
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                database.execute(f"PRAGMA busy_timeout = {int(WAIT * 1000)}")


def release(database: sqlite3.Connection, names: Iterable[str]) -> dict[str, int]:
    """Forget unused files within `Store.writing`; return their sizes.

    `Store.remove` then deletes them.
    """
    freed = {}
    used = "SELECT 1 FROM uses WHERE file = ?1 UNION SELECT 1 FROM slides WHERE file = ?1 OR thumbnail = ?1 LIMIT 1"
    for name in names:
        if database.execute(used, (name,)).fetchone() is None:
            row = database.execute("SELECT bytes FROM files WHERE name = ?", (name,)).fetchone()
            database.execute("DELETE FROM files WHERE name = ?", (name,))
            freed[name] = row[0] if row else 0
    return freed


_abandoned: list[dict[str, sqlite3.Connection]] = []
"""Connections of a parent process, referenced so that nothing closes them."""


@contextlib.contextmanager
def _lock(lock: threading.Lock) -> Iterator[None]:
    """Hold a lock; a timeout fails like another process's lock."""
    if not lock.acquire(timeout=WAIT):
        raise sqlite3.OperationalError("database is locked")
    try:
        yield
    finally:
        lock.release()


def _sync(folder: Path) -> None:
    """Sync a folder's names to the disk, if possible."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
