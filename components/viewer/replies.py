"""What the viewer asks back: an area that was marked, finer pixels of a part, a file at full size."""

from __future__ import annotations

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from common.errors import Problem
from common.files import file_stem
from components.viewer.payload import Panel, joined_bytes, jpeg, raw_range, scaling
from explain.picture.image import Image, to_jpeg, to_png
from explain.rendering.contact_sheet import boxes as draw_boxes
from explain.rendering.contact_sheet import grid
from explain.rendering.render import shown
from explain.rendering.style import Field, Style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from components.viewer.payload import Box, Map, Rect

DETAIL = 2560
"""Most pixels of the longer side of a part that is sent when it is zoomed into."""
LARGEST = 48 * 10**6
"""Pixels of a file; panels of larger pictures are made smaller."""
_MASK = 512


@dataclass(frozen=True, eq=False)
class Region:
    """An area that was marked on the picture, in original pixels: a rectangle, or whatever a brush went over."""

    kind: Literal["rectangle", "brush"]
    xyxy: Rect
    """Of a brush: the rectangle around it."""
    painted: NDArray[np.bool_] | None = None
    """(h, w) over the whole picture, coarser than it; None for a rectangle."""

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """The area as bool (height, width) over the whole picture, whose own size that is."""
        if self.painted is None:
            x0, y0, x1, y1 = (round(edge) for edge in self.xyxy)
            out = np.zeros((height, width), dtype=np.bool_)
            out[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = True
            return out
        h, w = self.painted.shape
        return self.painted[np.arange(height) * h // height][:, np.arange(width) * w // width]


def region_of(given: object, picture_id: str, size: tuple[int, int]) -> Region | None:
    """What the browser said was marked; None for nothing, for another picture, and for what makes no sense.

    `size` is (width, height) in original pixels.
    """
    if not isinstance(given, dict) or given.get("picture") != picture_id:
        return None
    try:
        if given["kind"] == "rectangle":
            x0, y0, x1, y1 = (float(edge) for edge in given["xyxy"])
            inside = 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]
            return Region("rectangle", (x0, y0, x1, y1)) if inside else None
        w, h = (int(side) for side in given["size"])
        if not (0 < w <= _MASK and 0 < h <= _MASK):
            return None
        count = -(-w * h // 8)
        bits = zlib.decompressobj().decompress(base64.b64decode(given["bits"], validate=True), count)
        if len(bits) != count:
            return None
        painted = np.unpackbits(np.frombuffer(bits, np.uint8), count=w * h).reshape(h, w).astype(np.bool_)
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error, zlib.error):
        return None
    rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
    if not rows.size:
        return None
    sx, sy = size[0] / w, size[1] / h
    around = (columns[0] * sx, rows[0] * sy, (columns[-1] + 1) * sx, (rows[-1] + 1) * sy)
    return Region("brush", tuple(float(edge) for edge in around), painted)  # type: ignore[arg-type]


def point_of(given: object) -> tuple[tuple[float, float] | None, int | None]:
    """Where the browser said it was clicked, and on which box; None for what makes no sense."""
    try:
        at = (float(given["x"]), float(given["y"]))  # type: ignore[index]
        box = given["box"]  # type: ignore[index]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None, None
    return at, box if isinstance(box, int) else None


def detail(pixels: NDArray[np.uint8], given: object, picture_id: str) -> bytes:
    """A part of the picture as fine as it is, or as fine as is sensible; empty for a part that is not there."""
    if not isinstance(given, dict) or given.get("picture") != picture_id:
        return b""
    height, width = pixels.shape[:2]
    try:
        x0, y0, x1, y1 = (int(edge) for edge in given["rect"])
        longest = min(DETAIL, max(1, int(given.get("longest", DETAIL))))
    except (KeyError, TypeError, ValueError, OverflowError):
        return b""
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        return b""
    head = {"kind": "detail", "id": str(given.get("id")), "picture": picture_id, "rect": [x0, y0, x1, y1]}
    return joined_bytes(head, [jpeg(pixels[y0:y1, x0:x1], longest, f"{picture_id} {x0},{y0}")])


def file(
    pixels: NDArray[np.uint8],
    panels: Sequence[Panel],
    boxes: Sequence[Box],
    given: Any,
    picture_id: str,
    name: str,
    original: bytes = b"",
) -> bytes:
    """All panels with a map as the browser shows them, at the picture's own size, as PNG or JPG; or what is wrong.

    The file carries the recipe of its first map. Where the picture is to be seen in it, it also carries the picture:
    `original`, if that is the JPEG it came as, else one without loss.
    """
    try:
        return _file(pixels, panels, boxes, given, picture_id, name, original)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Problem):
        words = "The browser asked for a file in a way that makes no sense: reload the page."
        return joined_bytes({"kind": "sorry", "id": f"sorry {given}"[:80], "picture": picture_id, "words": words}, [])


def _file(
    pixels: NDArray[np.uint8],
    panels: Sequence[Panel],
    boxes: Sequence[Box],
    given: Mapping[str, Any],
    picture_id: str,
    name: str,
    original: bytes,
) -> bytes:
    settings, choice = given["settings"], int(given.get("choice") or 0)
    shown_range = raw_range(panels)
    drawn, titles, tags = [], [], []
    # As on the screen: beside the plain picture, which has them all, a map shows the chosen boxes alone.
    added = settings.get("layout") == "beside"
    beside = added or any(not panel.maps for panel in panels)
    for panel in (panel for panel in panels if panel.maps):
        item = panel.maps[0] if len(panel.maps) == 1 else panel.maps[min(choice, len(panel.maps) - 1)]
        image = _drawn(pixels, item, settings, shown_range, dark=bool(given.get("dark")))
        own = panel.boxes if panel.boxes is not None else [b for b in boxes if not beside or b.index == choice]
        if settings.get("boxes") and own:
            first = next((i for i, box in enumerate(own) if panel.boxes is None and box.index == choice), None)
            image = draw_boxes(image, [(box.xyxy, box.label) for box in own], chosen=first)
        drawn.append(image)
        titles.append(item.title)
        tags.append(item.tag)
    name_of = titles[0]
    if added:
        every = [(box.xyxy, box.label) for box in boxes] if settings.get("boxes") else []
        drawn, titles = [draw_boxes(pixels, every) if every else pixels, *drawn], ["Picture", *titles]
    if len(drawn) == 1:
        made = drawn[0]
    else:
        shrink = min(1.0, (LARGEST / (len(drawn) * pixels.shape[0] * pixels.shape[1])) ** 0.5)
        columns = min(max(1, int(given.get("columns") or 1)), len(drawn))
        made = grid(drawn, titles, columns, height=max(1, round(pixels.shape[0] * shrink)))
    kind = "jpg" if given.get("format") == "jpg" else "png"
    data = to_jpeg(made) if kind == "jpg" else to_png(made)
    if (tagged := tags[0]) is not None:
        from explain.export.embedded_recipe import carried, write

        recipe, look = tagged
        kept = {key: value for key, value in settings.items() if isinstance(value, bool | int | float | str)}
        visible = settings["mode"] != "map" or settings.get("layout") in ("beside", "swipe")
        whole = picture_id == recipe.picture_sha256
        picture = carried(Image(pixels, name, jpeg=original)) if visible and whole else b""
        data = write(data, recipe, look.model_validate(look.model_dump() | {"settings": kept}), picture=picture)
    stem = file_stem(f"{name.rsplit('.', 1)[0]} {name_of} {settings.get('mode')}").lower()
    mime = "image/jpeg" if kind == "jpg" else "image/png"
    head = {"kind": "file", "id": str(given.get("id")), "picture": picture_id, "name": f"{stem}.{kind}", "mime": mime}
    return joined_bytes(head, [data])


def _drawn(
    pixels: NDArray[np.uint8],
    item: Map,
    settings: Mapping[str, Any],
    shared: tuple[float, float] | None,
    *,
    dark: bool,
) -> NDArray[np.uint8]:
    values = item.shared if settings["scale"] == "shared" and item.shared is not None else item.values
    gain, offset = scaling(item, settings["scale"], float(settings["top"]), shared)
    style = Style(
        mode=settings["mode"],
        colormap=settings["colormap"],
        alpha=float(settings["alpha"]),
        threshold=float(settings["threshold"]),
        even=bool(settings["even"]),
        invert=bool(settings["invert"]),
        cells=bool(settings["cells"]),
        gain=gain,
        offset=offset,
        split=float(settings["split"]) if settings["layout"] == "swipe" else None,
    )
    field = Field(values, item.extent, item.seen, kind=item.kind, cells=item.cells)
    return shown(pixels, field, style, unseen="dark" if dark else "light")
