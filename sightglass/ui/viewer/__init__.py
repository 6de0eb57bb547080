"""The viewer: a picture and its maps.

Mode, colormap, opacity, threshold, scale and zoom change without a rerun, and Python never hears of them. Python sends
one payload that depends on the picture and the maps alone: a rerun that changes neither gives the same bytes, which
Streamlit does not send again.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.common.files.packing import pack_data
from sightglass.common.settings import MIB
from sightglass.common.style import DEFAULTS as STYLE
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.rendering.marks import Mark, box_mark
from sightglass.explain.rendering.render import samples
from sightglass.explain.rendering.style import Kind, tables
from sightglass.ui.declare import declare

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.explain import Image

Rect = tuple[float, float, float, float]
"""xyxy in original pixels."""
Fact = tuple[str, str, str]
"""The name of a number, its value, and its meaning, maybe empty."""
MAX_SIDE = 1600
"""Maximum pixels of the longer side of a picture sent to the browser."""
_blobs: ByteCache[bytes] = ByteCache(64 * MIB, len)


@dataclass(frozen=True)
class Box:
    """A rectangle in original pixels; `index`: its and its map's place.

    `chosen` counts only where no panel holds several maps: else the choice is the browser's, and not in the payload.
    `tag`: shown at the box while it is not chosen, instead of its place in the list; once it is chosen, its label alone
    is shown. `marks`: what is drawn; without any the rectangle.
    """

    xyxy: Rect
    label: str
    index: int = 0
    chosen: bool = False
    tag: str | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, eq=False)
class Map:
    """One map over the picture.

    `values` float32 (h, w) on any grid: 0..1, or -1..1 for a difference, positive (red) where the first has more,
    as `explain.maps.statistics.share_difference` gives it, and for a signed map, positive where it raises.
    `extent`: what they cover, in original pixels; `seen`: outside it the picture is faded and never coloured.
    `raw`: the raw values at 0, of a signed map at -1, and at 1, which the shared scale and the read-out
    go by. `shared`: the same map on the scale of all maps, where it has no raw values. `cells`: rows
    and columns of the grid the model computed. `text`: one sentence for the line below and for screen readers.
    `sides`: of a difference, the names of the first and the second. `unit`: of a signed map's raw values.
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
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Pane:
    """One canvas: the picture, or one of `maps` as `sightglass:choose` says.

    `boxes` belong to this panel alone and cannot be chosen; None: it shows the viewer's. `picture`: shown instead of
    the viewer's, over the same place. `facts`: what is known of it, of the same names in all panels.
    """

    maps: tuple[Map, ...] = ()
    title: str = ""
    note: str = ""
    boxes: tuple[Box, ...] | None = None
    picture: Image | None = None
    facts: tuple[Fact, ...] = ()


@dataclass(frozen=True)
class ViewerOptions:
    """How the viewer shows a picture.

    `initial`: settings of a link or a file, by the names in `SETTINGS`, and an `id`: they win over what this browser
    remembers once for each id. `height` is a panel's at a window height of 900 px. `line` replaces the sentence below
    the panels. `beside`: a portrait has the plain picture beside it until the user chooses otherwise. `area`: areas
    can be measured. `keys`: of each panel its key or "": one of them is shown, chosen by these keys, 1 to 9 or a list,
    and the maps of all are read at once. `spread`: all of them are shown, one alone by its key on the whole screen.
    `touch`: the key by which the picture can be covered by hand; without one it cannot. `private`: the name of a
    picture that is no example; `keeps`: the seconds for which a link opens it, 0: as long as who sent it keeps it,
    None: not at all. `lacks`: what else a link cannot carry. `dimmed`: what is shown is about to be replaced.
    `together`: all maps are on one scale until the user chooses otherwise.

    Their scale, colours and opacity are those of `sightglass.ui.instruments`, which a page with maps draws, too.
    """

    initial: Mapping[str, str] | None = None
    height: int = 496
    columns: int | None = None
    line: str = ""
    beside: bool = False
    area: bool = False
    keys: tuple[str, ...] = ()
    spread: bool = False
    touch: str = ""
    private: str = ""
    keeps: int | None = None
    lacks: tuple[str, ...] = ()
    dimmed: bool = False
    together: bool = False


DEFAULTS = ViewerOptions()
Grid = tuple["NDArray[np.float32]", Kind]
"""Values of a map (h, w), and what they mean."""


def pack(image: Image, panels: Sequence[Pane], boxes: Sequence[Box] = (), options: ViewerOptions = DEFAULTS) -> bytes:
    """Return the payload: [u32 header length][JSON, padded to 4][JPEG][maps][JPEG of a panel]..."""
    return pack_data(*_describe(image, panels, boxes, options))


def _describe(
    image: Image, panels: Sequence[Pane], boxes: Sequence[Box], options: ViewerOptions
) -> tuple[Json, list[bytes]]:
    """Return the payload's header and blobs.

    The header's `id` is a digest of the content. Maps are uint16, each value but a row's first as its difference from
    the one before, all deflated together.
    """
    grids: list[Grid] = []
    listed = [_describe_panel(panel, grids) for panel in panels]
    head = asdict(options) | {
        "picture": image.sha256,
        "size": [image.width, image.height],
        "panels": listed,
        "grids": [values.shape for values, _ in grids],
        "plain": _describe_panel(Pane(title="Picture"), []),
        "boxes": [_pack_box(box) for box in boxes],
        "choice": _find_choice(panels, boxes),
        "initial": dict(options.initial) if options.initial else None,
        "colormaps": tables(),
    }
    blobs = [picture(image), deflate(grids), *(picture(each.picture) for each in panels if each.picture is not None)]
    digest = hashlib.blake2b(json.dumps(head, sort_keys=True).encode(), digest_size=12)
    for blob in blobs:
        digest.update(blob)
    return head | {"id": digest.hexdigest()}, blobs


def _find_choice(panels: Sequence[Pane], boxes: Sequence[Box]) -> int | None:
    """Return the index of the chosen box.

    None without one, and where the browser chooses among several maps of a panel.
    """
    if any(len(panel.maps) > 1 for panel in panels):
        return None
    return next((box.index for box in boxes if box.chosen), None)


def pack_maps(index: int, parts: Mapping[str, tuple[Sequence[Map], Json]]) -> bytes:
    """Return the payload of maps that take the place of the viewer's map `index`, in parts with more facts."""
    grids: list[Grid] = []
    listed = {name: facts | {"maps": _describe_maps(maps, grids)} for name, (maps, facts) in parts.items()}
    head = {"index": index, "parts": listed, "grids": [values.shape for values, _ in grids]}
    return pack_data(head, [deflate(grids)])


def _describe_panel(panel: Pane, grids: list[Grid]) -> Json:
    boxes = None if panel.boxes is None else [_pack_box(box) for box in panel.boxes]
    head = {"title": panel.title, "note": panel.note, "facts": panel.facts, "pictured": panel.picture is not None}
    return head | {"maps": _describe_maps(panel.maps, grids), "boxes": boxes}


def _describe_maps(maps: Sequence[Map], grids: list[Grid]) -> list[Json]:
    """Return maps as the browser reads them (`MapHead` in draw.js); append their values to `grids`."""

    def append_grid(values: NDArray[np.float32], kind: Kind) -> int:
        grids.append((np.ascontiguousarray(values, dtype=np.float32), kind))
        return len(grids) - 1

    described: list[Json] = []
    for item in maps:
        raw = item.raw if item.raw and all(map(math.isfinite, item.raw)) else None
        about = {name: getattr(item, name) for name in ("title", "note", "text", "kind", "sides", "unit")}
        about |= {
            "shape": item.values.shape,
            "extent": [float(edge) for edge in item.extent],
            "seen": [int(edge) for edge in item.seen],
            "raw": [float(value) for value in raw] if raw else None,
            "cells": [int(count) for count in item.cells] if item.cells else None,
            "own": append_grid(item.values, item.kind),
            "shared": None if item.shared is None else append_grid(item.shared, item.kind),
        }
        described.append(about)
    return described


def picture(image: Image) -> bytes:
    """Return a JPEG of a picture, its own file if small."""
    return (image.jpeg if max(image.pixels.shape) <= MAX_SIDE else b"") or jpeg(image.pixels, MAX_SIDE, image.sha256)


def jpeg(pixels: NDArray[np.uint8], max_side: int, name: str) -> bytes:
    """Encode a picture of limited size; cached by its content's name."""

    def encode() -> bytes:
        height, width = pixels.shape[:2]
        scale, small = max_side / max(height, width), pixels
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        # Full colour resolution: people zoom into red edges of thin things.
        options = [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        _, encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), options)
        return encoded.tobytes()

    return _blobs.get_or_make(("jpeg", name, pixels.shape, max_side), encode)


def _pack_box(box: Box) -> Json:
    packed: Json = {"xyxy": [float(edge) for edge in box.xyxy], "label": box.label, "index": box.index}
    if box.tag is not None:
        packed["tag"] = box.tag
    packed["marks"] = [mark.to_json() for mark in box.marks or (box_mark(box.xyxy),)]
    return packed


def deflate(grids: Sequence[Grid]) -> bytes:
    """Deflate maps (h, w) for `unpack.js`, one after another; cached by content."""
    digest = hashlib.blake2b(digest_size=16)
    for values, kind in grids:
        digest.update(f"{kind}{values.shape}".encode())
        digest.update(values.data)

    def compress() -> bytes:
        # Maps upsampled from few cells change little from one value to the next: a fifth of the bytes.
        steps = (np.diff(samples(values, kind), axis=1, prepend=np.uint16(0)) for values, kind in grids)
        return zlib.compress(b"".join(step.astype("<u2").tobytes() for step in steps), 1)

    return _blobs.get_or_make(digest.digest(), compress)


def parse_region(message: object, picture_id: str, size: tuple[int, int]) -> Rect | None:
    """Return the marked area, xyxy; None if invalid or another picture's. `size`: (width, height), original pixels."""
    if not isinstance(message, dict) or message.get("picture") != picture_id:
        return None
    try:
        x0, y0, x1, y1 = (float(edge) for edge in message["xyxy"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (x0, y0, x1, y1) if 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1] else None


def parse_point(message: object, picture_id: str) -> tuple[tuple[float, float] | None, int | None]:
    """Return the clicked point and box; None if invalid or another picture's."""
    if not isinstance(message, dict) or message.get("picture", picture_id) != picture_id:
        return None, None
    try:
        at, box = (float(message["x"]), float(message["y"])), message["box"]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None, None
    return at, box if isinstance(box, int) else None


ViewSettings = Mapping[str, bool | float | str]
"""Settings of the view, by the names of SETTINGS."""
SETTINGS = (*STYLE, "zoom")
"""Names in the address of what a link carries of a view."""

_component = declare("viewer", __file__, states=("region",), events=("point", "edit"))


@dataclass(frozen=True)
class View:
    """The viewer's report to Python."""

    id: str = ""
    """The digest of what it shows, which `instruments` go by."""
    point: tuple[float, float] | None = None
    """Where it was clicked, in original pixels: for one run only."""
    box: int | None = None
    """The index of the box with its label there, else of the smallest undashed box around the point."""
    region: Rect | None = None
    """The marked area, xyxy in original pixels, for as long as there is one."""
    edit: Json | None = None
    """What covers the picture where a person asks to edit it: for one run only, not checked."""


def viewer(
    image: Image, panels: Sequence[Pane], boxes: Sequence[Box] = (), options: ViewerOptions = DEFAULTS, *, key: str
) -> View:
    """Show a picture with panels of maps over it."""
    head, blobs = _describe(image, panels, boxes, options)
    result = _component(key=key, data=pack_data(head, blobs))
    point, box = parse_point(result.point, image.sha256)
    region = parse_region(result.region, image.sha256, (image.width, image.height))
    edit = result.edit if isinstance(result.edit, dict) and result.edit.get("picture") == image.sha256 else {}
    return View(head["id"], point, box, region, edit.get("edit"))
