"""Pack views for the history, and read them again."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from sightglass.common.errors import Problem
from sightglass.common.files import Json
from sightglass.common.files.packing import pack_data, unpack_data
from sightglass.report.view import MAX_PICTURES, Index, Map, View

VERSION = 2
UNREADABLE = "These slides cannot be read: they are damaged, or were saved by another version."
JPEG, MP4 = b"\xff\xd8\xff", b"\0\0\0\0ftyp"
_READ_INDEX = TypeAdapter(Index).validate_python
_VIEW = TypeAdapter(View)


def pack(views: Sequence[View]) -> bytes:
    """Pack what slides need of views by `pack_data`.

    The JSON is {version, views}: each view its fields by name; a picture's `source` and a `clip` are the index of a
    blob; a map's `values` is {blob, shape: [h, w]}. Its blob is zlib-deflated bytes, 0..255 for 0..1, or 1..255 around
    128 for -1..1, each the difference (mod 256) to the one left of it, the first of a row to 0. A blob that occurs
    twice is packed once.
    """
    blobs: dict[bytes, int] = {}
    return pack_data({"version": VERSION, "views": [_plain(view, blobs) for view in views]}, list(blobs))


def _plain(view: View, blobs: dict[bytes, int]) -> Json:
    def index(data: bytes) -> int:
        return blobs.setdefault(data, len(blobs))

    plain: Json = _VIEW.dump_python(view)
    for picture, item in zip(view.pictures, plain["pictures"], strict=True):
        item["source"] = index(picture.jpeg)
        if picture.map is not None:
            shape = list(picture.map.values.shape)
            item["map"]["values"] = {"blob": index(_deflate(picture.map)), "shape": shape}
    return plain | {"clip": None if view.clip is None else index(view.clip)}


def _deflate(item: Map) -> bytes:
    low, count = (0, 255) if item.kind == "heat" else (128, 127)
    levels = np.rint(low + count * np.clip(item.values, -1 if low else 0, 1)).astype(np.uint8)
    steps = np.diff(levels, axis=1, prepend=np.zeros((len(levels), 1), np.uint8))
    return zlib.compress(np.ascontiguousarray(steps, np.uint8).tobytes(), 6)


def unpack(data: bytes) -> tuple[View, ...]:
    """Return the views of `pack`. Raises Problem for what is damaged or out of range."""
    try:
        head, blobs = unpack_data(data)
        if head["version"] != VERSION:
            raise ValueError("another version")
        return tuple(_read(item, blobs) for item in head["views"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError, AttributeError, zlib.error) as error:
        raise Problem(UNREADABLE) from error


def _read(plain: Json, blobs: Sequence[bytes]) -> View:
    """Return a view from its JSON; raise ValueError and others."""
    clip = None if plain["clip"] is None else blobs[_READ_INDEX(plain["clip"])]
    if clip is not None and (clip[4:8] != MP4[4:8] or not plain["pictures"]):
        raise ValueError("no MP4, or none of its frames")
    pictures: list[Json] = []
    for picture in plain["pictures"][: MAX_PICTURES + 1]:
        file, item = blobs[_READ_INDEX(picture["source"])], picture["map"]
        if not file.startswith(JPEG):
            raise ValueError("no JPEG")
        if item is not None:
            item = item | {"values": _inflate(item["values"], blobs, signed=item["kind"] != "heat")}
        pictures.append(picture | {"source": file, "map": item})
    view: View = _VIEW.validate_python(plain | {"pictures": pictures, "clip": clip})
    if any(chart.picture >= len(view.pictures) for chart in view.charts):
        raise ValueError("no such picture")
    for read in view.pictures:
        if read.map is not None:
            # Raises ValueError for an area of no size.
            read.map.field(8, 8)
    return view


def _inflate(plain: Json, blobs: Sequence[bytes], *, signed: bool) -> NDArray[np.float32]:
    height, width = map(_READ_INDEX, plain["shape"])
    steps = zlib.decompress(blobs[_READ_INDEX(plain["blob"])])
    levels = np.add.accumulate(np.frombuffer(steps, np.uint8).reshape(height, width), axis=1, dtype=np.uint8)
    low, count = (128, 127) if signed else (0, 255)
    table = np.clip((np.arange(256, dtype=np.float32) - low) / count, -1, 1).astype(np.float32)
    return table[levels]
