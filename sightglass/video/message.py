"""Requests and answers of a frame, and the messages of the live socket that carry them.

A frame is `SGF1`, its number as u32, and a JPEG. An answer is `[u32 length][JSON, padded to 4][float32 maps]…`, all
little-endian, as `browser/unpack.js` reads it. Numbers of frames grow; the answer to one settles all before
it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Problem
from sightglass.common.files.packing import pack_data

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.explain.maps.heatmap import State
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box, Geometry

MAGIC = b"SGF1"
HEADER = struct.Struct("<4sI")
MAX_BYTES = 2 * 2**20
"""Of a frame."""
MAX_TEXT = 64 * 1024
"""Bytes of a message in words."""


@dataclass(frozen=True)
class Pin:
    """What a viewer wants to see the map of, whatever the model says first: a class, or the object in a box."""

    index: int
    """A class."""
    box: Box | None = None
    """xyxy as shares of the frame's width and height; None: the class, wherever it is."""


@dataclass(frozen=True, eq=False)
class LiveMap:
    """A map as it was computed, before it is scaled and grown."""

    label: str
    score: float
    """0..1."""
    state: State
    """`raws` are empty unless it is "ok"."""
    raws: tuple[NDArray[np.float32], ...]
    """Signed, one float32 (h, w) per layer."""
    layers: tuple[str, ...]
    """Their paths; empty likewise."""
    geometry: Geometry


@dataclass(frozen=True, eq=False)
class LiveAnswer:
    """What became of a frame."""

    number: int = 0
    """The frame's. All earlier frames of this viewer are settled too: answered, or dropped for a later one."""
    size: tuple[int, int] = (0, 0)
    """Width and height of the frame in pixels."""
    predictions: tuple[Prediction, ...] = ()
    """The best, and the class that is followed: last, where it is not among them."""
    map: LiveMap | None = None
    """None where what is followed is not in the frame."""
    place: int | None = None
    """Which of the boxes the map is of."""
    lost: bool = False
    """Whether the followed object was out of sight for too long to be followed on."""
    milliseconds: dict[str, float] = field(default_factory=dict)
    """Spent on `decode`, `prepare`, `model` and `maps`."""
    problem: str = ""
    """One sentence, where there is no answer."""
    waited: float = 0.0
    """Milliseconds from its arrival until the model turned to it."""
    dropped: int = 0
    """Frames of this viewer so far that a later one replaced while they waited."""


class BadMessage(Problem):
    """A viewer sent what is no message: its socket is closed."""


def parse_frame(data: bytes, last: int) -> tuple[int, bytes]:
    """Return a frame's number and JPEG. Raises BadMessage."""
    if len(data) > MAX_BYTES + HEADER.size:
        raise BadMessage(f"A frame has at most {MAX_BYTES // 2**20} MiB: send smaller ones.")
    if len(data) <= HEADER.size:
        raise BadMessage("A frame is a header of 8 bytes and a JPEG: this message is too short.")
    magic, number = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise BadMessage("A frame begins with SGF1 and its number: this message does not.")
    if number <= last:
        raise BadMessage(f"Frame {number} came after frame {last}: number frames upwards.")
    return number, data[HEADER.size :]


def parse_message(text: str) -> Json:
    """Return a message in words, an object with a `type`; raises BadMessage."""
    if len(text) > MAX_TEXT:
        raise BadMessage(f"A message in words has at most {MAX_TEXT // 1024} KiB: send shorter ones.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise BadMessage("A message in words is a JSON object with a type: choose or pin.")
    return document


def parse_pin(given: Any, classes: int) -> Pin | None:
    """Return a message's `pin`, or None. Raises BadMessage."""
    if given is None:
        return None
    index, box = (given.get("index"), given.get("box")) if isinstance(given, dict) else (None, None)
    if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < classes:
        raise BadMessage(f"pin names a class by its index, 0 to {classes - 1}, or is null.")
    if box is None:
        return Pin(index)
    numbers = isinstance(box, list) and len(box) == 4 and all(type(edge) in (int, float) for edge in box)
    if not numbers or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise BadMessage("box is [left, top, right, bottom] in shares of the frame, 0 to 1.")
    return Pin(index, (float(box[0]), float(box[1]), float(box[2]), float(box[3])))


def pack_answer(answer: LiveAnswer) -> bytes:
    """Pack what became of a frame."""
    times = {"wait": answer.waited} | answer.milliseconds
    head: Json = {
        "n": answer.number,
        "problem": answer.problem,
        "dropped": answer.dropped,
        "ms": {name: round(value, 2) for name, value in times.items()},
    }
    if answer.problem:
        return pack_data(head)
    answers = [
        {"label": p.label, "index": p.index, "score": round(p.score, 4)}
        | ({} if p.box is None else {"box": [round(edge, 1) for edge in p.box], "anchor": p.anchor})
        | ({} if p.box is None else {"marks": [{"kind": "polygon", "points": _round(p.outline)}]})
        for p in answer.predictions
    ]
    heatmap = None if answer.map is None else _describe_map(answer.map)
    head |= {"size": [*answer.size], "answers": answers, "map": heatmap, "place": answer.place, "lost": answer.lost}
    return pack_data(head, [raw.astype("<f4").tobytes() for raw in answer.map.raws] if answer.map else [])


def _round(points: Iterable[tuple[float, float]]) -> list[list[float]]:
    return [[round(x, 1), round(y, 1)] for x, y in points]


def _describe_map(raw_map: LiveMap) -> Json:
    geometry = raw_map.geometry
    return {
        "label": raw_map.label,
        "score": round(raw_map.score, 4),
        "state": raw_map.state,
        "shapes": [list(raw.shape) for raw in raw_map.raws],
        "offsets": [list(geometry.cell_offset(path)) for path in raw_map.layers],
        "input": list(geometry.input),
        "content": list(geometry.content),
        "extent": [round(edge, 4) for edge in geometry.extent],
        "seen": list(geometry.seen),
    }
