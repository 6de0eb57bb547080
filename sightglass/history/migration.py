"""Rewrite histories of earlier versions to a folder a record and a file a deck.

Versions 1 and 2 have tables of records, and files that are named by their content; version 3 has decks in tables.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import sqlite3
import struct
import zlib
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import TypeAdapter

from sightglass.common.errors import Problem
from sightglass.common.files import npz_bytes, write_folder
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.history import decks, encoding
from sightglass.history.records import RECORD
from sightglass.models.geometry import Geometry
from sightglass.report import stored
from sightglass.report.result_folder import MAPS, label_stem
from sightglass.report.view import View

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.common.files import Json

APPLICATION = 0x53474849  # "SGHI"
MAGIC = b"SGMAPS1\n"
_WIDTHS = {"uint8": "<u1", "uint16": "<u2", "float32": "<u4"}


def upgrade(former: Path, folder: Path) -> None:
    """Write the folders of all records and the files of all decks, then delete the former files.

    Another program's database stays.
    """
    with contextlib.closing(sqlite3.connect(former)) as database:
        if database.execute("PRAGMA application_id").fetchone() != (APPLICATION,):
            return
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master")}
        database.row_factory = sqlite3.Row
        if "bodies" in tables:
            for row in map(dict, database.execute("SELECT * FROM records LEFT JOIN bodies USING (n)")):
                maps = database.execute("SELECT about, file FROM maps WHERE record = ? ORDER BY place", (row["n"],))
                _move_record(row, maps.fetchall(), folder)
        else:
            for (id,) in database.execute("SELECT id FROM records WHERE deleted IS NOT NULL"):
                shutil.rmtree(folder / "records" / id, ignore_errors=True)
        for row in map(dict, database.execute("SELECT * FROM decks") if "decks" in tables else ()):
            slides = database.execute("SELECT * FROM slides WHERE deck = ? ORDER BY place, n", (row["n"],))
            theme = f"theme of deck {row['id']}"
            themes = database.execute("SELECT value FROM said WHERE name = ?", (theme,)) if "said" in tables else ()
            row.setdefault("theme", next((theme for (theme,) in themes), "dark"))
            _move_deck(row, list(map(dict, slides)), folder)
    for name in ("history.db", "history.db-wal", "history.db-shm"):
        (folder / name).unlink(missing_ok=True)
    for name in ("files", "drafts"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _move_record(row: Json, maps: list[tuple[str, str]], folder: Path) -> None:
    files = {"thumbnail.jpg": _read(folder, row["thumbnail"]), **_picture(folder, "picture", row["picture"])}
    try:
        fields = _fields(row, [json.loads(about) for about, _ in maps])
    except (ValueError, AttributeError, KeyError, TypeError, OverflowError):
        # It says that it is damaged when it is read.
        fields = {}
    # A damaged map is missed when it is read.
    with contextlib.suppress(Problem, ValueError, KeyError):
        files[MAPS] = npz_bytes(_arrays(fields, [unpack(_read(folder, file)) for _, file in maps]))
    for proof in fields.get("proofs", ()):
        files[f"proof-{proof['index']}.json"] = _read(folder, proof["file"])
    if fields.get("pair"):
        files |= _picture(folder, "other", fields["pair"]["file"])
        fields["maps"] = []
    fields["bytes"] = sum(map(len, files.values()))
    files = {name: data for name, data in files.items() if data} | {RECORD: json.dumps(fields).encode()}
    write_folder(folder / "records" / row["id"], files)


def _move_deck(row: Json, slides: list[Json], folder: Path) -> None:
    packed = []
    for slide in slides:
        view, display = View("", kind="text"), VIEWER_STYLE
        # Of a damaged slide the texts are left.
        with contextlib.suppress(ValueError, TypeError):
            look: Json = json.loads(slide["view"])
            (view,) = stored.unpack(slide["scene"] if "scene" in slide else _read(folder, slide["file"]), look)
            display = Style(**stored.style_fields(look))
        statements = (slide["sentence"],) if slide["sentence"] else ()
        texts: Json = {"title": slide["title"], "statements": statements, "notes": slide["notes"]}
        view = replace(view, display=display, **texts)
        packed.append(decks.Slide(f"{row['id']}-{slide['id'][:8]}", stored.pack([view])))
    decks.save(folder / "decks", decks.Deck(row["id"], row["title"], tuple(packed), row["theme"]))
    changed = row["changed"] * 1000
    os.utime(folder / "decks" / f"{row['id']}{decks.SUFFIX}", ns=(changed, changed))


def _arrays(fields: Json, maps: list[Json]) -> Json:
    """Return the arrays of a record's maps under their names of today."""
    arrays: Json = {}
    for place, (about, former) in enumerate(zip(fields["maps"], maps, strict=True)):
        to_input = TypeAdapter(Geometry).validate_python(about["geometry"]).to_input
        pair, label = fields.get("pair"), label_stem(fields["labels"][place])
        name = encoding.SIDES[place] if pair else f"top{place + 1}_{label}"
        raw = [former[key] for key in former if key.startswith("raw ")]
        layers = about["layers"] if len(about["layers"]) == len(raw) else range(len(raw))
        arrays[name] = to_input(former["values"])
        arrays |= {f"{name}_raw_{layer}": part for layer, part in zip(layers, raw, strict=True)}
        arrays |= {f"{name}_{key}": former[key][0] for key in ("vector", "down", "across") if key in former}
        arrays |= {f"{key} {place}": to_input(former[key]) for key in ("shared", "measured") if key in former}
        arrays |= {key: former[key] for key in ("cells",) if key in former}
    return arrays


def _fields(row: Json, maps: list[Json]) -> Json:
    """Return a record's fields; raise ValueError and others where the row is damaged."""
    lists = {name: json.loads(row[name]) for name in ("tags", "marks")}
    created = datetime.fromtimestamp(row["created"] / 1e6, UTC).isoformat()
    fields: Json = json.loads(row["body"]) | row | lists | {"created": created, "maps": maps}
    if pair := fields.get("pair"):
        choice = {"automatic": fields["view"]["automatic"], "method": row["method"], "score": row["score"]}
        pair["how"] = {name: pair[name] for name in (*encoding.PAIR_FIELDS, "versions") if name in pair} | choice
        pair["geometries"] = [info["geometry"] for info in maps]
        names = "query", "gallery", "score"
        pair["matches"] = [dict(zip(names, match, strict=True)) for match in pair["matches"]]
        context = {name: pair.get(name, "") for name in ("unrelated", "mirrored", "caution")}
        context["subject"] = pair.get("compares", "pictures")
        pair["context"] = None if pair["mirrored"] is None else context
    return fields


def _read(folder: Path, name: str) -> bytes:
    """Return a former file; empty where it is gone."""
    path = folder / "files" / name[:2] / name
    return path.read_bytes() if name and path.exists() else b""


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
