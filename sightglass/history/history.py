"""Save, find, annotate and delete explanations."""

from __future__ import annotations

import contextlib
import json
import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.common.lazy import above
from sightglass.common.settings import settings
from sightglass.export.annotations import Mark
from sightglass.history import encoding, export, pairs, proofs, rows, schema, search
from sightglass.history.records import (
    FilterChoices,
    Order,
    Record,
    RecordComparison,
    SavedMap,
    SearchResult,
    Storage,
    checked_note,
    checked_tags,
)
from sightglass.history.rows import RemovedRecords, read_records, write_records
from sightglass.history.store import Blob, Store

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.similarity.ranking import Context, Ranking
    from sightglass.explain.similarity.similarity import Similarity
    from sightglass.explain.trust.proof import Proof
    from sightglass.models.spec import ModelSpec

GONE = "There is no such record: it was deleted, or never saved here."
OFF = "The history is switched off here: name a folder in SIGHTGLASS_HISTORY to use it."


class History:
    """Saved explanations in one folder. Threads may share a History, and processes its folder.

    Every method raises Problem, one sentence that says what to do, if the folder cannot be used or the history is
    switched off.

    >>> history = History()
    >>> record = history.keep(explanation, note="looks at the number plate", tags=["plates"])
    """

    def __init__(self, folder: Path | str | None = None, *, limit: int | None = None) -> None:
        """`folder`: by default SIGHTGLASS_HISTORY, else a folder of this user's; in it, who signed in has one of their
        own. `limit` in bytes: by default SIGHTGLASS_HISTORY_MB, else 2048 MB."""
        base = Path(folder).expanduser() if folder is not None else settings().history
        if folder is None and base is not None:
            base = users.folder(base)
        self.folder: Path | None = base.absolute() if base is not None else None
        """None if the history is switched off."""
        self.limit = int(settings().history_mb * 1_000_000) if limit is None else limit
        if self.limit <= 0:
            raise Problem("The history's limit must be above 0 bytes.")
        self._opened = Store(self.folder) if self.folder is not None else None

    @property
    def _store(self) -> Store:
        if self._opened is None:
            raise Problem(OFF)
        return self._opened

    @property
    def decks(self) -> Any:
        """`Decks` of slides, which share the history's folder and its limit."""
        return above("decks").Decks(self._store, self.limit)

    def keep(
        self,
        explanation: Explanation,
        *,
        index: int = 0,
        look: Json | None = None,
        screen: str = "explore",
        note: str = "",
        tags: Sequence[str] = (),
    ) -> Record:
        """Save an explanation with all its maps, their proofs and its picture; it is synced to the disk when this
        returns.

        `index`: the selected map. `look`: the viewer's settings, by name. `screen`: where it reopens. Raises
        Problem if the explanation is not finished or the limit is reached; then nothing is saved or deleted.
        """
        encoded, method = encoding.encode(explanation, index, look, screen), explanation.recipe.method
        return self._keep(explanation.image, explanation.model, method, encoded, note, tags)

    def keep_pair(
        self,
        found: Similarity,
        context: Context | None = None,
        *,
        ranking: Ranking | None = None,
        note: str = "",
        tags: Sequence[str] = (),
    ) -> Record:
        """Save the comparison of two pictures, with both of them, their maps and matches; otherwise as `keep`.

        `context`: the reference scores. `ranking`: the gallery that the second picture is of; of its other pictures
        the names and scores are saved.

            record = history.keep_pair(similarity(explainer, "bus.jpg", "zidane.jpg"))
            history.similarity(record).score == record.score
        """
        encoded = pairs.encode(found, context, ranking)
        return self._keep(found.query.image, found.model, found.method, encoded, note, tags)

    def _keep(
        self, image: Image, model: ModelSpec, method: str, entry: encoding.EncodedRecord, note: str, tags: Sequence[str]
    ) -> Record:
        store, note, tags = self._store, checked_note(note), checked_tags(tags)
        columns = {
            "id": secrets.token_hex(8),
            "picture_name": search.storable(image.name),
            "picture_sha256": image.sha256,
            "width": image.width,
            "height": image.height,
            "model": model.id,
            "task": model.task,
            "method": method,
            "score": entry.body.score,
            "thumbnail": entry.thumbnail.name,
            "note": note,
            "tags": json.dumps(tags),
            "marks": "[]",
        }
        store.tidy()

        def blobs(attempt: int) -> list[Blob]:
            picture = self._picture(image, anew=attempt > 0)
            return [picture, entry.thumbnail, *entry.others, *(blob for _, blob in entry.maps)]

        def write(database: sqlite3.Connection, placed: Sequence[Blob]) -> None:
            rows.insert(database, columns | {"picture": placed[0].name}, entry, placed, tags)

        store.commit(blobs, write, limit=self.limit)
        return self.get(str(columns["id"]))

    def _picture(self, image: Image, *, anew: bool) -> Blob:
        """Return the existing file of the same picture, or a new one."""
        if not anew:
            with self._store.reading() as database:
                row = database.execute(
                    "SELECT picture FROM records WHERE picture_sha256 = ? LIMIT 1", (image.sha256,)
                ).fetchone()
            if row is not None:
                # Damaged, or deleted a moment ago by another process.
                with contextlib.suppress(Problem):
                    return Blob(row[0], self._store.file(row[0]))
        return encoding.picture(image)

    def add_proofs(self, id: str, explanation: Explanation) -> Record:
        """Put the proofs of an explanation into the record that was made of it, in place of earlier ones of the same
        maps, and the seals that its maps have by now; synced to the disk when this returns. Raises Problem if the
        record is gone or damaged, or the limit is reached."""
        saved, files = proofs.encode(explanation.proofs)
        seals = encoding.encode_checks(explanation)
        write = partial(rows.add_proofs, id=id, said=saved, proofs=explanation.proofs, seals=seals)
        self.get(id)
        self._store.commit(lambda _: files, write, limit=self.limit)
        return self.get(id)

    def proof(self, record: Record, index: int) -> Proof | None:
        """Return the proof of a record's map as it was saved, every number exact; None if that map was not proved.

        Raises Problem if its file is damaged or gone.
        """
        if (saved := record.proof_of(index)) is None:
            return None
        return proofs.decode(self._store.file(saved.file))

    def proofs(self, record: Record) -> dict[int, Proof]:
        """Return the proofs of a record's maps by their indices; raises Problem as `proof` does."""
        decoded = {saved.index: self.proof(record, saved.index) for saved in record.proofs}
        return {index: proof for index, proof in decoded.items() if proof is not None}

    def search(
        self,
        *,
        text: str = "",
        model: str | None = None,
        method: str | None = None,
        label: str | None = None,
        tag: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        order: Order = "newest",
        limit: int = 60,
        offset: int = 0,
    ) -> SearchResult:
        """Return one page of records. `text`: words or prefixes that must all occur in the headline, classes, note,
        tags, marks, name, model or method. `label`: a class of the record. `since`, `until`: when it was saved, times
        with a zone; the end is exclusive."""
        by, (most, start) = search.order_clause(order), search.page(limit, offset)
        if not self._store.exists:
            return SearchResult((), 0)
        with self._store.reading() as database:
            filters = {"model": model, "method": method, "label": label, "tag": tag}
            indexed = schema.make_searchable(database)
            span = [None if end is None else rows.microseconds(end) for end in (since, until)]
            condition, values = search.where(text, filters, indexed=indexed, span=span)
            count = ", count(*) OVER ()" if text else ""
            hits = database.execute(
                f"SELECT n{count} FROM records WHERE {condition} ORDER BY {by} LIMIT ? OFFSET ?", (*values, most, start)
            ).fetchall()
            if count and hits:
                # Text is searched once; without it both queries use an index.
                total = hits[0][1]
            else:
                (total,) = database.execute(f"SELECT count(*) FROM records WHERE {condition}", values).fetchone()
            records = {
                row[0]: row[1:]
                for row in database.execute(
                    f"SELECT n, {rows.COLUMNS} FROM {rows.TABLES} WHERE n IN ({', '.join('?' * len(hits))})",
                    [n for n, *_ in hits],
                )
            }
            page = [records[n] for n, *_ in hits]
        return SearchResult(tuple(map(rows.read_record, page)), total)

    def choices(self) -> FilterChoices:
        if not self._store.exists:
            return FilterChoices({}, {}, {}, {})
        with self._store.reading() as database:
            return search.choices(database)

    def get(self, id: str) -> Record:
        """Return one record; raise Problem if it is gone."""
        if not self._store.exists:
            raise Problem(GONE)
        with self._store.reading() as database:
            row = database.execute(f"SELECT {rows.COLUMNS} FROM {rows.TABLES} WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise Problem(GONE)
        return rows.read_record(row)

    def find(self, explanation: Explanation, index: int = 0) -> Record | None:
        """Return the newest record of the same picture, recipe and selected map; None if there is none."""
        if not self._store.exists:
            return None
        recipe = explanation.recipe
        with self._store.reading() as database:
            candidates = database.execute(
                f"SELECT {rows.COLUMNS} FROM {rows.TABLES} WHERE picture_sha256 = ? AND model = ? AND method = ? "
                "ORDER BY n DESC",
                (explanation.image.sha256, recipe.model, recipe.method),
            ).fetchall()
        records = map(rows.read_record, candidates)
        return next((record for record in records if record.recipe == recipe and record.index == index), None)

    def annotate(
        self,
        id: str,
        *,
        note: str | None = None,
        tags: Sequence[str] | None = None,
        marks: Sequence[Mark] | None = None,
        since: Sequence[Mark] | None = None,
    ) -> Record:
        """Replace the note, the tags or the marks of a record; None leaves them as they are. Synced to the disk when
        this returns; raises Problem if the record is gone or a text is too long.

        `since`: the marks from which `marks` were edited: only the changes between the two are applied, so that marks
        that somebody else drew meanwhile stay."""
        changed: dict[str, str] = {}
        if note is not None:
            changed["note"] = checked_note(note)
        if tags is not None:
            changed["tags"] = json.dumps(checked_tags(tags))
        with self._store.writing() as database:
            if not rows.annotate(database, id, changed, marks, since):
                raise Problem(GONE)
        return self.get(id)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete records, and the files that no other record uses; return the bytes of those files.

        Ids that do not exist are ignored.
        """
        if isinstance(ids, str):
            ids = [ids]
        freed: dict[str, int] = {}
        if not self._store.exists:
            return 0
        with self._store.writing() as database:
            for id_ in ids:
                row = database.execute("SELECT n FROM records WHERE id = ?", (id_,)).fetchone()
                if row is not None:
                    freed |= search.delete_record(database, row[0])
        if freed:
            # Only now: a process killed here leaves files that a sweep finds, and never a record without its files.
            self._store.remove(list(freed))
            self._store.shrink()
        return sum(freed.values())

    def remove(self, ids: Sequence[str]) -> RemovedRecords:
        """Delete records, and return what `put_back` needs; nothing of many large ones, or of damaged ones.

        >>> history.put_back(history.remove([record.id]))
        """
        removed = RemovedRecords(0)
        if self._store.exists:
            # Also what is damaged can be deleted.
            with contextlib.suppress(Problem):
                removed = read_records(self._store, ids)
        return replace(removed, freed=self.delete(ids))

    def put_back(self, removed: RemovedRecords) -> None:
        """Bring records back; raise Problem where there is no room for them any more."""
        self._store.commit(
            lambda _: removed.blobs, lambda database, _: write_records(database, removed), limit=self.limit
        )

    def picture(self, record: Record) -> Image:
        """Return the picture, of a pair the query, pixel for pixel; raise Problem if its file is damaged or gone."""
        return encoding.decode_picture(*self._file(record, "picture"), record.picture_name)

    def similarity(self, record: Record) -> Similarity:
        """Return the comparison of a pair as it was saved, bit for bit; raise Problem if a file is damaged or gone, or
        if the record is of one picture."""
        if (pair := record.pair) is None:
            raise Problem("This record is of one picture: there is nothing that it was compared with.")
        other = encoding.decode_picture(pair.file, self._store.file(pair.file), pair.name)
        return pairs.restore(record, (self.picture(record), other), self._maps(record))

    def heatmaps(self, record: Record) -> tuple[SavedMap, ...]:
        """Return all maps of a record, bit for bit, in order; raise Problem if one is damaged or gone."""
        return tuple(rows.read_map(info, crc, data) for info, crc, data in self._maps(record))

    def _maps(self, record: Record) -> list[tuple[str, int, bytes]]:
        """Return the description, its checksum and the file of each map."""
        with self._store.reading() as database:
            map_rows = database.execute(
                "SELECT file, about, crc FROM maps WHERE record = (SELECT n FROM records WHERE id = ?) ORDER BY place",
                (record.id,),
            ).fetchall()
        if not map_rows:
            self.get(record.id)
        if len(map_rows) != len(record.labels) and not record.damaged:
            raise Problem("A map of this record is gone: the record is not complete any more.")
        return [(info, crc, self._store.file(file)) for file, info, crc in map_rows]

    def thumbnail(self, record: Record) -> bytes:
        """Return the picture under the selected map: JPEG, at most 320 pixels a side."""
        return self._file(record, "thumbnail")[1]

    def _file(self, record: Record, what: str) -> tuple[str, bytes]:
        with self._store.reading() as database:
            row = database.execute(f"SELECT {what} FROM records WHERE id = ?", (record.id,)).fetchone()
        if row is None:
            raise Problem(GONE)
        return str(row[0]), self._store.file(str(row[0]))

    def storage(self) -> Storage:
        """Return the space used, the limit and the number of records."""
        if not self._store.exists:
            return Storage(0, self.limit, 0)
        with self._store.reading() as database:
            (count,) = database.execute("SELECT count(*) FROM records").fetchone()
            return Storage(self._store.taken(database), self.limit, count)

    def blocked(self) -> str:
        """Return why nothing can be saved, as a sentence; empty if it can be. Creates no folder."""
        return self._store.blocked()

    def sweep(self) -> int:
        """Remove what killed processes left behind; return the bytes freed. Saving does this once a day."""
        return self._store.sweep()

    def compare(self, one: Record, other: Record) -> RecordComparison:
        """Compare two records and their selected maps; raise Problem if a map is damaged or gone."""
        return pairs.compare(one, other, self.heatmaps(one), self.heatmaps(other))

    def export(self, ids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Return the name and the bytes of each record's files, in a folder each: the picture, its maps as numbers, the
        overlay with the recipe, its proof, and `record.json`; for a pair both pictures and what `similarity` writes;
        for a damaged record `damaged.txt`. Raises Problem for an id that does not exist."""
        return export.every(self, ids)
