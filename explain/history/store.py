"""The database of the history, and the files that its rows name.

A file lies there whole, and on the disk, before the row that names it is committed; it goes after the row that named it
last. Whoever moves or removes a file holds the database's own lock meanwhile, so that no process takes away what
another is about to name; a process that is killed gives that lock back, and leaves at most files that no row names.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import Problem
from explain.history import schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

WAIT = 10.0
"""Seconds that a writer waits for others."""
DRAFT_AGE = 3600.0
"""Seconds after which a file that nobody finished is nobody's."""
SWEEP_EVERY = 86_400.0
_NAME = re.compile(r"[0-9a-f]{64}\.(jpg|webp|png|maps)")
_FULL = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


@dataclass(frozen=True, eq=False)
class Blob:
    """A file by what it holds."""

    name: str
    data: bytes

    @classmethod
    def of(cls, data: bytes, kind: str) -> Blob:
        """`kind`: jpg, webp, png or maps."""
        return cls(f"{hashlib.sha256(data).hexdigest()}.{kind}", data)


class Moved(Exception):
    """A file went, or came to be damaged, since it was looked at: the caller writes it anew."""


class Store:
    """One folder: `history.db`, `files/ab/abcd...`, and `drafts` of files that are being written."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "history.db"
        self._files, self._drafts = folder / "files", folder / "drafts"
        self._turn, self._read_turn = threading.Lock(), threading.Lock()
        self._open: dict[str, sqlite3.Connection] = {}
        self._process = os.getpid()

    @property
    def begun(self) -> bool:
        """Whether anything was ever kept: looking at nothing makes no folder."""
        with self.told():
            return self.path.exists()

    def blocked(self) -> str:
        """What keeps this process from writing here, as a sentence; empty where nothing does."""
        there = self.folder
        while not os.path.lexists(there) and there != there.parent:
            there = there.parent
        return "" if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else self._unwritable

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database as it is now, all of it of one moment."""
        with self.told(), _turn_of(self._read_turn):
            database = self._database("read")
            database.execute("BEGIN")
            try:
                yield database
            finally:
                if database.in_transaction:
                    database.execute("ROLLBACK")

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The database, to this writer alone; on the disk when this ends, and unchanged where it raises."""
        with self.told(), _turn_of(self._turn):
            database = self._database("write")
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    def _database(self, role: str) -> sqlite3.Connection:
        if self._process != os.getpid():
            # A connection must not be carried over a fork, and closing it here would let go of the parent's locks.
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
                    _settle(place)
            self._open[role] = database
        return self._open[role]

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """What the disk and the database complain of, as one sentence that says what to do."""
        try:
            yield
        except sqlite3.Error as error:
            raise Problem(self._database_words(str(error))) from error
        except OSError as error:
            if error.errno in _FULL:
                raise Problem(self._full) from error
            raise Problem(self._unwritable) from error

    @property
    def _full(self) -> str:
        return f"The disk with {self.folder} is full, and nothing was kept: make room, or delete some records."

    @property
    def _unwritable(self) -> str:
        return (
            f"The history cannot use {self.folder}: see to it that it may be written, or name another in "
            "SIGHTGLASS_HISTORY."
        )

    def _database_words(self, said: str) -> str:
        if "locked" in said or "busy" in said:
            return f"The history is busy: another has been writing to {self.folder} for {WAIT:.0f} seconds; try again."
        if "is full" in said:
            return self._full
        if "readonly" in said or "unable to open" in said or "disk I/O" in said:
            return self._unwritable
        if "malformed" in said or "not a database" in said:
            return f"{self.path} is damaged: move it away and put a copy of it back, or let the history begin anew."
        return f"The history in {self.folder} could not be used ({said}): try again."

    def file(self, name: str) -> bytes:
        """The bytes of a file; raises Problem where it is gone or no longer what it was."""
        if not _NAME.fullmatch(name):
            raise Problem("This record is damaged: the name of one of its files makes no sense.")
        try:
            data = self._at(name).read_bytes()
        except FileNotFoundError as error:
            raise Problem(
                f"A file of this record is gone from {self._files}: what was kept there cannot be shown."
            ) from error
        except OSError as error:
            raise Problem(f"A file of this record cannot be read: {error.strerror or error}.") from error
        if hashlib.sha256(data).hexdigest() != name[:64]:
            raise Problem("A file of this record is damaged: it is no longer what was kept.")
        return data

    def intact(self, name: str) -> bool:
        """Whether a file is there and what it was."""
        try:
            return bool(self.file(name))
        except Problem:
            return False

    def _at(self, name: str) -> Path:
        return self._files / name[:2] / name

    def draft(self, blobs: Iterable[Blob]) -> dict[str, Path]:
        """Those that are not there yet, on the disk under names of nobody; `place` gives them theirs."""
        made: dict[str, Path] = {}
        with self.told():
            try:
                self._drafts.mkdir(mode=0o700, parents=True, exist_ok=True)
                for blob in blobs:
                    if blob.name in made or self.intact(blob.name):
                        continue
                    made[blob.name] = draft = self._drafts / secrets.token_hex(16)
                    with draft.open("xb") as file:
                        file.write(blob.data)
                        file.flush()
                        os.fsync(file.fileno())
            except BaseException:
                self.drop(made)
                raise
        return made

    def drop(self, drafts: dict[str, Path]) -> None:
        for draft in drafts.values():
            with contextlib.suppress(OSError):
                draft.unlink(missing_ok=True)

    def place(self, database: sqlite3.Connection, blobs: Sequence[Blob], drafts: dict[str, Path]) -> None:
        """Put drafts where they belong, within `writing`; raises Moved where a file that was there no longer is."""
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
                    raise Moved(name) from error
                touched.add(to.parent)
            elif not to.is_file() or to.stat().st_size != size:
                raise Moved(name)
            elif not named:
                # Left by one who was killed: whether its name is on the disk nobody knows.
                touched |= {to.parent, self._files}
            if not named:
                database.execute("INSERT INTO files (name, bytes) VALUES (?, ?)", (name, size))
        for place in touched:
            _settle(place)

    def remove(self, names: Sequence[str]) -> None:
        """Remove files that no row names; those that one names again stay."""
        with self.writing() as database:
            for name in names:
                if not database.execute("SELECT 1 FROM files WHERE name = ?", (name,)).fetchone():
                    with contextlib.suppress(OSError):
                        self._at(name).unlink(missing_ok=True)

    def tidy(self) -> None:
        """`sweep`, once a day."""
        with self.reading() as database:
            due = time.time() - float(schema.said(database, "swept") or 0) > SWEEP_EVERY
        if due:
            self.sweep()

    def sweep(self, *, age: float = DRAFT_AGE) -> int:
        """Remove what killed processes left: drafts older than `age` seconds, and files that no row names.

        Returns the bytes that were freed. Where a database began anew over files of another, those stay.
        """
        freed = 0
        with self.told():
            for draft in self._drafts.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    seen = draft.stat()
                    if time.time() - seen.st_mtime >= age:
                        draft.unlink()
                        freed += seen.st_size
            shelves = [place for place in self._files.iterdir() if place.is_dir()]
        for shelf in shelves:
            # A shelf at a time, or writers would wait.
            with self.writing() as database:
                if schema.said(database, "others"):
                    break
                named = {
                    name
                    for (name,) in database.execute(
                        "SELECT name FROM files WHERE name >= ? AND name < ?", (shelf.name, shelf.name + "g")
                    )
                }
                for path in shelf.iterdir():
                    if path.name not in named and _NAME.fullmatch(path.name):
                        freed += path.stat().st_size
                        path.unlink()
        with self.writing() as database:
            schema.say(database, "swept", str(time.time()))
        return freed

    def taken(self, database: sqlite3.Connection) -> int:
        """Bytes of all files that rows name, and of the database with its log."""
        (total,) = database.execute("SELECT coalesce(sum(bytes), 0) FROM files").fetchone()
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                total += os.stat(f"{self.path}{suffix}").st_size
        return int(total)

    def shrink(self) -> None:
        """Give back what deleted rows took, where nobody is in the way."""
        with contextlib.suppress(sqlite3.Error), _turn_of(self._turn):
            database = self._database("write")
            database.execute("PRAGMA busy_timeout = 0")
            try:
                database.execute("PRAGMA incremental_vacuum").fetchall()
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                database.execute(f"PRAGMA busy_timeout = {int(WAIT * 1000)}")


_abandoned: list[dict[str, sqlite3.Connection]] = []
"""Connections of a parent process, held so that nothing closes them."""


@contextlib.contextmanager
def _turn_of(lock: threading.Lock) -> Iterator[None]:
    """The lock, for which another thread of this process is waited for as for another process."""
    if not lock.acquire(timeout=WAIT):
        raise sqlite3.OperationalError("database is locked")
    try:
        yield
    finally:
        lock.release()


def _settle(folder: Path) -> None:
    """Force a folder's list of names onto the disk, where the system can."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
