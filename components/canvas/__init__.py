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


def arrived() -> tuple[Image, str | None] | None:
    """The drawing that came in since the last run, and the sha256 of the one whose place it takes; None where none did.

    Before the page is drawn, when the choice of picture may still be set.
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


def repainted(explainer: Explainer) -> bool:
    """Whether the chosen picture is a drawing and this model wants it in other colours: the next run has it so."""
    state, before = st.session_state, st.session_state.get("drawing-paper", PLAIN)
    state["drawing-paper"] = paper = _wanted(explainer) or PLAIN
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


def _wanted(explainer: Explainer) -> Paper | None:
    return explainer.resident.adapter.paper


def asked(explainer: Explainer) -> bool:
    """Whether there is to be a paper: for a model of drawings, and for whoever wants to draw."""
    return _wanted(explainer) is not None or bool(st.session_state.get("memory", {}).get("draw"))


def pad(explainer: Explainer) -> None:
    """The paper, with what is on it in the colours that the model was trained with. Last in a run: it says that the
    drawing has been shown."""
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
    why = "as this model was trained" if _wanted(explainer) else "this model does not say which it knows"
    about = f"{ink.capitalize()} pen on {ground} paper: {why}."
    if _wanted(explainer) and (state.get("drawn") is None or state.get("picture") != state.get("drawn")):
        about += f" It knows drawings, for instance of {_some(explainer.labels)}."
    st.caption(about)


def _some(labels: Sequence[str], most: int = 4) -> str:
    """A few names from all over the list."""
    return ", ".join(label.lower() for label in labels[:: max(1, len(labels) // most)][:most])
