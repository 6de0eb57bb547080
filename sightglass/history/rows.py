"""Convert and check database rows."""

from __future__ import annotations

import contextlib
import json
import zlib
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter

from sightglass.common.errors import Problem
from sightglass.explain.trust import most_serious_first
from sightglass.explain.trust.reliability import add_proof
from sightglass.export.annotations import Mark
from sightglass.export.embedded_recipe import Look
from sightglass.history import encoding, search
from sightglass.history.records import MapInfo, Record, RecordBody, SavedMap, SavedProof, checked_marks, merge
from sightglass.history.store import Blob

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from sightglass.explain.trust.checks import Checks
    from sightglass.explain.trust.proof import Proof
    from sightglass.history.encoding import EncodedRecord
    from sightglass.history.store import Store


T = TypeVar("T", RecordBody, MapInfo)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS = ("id", "picture_name", "picture_sha256", "model", "task", "method", "note")
_NUMBERS = ("width", "height", "bytes")
_COLUMNS = (*_TEXTS, *_NUMBERS, "created", "score", "tags", "marks", "body", "crc")
COLUMNS = ", ".join(_COLUMNS)
TABLES = "records LEFT JOIN bodies USING (n)"
DAMAGED = "This record is damaged, and not all of it can be shown."
DAMAGED_MAP = "A map of this record is damaged: its content has changed."
_UNREADABLE = RecordBody(DAMAGED, (), (), (), 0, None, None, (), None, Look())


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def encode(values: RecordBody | MapInfo) -> tuple[str, int]:
    """Return a value's JSON and checksum."""
    plain = asdict(values)
    if isinstance(values, RecordBody):
        models = {name: getattr(values, name) for name in ("recipe", "view")}
        plain |= {name: model and model.model_dump(mode="json") for name, model in models.items()}
    text = json.dumps(plain, separators=(",", ":"))
    return text, zlib.crc32(text.encode())


def read(kind: type[T], text: str, crc: int) -> T:
    """Decode the text of `encode`; raise ValueError if damaged."""
    if not isinstance(text, str) or zlib.crc32(text.encode("utf-8", "surrogatepass")) != crc:
        raise ValueError("the checksum does not match")
    value: T = _reader(kind).validate_python(json.loads(text))  # type: ignore[arg-type]  # a type is hashable
    return value


def insert(
    database: sqlite3.Connection,
    columns: dict[str, Any],
    made: EncodedRecord,
    blobs: Sequence[Blob],
    tags: Sequence[str],
) -> None:
    """Insert a record within `Store.writing`, its files in place."""
    sizes = {blob.name: len(blob.data) for blob in blobs}
    columns = columns | {"created": now(), "bytes": sum(sizes.values())}
    columns["text"] = search.text_of(columns, made.body, tags)
    names = ", ".join(columns)
    n = database.execute(
        f"INSERT INTO records ({names}) VALUES ({', '.join('?' * len(columns))})", tuple(columns.values())
    ).lastrowid
    database.execute("INSERT INTO bodies VALUES (?, ?, ?)", (n, *encode(made.body)))
    for place, (info, blob) in enumerate(made.maps):
        database.execute("INSERT INTO maps VALUES (?, ?, ?, ?, ?)", (n, place, blob.name, *encode(info)))
    database.executemany("INSERT INTO uses VALUES (?, ?)", [(name, n) for name in sizes])
    database.executemany(
        "INSERT OR IGNORE INTO words VALUES ('label', ?, ?)", [(search.storable(word), n) for word in made.labels]
    )
    search.add(database, n, columns["text"], tags)


def add_proofs(
    database: sqlite3.Connection,
    blobs: Sequence[Blob],
    *,
    id: str,
    said: Sequence[SavedProof],
    proofs: Mapping[int, Proof],
    seals: Sequence[Checks | None] = (),
) -> None:
    """Name the proofs of a record, whose files are in their places, within `Store.writing`, instead of earlier ones of
    the same maps; their files go with the record, and its findings hear the one of its own map. `seals` of its maps
    are put beside those that it has. Raises Problem for a record that is gone or damaged.
    """
    query = "SELECT n, task, body, crc FROM records JOIN bodies USING (n) WHERE id = ?"
    try:
        n, task, text, crc = database.execute(query, (id,)).fetchone()
        body = read(RecordBody, text, crc)
    except (TypeError, ValueError) as error:
        raise Problem("This record is gone or damaged: save the explanation again, with its proof.") from error
    new = {one.index for one in said}
    kept = [proof for proof in body.proofs if proof.index not in new]
    body = replace(body, proofs=tuple(sorted((*kept, *said), key=lambda one: one.index)))
    pairs = zip_longest(seals, body.seals)
    body = replace(body, seals=tuple(now or before for now, before in pairs))
    if (saved_proof := proofs.get(body.index)) is not None and body.statistics is not None:
        body = replace(body, findings=most_serious_first(add_proof(body.findings, task, body.statistics, saved_proof)))
    database.execute("UPDATE bodies SET body = ?, crc = ? WHERE n = ?", (*encode(body), n))
    database.executemany("INSERT OR IGNORE INTO uses VALUES (?, ?)", [(blob.name, n) for blob in blobs])
    total = "SELECT coalesce(sum(bytes), 0) FROM uses JOIN files ON name = file WHERE record = ?"
    database.execute(f"UPDATE records SET bytes = ({total}) WHERE n = ?", (n, n))


def annotate(
    database: sqlite3.Connection,
    id: str,
    changed: dict[str, str],
    marks: Sequence[Mark] | None,
    since: Sequence[Mark] | None,
) -> bool:
    """Write a record's note, tags and marks; return whether it exists.

    `changed`: note and tags (JSON) as columns. `marks`, `since`: see `History.annotate`.
    """
    names = ("picture_name", "model", "method", "body", "crc", "note", "tags", "marks")
    row = database.execute(f"SELECT n, {', '.join(names)} FROM {TABLES} WHERE id = ?", (id,)).fetchone()
    if row is None:
        return False
    n, values = row[0], dict(zip(names, row[1:], strict=True)) | changed
    if marks is not None:
        stored = read_list(Mark, values["marks"]) or ()
        values["marks"] = marks_json(checked_marks(marks if since is None else merge(stored, since, marks)))
    body: RecordBody | None = None
    with contextlib.suppress(ValueError):
        body = read(RecordBody, values["body"], values["crc"])
    marks_now, tags_now = read_list(Mark, values["marks"]) or (), read_list(str, values["tags"]) or ()
    text = search.text_of(values, body, tags_now, marks_now)
    database.execute(
        "UPDATE records SET note = ?, tags = ?, marks = ?, text = ? WHERE n = ?",
        (values["note"], values["tags"], values["marks"], text, n),
    )
    search.remove(database, n)
    search.add(database, n, text, tags_now)
    return True


def marks_json(marks: Sequence[Mark]) -> str:
    return json.dumps([asdict(mark) for mark in marks])


def read_record(row: Iterable[Any]) -> Record:
    """Decode a row of `COLUMNS`; report damage in `Record.damaged`."""
    columns: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    body, damaged = _UNREADABLE, DAMAGED
    with contextlib.suppress(ValueError, RecursionError):
        body, damaged = read(RecordBody, columns["body"], columns["crc"]), ""
    tags, marks = read_list(str, columns["tags"]), read_list(Mark, columns["marks"])
    values: dict[str, Any] = vars(body) | {
        **{name: str(columns[name]) for name in _TEXTS},
        **{name: columns[name] if isinstance(columns[name], int) else 0 for name in _NUMBERS},
        "created": _time(columns["created"]),
        "score": columns["score"] if isinstance(columns["score"], float) else None,
        "tags": tags or (),
        "marks": marks or (),
        "damaged": DAMAGED if tags is None or marks is None else damaged,
    }
    return Record(**values)


def read_list(kind: Any, text: Any) -> Any:
    """Decode a list of values as a tuple; None if damaged."""
    try:
        return _reader(tuple[kind, ...]).validate_python(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None


def read_map(info: str, crc: int, data: bytes) -> SavedMap:
    """Decode a map from its row and file. Raises Problem."""
    try:
        described = read(MapInfo, info, crc)
        arrays = encoding.unpack(data)
        values, layers = arrays["values"], [arrays[name] for name in arrays if name.startswith("raw ")]
        left, top, right, bottom = described.geometry.content
        if values.shape != (bottom - top, right - left) or not layers:
            raise ValueError("the shapes do not match")
    except (ValueError, KeyError, ZeroDivisionError, OverflowError, RecursionError) as error:
        raise Problem(DAMAGED_MAP) from error
    return SavedMap(
        **vars(described),
        values=values,
        shared=arrays.get("shared"),
        measured=arrays.get("measured", values),
        layer_maps=tuple(layers),
    )


def now() -> int:
    """Return the current time in microseconds since 1970."""
    return microseconds(datetime.now(UTC))


def microseconds(time: datetime) -> int:
    """Return a time with a zone in microseconds since 1970."""
    return (time - EPOCH) // timedelta(microseconds=1)


def _time(microseconds: Any) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except (TypeError, OverflowError):
        return EPOCH


_RECORD_TABLES = {"records": "n", "bodies": "n", "maps": "record", "uses": "record", "words": "record"}
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
    """Return rows to restore these records, up to `MOST` bytes.

    Raises Problem where a file is damaged.
    """
    _rowses: list[_Rows] = []
    with store.reading() as database:
        for id in ids:
            row = database.execute("SELECT n FROM records WHERE id = ?", (id,)).fetchone()
            if row is not None:
                _rowses.append({name: _rows(database, name, column, row[0]) for name, column in _RECORD_TABLES.items()})
        files = dict.fromkeys(use["file"] for each in _rowses for use in each["uses"])
        sizes = [database.execute("SELECT bytes FROM files WHERE name = ?", (name,)).fetchone() for name in files]
    if sum(size[0] for size in sizes if size) > MOST:
        return RemovedRecords(0)
    blobs = tuple(Blob(name, store.file(name)) for name in files)
    return RemovedRecords(0, tuple(_rowses), blobs)


def _rows(database: sqlite3.Connection, table: str, column: str, n: int) -> list[dict[str, Any]]:
    cursor = database.execute(f"SELECT * FROM {table} WHERE {column} = ?", (n,))
    names = [about[0] for about in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def write_records(database: sqlite3.Connection, removed: RemovedRecords) -> None:
    """Restore the rows within `Store.writing`; existing records are kept."""
    for record in removed.records:
        (main_row,) = record["records"]
        if database.execute("SELECT 1 FROM records WHERE id = ?", (main_row["id"],)).fetchone():
            continue
        # Records are in the order of their numbers; another may have taken this one.
        taken = database.execute("SELECT 1 FROM records WHERE n = ?", (main_row["n"],)).fetchone()
        n = _insert(database, "records", main_row | {"n": None} if taken else main_row)
        for table, column in _RECORD_TABLES.items():
            if table != "records":
                for row in record[table]:
                    _insert(database, table, row | {column: n})
        search.add(database, n, main_row["text"], json.loads(main_row["tags"]))


def _insert(database: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> int | None:
    sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})"
    return database.execute(sql, tuple(row.values())).lastrowid
