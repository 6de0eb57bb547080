"""Live view of camera frames and their maps.

Python sends what is chosen in the sidebar and the clip's pictures; the browser does the rest, and hands back a frame
where a person wants to go on with it.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.files import packing
from sightglass.components.declare import declare, no_callback, pack_data
from sightglass.components.session import state
from sightglass.components.session.pictures import image_source
from sightglass.components.viewer.payload import jpeg
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.style import tables
from sightglass.models.demo.pictures import SCENES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sightglass.models.spec import ModelSpec

STILL = 960
"""Pixels of the longer side of a picture of the clip."""

KEY = "live"
HEIGHT = 520
_component = declare("live", __file__, styles=("sliders.css",))


@dataclass(frozen=True)
class LiveFrame:
    """A frame that a person goes on with."""

    image: Image
    data: bytes
    """The JPEG that the model saw."""
    act: str
    """`open` or `freeze`."""
    label: str | None
    """What the map is of."""
    pair: tuple[int, int] | None
    """The candidate and the class of the box that it is of."""


@dataclass
class LiveVisit:
    """What the session knows of its live page."""

    frame: LiveFrame | None = None
    """One that was handed over, until the next run begins."""
    frozen: LiveFrame | None = None
    """The one that is held on the screen."""
    last: float = 0
    """When the browser handed over the last frame, by its clock: one is followed once."""


def live(model: ModelSpec, method: str, options: Mapping[str, Any]) -> None:
    """Draw the live canvas; rerun after a frame. Raises ImageProblem if broken."""
    visit = state.of(LiveVisit)
    # Drawn scenes for a model of these, else the photographs.
    photographs = tuple(name for name in packing.PHOTOGRAPHS if image_source.is_here(name))
    names = SCENES if model.example or not photographs else photographs
    head = {
        "choice": {"model": model.id, "method": method, "options": dict(options)},
        "stills": ", ".join(names),
        "colormaps": tables(),
        "height": HEIGHT,
    }
    result = _component(key=KEY, data=pack_data(head, [_still(name) for name in names]), on_frame_change=no_callback)
    sent = result.frame
    at = sent.get("at") if isinstance(sent, dict) else None
    if isinstance(at, (int, float)) and at != visit.last:
        visit.last, visit.frame = at, _frame(sent)
        if sent.get("act") in ("freeze", "go on"):
            visit.frozen, visit.frame = visit.frame, None
        elif visit.frame is not None:
            st.rerun()


def _still(name: str) -> bytes:
    image = image_source.example(name)
    return jpeg(image.pixels, STILL, f"{image.sha256} clip")


def _frame(sent: Any) -> LiveFrame | None:
    if sent.get("act") not in ("open", "freeze"):
        return None
    try:
        data = base64.b64decode(str(sent.get("jpeg", "")), validate=True)
    except binascii.Error:
        return None
    image = Image.open(data, name="live.jpg")
    label, box = sent.get("label"), sent.get("box")
    anchor, index = (box.get("anchor"), box.get("index")) if isinstance(box, dict) else (None, None)
    pair = (anchor, index) if isinstance(anchor, int) and isinstance(index, int) else None
    return LiveFrame(image, data, sent["act"], label if isinstance(label, str) else None, pair)
