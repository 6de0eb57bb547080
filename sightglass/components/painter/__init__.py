"""Paint on a picture: brush, rectangle and patches; or on a blank paper (`drawing`).

The browser holds the marks and shows the edited picture at once; Python receives all marks together, makes the same
picture of them (`explain.whatif.edits`) and acknowledges it; only then does the browser send more. So a newer stroke
replaces an older one that waits.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import streamlit as st

from sightglass.common.files.packing import pack_data
from sightglass.components.declare import declare, no_callback
from sightglass.components.session import state
from sightglass.components.viewer.payload import jpeg, picture
from sightglass.explain.whatif import edits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain import Image
    from sightglass.explain.whatif.edits import EditMark

KEY = "painter"
MOST = 12
"""Pictures whose edits a session keeps; the oldest are dropped first."""
SIZES = (0.03, 0.08, 0.16)
"""Diameters of the brush, as shares of the picture's longer side."""
component = declare("painter", __file__)


@dataclass
class Painting:
    """What was painted on one picture."""

    edit: Json = field(default_factory=lambda: {"marks": [], "fill": "blur", "keep": False})
    """As the browser sent it, not checked."""
    turn: int = 0
    """The browser's message that it came with."""


class HasEdit(Protocol):
    """What the browser sent of something that is painted on."""

    edit: Json
    turn: int


@dataclass
class Paintings:
    """The session's edits, by the picture's SHA-256, oldest first."""

    every: dict[str, Painting] = field(default_factory=dict)
    begun: bool = False
    """Whether the first picture of the session was painted on, as an example."""


def painting(image: Image) -> Painting:
    """Return a picture's painting, with the new edit since the last run."""
    paintings = state.of(Paintings)
    current = paintings.every.setdefault(image.sha256, Painting())
    while len(paintings.every) > MOST:
        del paintings.every[next(iter(paintings.every))]
    sent = (st.session_state.get(KEY) or {}).get("edit")
    if not isinstance(sent, dict) or sent.get("id") != image.sha256:
        return current
    turn, edit = sent.get("turn"), sent.get("edit")
    # An older one comes with a request that left the browser before it knew the last answer.
    if isinstance(turn, int) and turn > current.turn and isinstance(edit, dict):
        current.turn, current.edit = turn, edit
    return current


def example(image: Image, area: EditMark | None) -> None:
    """Cover an area of the session's first picture, if still unpainted."""
    paintings = state.of(Paintings)
    if paintings.begun or area is None:
        return
    paintings.begun = True
    current = paintings.every[image.sha256]
    if not current.turn:
        mark = {"kind": area.kind, "points": _flatten(area), "size": area.size}
        current.edit = {"marks": [mark], "fill": "blur", "keep": False}


def painter(image: Image, strongest: EditMark | None) -> None:
    """Draw the picture for painting, last in a run.

    `strongest`: the area that a button covers.
    """
    current = state.of(Paintings).every[image.sha256]
    small = edits.blur(image)
    head = draw_head(image.sha256, image.name, (image.width, image.height), SIZES, current) | {
        "mean": edits.mean_colour(image).tolist(),
        "strongest": _flatten(strongest) if strongest else [],
    }
    blobs = [picture(image.pixels, image.sha256, image.jpeg), jpeg(small, edits.SIDE, f"{image.sha256} blurred")]
    component(key=KEY, data=pack_data(head, blobs), on_edit_change=no_callback)


def draw_head(id: str, name: str, size: tuple[int, int], brushes: Sequence[float], current: HasEdit) -> Json:
    """Return what the browser is sent of anything that is painted on."""
    head = {"id": id, "name": name, "size": list(size), "brushes": list(brushes), "strongest": [], "paper": ""}
    return head | {"turn": current.turn, "edit": current.edit}


def _flatten(area: EditMark) -> list[float]:
    return [share for point in area.points for share in point]
