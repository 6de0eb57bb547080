"""Save, find, annotate and delete explanations; save those whose best answer has a low score.

A history is a folder: `records` has a folder of files for each record, `index.db` an index of them in SQLite, `decks`
the slides. A record's folder has `record.json`, written last, with everything except pictures and numbers.
A lost or outdated index is rebuilt from the folders: the next process finishes or removes what a killed one left.
"""

import contextlib
import json
import logging
import re
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from sightglass.common.errors import DISK_FAILED, DISK_FULL, Problem, describe_error, typed_text
from sightglass.common.files import ABANDONED, Json, modified, remove_drafts, write_folder
from sightglass.common.files.keeping import reading
from sightglass.common.settings import settings
from sightglass.explain.explanation import Explanation
from sightglass.explain.phrases import megabytes
from sightglass.explain.similarity.similarity import Similarity
from sightglass.history import encoding
from sightglass.history.decks import Decks
from sightglass.history.encoding import PUT_BACK
from sightglass.history.records import (
    EPOCH,
    MAX_NOTE,
    RECORD,
    Record,
    SearchResult,
    checked_tags,
    fold,
    from_text,
    to_text,
)
from sightglass.report.result_folder import label_stem

LOGGER = logging.getLogger(__name__)
UNSURE = "unsure"
"""The tag of explanations whose best answer has a low score."""
GONE = "There is no such record: it was deleted, or never saved here."
MAX_WORDS = 12
"""Number of words of a search that count."""
TABLE = """CREATE TABLE IF NOT EXISTS records (
    n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, written INTEGER NOT NULL, created INTEGER NOT NULL,
    picture_sha256 TEXT NOT NULL, model TEXT NOT NULL, labels TEXT NOT NULL, tags TEXT NOT NULL, text TEXT NOT NULL,
    bytes INTEGER NOT NULL
)"""
"""`written`: time of `record.json` in nanoseconds; `created`: microseconds since 1970; `labels`, `tags`: lists in JSON;
`text`: what is searched."""
DAMAGED = "This record cannot be read."
WAIT = 10.0
"""Seconds that a writer waits for another."""
ROW_BYTES = 16 * 1024
"""About the bytes of a row of the index."""
_ID = re.compile(r"[0-9a-f]{16}")


class History(encoding.RecordFiles):
    """Saved explanations in one folder. Threads may share a History, and processes its folder.

    Every method raises Problem, one sentence that says what to do, if the history is off or its folder cannot be used.

    >>> history = History()
    >>> record = history.keep(explanation, note="looks at the number plate", tags=["plates"])
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        """`folder`: by default SIGHTGLASS_HISTORY, else a folder of this user."""
        base = Path(folder).expanduser() if folder is not None else settings().history
        self.folder = base and base.absolute()
        """None if the history is switched off."""
        self._limit = int(settings().history_mb * 1_000_000)
        self._is_tidy = False

    @property
    def decks(self) -> Decks:
        """`Decks` of slides, which share the history's folder and its limit."""
        return Decks(self, self.root / "decks")

    def keep(
        self,
        view: Explanation | Similarity,
        *,
        index: int = 0,
        look: Json | None = None,
        note: str = "",
        tags: Sequence[str] = (),
    ) -> Record:
        """Save an explanation or a comparison of two pictures, and sync it to the disk.

        A record has all maps, their proofs and the pictures.

        `index`: the selected map. `look`: the viewer's settings, by name.
        Raises Problem if an explanation is not finished or the limit is reached; then nothing is saved or deleted.

            record = history.keep(similarity(explainer, "bus.jpg", "zidane.jpg"))
            history.similarity(record).score == record.score
        """
        if isinstance(view, Similarity):
            record, files = encoding.encode_pair(view)
        else:
            record, files = encoding.encode(view, index, look or {})
        record = replace(
            record,
            note=typed_text(note.splitlines(), MAX_NOTE, "The note"),
            tags=checked_tags(tags),
            bytes=sum(map(len, files.values())),
        )
        with self.writing():
            self.check_room(record.bytes)
        try:
            self._save(record, files)
            with self.writing() as database:
                self._index(database, record)
        except Exception:
            shutil.rmtree(self.locate(record.id), ignore_errors=True)
            raise
        return self.get(record.id)

    def search(
        self,
        *,
        text: str = "",
        model: str | None = None,
        label: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        limit: int = 60,
        offset: int = 0,
    ) -> SearchResult:
        """Return one page of records, newest first.

        `text`: words, or parts of words, that must all occur in the headline, classes, note, tags, name, model or
        method. `label`: a class of the record. `since`: when it was saved at the earliest, a time with a zone.
        """
        criteria: list[tuple[str, Any]] = [("instr(text, ?)", word) for word in fold(text).split()[:MAX_WORDS]]
        inside = "EXISTS (SELECT 1 FROM json_each(records.{}) WHERE value = ?)"
        criteria += [("model = ?", model), (inside.format("labels"), label), (inside.format("tags"), tag)]
        criteria += [("created >= ?", since and round(since.timestamp() * 1e6))]
        used = [(sql, value) for sql, value in criteria if value is not None]
        where = " AND ".join(sql for sql, _ in used) or "TRUE"
        values = [encoding.storable(value) if isinstance(value, str) else value for _, value in used]
        with self.reading() as database:
            (total,) = database.execute(f"SELECT count(*) FROM records WHERE {where}", values).fetchone()
            sql = f"SELECT id FROM records WHERE {where} ORDER BY n DESC LIMIT ? OFFSET ?"
            records = [self._read_record(id) for (id,) in database.execute(sql, (*values, limit, offset))]
        return SearchResult(tuple(records), total)

    def choices(self) -> dict[str, dict[str, int]]:
        """Return every `model`, `label` and `tag` with its number of records, most first."""
        counts = "SELECT {}, count(*) FROM records{} GROUP BY 1 ORDER BY 2 DESC, 1"
        queries = {name: counts.format("value", f", json_each(records.{name}s)") for name in ("label", "tag")}
        queries["model"] = counts.format("model", "")
        with self.reading() as database:
            return {name: dict(database.execute(sql).fetchall()) for name, sql in queries.items()}

    def get(self, id: str) -> Record:
        """Return one record; raise Problem if it is gone."""
        with self.reading() as database:
            return self._find(database, id)

    def _find(self, database: sqlite3.Connection, id: str) -> Record:
        if not database.execute("SELECT 1 FROM records WHERE id = ?", (id,)).fetchone():
            raise Problem(GONE)
        return self._read_record(id)

    def find(self, view: Explanation | Similarity, index: int = 0) -> Record | None:
        """Return the newest record of the same pictures, recipe and selected map; None if there is none."""
        key = (view.query if isinstance(view, Similarity) else view).image.sha256, view.model.id
        sql = "SELECT id FROM records WHERE picture_sha256 = ? AND model = ? ORDER BY n DESC"
        with self.reading() as database:
            records = (self._read_record(id) for (id,) in database.execute(sql, key))
            return next((record for record in records if encoding.is_of(record, view, index)), None)

    def annotate(self, id: str, *, note: str | None = None, tags: Sequence[str] | None = None) -> Record:
        """Replace the note or the tags of a record, and sync it to the disk; None leaves them as they are.

        Raises Problem if the record is gone or damaged, or a text is too long.
        """
        with self.writing() as database:
            if (record := self._find(database, id)).damaged:
                raise Problem(record.damaged)
            record = replace(
                record,
                note=record.note if note is None else typed_text(note.splitlines(), MAX_NOTE, "The note"),
                tags=record.tags if tags is None else checked_tags(tags),
            )
            self._save(record, {})
            self._index(database, record)
        return self.get(id)

    def delete(self, ids: Sequence[str]) -> None:
        """Delete records with their files, for good; ignore ids that do not exist."""
        with self.writing() as database:
            known = [id for id in ids if database.execute("DELETE FROM records WHERE id = ?", (id,)).rowcount]
        # After a kill here the next process finds the records again, whole; later it removes the rest.
        with self.writing():
            for id in known:
                (self.locate(id) / RECORD).unlink(missing_ok=True)
                shutil.rmtree(self.locate(id), ignore_errors=True)

    def export(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of the records' files, in a folder for each record.

        They are the picture, its maps as numbers, the overlay with the recipe, its proof and `record.json`; of a pair
        both pictures and what `similarity` writes; of a damaged record its files as they are, and `damaged.txt`.
        Raises Problem for an unknown id.
        """
        for number, record in enumerate(map(self.get, dict.fromkeys(ids)), 1):
            subject = record.pair.name.rsplit(".", 1)[0] if record.pair else record.label or record.task
            folder = f"{number:03}_{label_stem(record.picture_name.rsplit('.', 1)[0])}_{label_stem(subject)}"
            try:
                files = self.export_record(record)
            except Problem as problem:
                # One damaged record must not stop the others.
                files = {**self.export_files(record), "damaged.txt": f"{problem}\n".encode()}
            yield from ((f"{folder}/{name}", data) for name, data in files.items())

    @contextlib.contextmanager
    def reading(self, begin: str = "BEGIN") -> Iterator[sqlite3.Connection]:
        """Yield the database as a consistent snapshot."""
        with self._reported():
            self.locate("").mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self.root / "index.db"
            with contextlib.closing(sqlite3.connect(path, timeout=WAIT, isolation_level=None)) as database:
                # EXTRA also syncs the folder where there is no write-ahead log.
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
            yield database

    def _tidy(self, database: sqlite3.Connection) -> None:
        """Finish or remove what a killed process left."""
        remove_drafts(self.root / "decks")
        if not self._unknown(database):
            return
        with database:
            database.execute("BEGIN IMMEDIATE")
            for record in sorted(map(self._read_record, self._unknown(database)), key=lambda record: record.created):
                folder = self.locate(record.id)
                if (folder / RECORD).exists():
                    self._index(database, record)
                # After a clock was set back, a folder's time may be in the future.
                elif abs(time.time() - folder.stat().st_mtime) > ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)

    def _unknown(self, database: sqlite3.Connection) -> list[str]:
        """Return the ids of records that are not in the index, or are outdated there."""
        indexed = dict(database.execute("SELECT id, written FROM records"))
        ids = [folder.name for folder in self.locate("").iterdir() if _ID.fullmatch(folder.name)]
        return [id for id in ids if id not in indexed or modified(self.locate(id) / RECORD) not in (0, indexed[id])]

    def _read_record(self, id: str) -> Record:
        """Return a record; a damaged one says so."""
        path = self.locate(id) / RECORD
        try:
            with reading(path, PUT_BACK):
                return from_text(path.read_text("utf-8"))
        except FileNotFoundError:
            why = f"{RECORD} in {path.parent} is missing: {PUT_BACK}."
        except Problem as problem:
            why = str(problem)
        return Record(id=id, created=EPOCH, model="", task="classify", method="", headline=DAMAGED, damaged=why)

    def _index(self, database: sqlite3.Connection, record: Record) -> None:
        row = {name: getattr(record, name) for name in ("id", "picture_sha256", "model", "bytes")} | {
            "written": modified(self.locate(record.id) / RECORD),
            "created": round(record.created.timestamp() * 1e6),
            "labels": json.dumps(record.classes),
            "tags": json.dumps(record.tags),
            "text": fold(record.text),
        }
        update = ", ".join(f"{name} = excluded.{name}" for name in row)
        sql = f"INSERT INTO records ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
        database.execute(f"{sql} ON CONFLICT (id) DO UPDATE SET {update}", tuple(row.values()))

    def _save(self, record: Record, files: Mapping[str, bytes]) -> None:
        """Write a record's files to the disk, `record.json` last."""
        with self._reported():
            write_folder(self.locate(record.id), {**files, RECORD: to_text(record).encode()})

    def check_room(self, more: int) -> None:
        """Raise Problem where so many more bytes go beyond the limit."""
        if more and (used := self.used_bytes()) + more + ROW_BYTES > self._limit:
            raise Problem(
                f"The history is full: {megabytes(used)} of {megabytes(self._limit)} are taken. Delete some records, "
                "or allow more in SIGHTGLASS_HISTORY_MB."
            )

    def used_bytes(self) -> int:
        """Return the bytes of all records' files, the decks and the index."""
        with self.reading() as database:
            (total,) = database.execute("SELECT coalesce(sum(bytes), 0) FROM records").fetchone()
        for path in (self.root / "index.db", *(self.root / "decks").glob("*")):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
        return int(total)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        """Raise disk and database errors as a Problem."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise Problem(_describe_failure(error, self.folder)) from error


def _describe_failure(error: sqlite3.Error | OSError, folder: Path | None) -> str:
    """Say why the history cannot use its folder, and what helps."""
    text, number = str(error), getattr(error, "errno", None)
    if "is full" in text or number in DISK_FULL:
        return f"The disk with {folder} is full, and nothing was saved: make room, or delete some records."
    if isinstance(error, sqlite3.Error) and ("locked" in text or "busy" in text):
        waited = f"another process has been writing to {folder} for {WAIT:.0f} seconds"
        return f"The history is busy: {waited}; try again."
    if "malformed" in text or "not a database" in text:
        return f"index.db in {folder} is damaged: move it away, and the records are read from their folders."
    if number in DISK_FAILED or "I/O error" in text:
        return f"The history in {folder} cannot be read or written ({describe_error(error)}): check the disk."
    return f"The history cannot use {folder}: make it writable, or name another in SIGHTGLASS_HISTORY."


def save_unsure(explanation: Explanation, below: float, history: History | None = None) -> Record | None:
    """Save an explanation with a score below `below`, tagged `unsure`.

    Returns None for any other, and the earlier record of the same picture and recipe where there is one. `history`: by
    default the current person's. Raises Problem if the history is switched off or full.
    """
    scores = [prediction.score for prediction in explanation.predictions] if explanation.task.sure else []
    if not scores or max(scores) >= below or not explanation.finished:
        return None
    history = history or History()
    return history.find(explanation) or history.keep(explanation, tags=[UNSURE])


def save_as_set(explanation: Explanation) -> str | None:
    """Save an explanation below SIGHTGLASS_SAVE_BELOW; return its record's id. A failure is logged."""
    try:
        record = save_unsure(explanation, settings().save_below)
    except Problem as problem:
        _warn(str(problem))
        return None
    return record.id if record else None


@cache
def _warn(problem: str) -> None:
    """Log a problem once, however often it occurs."""
    LOGGER.warning("an unsure answer could not be saved: %s", problem)
