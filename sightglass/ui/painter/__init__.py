"""Paint on a picture: brush and rectangle; or on a blank canvas (`drawing`).

The browser holds the marks and shows the edited picture at once; Python receives all marks together, makes the same
picture of them (`explain.whatif.edits`) and acknowledges it; only then does the browser send more, so a newer stroke
replaces a waiting one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.files.packing import pack_data
from sightglass.explain.whatif import edits
from sightglass.ui.declare import declare
from sightglass.ui.session import state
from sightglass.ui.viewer import jpeg, picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain import Image

KEY = "painter"
SIZES = (0.03, 0.08, 0.16)
"""Diameters of the brush, as shares of the picture's longer side."""
_component = declare("painter", __file__, "edit")


@dataclass
class Painting:
    """What was painted on one picture."""

    edit: Json = field(default_factory=lambda: {"marks": [], "fill": "blur", "keep": False})
    """As the browser sent it, not checked."""
    turn: int = 0
    """The browser's message that it came with."""
    picture: str | None = None
    """SHA-256 of the picture that is edited, or the token of the one made of a drawing."""
    open: bool = False
    """Whether the picture is edited in place of its map."""

    def take(self, sent: Json) -> bool:
        """Take an edit if it is newer than the last one; return whether it was."""
        turn, edit = sent.get("turn"), sent.get("edit")
        # An older edit was sent before the browser received the last answer.
        if not isinstance(turn, int) or turn <= self.turn or not isinstance(edit, dict):
            return False
        self.turn, self.edit = turn, edit
        return True


def last_edit(key: str) -> Json:
    """Return what the browser sent last; empty for nothing."""
    edit = (st.session_state.get(key) or {}).get("edit")
    return edit if isinstance(edit, dict) else {}


def painting(image: Image) -> Painting:
    """Return a picture's painting, with the new edit since the last run."""
    if state.of(Painting).picture != image.sha256:
        state.forget(Painting)
    current = state.of(Painting)
    current.picture = image.sha256
    if (edit := last_edit(KEY)).get("id") == image.sha256:
        current.take(edit)
    return current


def painter(image: Image) -> None:
    """Draw the picture for painting, last in a run."""
    blobs = [picture(image), jpeg(edits.blur(image), edits.SIDE, f"{image.sha256} blurred")]
    draw(
        state.of(Painting),
        blobs,
        key=KEY,
        id=image.sha256,
        name=image.name,
        size=(image.width, image.height),
        brushes=SIZES,
        mean=edits.mean_colour(image).tolist(),
    )


def draw(current: Painting, blobs: Sequence[bytes] = (), *, key: str, **head: Any) -> None:
    """Draw the painter; `head`: more fields of the browser's payload."""
    head = {"paper": "", "turn": current.turn, "edit": current.edit} | head
    _component(key=key, data=pack_data(head, blobs))
