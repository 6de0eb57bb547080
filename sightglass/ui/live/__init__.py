"""Live view of camera frames and their maps.

Python sends what is chosen in the row of controls; the browser does the rest, and hands back a frame where a person
wants to go on with it.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import streamlit as st

from sightglass.common.files import Json
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering.style import tables
from sightglass.models.spec import ModelSpec
from sightglass.ui.declare import declare
from sightglass.ui.session import state

_component = declare("live", __file__, "frame")


@dataclass(frozen=True)
class LiveFrame:
    """A frame that a person goes on with."""

    image: Image
    data: bytes
    """The JPEG that the model saw."""
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
    model: ModelSpec | None = None
    """The model that looks at the frames."""
    choice: Json = field(default_factory=dict)
    """Its id, the method and the options, as the browser got them."""
    last: float = 0
    """Milliseconds at which the browser sent its last message, by its clock: each is followed once."""


def live(model: ModelSpec, method: str, options: Mapping[str, Any]) -> None:
    """Draw the live canvas; rerun after a frame. Raises ImageProblem if broken."""
    visit = state.of(LiveVisit)
    choice = {"model": model.id, "method": method, "options": dict(options)}
    if choice != visit.choice:
        # As in the browser: the frame that is held was explained otherwise.
        visit.choice, visit.frozen = choice, None
    held = visit.frozen is not None
    sent = _component(key="live", data={"choice": choice, "colormaps": tables(), "held": held}).frame
    at = sent.get("at") if isinstance(sent, dict) else None
    if isinstance(at, (int, float)) and at != visit.last:
        visit.last, visit.frame = at, _parse_frame(sent)
        if sent.get("act") in ("freeze", "go on"):
            visit.frozen, visit.frame = visit.frame, None
        elif visit.frame is not None:
            st.rerun()


def _parse_frame(sent: Any) -> LiveFrame | None:
    """Return the frame of a browser's message; None without a valid one. Raises ImageProblem for a broken picture."""
    if sent.get("act") not in ("open", "freeze"):
        return None
    try:
        data = base64.b64decode(str(sent.get("jpeg", "")), validate=True)
    except binascii.Error:
        return None
    # A frozen frame's map is saved under this name, as heat maps of a camera are called elsewhere.
    name = f"heatmap_{datetime.now():%Y%m%d_%H%M%S}.jpg" if sent["act"] == "freeze" else "live.jpg"
    image = Image.open(data, name=name)
    label, box = sent.get("label"), sent.get("box")
    anchor, index = (box.get("anchor"), box.get("index")) if isinstance(box, dict) else (None, None)
    pair = (anchor, index) if isinstance(anchor, int) and isinstance(index, int) else None
    return LiveFrame(image, data, label if isinstance(label, str) else None, pair)
