"""The viewer: a picture and its maps.

Mode, colormap, opacity, threshold, scale and zoom change without a rerun, and Python never hears of them. Python sends
one payload that depends on the picture and the maps alone: a rerun that changes neither gives the same bytes, which
Streamlit does not send again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.files.packing import pack_data
from sightglass.common.style import DEFAULTS as STYLE
from sightglass.components.declare import declare, no_callback
from sightglass.components.viewer import replies
from sightglass.components.viewer.payload import DEFAULTS, Box, Map, Pane, Skeleton, ViewerOptions, ViewerScene, pack
from sightglass.components.viewer.replies import MarkedRegion

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "SETTINGS",
    "Box",
    "Look",
    "Map",
    "MarkedRegion",
    "Pane",
    "Skeleton",
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
    shown, data = pack(scene, options)
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
    point, box = replies.point_of(result.point)
    size = scene.pixels.shape[1], scene.pixels.shape[0]
    region = replies.region_of(result.region, scene.picture_id, size)
    return View(point, box, region, replies.parse_place(result.question, scene.picture_id, size), shown, place)


def send_texts(view: View, texts: Sequence[str], recipes: Sequence[str | None], *, key: str) -> None:
    """Send a sentence for each map that `viewer` has just shown, in their order: they take longer to make than maps.

    `recipes`: what a file of each map carries (`sightglass.export.embedded_recipe.line`).
    """
    with view.place:
        head = {"shown": view.shown, "texts": list(texts), "recipes": list(recipes)}
        _text_channel(key=key, data=pack_data(head), height=1)


@st.fragment
def _answer_requests(scene: ViewerScene, key: str) -> None:
    """Answer the viewer's requests for finer pixels or a file, in a fragment: the page around it does not rerun."""
    requests = st.session_state.get(key) or {}
    reply = b""
    if given := requests.get("file"):
        reply = replies.file(scene, given)
    elif given := requests.get("detail"):
        reply = replies.detail(scene, given)
    data = reply or pack_data({"kind": "nothing"})
    _request_channel(key=key, data=data, height=1, on_file_change=no_callback, on_detail_change=no_callback)
