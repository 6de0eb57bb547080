"""The viewer: a picture and its maps on canvases in the browser, where everything but the maps themselves is decided.

Opacity, colormap, threshold and mode change without a rerun. Python sends one payload that depends on the picture and
the maps alone: a rerun that changes neither gives the same bytes, which Streamlit does not send again.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import re
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
import streamlit as st

from explain.cache import ByteCache
from explain.colormaps import colormaps, lut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

Rect = tuple[float, float, float, float]
Setting = str | float
MODES = ("overlay", "map", "contour", "spotlight", "picture")

_HERE = Path(__file__).parent
_LONGEST = 1600
_MODULES = (
    "table.js",
    "unpack.js",
    "geometry.js",
    "sample.js",
    "contour.js",
    "settings.js",
    "words.js",
    "gestures.js",
    "draw.js",
    "save.js",
    "viewer.js",
)
_MEMORY = "sightglass viewer links"
_blobs: ByteCache[bytes] = ByteCache(64 * 2**20, len)


@dataclass(frozen=True)
class Box:
    """A rectangle in original pixels. `index` is its place in the list it can be chosen from, and its map's place.

    `chosen` counts only where no panel holds several maps: else the choice is the browser's, and not in the payload.
    """

    xyxy: Rect
    label: str
    index: int = 0
    chosen: bool = False


@dataclass(frozen=True, eq=False)
class Map:
    """One map over the picture.

    `values` float32 (h, w) on any grid: 0..1, or -1..1 for a difference, positive (blue) where the first has more, as
    `explain.render.share_difference` gives it. `extent`: what they cover, in original pixels; `seen`: outside it the
    picture is faded and never coloured. `raw`: the raw values at 0 and at 1, for the read-out. `cells`: rows and
    columns of the grid the model computed. `text`: one sentence for the line below and for screen readers.
    """

    title: str
    note: str
    values: NDArray[np.float32]
    extent: Rect
    seen: tuple[int, int, int, int]
    raw: tuple[float, float] | None = None
    cells: tuple[int, int] | None = None
    text: str = ""
    kind: Literal["heat", "difference"] = "heat"


@dataclass(frozen=True, eq=False)
class Panel:
    """One canvas: the plain picture without maps; with several, one of them, as `sightglass:choose` says."""

    maps: tuple[Map, ...] = ()
    title: str = ""
    note: str = ""


@dataclass(frozen=True)
class View:
    """What the viewer tells Python."""

    view: dict[str, Any] = field(default_factory=dict)
    """mode, alpha, colormap, threshold, even, cells: as last released; empty before anything was touched."""
    point: tuple[float, float] | None = None
    """Where it was clicked, in original pixels: for one run only."""
    box: int | None = None
    """The index of the smallest box around that point."""


def viewer(
    pixels: NDArray[np.uint8],
    picture_id: str,
    panels: Sequence[Panel],
    *,
    boxes: Sequence[Box] = (),
    key: str,
    initial: Mapping[str, Setting] | None = None,
    height: int = 496,
    columns: int | None = None,
    line: str = "",
) -> View:
    """Show the panels side by side; `line` replaces the sentence below them.

    `picture_id` must change with the pixels. `height` is a panel's at a window height of 900 px. `initial` are settings
    from a shared link: they win over what this browser remembers, once.
    """
    result = _component(
        key=key,
        data=pack(pixels, picture_id, panels, boxes, _link(initial, key), height, columns, line),
        on_view_change=_nothing,
        on_point_change=_nothing,
    )
    view, point = result.view or {}, result.point
    return View(dict(view), (float(point["x"]), float(point["y"])) if point else None, point["box"] if point else None)


def pack(
    pixels: NDArray[np.uint8],
    picture_id: str,
    panels: Sequence[Panel],
    boxes: Sequence[Box] = (),
    initial: Mapping[str, Setting] | None = None,
    height: int = 496,
    columns: int | None = None,
    line: str = "",
) -> bytes:
    """The payload: [u32 header length][JSON header, padded to 4][JPEG][deflated uint16 map]..., little-endian."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"A picture must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}.")
    if not panels:
        raise ValueError("A viewer needs at least one panel.")
    blobs = [_jpeg(pixels, picture_id)]
    listed = []
    for panel in panels:
        maps = []
        for item in panel.maps:
            maps.append(_described(item) | {"blob": len(blobs)})
            blobs.append(_deflated(item.values, item.kind))
        listed.append({"title": panel.title, "note": panel.note, "maps": maps})
    browser_chooses = any(len(panel.maps) > 1 for panel in panels)
    head: dict[str, Any] = {
        "picture": picture_id,
        "size": [pixels.shape[1], pixels.shape[0]],
        "panels": listed,
        "boxes": [{"xyxy": list(map(float, box.xyxy)), "label": box.label, "index": box.index} for box in boxes],
        "choice": None if browser_chooses else next((box.index for box in boxes if box.chosen), None),
        "initial": dict(initial) if initial else None,
        "height": height,
        "columns": columns,
        "line": line,
        "colormaps": _tables(),
    }
    digest = hashlib.blake2b(json.dumps(head, sort_keys=True).encode(), digest_size=12)
    for blob in blobs:
        digest.update(blob)
    text = json.dumps(head | {"id": digest.hexdigest(), "sizes": [len(blob) for blob in blobs]}).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *blobs])


def _described(item: Map) -> dict[str, Any]:
    raw = item.raw if item.raw is not None and all(map(math.isfinite, item.raw)) else None
    return {
        "title": item.title,
        "note": item.note,
        "text": item.text,
        "kind": item.kind,
        "shape": list(item.values.shape),
        "extent": [float(edge) for edge in item.extent],
        "seen": [int(edge) for edge in item.seen],
        "raw": [float(value) for value in raw] if raw else None,
        "cells": [int(count) for count in item.cells] if item.cells else None,
    }


def _jpeg(pixels: NDArray[np.uint8], picture_id: str) -> bytes:
    key = ("jpeg", picture_id, pixels.shape)
    found = _blobs.get(key)
    if found is None:
        height, width = pixels.shape[:2]
        scale = _LONGEST / max(height, width)
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        # Full colour resolution: red edges on thin things are what a person zooms into.
        options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
        found = encoded.tobytes()
        _blobs.put(key, found)
    return found


def _deflated(values: NDArray[np.float32], kind: str) -> bytes:
    array = np.ascontiguousarray(values, dtype=np.float32)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"A map must have the shape (h, w), got {array.shape}.")
    key = (kind, array.shape, hashlib.blake2b(array.data, digest_size=16).digest())
    found = _blobs.get(key)
    if found is None:
        low, high = (-1.0, 1.0) if kind == "difference" else (0.0, 1.0)
        if not (array.min() >= low - 1e-5 and array.max() <= high + 1e-5):
            raise ValueError(f"A {kind} map must lie within {low:g}..{high:g}, got {array.min():g}..{array.max():g}.")
        share = (np.clip(array, low, high) - low) / (high - low)
        found = zlib.compress(np.rint(share * 65535).astype("<u2").tobytes(), 1)
        _blobs.put(key, found)
    return found


@functools.cache
def _tables() -> list[dict[str, Any]]:
    return [
        {
            "name": colormap.name,
            "uniform": colormap.uniform,
            "lut": base64.b64encode(lut(colormap.name).tobytes()).decode(),
        }
        for colormap in colormaps()
    ]


def _link(initial: Mapping[str, Setting] | None, key: str) -> Mapping[str, Setting] | None:
    """`initial`, or what it was before if it only repeats what the viewer itself told.

    A page that writes the view into its address and reads it back would else send the whole payload at each release
    of a slider, and with it a setting that the hand may have left meanwhile.
    """
    memory = st.session_state.setdefault(_MEMORY, {"initial": None, "told": []})
    view = st.session_state.get(key, {}).get("view")
    if view and dict(view) not in memory["told"]:
        memory["told"] = [*memory["told"][-15:], dict(view)]
    given = dict(initial or {})
    if given and not any(_repeats(given, told) for told in memory["told"]):
        memory["initial"] = given
    found: Mapping[str, Setting] | None = memory["initial"]
    return found


def _repeats(given: Mapping[str, Setting], told: Mapping[str, Any]) -> bool:
    def same(name: str, value: Setting) -> bool:
        if isinstance(value, str) or isinstance(told.get(name), str):
            return value == told.get(name)
        return name in told and abs(float(value) - float(told[name])) < 0.006

    return all(same(name, value) for name, value in given.items())


def _nothing() -> None:
    """Streamlit returns only what has a callback."""


def joined(folder: Path, names: Sequence[str]) -> str:
    """Small modules as one: their imports of each other and all exports but the default one are cut away."""
    parts = []
    for name in names:
        text = re.sub(r'^import .* from "\./\w+\.js";\n', "", (folder / name).read_text("utf-8"), flags=re.MULTILINE)
        parts.append(re.sub(r"^export (?!default\b)", "", text, flags=re.MULTILINE))
    return "\n".join(parts)


_component = st.components.v2.component(
    "sightglass_viewer",
    html=(_HERE / "viewer.html").read_text("utf-8"),
    css=(_HERE / "viewer.css").read_text("utf-8"),
    js=joined(_HERE, _MODULES),
)
