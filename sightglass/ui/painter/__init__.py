"""Paint on a picture: brush and rectangle; or on a blank canvas: the session's own picture.

The browser holds the marks and shows the edited picture at once; Python receives all marks together, makes the same
picture of them (`explain.whatif.edits`) and acknowledges it; only then does the browser send more, so a newer stroke
replaces a waiting one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.files.packing import pack_data
from sightglass.explain.picture.image import Image
from sightglass.explain.whatif import edits
from sightglass.models import drawing
from sightglass.ui.declare import declare
from sightglass.ui.session import state
from sightglass.ui.session.pictures import image_source
from sightglass.ui.viewer import jpeg, picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.explain import Explainer
    from sightglass.models.drawing import Paper

KEY = "painter"
SIZES = (0.03, 0.08, 0.16)
"""Diameters of the brush, as shares of the picture's longer side."""
PAPER = "paper"
NAME = "drawing.png"
PLAIN: Paper = "black on white"
"""The colours for a model that does not name its own."""
STROKES = (1 / 28, drawing.STROKE_WIDTH, 1 / 9)
"""Stroke widths, as shares of the canvas's side."""
MAX_STROKES, MAX_POINTS = 5_000, 60_000
"""Maximum number of strokes and of all their points in one drawing, about an hour's work."""
_LEVELS = {"white": 255, "black": 0}
"""Grey levels of the colours that a paper names."""
_component = declare("painter", __file__, states=("edit",))


@dataclass
class Painting(state.Kept):
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
    draw(
        state.of(Painting),
        [picture(image), jpeg(edits.blur(image), edits.SIDE, f"{image.sha256} blurred")],
        key=KEY,
        id=image.sha256,
        name=image.name,
        size=(image.width, image.height),
        brushes=SIZES,
        mean=edits.mean_color(image).tolist(),
    )


def draw(current: Painting, blobs: Sequence[bytes] = (), *, key: str, **head: Any) -> None:
    """Draw the painter; `head`: more fields of the browser's payload."""
    head = {"paper": "", "turn": current.turn, "edit": current.edit} | head
    _component(key=key, data=pack_data(head, blobs))


@dataclass
class CanvasDrawing(Painting):
    """The session's drawing."""

    edit: Json = field(default_factory=lambda: {"marks": [], "fill": "mean", "keep": False})
    paper: Paper = PLAIN
    due: bool = False
    """Whether the picture must be drawn again, in other colours."""


def take_drawing() -> None:
    """Choose a new drawing in place of its former version, before the page is drawn."""
    current = state.of(CanvasDrawing)
    if not current.due and not current.take(last_edit(PAPER)):
        return
    current.due = False
    marks = edits.parse(current.edit, MAX_STROKES, MAX_POINTS).marks
    strokes = [drawing.Stroke(mark.points, mark.size, mark.kind == "erase") for mark in marks]
    image = Image(drawing.draw(strokes, current.paper), NAME)
    image_source.replace_drawing(current.picture, image)
    current.picture = image_source.token(image)


def needs_repaint(explainer: Explainer) -> bool:
    """Return whether a chosen drawing needs this model's other colours."""
    current = state.of(CanvasDrawing)
    former, current.paper = current.paper, explainer.loaded.adapter.paper or PLAIN
    current.due = (
        current.paper != former and current.picture is not None and current.picture == image_source.current_id()
    )
    return current.due


def draw_canvas(explainer: Explainer) -> None:
    """Draw the canvas in training colours, last in a run."""
    current = state.of(CanvasDrawing)
    ink, _, ground = current.paper.partition(" on ")
    st.markdown("### Draw")
    size, mean = (drawing.SIDE, drawing.SIDE), [_LEVELS[ink]] * 3
    draw(current, key=PAPER, id=PAPER, name="Paper", size=size, brushes=STROKES, mean=mean, paper=ground)
    has_paper = explainer.loaded.adapter.paper is not None
    why = "as this model was trained" if has_paper else "this model does not say which it was trained on"
    st.caption(f"{ink.capitalize()} pen on {ground} paper: {why}.")
