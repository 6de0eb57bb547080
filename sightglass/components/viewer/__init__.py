"""The viewer: a picture and its maps.

Mode, colormap, opacity, threshold, scale and zoom change without a rerun, and Python never hears of them. Python sends
one payload that depends on the picture and the maps alone: a rerun that changes neither gives the same bytes, which
Streamlit does not send again.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import streamlit as st

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem
from sightglass.common.files.packing import pack_data
from sightglass.common.style import DEFAULTS as STYLE
from sightglass.components.declare import declare, no_callback
from sightglass.components.viewer.payload import (
    DEFAULTS,
    Box,
    Map,
    Pane,
    ViewerOptions,
    ViewerScene,
    jpeg,
    pack,
    raw_range,
    raw_reach,
    scaling,
)
from sightglass.explain.picture.image import Image, to_jpeg, to_png
from sightglass.explain.rendering.contact_sheet import grid
from sightglass.explain.rendering.marks import draw_marks
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style
from sightglass.report import embedded_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.components.viewer.payload import Rect

MAX_FILE_PIXELS = 48 * 10**6
"""Of a file of several panels; larger ones are made smaller."""


MAX_DETAIL_SIDE = 2560
"""Pixels of the longer side of a part that is sent when it is zoomed into."""
_MAX_MASK_SIDE = 512


@dataclass(frozen=True, eq=False)
class MarkedRegion:
    """An area marked on the picture, in original pixels: a rectangle, or what a brush painted."""

    kind: Literal["rectangle", "brush"]
    xyxy: Rect
    """Of a brush: the rectangle around it."""
    painted: NDArray[np.bool_] | None = None
    """(h, w) over the whole picture, coarser than it; None for a rectangle."""

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return the area as bool (height, width) over the whole picture."""
        if self.painted is None:
            x0, y0, x1, y1 = (round(edge) for edge in self.xyxy)
            out = np.zeros((height, width), dtype=np.bool_)
            out[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = True
            return out
        h, w = self.painted.shape
        return self.painted[np.arange(height) * h // height][:, np.arange(width) * w // width]


def region_of(given: object, picture_id: str, size: tuple[int, int]) -> MarkedRegion | None:
    """Return the browser's marked area; None if invalid or another picture's.

    `size` is (width, height) in original pixels.
    """
    if not isinstance(given, dict) or given.get("picture") != picture_id:
        return None
    try:
        if given["kind"] == "rectangle":
            x0, y0, x1, y1 = (float(edge) for edge in given["xyxy"])
            inside = 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1]
            return MarkedRegion("rectangle", (x0, y0, x1, y1)) if inside else None
        w, h = (int(side) for side in given["size"])
        if not (0 < w <= _MAX_MASK_SIDE and 0 < h <= _MAX_MASK_SIDE):
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
    return MarkedRegion("brush", tuple(float(edge) for edge in around), painted)  # type: ignore[arg-type]


def point_of(given: object) -> tuple[tuple[float, float] | None, int | None]:
    """Return the clicked point and box; None if invalid."""
    try:
        at = (float(given["x"]), float(given["y"]))  # type: ignore[index]
        box = given["box"]  # type: ignore[index]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None, None
    return at, box if isinstance(box, int) else None


def parse_place(given: object, picture_id: str, size: tuple[int, int]) -> Rect | None:
    """Return the browser's asked place, xyxy; None if invalid."""
    if not isinstance(given, dict) or given.get("picture") != picture_id:
        return None
    try:
        x0, y0, x1, y1 = (float(edge) for edge in given["xyxy"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (x0, y0, x1, y1) if 0 <= x0 <= x1 <= size[0] and 0 <= y0 <= y1 <= size[1] else None


def detail(scene: ViewerScene, given: object) -> bytes:
    """Return a sharp part of the picture; empty for an invalid part."""
    if not isinstance(given, dict) or given.get("picture") != scene.picture_id:
        return b""
    height, width = scene.pixels.shape[:2]
    try:
        x0, y0, x1, y1 = (int(edge) for edge in given["rect"])
        max_side = min(MAX_DETAIL_SIDE, max(1, int(given.get("longest", MAX_DETAIL_SIDE))))
    except (KeyError, TypeError, ValueError, OverflowError):
        return b""
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        return b""
    head = {"kind": "detail", "id": str(given.get("id")), "picture": scene.picture_id, "rect": [x0, y0, x1, y1]}
    return pack_data(head, [jpeg(scene.pixels[y0:y1, x0:x1], max_side, f"{scene.picture_id} {x0},{y0}")])


def file(scene: ViewerScene, given: Any) -> bytes:
    """Return the mapped panels as PNG or JPG at full size.

    The file carries the recipe of its first map. Where the picture is visible in it, it also carries the picture: the
    JPEG it came as, if the scene has it, else one without loss.
    """
    try:
        return _file(scene, given)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, Problem):
        message = "The browser's request for a file is invalid: reload the page."
        head = {"kind": "sorry", "id": f"sorry {given}"[:80], "picture": scene.picture_id, "words": message}
        return pack_data(head)


def _file(scene: ViewerScene, request: Mapping[str, Any]) -> bytes:
    settings = request["settings"]
    drawn = [_panel(scene, panel, request) for panel in scene.panels if panel.maps]
    images, titles = [image for image, _ in drawn], [item.title for _, item in drawn]
    first = drawn[0][1]
    if settings.get("layout") == "beside":
        all_boxes = scene.boxes if settings.get("boxes") else ()
        images = [draw_marks(scene.pixels, [box.item for box in all_boxes]), *images]
        titles = ["Picture", *titles]
    if len(images) == 1:
        image = images[0]
    else:
        height, width = scene.pixels.shape[:2]
        shrink = min(1.0, (MAX_FILE_PIXELS / (len(images) * height * width)) ** 0.5)
        columns = min(max(1, int(request.get("columns") or 1)), len(images))
        image = grid(images, titles, columns, height=max(1, round(height * shrink)))
    kind, mime = ("jpg", "image/jpeg") if request.get("format") == "jpg" else ("png", "image/png")
    data = _with_recipe(scene, first, settings, to_jpeg(image) if kind == "jpg" else to_png(image))
    text = f"{scene.name.rsplit('.', 1)[0]} {first.title} {settings.get('mode')}"
    name = f"{file_stem(text).lower()}.{kind}"
    head = {"kind": "file", "id": str(request.get("id")), "picture": scene.picture_id, "name": name, "mime": mime}
    return pack_data(head, [data])


def _panel(scene: ViewerScene, panel: Pane, request: Mapping[str, Any]) -> tuple[NDArray[np.uint8], Map]:
    """Draw a panel with its boxes; beside the picture, only chosen ones."""
    settings, choice = request["settings"], int(request.get("choice") or 0)
    item = panel.maps[0] if len(panel.maps) == 1 else panel.maps[min(choice, len(panel.maps) - 1)]
    shared = raw_range(scene.panels), raw_reach(scene.panels)
    image = _render_panel(scene.pixels, item, settings, shared, dark=bool(request.get("dark")))
    beside = settings.get("layout") == "beside" or any(not each.maps for each in scene.panels)
    visible = panel.boxes if panel.boxes is not None else [b for b in scene.boxes if not beside or b.index == choice]
    if settings.get("boxes") and visible:
        chosen = next((i for i, box in enumerate(visible) if panel.boxes is None and box.index == choice), None)
        image = draw_marks(image, [box.item for box in visible], chosen=chosen)
    return image, item


def _with_recipe(scene: ViewerScene, item: Map, settings: Mapping[str, Any], data: bytes) -> bytes:
    if item.recipe is None:
        return data
    recipe, view = item.recipe
    simple = {key: value for key, value in settings.items() if isinstance(value, bool | int | float | str)}
    visible = settings["mode"] != "map" or settings.get("layout") in ("beside", "swipe")
    whole = scene.picture_id == recipe.picture_sha256
    picture = embedded_recipe.encode(Image(scene.pixels, scene.name, jpeg=scene.file)) if visible and whole else b""
    return embedded_recipe.write(
        data, recipe, view.model_validate(view.model_dump() | {"settings": simple}), picture=picture
    )


def _render_panel(
    pixels: NDArray[np.uint8],
    item: Map,
    settings: Mapping[str, Any],
    shared: tuple[tuple[float, float] | None, float | None],
    *,
    dark: bool,
) -> NDArray[np.uint8]:
    values = item.shared if settings["scale"] == "shared" and item.shared is not None else item.values
    gain, offset = scaling(item, settings["scale"], float(settings["top"]), *shared)
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
    return paint(pixels, field, style, unseen="dark" if dark else "light")


__all__ = [
    "SETTINGS",
    "Box",
    "Look",
    "Map",
    "MarkedRegion",
    "Pane",
    "View",
    "ViewerOptions",
    "ViewerScene",
    "pack",
    "send_texts",
    "viewer",
]

Look = Mapping[str, bool | float | str]
"""Settings of the view, by the names of SETTINGS."""
SETTINGS = (*STYLE, "zoom")
"""Names in the address of what a link carries of a view."""

_component = declare("viewer", __file__, styles=("sliders.css",))
_text_channel = declare("text_channel", __file__)
_request_channel = declare("request_channel", __file__)


@dataclass(frozen=True)
class View:
    """What the viewer reports to Python."""

    point: tuple[float, float] | None = None
    """Where it was clicked, in original pixels: for one run only."""
    box: int | None = None
    """The index of the box with its label there, else of the smallest undashed box around the point."""
    region: MarkedRegion | None = None
    """The marked area, for as long as there is one."""
    question: tuple[float, float, float, float] | None = None
    """The place that was asked about, xyxy in original pixels, a point twice: for one run only."""
    shown: str = ""
    """The id of what is shown, for `send_texts`."""
    place: Any = None
    """The container of the viewer: its channels take no room there."""


def viewer(scene: ViewerScene, options: ViewerOptions = DEFAULTS, *, key: str, place: Any = None) -> View:
    """Show a scene; `place`: a container without gaps to put it in."""
    scene_id, data = pack(scene, options)
    place = place or st.container(gap=None)
    with place:
        result = _component(
            key=key,
            data=data,
            on_point_change=no_callback,
            on_region_change=no_callback,
            on_question_change=no_callback,
        )
        _answer_requests(scene, f"{key}-requests")
    point, box = point_of(result.point)
    size = scene.pixels.shape[1], scene.pixels.shape[0]
    region = region_of(result.region, scene.picture_id, size)
    return View(point, box, region, parse_place(result.question, scene.picture_id, size), scene_id, place)


def send_texts(view: View, texts: Sequence[str], recipes: Sequence[str | None], *, key: str) -> None:
    """Send a sentence for each map of `viewer`, in their order.

    `recipes`: what a file of each map carries (`sightglass.report.embedded_recipe.line`).
    """
    with view.place:
        head = {"shown": view.shown, "texts": list(texts), "recipes": list(recipes)}
        _text_channel(key=key, data=pack_data(head), height=1)


@st.fragment
def _answer_requests(scene: ViewerScene, key: str) -> None:
    """Answer requests for pixels or a file, in a fragment."""
    requests = st.session_state.get(key) or {}
    reply = b""
    if request := requests.get("file"):
        reply = file(scene, request)
    elif request := requests.get("detail"):
        reply = detail(scene, request)
    data = reply or pack_data({"kind": "nothing"})
    _request_channel(key=key, data=data, height=1, on_file_change=no_callback, on_detail_change=no_callback)
