"""Save, find, annotate and delete explanations; save those whose best answer has a low score."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.common.settings import settings
from sightglass.explain.similarity.similarity import Similarity
from sightglass.history import decks as deck_store
from sightglass.history import encoding, migration
from sightglass.history.records import (
    Record,
    SearchResult,
    Storage,
    checked_marks,
    checked_note,
    checked_tags,
    fold,
)
from sightglass.history.store import UNDO, Store, microseconds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.ranking import Context
    from sightglass.explain.trust.proof import Proof
    from sightglass.history.records import Mark

LOGGER = logging.getLogger(__name__)
UNSURE = "unsure"
"""The tag of explanations whose best answer has a low score."""
GONE = "There is no such record: it was deleted, or never saved here."
OFF = "The history is switched off here: name a folder in SIGHTGLASS_HISTORY to use it."
MAX_WORDS = 12
"""Number of words of a search that count."""


class History:
    """Saved explanations in one folder. Threads may share a History, and processes its folder.

    Every method raises Problem, one sentence that says what to do, if the folder cannot be used or the history is
    switched off.

    >>> history = History()
    >>> record = history.keep(explanation, note="looks at the number plate", tags=["plates"])
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        """`folder`: by default SIGHTGLASS_HISTORY, else a folder of this user's; in it, who signed in has one of their
        own."""
        base = Path(folder).expanduser() if folder is not None else settings().history
        if folder is None and base is not None:
            base = users.folder(base)
        self.folder: Path | None = base.absolute() if base is not None else None
        """None if the history is switched off."""
        limit = int(settings().history_mb * 1_000_000)
        self._opened = None if self.folder is None else Store(self.folder, limit, migration.upgrade)

    @property
    def _store(self) -> Store:
        if self._opened is None:
            raise Problem(OFF)
        return self._opened

    @property
    def decks(self) -> deck_store.Decks:
        """`Decks` of slides, which share the history's folder and its limit."""
        return deck_store.Decks(self._store)

    def keep(
        self,
        view: Explanation | Similarity,
        *,
        index: int = 0,
        look: Json | None = None,
        context: Context | None = None,
        note: str = "",
        tags: Sequence[str] = (),
    ) -> Record:
        """Save an explanation or a comparison of two pictures, with all maps, their proofs and the pictures; it is
        synced to the disk when this returns.

        `index`: the selected map. `look`: the viewer's settings, by name. `context`: a comparison's reference scores.
        Raises Problem if an explanation is not finished or the limit is reached; then nothing is saved or deleted.

            record = history.keep(similarity(explainer, "bus.jpg", "zidane.jpg"))
            history.similarity(record).score == record.score
        """
        if isinstance(view, Similarity):
            record, files = encoding.encode_pair(view, context)
        else:
            record, files = encoding.encode(view, index, look or {})
        record = replace(record, note=checked_note(note), tags=checked_tags(tags), bytes=sum(map(len, files.values())))
        self._store.add(record, files)
        return self.get(record.id)

    def proof(self, record: Record, index: int) -> Proof | None:
        """Return the proof of a record's map, or None; raise Problem for a damaged one."""
        return encoding.read_proof(self._store, record, index)

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
        """Return one page of records, newest first. `text`: words, or parts of words, that must all occur in the
        headline, classes, note, tags, name, model or method. `label`: a class of the record. `since`: when it
        was saved at the earliest, a time with a zone."""
        criteria: list[tuple[str, Any]] = [("instr(text, ?)", word) for word in fold(text).split()[:MAX_WORDS]]
        inside = "EXISTS (SELECT 1 FROM json_each(records.{}) WHERE value = ?)"
        criteria += [("model = ?", model), (inside.format("labels"), label), (inside.format("tags"), tag)]
        criteria += [("created >= ?", since and microseconds(since))]
        used = [(sql, value) for sql, value in criteria if value is not None]
        where = " AND ".join(["deleted IS NULL", *(sql for sql, _ in used)])
        values = [encoding.storable(value) if isinstance(value, str) else value for _, value in used]
        with self._store.reading() as database:
            (total,) = database.execute(f"SELECT count(*) FROM records WHERE {where}", values).fetchone()
            sql = f"SELECT id FROM records WHERE {where} ORDER BY n DESC LIMIT ? OFFSET ?"
            records = [self._store.record(id) for (id,) in database.execute(sql, (*values, limit, offset))]
        return SearchResult(tuple(records), total)

    def choices(self) -> dict[str, dict[str, int]]:
        """Return every `model`, `label` and `tag` with its number of records, most first."""
        counts = "SELECT {}, count(*) FROM records{} WHERE deleted IS NULL GROUP BY 1 ORDER BY 2 DESC, 1"
        listed = {name: counts.format("value", f", json_each(records.{name}s)") for name in ("label", "tag")}
        with self._store.reading() as database:
            queries = {"model": counts.format("model", ""), **listed}
            return {name: dict(database.execute(sql).fetchall()) for name, sql in queries.items()}

    def get(self, id: str) -> Record:
        """Return one record; raise Problem if it is gone."""
        with self._store.reading() as database:
            return self._find(database, id)

    def _find(self, database: sqlite3.Connection, id: str) -> Record:
        if not database.execute("SELECT 1 FROM records WHERE id = ? AND deleted IS NULL", (id,)).fetchone():
            raise Problem(GONE)
        return self._store.record(id)

    def find(self, view: Explanation | Similarity, index: int = 0) -> Record | None:
        """Return the newest record of the same pictures, recipe and selected map; None if there is none."""
        key = (view.query if isinstance(view, Similarity) else view).image.sha256, view.model.id
        sql = "SELECT id FROM records WHERE picture_sha256 = ? AND model = ? AND deleted IS NULL ORDER BY n DESC"
        with self._store.reading() as database:
            records = (self._store.record(id) for (id,) in database.execute(sql, key))
            return next((record for record in records if encoding.is_of(record, view, index)), None)

    def annotate(
        self,
        id: str,
        *,
        note: str | None = None,
        tags: Sequence[str] | None = None,
        marks: Sequence[Mark] | None = None,
    ) -> Record:
        """Replace the note, the tags or the marks of a record; None leaves them as they are. Synced to the disk when
        this returns; raises Problem if the record is gone or damaged, or a text is too long."""
        with self._store.writing() as database:
            if (record := self._find(database, id)).damaged:
                raise Problem("This record is damaged: delete it, and save the explanation again.")
            record = replace(
                record,
                note=record.note if note is None else checked_note(note),
                tags=record.tags if tags is None else checked_tags(tags),
                marks=record.marks if marks is None else checked_marks(marks),
            )
            self._store.save(record, {})
            self._store.put(database, record)
        return self.get(id)

    def delete(self, ids: Sequence[str], *, undoable: bool = False) -> None:
        """Delete records with their files; ignore ids that do not exist.

        `undoable`: `put_back` can bring them back for a minute; else they are gone when this returns.
        """
        # Long ago: what a killed process leaves of it goes later.
        at = time.time() if undoable else 0
        with self._store.writing() as database:
            sql = "UPDATE records SET deleted = ? WHERE id = ? AND deleted IS NULL"
            database.executemany(sql, [(at, id) for id in ids])
        with self._store.writing():
            pass  # It begins by removing them.

    def put_back(self, ids: Sequence[str]) -> None:
        """Bring deleted records back; raise Problem where it is too late for one."""
        with self._store.writing() as database:
            for id in ids:
                if not database.execute("UPDATE records SET deleted = NULL WHERE id = ?", (id,)).rowcount:
                    raise Problem(f"It is too late to undo this: what was deleted is gone after {UNDO:.0f} seconds.")

    def picture(self, record: Record) -> Image:
        """Return the picture, of a pair the query, pixel for pixel; raise Problem if its file is damaged or gone."""
        return encoding.read_picture(self._store, record)

    def similarity(self, record: Record) -> Similarity:
        """Return the comparison of a pair as it was saved, bit for bit; raise Problem if a file is damaged or gone, or
        if the record is of one picture."""
        return encoding.read_pair(self._store, record)

    def heatmaps(self, record: Record) -> tuple[Heatmap, ...]:
        """Return all maps of a record, bit for bit, in order; raise Problem if one is damaged or gone."""
        return encoding.read_heatmaps(self._store, record)

    def thumbnail(self, record: Record) -> bytes:
        """Return the picture under the selected map: JPEG, at most 320 pixels a side."""
        return self._store.read(record.id, "thumbnail")

    def storage(self) -> Storage:
        """Return the space used, the limit and the number of records."""
        with self._store.reading() as database:
            (count,) = database.execute("SELECT count(*) FROM records WHERE deleted IS NULL").fetchone()
            return Storage(self._store.taken(database), self._store.limit, count)

    def export(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Return the name and the bytes of each record's files, in a folder each: the picture, its maps as numbers, the
        overlay with the recipe, its proof, and `record.json`; for a pair both pictures and what `similarity` writes;
        for a damaged record `damaged.txt`. Raises Problem for an id that does not exist."""
        return encoding.export(self._store, map(self.get, dict.fromkeys(ids)))


def best_score(explanation: Explanation) -> float | None:
    """Return the highest confidence, or None."""
    scores = (prediction.score for prediction in explanation.predictions) if explanation.task.sure else ()
    return max(scores, default=None)


def save_unsure(explanation: Explanation, below: float, history: History | None = None) -> Record | None:
    """Save an explanation with a score below `below`, tagged `unsure`.

    Returns None for any other, and the earlier record of the same picture and recipe where there is one. `history`: by
    default the current person's. Raises Problem if the history is switched off or full.
    """
    score = best_score(explanation)
    if score is None or score >= below or not explanation.finished:
        return None
    history = history or History()
    return history.find(explanation) or history.keep(explanation, tags=[UNSURE])


def save_as_set(explanation: Explanation) -> str | None:
    """Save an explanation below SIGHTGLASS_SAVE_BELOW; return its record's id. A failure is logged."""
    try:
        below = settings().save_below
        record = save_unsure(explanation, below) if below else None
    except Problem as problem:
        _warn(str(problem))
        return None
    return None if record is None else record.id


@cache
def _warn(problem: str) -> None:
    """Log a problem once, however many answers have it."""
    LOGGER.warning("an unsure answer could not be saved: %s", problem)
