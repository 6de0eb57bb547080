"""Convert and check the rows of the database; a damaged row is marked and does not stop the others."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from common.errors import Problem
from explain.export.embedded_recipe import View
from explain.findings.diagnosis import Finding
from explain.history import array_codec
from explain.history.records import Mark, Record, SavedMap
from explain.maps.statistics import Statistics
from explain.recipe import Recipe
from models.adapter import Prediction
from models.geometry import Geometry

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
COLUMNS = (
    "id, created, picture_name, picture_sha256, width, height, model, task, method, score, bytes, body, crc, note, "
)
COLUMNS += "tags, marks"
TABLES = "records LEFT JOIN bodies USING (n)"
DAMAGED = "This record is damaged, and not all of it can be shown."


@dataclass(frozen=True)
class Body:
    """The part of a record that never changes."""

    headline: str
    layers: tuple[str, ...]
    predictions: tuple[Prediction, ...]
    labels: tuple[str, ...]
    index: int
    score: float | None
    statistics: Statistics | None
    findings: tuple[Finding, ...]
    recipe: Recipe
    view: View
    notes: tuple[str, ...] = ()
    picture_notes: tuple[str, ...] = ()
    screen: str = "explore"


@dataclass(frozen=True)
class MapInfo:
    """Description of a map, without its arrays."""

    label: str
    score: float | None
    ends: tuple[float, float] | None
    geometry: Geometry
    method: str
    layers: tuple[str, ...]
    scale: Literal["own", "shared"]
    state: Literal["ok", "flat", "no evidence", "not a number"]
    statistics: Statistics
    boxes: tuple[Prediction, ...] = ()
    looks: str = ""


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def encoded(values: Body | MapInfo) -> tuple[str, int]:
    """Return the JSON of a body or a map's description, every number exact, and its checksum."""
    plain = asdict(values)
    if isinstance(values, Body):
        plain |= {"recipe": values.recipe.model_dump(mode="json"), "view": values.view.model_dump(mode="json")}
    text = json.dumps(plain, separators=(",", ":"))
    return text, zlib.crc32(text.encode())


def read_body(text: str, crc: int) -> Body:
    """Decode a body; raise ValueError if it is damaged."""
    found: Body = _checked(Body, text, crc)
    return found


def _checked(kind: Any, text: str, crc: int) -> Any:
    if not isinstance(text, str) or zlib.crc32(text.encode("utf-8", "surrogatepass")) != crc:
        raise ValueError("the checksum does not match")
    return _reader(kind).validate_python(json.loads(text))


def marks_json(marks: Sequence[Mark]) -> str:
    return json.dumps([asdict(mark) for mark in marks])


def read_record(row: sqlite3.Row | tuple[Any, ...]) -> Record:
    """Decode a row of `COLUMNS`; damaged values are replaced and reported in `Record.damaged`."""
    (id_, created, name, sha256, width, height, model, task, method, score, size, body, crc, note, tags, marks) = row
    damaged = ""
    try:
        held: Body | None = read_body(body, crc)
    except (ValidationError, ValueError, RecursionError):
        held, damaged = None, DAMAGED
    said, drawn = _listed(str, tags), _listed(Mark, marks)
    if said is None or drawn is None:
        damaged = DAMAGED
    return Record(
        id=str(id_),
        created=_moment(created),
        picture_name=str(name),
        picture_sha256=str(sha256),
        width=_whole(width),
        height=_whole(height),
        model=str(model),
        task=str(task),
        method=str(method),
        layers=held.layers if held else (),
        headline=held.headline if held else DAMAGED,
        predictions=held.predictions if held else (),
        labels=held.labels if held else (),
        index=held.index if held else 0,
        score=score if isinstance(score, float) else None,
        statistics=held.statistics if held else None,
        findings=held.findings if held else (),
        recipe=held.recipe if held else None,
        view=held.view if held else View(),
        note=str(note),
        tags=said or (),
        marks=drawn or (),
        bytes=_whole(size),
        notes=held.notes if held else (),
        screen=held.screen if held else "explore",
        damaged=damaged,
    )


def _listed(kind: Any, text: Any) -> Any:
    """Decode a list of values; None if it is damaged."""
    try:
        return _reader(tuple[kind, ...]).validate_python(json.loads(text))
    except (ValidationError, ValueError, TypeError, RecursionError):
        return None


def read_tags(text: Any) -> tuple[str, ...]:
    """Decode the tags of a row; empty if they are damaged."""
    return _listed(str, text) or ()


def read_marks(text: Any) -> tuple[Mark, ...]:
    """Decode the marks of a row; empty if they are damaged."""
    return _listed(Mark, text) or ()


def read_map(info: str, crc: int, data: bytes) -> SavedMap:
    """Decode a map from its row and its file; raise Problem if either is damaged."""
    try:
        held: MapInfo = _checked(MapInfo, info, crc)
        arrays = array_codec.unpack(data)
        values, layers = arrays["values"], [arrays[name] for name in arrays if name.startswith("raw ")]
        left, top, right, bottom = held.geometry.content
        if values.shape != (bottom - top, right - left) or not layers:
            raise ValueError("the shapes do not match")
    except (ValidationError, ValueError, KeyError, ZeroDivisionError, OverflowError, RecursionError) as error:
        raise Problem("A map of this record is damaged: its content has changed.") from error
    alone = layers[0] if len(layers) == 1 else None
    return SavedMap(
        label=held.label,
        score=held.score,
        values=values,
        extent=held.geometry.extent,
        seen=held.geometry.seen,
        raw=held.ends or ((0.0, 0.0) if alone is not None else None),
        shared=arrays.get("shared"),
        cells=(int(alone.shape[0]), int(alone.shape[1])) if alone is not None else None,
        measured=arrays.get("measured", values),
        layer_maps=tuple(layers),
        geometry=held.geometry,
        method=held.method,
        layers=held.layers,
        scale=held.scale,
        state=held.state,
        statistics=held.statistics,
        boxes=held.boxes,
        looks=held.looks,
    )


def now() -> int:
    """Return the current time in microseconds since 1970."""
    return (datetime.now(UTC) - EPOCH) // timedelta(microseconds=1)


def _moment(value: Any) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=value)
    except (TypeError, OverflowError):
        return EPOCH


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
