"""Rewrite a history of versions 1 and 2, whose files are named by their content, to a folder a record."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import struct
import zlib
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from sightglass.common.errors import Problem
from sightglass.common.files import npz_bytes
from sightglass.history import encoding, store
from sightglass.history.records import MapInfo
from sightglass.report import stored
from sightglass.report.result_folder import MAPS, named_arrays

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from sightglass.common.files import Json

MAGIC = b"SGMAPS1\n"
_WIDTHS = {"uint8": "<u1", "uint16": "<u2", "float32": "<u4"}
_GRIDS = ("values", "shared", "measured")
_FORMER = ("records", "bodies", "maps", "words", "files", "uses", "said", "decks", "slides")


def upgrade(database: sqlite3.Connection, folder: Path) -> None:
    """Rewrite all records, decks and slides within a transaction; the former files stay."""
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND sql != ''").fetchall():
        database.execute(f"DROP INDEX {name}")
    former = [name for name in _FORMER if name in tables]
    for name in former:
        database.execute(f"ALTER TABLE {name} RENAME TO former_{name}")
    store.create_tables(database)
    database.row_factory = sqlite3.Row
    for row in database.execute("SELECT * FROM former_records LEFT JOIN former_bodies USING (n) ORDER BY n").fetchall():
        _move_record(database, dict(row), folder)
    if "slides" in former:
        _move_decks(database, folder)
    # The index of words may need a module that this SQLite has not.
    with contextlib.suppress(sqlite3.OperationalError):
        database.execute("DROP TABLE IF EXISTS found")
    for name in former:
        database.execute(f"DROP TABLE former_{name}")


def _move_record(database: sqlite3.Connection, row: Json, folder: Path) -> None:
    maps = database.execute(
        "SELECT about, file FROM former_maps WHERE record = ? ORDER BY place", (row["n"],)
    ).fetchall()
    fields = _fields(row, [about for about, _ in maps])
    files = {"thumbnail.jpg": _read(folder, row["thumbnail"]), **_picture(folder, "picture", row["picture"])}
    # A damaged map is missed when it is read.
    with contextlib.suppress(Problem, ValueError, KeyError):
        files[MAPS] = npz_bytes(_arrays(fields, [unpack(_read(folder, file)) for _, file in maps]))
    for proof in fields.get("proofs") or ():
        files[f"proof-{proof['index']}.json"] = _read(folder, proof["file"])
    if fields.get("pair"):
        files |= _picture(folder, "other", fields["pair"]["file"])
        fields["maps"] = []
    fields["bytes"] = sum(map(len, files.values()))
    record = json.dumps(fields)
    files = {name: data for name, data in files.items() if data} | {store.RECORD: record.encode()}
    store.write_folder(folder / "records" / row["id"], files)
    words = database.execute("SELECT word FROM former_words WHERE record = ? AND kind = 'label'", (row["n"],))
    labels = json.dumps([word for (word,) in words])
    values = {name: row[name] for name in ("n", "id", "created", "picture_sha256", "model", "method", "score", "tags")}
    values |= {"bytes": fields["bytes"], "labels": labels, "text": row["text"], "record": record}
    store.insert(database, "records", values)


def _arrays(fields: Json, maps: list[Json]) -> Json:
    """Return the arrays of a record's maps under their names of today."""
    infos = [TypeAdapter(MapInfo).validate_python(about) for about in fields["maps"]]
    arrays: Json = {}
    for place, (info, former) in enumerate(zip(infos, maps, strict=True)):
        raw = [former[name] for name in former if name.startswith("raw ")]
        at_input = {name: info.geometry.to_input(former[name]) for name in _GRIDS if name in former}
        if fields.get("pair"):
            name = ("query", "gallery")[place]
            arrays |= {name: at_input["values"]} | {
                f"{name}_{key}": former[key][0] for key in ("vector", "down", "across")
            }
            arrays |= {f"{name}_raw_{layer}": part for layer, part in zip(info.layers, raw, strict=True)}
            arrays |= {key: former[key] for key in ("cells",) if key in former}
            continue
        single = named_arrays([(fields["labels"][place], at_input.pop("values"), info.layers, raw)])
        arrays |= {key.replace("top1_", f"top{place + 1}_", 1): array for key, array in single.items()}
        arrays |= {f"{name} {place}": array for name, array in at_input.items()}
    return arrays


def _fields(row: Json, maps: Iterable[str]) -> Json:
    """Return a record's fields; without its headline, which it needs, where the row is damaged."""
    created = store.EPOCH
    with contextlib.suppress(TypeError, OverflowError):
        created += timedelta(microseconds=row["created"])
    names = ("id", "picture_name", "picture_sha256", "width", "height", "model", "task", "method", "score", "note")
    fields = {name: row[name] for name in names} | {"created": created.isoformat()}
    try:
        if zlib.crc32(row["body"].encode()) != row["crc"]:
            raise ValueError("the checksum does not match")
        fields |= {"maps": [json.loads(about) for about in maps]}
        fields |= {name: json.loads(row[name]) for name in ("tags", "marks")}
        fields = {**json.loads(row["body"]), **fields}
        if pair := fields.get("pair"):
            view = {"automatic": fields["view"]["automatic"], "method": row["method"], "score": row["score"]}
            pair["how"] = {name: pair[name] for name in (*encoding.PAIR_FIELDS, "versions") if name in pair} | view
            pair["geometries"] = [info["geometry"] for info in fields["maps"]]
            pair["matches"] = [
                dict(zip(("query", "gallery", "score"), match, strict=True)) for match in pair["matches"]
            ]
            context = {name: pair.get(name, "") for name in ("unrelated", "mirrored", "caution")}
            context["subject"] = pair.get("compares", "pictures")
            pair["context"] = None if pair["mirrored"] is None else context
        return fields
    except (ValueError, AttributeError, KeyError, TypeError):
        return fields


def _move_decks(database: sqlite3.Connection, folder: Path) -> None:
    for row in map(dict, database.execute("SELECT * FROM former_decks").fetchall()):
        name = f"theme of deck {row['id']}"
        theme = database.execute("SELECT value FROM former_said WHERE name = ?", (name,)).fetchone()
        store.insert(database, "decks", row | {"theme": theme[0] if theme else "dark"})
    for row in map(dict, database.execute("SELECT * FROM former_slides").fetchall()):
        scene = _read(folder, row.pop("file"))
        row |= {"thumbnail": b"", "scene": scene, "kind": "picture"}
        # A damaged slide is missed when it is shown.
        with contextlib.suppress(Problem, ValueError):
            (view,) = stored.unpack(scene, json.loads(row["view"]))
            row |= {"kind": view.kind, "view": json.dumps(asdict(view.display)), "scene": stored.pack([view])}
        store.insert(database, "slides", row)


def _read(folder: Path, name: str) -> bytes:
    """Return a former file; empty where it is gone."""
    try:
        return (folder / "files" / name[:2] / name).read_bytes() if name else b""
    except FileNotFoundError:
        return b""


def _picture(folder: Path, stem: str, name: str) -> dict[str, bytes]:
    data, ending = _read(folder, name), name.rpartition(".")[2]
    if ending == "maps":
        with contextlib.suppress(Problem):
            return {f"{stem}.npz": npz_bytes(unpack(data))}
    return {f"{stem}.{ending}": data}


def unpack(data: bytes) -> dict[str, Any]:
    """Return the arrays of a former file of maps, by name. Raises Problem.

    It has differences along the rows, the first bytes of all numbers before the second ones.
    """
    try:
        if not data.startswith(MAGIC):
            raise ValueError("another kind of file")
        (length,) = struct.unpack_from("<I", data, len(MAGIC))
        start = len(MAGIC) + 4
        head, packed = json.loads(data[start : start + length]), zlib.decompress(data[start + length :])
        arrays, at = {}, 0
        for item in head:
            bits = np.dtype(_WIDTHS[item["kind"]])
            size = math.prod(item["shape"]) * bits.itemsize
            planes = np.frombuffer(packed, np.uint8, size, at).reshape(bits.itemsize, -1)
            steps = np.ascontiguousarray(planes.T).view(bits).reshape(item["shape"])
            arrays[item["name"]], at = np.cumsum(steps, axis=1, dtype=bits).view(item["kind"]), at + size
        return arrays
    except (ValueError, KeyError, TypeError, struct.error, zlib.error) as error:
        raise Problem(encoding.DAMAGED_MAP) from error
