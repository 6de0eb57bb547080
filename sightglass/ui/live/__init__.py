"""Live view of camera frames and their maps.

Python sends what is chosen in the row of controls; the browser does the rest, and hands back a frame where a person
wants to go on with it.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from sightglass.common.files import Json
from sightglass.common.settings import settings
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.picture.received import open_received
from sightglass.explain.rendering.style import tables
from sightglass.models.spec import ModelSpec
from sightglass.report import heatmap_files
from sightglass.ui.declare import declare
from sightglass.ui.session import state

QUALITY = 92
"""Of a snapshot's JPEG, 1 to 95."""
_component = declare("live", __file__, events=("frame",))


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


@dataclass(frozen=True)
class Snapshot:
    """A picture with its map, as it was on the screen."""

    name: str
    jpeg: bytes
    folder: str
    """Name of the folder where it was saved; empty where that cannot be written to."""


@dataclass(frozen=True)
class Recording:
    """A clip from the camera, as the browser encoded it."""

    data: bytes
    ending: str
    """Of its file: `.webm` or `.mp4`."""


@dataclass
class LiveVisit:
    """What the session knows of its live page."""

    frame: LiveFrame | None = None
    """One that was handed over, until the next run begins."""
    frozen: LiveFrame | None = None
    """The one that is held on the screen."""
    snapshot: Snapshot | None = None
    """The last one."""
    recording: Recording | None = None
    """A clip that was handed over, until the next run begins."""
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
        visit.last = at
        _hear(visit, sent)


def _hear(visit: LiveVisit, sent: Json) -> None:
    """Note what the browser hands over.

    Rerun the page where it goes on with that. Raises ImageProblem for a broken picture.
    """
    act = sent.get("act")
    if act == "go on":
        visit.frozen = None
    elif act == "freeze":
        # Its map is saved under this name, as heat maps of a camera are called elsewhere.
        visit.frozen = _parse_frame(sent, f"{heatmap_files.stem()}.jpg")
    elif act == "open":
        visit.frame = _parse_frame(sent, "live.jpg")
    elif act == "snapshot":
        visit.snapshot = _save_snapshot(sent)
    elif act == "clip":
        visit.recording = _parse_recording(sent)
    if visit.frame is not None or visit.recording is not None:
        st.rerun()


def _decode(text: Any) -> bytes:
    """Return the bytes of base64; empty where it is none."""
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error:
        return b""


def _parse_frame(sent: Json, name: str) -> LiveFrame | None:
    """Return the frame of a browser's message; None without a valid one. Raises ImageProblem for a broken picture."""
    data = _decode(sent.get("jpeg"))
    if not data:
        return None
    image = open_received(data, name=name)
    label, box = sent.get("label"), sent.get("box")
    anchor, index = (box.get("anchor"), box.get("index")) if isinstance(box, dict) else (None, None)
    pair = (anchor, index) if isinstance(anchor, int) and isinstance(index, int) else None
    return LiveFrame(image, data, label if isinstance(label, str) else None, pair)


def _save_snapshot(sent: Json) -> Snapshot | None:
    """Save a snapshot in the folder of heat maps.

    Its `folder` is empty where that cannot be written to. None without a picture. Raises ImageProblem for a broken
    one.
    """
    data = _decode(sent.get("jpeg"))
    if not data:
        return None
    # Encoded anew: what a browser sends could be anything.
    jpeg = to_jpeg(open_received(data, name="snapshot.jpg").pixels, QUALITY)
    try:
        return Snapshot(heatmap_files.save(jpeg), jpeg, settings().heatmaps.name)
    except OSError:
        return Snapshot(f"{heatmap_files.stem()}.jpg", jpeg, "")


def _parse_recording(sent: Json) -> Recording | None:
    """Return the clip of a browser's message; None without one."""
    data = _decode(sent.get("clip"))
    ending = ".mp4" if str(sent.get("mime")).startswith("video/mp4") else ".webm"
    return Recording(data, ending) if data else None
