"""Draw the session's own picture on a blank canvas.

The painter holds the strokes; Python makes a picture of them (`models.drawing.draw`) and acknowledges it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.explain.picture.image import Image
from sightglass.explain.whatif import edits
from sightglass.models import drawing
from sightglass.ui import painter
from sightglass.ui.painter import Painting
from sightglass.ui.session import state
from sightglass.ui.session.pictures import image_source

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.explain import Explainer
    from sightglass.models.drawing import Paper

KEY = "paper"
NAME = "drawing.png"
PLAIN: Paper = "black on white"
"""The colours for a model that does not name its own."""
SIZES = (1 / 28, drawing.STROKE_WIDTH, 1 / 9)
"""Stroke widths, as shares of the canvas's side."""
MAX_STROKES, MAX_POINTS = 5_000, 60_000
"""Maximum number of strokes and of all their points in one drawing, about an hour's work."""
_LEVELS = {"white": 255, "black": 0}


@dataclass
class CanvasDrawing(Painting):
    """The session's drawing."""

    edit: Json = field(default_factory=lambda: {"marks": [], "fill": "mean", "keep": False})
    paper: Paper = PLAIN
    due: bool = False
    """Whether the picture must be drawn again, in other colours."""


def take_drawing() -> tuple[Image, str | None] | None:
    """Return the new drawing and the replaced one's `token`, if any.

    Called before the page is drawn, when the choice of picture may still be set.
    """
    current = state.of(CanvasDrawing)
    if not current.due and not current.take(painter.last_edit(KEY)):
        return None
    current.due = False
    marks = edits.parse(current.edit, MAX_STROKES, MAX_POINTS).marks
    strokes = [drawing.Stroke(mark.points, mark.size, mark.kind == "erase") for mark in marks]
    image, before = Image(drawing.draw(strokes, current.paper), NAME), current.picture
    current.picture = image_source.token(image)
    return image, before


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
    painter.draw(current, key=KEY, id=KEY, name="Paper", size=size, brushes=SIZES, mean=mean, paper=ground)
    has_paper = explainer.loaded.adapter.paper is not None
    why = "as this model was trained" if has_paper else "this model does not say which it was trained on"
    about = f"{ink.capitalize()} pen on {ground} paper: {why}."
    st.caption(about)
