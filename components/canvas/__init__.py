"""A canvas to draw on: the drawing becomes the session's picture while the pen still moves.

The browser stores and draws the strokes. It sends Python all of them, waits until Python has made a picture of them
(`models.drawing.draw`), and only then sends newer ones: no stroke is lost, and no map is begun only to be stopped by a
newer one before anybody saw it.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from components.frontend import declare, no_callback
from models import drawing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain import Explainer, Image
    from models.drawing import Paper

KEY = "pad"
NAME = "drawing.png"
PLAIN: Paper = "black on white"
"""The colours where the model does not say which it wants."""
_MODULES = ("../frontend/component.js", "../frontend/steps.js", "sheet.js", "post.js", "canvas.js")
_COLOURS = {"white": "#ffffff", "black": "#000000"}
_component = declare("canvas", Path(__file__).parent, _MODULES)


def take_drawing() -> tuple[Image, str | None] | None:
    """Return the drawing that came in since the last run and the sha256 of the one it replaces; None if there is none.

    Call it before the page is drawn, while the choice of picture may still be set.
    """
    state = st.session_state
    if state.pop("drawing-due", False):
        return _picture()
    given = (state.get(KEY) or {}).get("drawing")
    if not isinstance(given, dict):
        return None
    turn = given.get("turn")
    if not isinstance(turn, int) or turn == state.get("drawing-turn"):
        return None
    state["drawing-turn"] = turn
    strokes = given.get("strokes")
    state["drawing"] = strokes if isinstance(strokes, list) else []
    return _picture()


def needs_repaint(explainer: Explainer) -> bool:
    """Whether the chosen picture is a drawing that this model needs in other colours: the next run has it in those."""
    state, before = st.session_state, st.session_state.get("drawing-paper", PLAIN)
    state["drawing-paper"] = paper = _paper_of(explainer) or PLAIN
    chosen = state.get("picture")
    state["drawing-due"] = paper != before and chosen is not None and chosen == state.get("drawn")
    return bool(state["drawing-due"])


def _picture() -> tuple[Image, str | None]:
    from explain.picture.image import Image

    state = st.session_state
    pixels = drawing.draw(drawing.strokes(state["drawing"]), state.get("drawing-paper", PLAIN))
    image, before = Image(pixels, NAME), state.get("drawn")
    state["drawn"] = image.sha256
    return image, before


def _paper_of(explainer: Explainer) -> Paper | None:
    return explainer.resident.adapter.paper


def is_offered(explainer: Explainer) -> bool:
    """Whether the page has a canvas: for a model of drawings, and if the user wants to draw."""
    return _paper_of(explainer) is not None or bool(st.session_state.get("memory", {}).get("draw"))


def pad(explainer: Explainer) -> None:
    """Show the canvas in the colours that the model was trained with; last in a run, as it confirms the drawing."""
    state = st.session_state
    paper: Paper = state.get("drawing-paper", PLAIN)
    ink, _, ground = paper.partition(" on ")
    given: dict[str, Any] = {
        "id": state.setdefault("drawing-id", secrets.token_hex(8)),
        "ink": _COLOURS[ink],
        "paper": _COLOURS[ground],
        "turn": state.get("drawing-turn", 0),
        "strokes": state.get("drawing", []),
    }
    st.markdown("##### Draw")
    _component(key=KEY, data=given, on_drawing_change=no_callback)
    why = "as this model was trained" if _paper_of(explainer) else "this model does not say which it was trained on"
    about = f"{ink.capitalize()} pen on {ground} paper: {why}."
    if _paper_of(explainer) and (state.get("drawn") is None or state.get("picture") != state.get("drawn")):
        about += f" It knows drawings of, for example, {_examples(explainer.labels)}."
    st.caption(about)


def _examples(labels: Sequence[str], count: int = 4) -> str:
    """List a few names, spread over all labels."""
    return ", ".join(label.lower() for label in labels[:: max(1, len(labels) // count)][:count])
