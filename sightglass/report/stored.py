"""Pack views for the history and for a deck's file, and read them again, those of former versions too."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter

from sightglass.common.errors import Problem
from sightglass.common.files.packing import pack_data, unpack_data
from sightglass.explain.phrases import percent
from sightglass.report.view import MAX_PICTURES, Index, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.report.view import Map

VERSION = 2
MAX_VIEWS, MAX_SIDE = 200, 4_096
"""Maximum number of views of a deck, and of cells of a map's side."""
UNREADABLE = "These slides cannot be read: they are damaged, or of a newer version."
JPEG, MP4 = b"\xff\xd8\xff", b"\0\0\0\0ftyp"
_READ_INDEX = TypeAdapter(Index).validate_python
_VIEW = TypeAdapter(View)
_FIELDS = {"title", "notes", "kind", "commands", "made", "date", "facts", "sides"}
_MAP = {"label", "score", "extent", "seen", "kind", "cells", "checks", "ends"}
_STYLE = {"colormap": "colormap", "mode": "mode", "opacity": "alpha", "threshold": "threshold"}
"""Fields of a style by their names in a file."""
_PICTURE = {"name": True, "size": True, "caption": True, "answers": True, "boxes": True, "map": _MAP}


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

    include: Json = dict.fromkeys((*_FIELDS, "charts", "display"), True) | {"pictures": {"__all__": _PICTURE}}
    plain: Json = _VIEW.dump_python(view, include=include)
    for picture, item in zip(view.pictures, plain["pictures"], strict=True):
        item["source"] = index(picture.jpeg)
        if picture.map is not None:
            shape = list(picture.map.values.shape)
            item["map"]["values"] = {"blob": index(_deflate(picture.map)), "shape": shape}
    style = {name: getattr(view.display, field) for name, field in _STYLE.items()}
    clip = None if view.clip is None else index(view.clip)
    return plain | {"display": style, "statements": view.statements[:1], "clip": clip}


def style_fields(display: Json) -> Json:
    """Return the fields of a style from those of a file."""
    return {field: display[name] for name, field in _STYLE.items() if name in display}


def _deflate(item: Map) -> bytes:
    low, count = (0, 255) if item.kind == "heat" else (128, 127)
    levels = np.rint(low + count * np.clip(item.values, -1 if low else 0, 1)).astype(np.uint8)
    steps = np.diff(levels, axis=1, prepend=np.zeros((len(levels), 1), np.uint8))
    return zlib.compress(np.ascontiguousarray(steps, np.uint8).tobytes(), 6)


def unpack(data: bytes, view: Json | None = None) -> tuple[View, ...]:
    """Return the views of `pack`; strangers' bytes are validated.

    `view`: how version 1 showed a slide, where that is stored apart. Raises Problem, one sentence, for anything that is
    damaged, too large or out of range.
    """
    try:
        head, blobs = unpack_data(data)
        plain = head["views" if head["version"] == VERSION else "scenes"]
        if head["version"] not in (1, VERSION) or len(plain) > MAX_VIEWS:
            raise ValueError("another version, or too many")
        if head["version"] == 1:
            plain = [_upgrade(scene, scene["view"] | (view or {})) for scene in plain]
        return tuple(_read(item, blobs) for item in plain)
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
            values = item["values"] and _inflate(item["values"], blobs, signed=item["kind"] != "heat")
            item = item | {"values": np.zeros((1, 1), np.float32) if values is None else values}
        pictures.append(picture | {"source": file, "map": item})
    more: Json = {"pictures": pictures, "clip": clip, "display": style_fields(plain["display"])}
    view: View = _VIEW.validate_python(plain | more | {"tables": (), "recipe": None})
    if any(chart.picture >= len(view.pictures) for chart in view.charts):
        raise ValueError("no such picture")
    for read in view.pictures:
        if read.map is not None:
            # Raises ValueError for an area of no size.
            read.map.field(8, 8)
    return view


def _inflate(plain: Json, blobs: Sequence[bytes], *, signed: bool) -> NDArray[np.float32]:
    height, width = map(_READ_INDEX, plain["shape"])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ValueError("no map's size")
    # No more than it may hold: a few bytes can inflate to gigabytes.
    steps = zlib.decompressobj().decompress(blobs[_READ_INDEX(plain["blob"])], height * width + 1)
    levels = np.add.accumulate(np.frombuffer(steps, np.uint8).reshape(height, width), axis=1, dtype=np.uint8)
    low, count = (128, 127) if signed else (0, 255)
    return np.clip((levels.astype(np.float32) - low) / count, -1, 1).astype(np.float32)


# ---- version 1

_SEVERAL = ("classes", "models", "story", "row")
"""Version 1 named slides by what their pictures were; `picture` had one."""
_KINDS = {"words": "words", "clip": "clip", "text": "text", "columns": "text"}
_KINDS |= dict.fromkeys(("picture", *_SEVERAL), "picture")


def _upgrade(scene: Json, view: Json) -> Json:
    """Return the JSON of a slide of version 1 in the fields of today; `view`: which panel and map it showed."""
    kind, panels, proof, charts = scene["kind"], scene["panels"][: MAX_PICTURES + 1], scene["proof"], []
    several, first, index = kind in _SEVERAL and len(panels) > 1, view.get("panel", 0), view.get("map", 0)
    # Every panel shows the map of one label, else its first.
    label = panels[first]["maps"][index]["label"] if panels and index else None
    labels = [[item["label"] for item in panel["maps"]] for panel in panels]
    chosen = [names.index(label) if label in names else 0 for names in labels]
    places = range(len(panels)) if several else [first][: len(panels)]
    if proof is not None:
        chosen[proof["panel"]] = proof["map"]
        lines = ("map", "This map", ""), ("strongest", proof.get("control", "Random places"), "control_")
        curves = [{"name": n, "title": t, "hidden": proof[f"{c}hide"], "kept": proof[f"{c}keep"]} for n, t, c in lines]
        about = {name: proof[name] for name in ("label", "sentence")}
        charts = [about | {"curves": curves, "picture": proof["panel"] if several else 0}]
    pictures = [_upgrade_panel(panels[place], chosen[place], scene, view["mode"], several=several) for place in places]
    if scene["picture"] is not None and (kind == "clip" or not panels):
        pictures = [{"name": "", "source": scene["picture"], "size": scene["size"], "map": None}]
    facts = [panel["name"] for panel in panels[:3] if kind == "clip"]
    facts += [f"{value} {name}" for value, name in scene.get("numbers", ())]
    return {name: scene[name] for name in _FIELDS if name in scene} | {
        "kind": _KINDS[kind],
        "statements": (scene["sentence"],) if scene["sentence"] else (),
        "pictures": pictures,
        "charts": charts,
        "display": {name: view[name] for name in view if name not in ("panel", "map")},
        "clip": scene["clip"],
        "facts": facts or [f"{label} {percent(score)}" for label, score in scene.get("bars", ())],
    }


def _upgrade_panel(panel: Json, chosen: int, scene: Json, mode: str, *, several: bool) -> Json:
    """Return a picture of a panel, with the one of its maps that was shown."""
    item, drawn = panel["maps"][chosen] if panel["maps"] else None, panel.get("picture") is not None
    best = (item["label"], item["score"]) if item and mode != "picture" else next(iter(panel["answers"]), None)
    words = "" if best is None else best[0] if best[1] is None else f"{best[0]} {percent(best[1])}"
    caption = panel["name"] if scene["kind"] == "row" or drawn or not words else words
    if caption is words and scene["kind"] != "classes":
        caption = f"{panel['name']}: {words}"
    plain_map, explained = None, item and item["box"]
    if item is not None:
        low, high = item.get("ends", ("", ""))
        about = {name: item[name] for name in ("label", "score", "values", "seen")} | {"ends": (low, "0", high)}
        plain_map = about | {"kind": "signed" if item.get("signed") else "heat", "checks": item.get("seal", "")}
    elif drawn and panel.get("seen") is not None:
        # A map was drawn into the picture, which fades where the model saw nothing.
        plain_map = {"label": "", "kind": "difference", "seen": panel["seen"], "values": None}
    return {
        "name": panel["name"],
        "source": panel["picture"] if drawn else scene["picture"],
        "size": panel["size"] if drawn else scene["size"],
        "caption": caption if several else "",
        "map": plain_map,
        "answers": panel["answers"],
        "boxes": [
            {
                "points": [(left, top), (right, top), (right, bottom), (left, bottom)],
                "text": f"{label} {percent(score)}",
                "explained": explained is not None and np.allclose((left, top, right, bottom), explained, atol=1e-3),
            }
            for (left, top, right, bottom), label, score in panel["boxes"]
        ],
    }
