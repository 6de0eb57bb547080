"""The viewer: a picture and its maps on canvases in the browser, where everything but the maps themselves is decided.

Mode, colormap, opacity, threshold, scale and zoom change without a rerun, and Python never hears of them. Python sends
one payload that depends on the picture and the maps alone: a rerun that changes neither gives the same bytes, which
Streamlit does not send again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from components.viewer import replies
from components.viewer.payload import Box, Map, Panel, joined_bytes, pack
from components.viewer.replies import Region

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["SETTINGS", "Box", "Map", "Panel", "Region", "View", "joined", "pack", "viewer", "words"]

SETTINGS = ("mode", "layout", "split", "alpha", "colormap", "threshold", "scale", "top", "even", "invert", "cells")
SETTINGS += ("boxes", "zoom")
"""What of a view a link can carry, by its names in the address."""

_HERE = Path(__file__).parent
_MODULES = (
    "table.js",
    "unpack.js",
    "geometry.js",
    "sample.js",
    "contour.js",
    "strokes.js",
    "settings.js",
    "share_link.js",
)
_MODULES += (
    "readout.js",
    "region.js",
    "gestures.js",
    "picture.js",
    "draw.js",
    "outline.js",
    "panels.js",
    "controls.js",
)
_MODULES += ("recipe.js", "save.js", "prefetch.js", "viewer.js")
_COURIER = ("unpack.js", "text_channel.js")
_DESK = ("unpack.js", "request_channel.js")


@dataclass(frozen=True)
class View:
    """What the viewer tells Python."""

    point: tuple[float, float] | None = None
    """Where it was clicked, in original pixels: for one run only."""
    box: int | None = None
    """The index of the box whose label is there, else of the smallest one around that point that is not dashed."""
    region: Region | None = None
    """The area that is marked, for as long as it is."""
    shown: str = ""
    """The name of what is shown, for `words`."""
    place: Any = None
    """The container that it stands in: what belongs to it and is not seen takes no room there."""


def viewer(
    pixels: NDArray[np.uint8],
    picture_id: str,
    panels: Sequence[Panel],
    *,
    boxes: Sequence[Box] = (),
    file: bytes = b"",
    key: str,
    name: str = "picture",
    initial: Mapping[str, str] | None = None,
    height: int = 496,
    columns: int | None = None,
    line: str = "",
    beside: bool = False,
    marks: bool = False,
    private: bool = False,
    place: Any = None,
) -> View:
    """Show the panels; `line` replaces the sentence below them.

    `picture_id` must change with the pixels. `file`: a JPEG that shows just these. `name` begins the names of files.
    `height` is a panel's at a window height of 900 px. `initial`: settings from a link, by the names in `SETTINGS`, and
    an `id`: they win over what this browser remembers once for each id. `beside`: a portrait has the plain picture
    beside it until a person says otherwise. `marks`: areas can be marked. `private`: a link to this page does not
    carry the picture. `place`: a container without gaps to stand in.
    """
    about = {"height": height, "columns": columns, "line": line, "beside": beside, "marks": marks, "private": private}
    shown, data = pack(pixels, picture_id, panels, boxes, file=file, initial=initial, **about)  # type: ignore[arg-type]
    place = place or st.container(gap=None)
    with place:
        result = _component(key=key, data=data, on_point_change=_nothing, on_region_change=_nothing)
        _desk(pixels, picture_id, panels, boxes, name, file, f"{key}-desk")
    point, box = replies.point_of(result.point)
    return View(
        point,
        box,
        replies.region_of(result.region, picture_id, (pixels.shape[1], pixels.shape[0])),
        shown,
        place,
    )


def words(view: View, texts: Sequence[str], tags: Sequence[str | None], *, key: str) -> None:
    """A sentence for each map of what `viewer` has just shown, in their order: they take longer to make than maps.

    `tags`: what a file of each map says of itself (`explain.export.embedded_recipe.line`).
    """
    head = {"kind": "words", "shown": view.shown, "texts": list(texts), "tags": list(tags)}
    with view.place:
        _courier(key=key, data=joined_bytes(head, []), height=1)


@st.fragment
def _desk(
    pixels: NDArray[np.uint8],
    picture_id: str,
    panels: Sequence[Panel],
    boxes: Sequence[Box],
    name: str,
    file: bytes,
    key: str,
) -> None:
    """Where the viewer asks for a finer part or a file: a fragment, so that the page around it does not run again."""
    asked = st.session_state.get(key) or {}
    parcel = b""
    if wanted := asked.get("file"):
        parcel = replies.file(pixels, panels, boxes, wanted, picture_id, name, file)
    elif wanted := asked.get("detail"):
        parcel = replies.detail(pixels, wanted, picture_id)
    data = parcel or joined_bytes({"kind": "nothing"}, [])
    _desk_component(key=key, data=data, height=1, on_file_change=_nothing, on_detail_change=_nothing)


def _nothing() -> None:
    """Streamlit returns only what has a callback."""


def joined(folder: Path, names: Sequence[str]) -> str:
    """Small modules as one: their imports of each other and all exports but the default one are cut away."""
    parts = []
    for name in names:
        text = (folder / name).read_text("utf-8")
        text = re.sub(r'^import .* from "(?:\.\.?/)+(?:\w+/)*\w+\.js";\n', "", text, flags=re.MULTILINE)
        parts.append(re.sub(r"^export (?!default\b)", "", text, flags=re.MULTILINE))
    return "\n".join(parts)


_component = st.components.v2.component(
    "sightglass_viewer",
    html=(_HERE / "viewer.html").read_text("utf-8"),
    css=(_HERE / "viewer.css").read_text("utf-8"),
    js=joined(_HERE, _MODULES),
)
_courier = st.components.v2.component("sightglass_courier", js=joined(_HERE, _COURIER))
_desk_component = st.components.v2.component("sightglass_desk", js=joined(_HERE, _DESK))
