"""What the viewer is given: a picture, panels of maps over it, and their bytes on the way to the browser."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from common.settings import cache_bytes
from explain.evidence.cache import ByteCache
from explain.phrases import pixels as size_words
from explain.rendering.colormaps import colormaps, lut
from explain.rendering.render import samples
from explain.rendering.style import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from explain.export.embedded_recipe import View as Look
    from explain.recipe import Recipe

Rect = tuple[float, float, float, float]

LONGEST = 1600
"""Pixels of a picture's longer side that the browser gets at first; zooming in brings finer ones."""
_blobs: ByteCache[bytes] = ByteCache(lambda: cache_bytes("pictures"), len)


@dataclass(frozen=True)
class Box:
    """A rectangle in original pixels. `index` is its place in the list it can be chosen from, and its map's place.

    `chosen` counts only where no panel holds several maps: else the choice is the browser's, and not in the payload.
    `tag`: what stands at it while it is not chosen, where that is not its place in the list; its label then is all that
    stands at it when it is. `corners`: of a turned
    box, drawn instead of the upright rectangle around them.
    """

    xyxy: Rect
    label: str
    index: int = 0
    chosen: bool = False
    tag: str | None = None
    dashed: bool = False
    corners: tuple[tuple[float, float], ...] | None = None


@dataclass(frozen=True, eq=False)
class Map:
    """One map over the picture.

    `values` float32 (h, w) on any grid: 0..1, or -1..1 for a difference, positive (blue) where the first has more, as
    `explain.rendering.render.share_difference` gives it. `extent`: what they cover, in original pixels; `seen`: outside
    it the picture is faded and never coloured. `raw`: the raw values at 0 and at 1, which the shared and the fixed
    scale and the read-out go by. `shared`: the same map on one scale with its like, where no raw values can say it.
    `cells`: rows and columns of the grid the model computed. `text`: one sentence for the line below and for screen
    readers. `sides`: of a difference, the names of the first and the second.
    """

    title: str
    note: str
    values: NDArray[np.float32]
    extent: Rect
    seen: tuple[int, int, int, int]
    raw: tuple[float, float] | None = None
    cells: tuple[int, int] | None = None
    text: str = ""
    kind: Kind = "heat"
    shared: NDArray[np.float32] | None = None
    sides: tuple[str, str] | None = None
    tag: tuple[Recipe, Look] | None = None
    """What a file of it carries, so that it can be opened again."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One canvas: the plain picture without maps; with several, one of them, as `sightglass:choose` says.

    `boxes` belong to this panel alone and cannot be chosen; None: it shows the viewer's.
    """

    maps: tuple[Map, ...] = ()
    title: str = ""
    note: str = ""
    boxes: tuple[Box, ...] | None = None


def pack(
    pixels: NDArray[np.uint8],
    picture_id: str,
    panels: Sequence[Panel],
    boxes: Sequence[Box] = (),
    *,
    file: bytes = b"",
    initial: Mapping[str, str] | None = None,
    height: int = 496,
    columns: int | None = None,
    line: str = "",
    beside: bool = False,
    marks: bool = False,
    private: bool = False,
) -> tuple[str, bytes]:
    """Its name, and the payload: [u32 header length][JSON, padded to 4][JPEG][maps], little-endian.

    `file`: a JPEG that shows these pixels. Maps are uint16, each value but a row's first as its difference from the
    one before, all deflated together.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"A picture must be uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}.")
    if not panels:
        raise ValueError("A viewer needs at least one panel.")
    grids: list[tuple[NDArray[np.float32], Kind]] = []

    def placed(values: NDArray[np.float32], kind: Kind) -> int:
        grids.append((np.ascontiguousarray(values, dtype=np.float32), kind))
        return len(grids) - 1

    listed = []
    for panel in panels:
        maps = []
        for item in panel.maps:
            own = placed(item.values, item.kind)
            shared = None if item.shared is None else placed(item.shared, item.kind)
            maps.append(_described(item) | {"own": own, "shared": shared})
        drawn = None if panel.boxes is None else [_drawn(box) for box in panel.boxes]
        listed.append({"title": panel.title, "note": panel.note, "maps": maps, "boxes": drawn})
    browser_chooses = any(len(panel.maps) > 1 for panel in panels)
    head: dict[str, Any] = {
        "picture": picture_id,
        "size": [pixels.shape[1], pixels.shape[0]],
        "panels": listed,
        "grids": [values.shape for values, _ in grids],
        "plain": {
            "title": "Picture",
            "note": size_words(pixels.shape[1], pixels.shape[0]),
            "maps": [],
            "boxes": None,
        },
        "boxes": [_drawn(box) for box in boxes],
        "range": raw_range(panels),
        "choice": None if browser_chooses else next((box.index for box in boxes if box.chosen), None),
        "initial": dict(initial) if initial else None,
        "height": height,
        "columns": columns,
        "line": line,
        "beside": beside,
        "marks": marks,
        "private": private,
        "colormaps": _tables(),
    }
    # What came as it can be shown is sent as it came: nothing is lost, and nobody waits for it to be encoded.
    fits = file if max(pixels.shape) <= LONGEST else b""
    blobs = [fits or jpeg(pixels, LONGEST, picture_id), deflated(grids)]
    digest = hashlib.blake2b(json.dumps(head, sort_keys=True).encode(), digest_size=12)
    for blob in blobs:
        digest.update(blob)
    return digest.hexdigest(), joined_bytes(head | {"id": digest.hexdigest()}, blobs)


def joined_bytes(head: dict[str, Any], blobs: Sequence[bytes]) -> bytes:
    """A header and its blobs, as `unpack.js` reads them."""
    text = json.dumps(head | {"sizes": [len(blob) for blob in blobs]}).encode()
    text += b" " * (-len(text) % 4)
    return b"".join([struct.pack("<I", len(text)), text, *blobs])


def raw_range(panels: Sequence[Panel]) -> tuple[float, float] | None:
    """Smallest raw value at 0 and largest at 1 over all the heat there is: the shared scale. None if one has none."""
    heats = [item for panel in panels for item in panel.maps if item.kind == "heat"]
    known = [raw for item in heats if (raw := _finite(item.raw))]
    return (min(low for low, _ in known), max(high for _, high in known)) if known else None


def scaling(item: Map, scale: str, top: float, shared: tuple[float, float] | None) -> tuple[float, float]:
    """Gain and offset that bring a map's values to the scale that is set, as `scaling` in draw.js has it."""
    wanted = (0.0, top) if scale == "fixed" else shared if scale == "shared" and item.shared is None else None
    raw = _finite(item.raw)
    if wanted is None or raw is None:
        return 1.0, 0.0
    span = (wanted[1] - wanted[0]) or 1.0
    return (raw[1] - raw[0]) / span, (raw[0] - wanted[0]) / span


def jpeg(pixels: NDArray[np.uint8], longest: int, name: str) -> bytes:
    """A picture, made smaller where it has to be, and kept by its name: one that changes with the pixels."""
    key = ("jpeg", name, pixels.shape, longest)
    if (found := _blobs.get(key)) is None:
        found = _encoded(pixels, longest)
        _blobs.put(key, found)
    return found


def _encoded(pixels: NDArray[np.uint8], longest: int) -> bytes:
    height, width = pixels.shape[:2]
    scale = longest / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    # Full colour resolution: red edges on thin things are what a person zooms into.
    options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), options)
    return encoded.tobytes()


def _drawn(box: Box) -> dict[str, Any]:
    said: dict[str, Any] = {"xyxy": [float(edge) for edge in box.xyxy], "label": box.label, "index": box.index}
    if box.tag is not None:
        said["tag"] = box.tag
    if box.dashed:
        said["dashed"] = True
    if box.corners is not None:
        said["corners"] = [[float(x), float(y)] for x, y in box.corners]
    return said


def _finite(raw: tuple[float, float] | None) -> tuple[float, float] | None:
    return raw if raw is not None and all(map(math.isfinite, raw)) else None


def _described(item: Map) -> dict[str, Any]:
    raw = _finite(item.raw)
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
        "sides": list(item.sides) if item.sides else None,
    }


def deflated(grids: Sequence[tuple[NDArray[np.float32], Kind]]) -> bytes:
    """Maps (h, w) as `unpack.js` reads them, one after another; kept by what they hold."""
    digest = hashlib.blake2b(digest_size=16)
    for values, kind in grids:
        digest.update(f"{kind}{values.shape}".encode())
        digest.update(values.data)
    found = _blobs.get(digest.digest())
    if found is None:
        # What was grown from few cells changes little from one value to the next: a fifth of the bytes.
        steps = [np.diff(samples(values, kind), axis=1, prepend=np.uint16(0)) for values, kind in grids]
        found = zlib.compress(b"".join(step.astype("<u2").tobytes() for step in steps), 1)
        _blobs.put(digest.digest(), found)
    return found


@functools.cache
def _tables() -> list[dict[str, Any]]:
    return [
        {
            "name": colormap.name,
            "uniform": colormap.uniform,
            "hot": colormap.hot,
            "lut": base64.b64encode(lut(colormap.name).tobytes()).decode(),
        }
        for colormap in colormaps()
    ]
