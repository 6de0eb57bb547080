"""Rows of the database as the values that they stand for, each checked: a damaged one says so and stops no other."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from common.errors import Problem
from explain.export.embedded_recipe import View
from explain.findings.diagnosis import Finding
from explain.history import array_codec
from explain.history.records import KeptMap, Mark, Record
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
DAMAGED = "This record is damaged, and not all that was kept can be shown."


@dataclass(frozen=True)
class Body:
    """What does not change of a record."""

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
class About:
    """What there is to know of a map beside its arrays."""

    label: str
    score: float | None
    ends: tuple[float, float] | None
    geometry: Geometry
    method: str
    layers: tuple[str, ...]
    scale: Literal["own", "shared"]
    state: Literal["ok", "flat", "no evidence", "not a number"]
    statistics: Statistics
    boxes: tuple[Prediction, ...] = field(default=())
    looks: str = ""


@cache
def _reader(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def text_of(values: Any) -> tuple[str, int]:
    """Plain values as JSON, every number as it is, and the check sum of that."""
    text = json.dumps(values, separators=(",", ":"))
    return text, zlib.crc32(text.encode())


def body_of(text: str, crc: int) -> Body:
    """Raises ValueError where it is damaged."""
    found: Body = _checked(Body, text, crc)
    return found


def _checked(kind: Any, text: str, crc: int) -> Any:
    if not isinstance(text, str) or zlib.crc32(text.encode("utf-8", "surrogatepass")) != crc:
        raise ValueError("it is no longer what was kept")
    return _reader(kind).validate_python(json.loads(text))


def marks_text(marks: Sequence[Mark]) -> str:
    return json.dumps([asdict(mark) for mark in marks])


def record_of(row: sqlite3.Row | tuple[Any, ...]) -> Record:
    """A row of `COLUMNS`; never raises for what is in it."""
    (id_, created, name, sha256, width, height, model, task, method, score, size, body, crc, note, tags, marks) = row
    damaged = ""
    try:
        held: Body | None = body_of(body, crc)
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
    """A list of values; None where it is damaged."""
    try:
        return _reader(tuple[kind, ...]).validate_python(json.loads(text))
    except (ValidationError, ValueError, TypeError, RecursionError):
        return None


def tags_of(text: Any) -> tuple[str, ...]:
    """Tags of a row, none where they are damaged."""
    return _listed(str, text) or ()


def marks_of(text: Any) -> tuple[Mark, ...]:
    """Marks of a row, none where they are damaged."""
    return _listed(Mark, text) or ()


def map_of(about: str, crc: int, data: bytes) -> KeptMap:
    """A heatmap of its row and its file; raises Problem where either is damaged."""
    try:
        held: About = _checked(About, about, crc)
        arrays = array_codec.unpack(data)
        values, layers = arrays["values"], [arrays[name] for name in arrays if name.startswith("raw ")]
        left, top, right, bottom = held.geometry.content
        if values.shape != (bottom - top, right - left) or not layers:
            raise ValueError("its maps do not fit")
    except (ValidationError, ValueError, KeyError, ZeroDivisionError, OverflowError, RecursionError) as error:
        raise Problem("A map of this record is damaged: it is no longer what was kept.") from error
    alone = layers[0] if len(layers) == 1 else None
    return KeptMap(
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


def moment() -> int:
    """Now, in microseconds since 1970."""
    return (datetime.now(UTC) - EPOCH) // timedelta(microseconds=1)


def _moment(value: Any) -> datetime:
    try:
        return EPOCH + timedelta(microseconds=value)
    except (TypeError, OverflowError):
        return EPOCH


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
