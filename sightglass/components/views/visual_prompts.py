"""Visual prompts for YOLOE."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.session import state
from sightglass.components.views import panels
from sightglass.components.views.detections import Lookup

if TYPE_CHECKING:
    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer, Explanation
    from sightglass.models.geometry import Box

NAME = "like the marked area"


@dataclass
class Example:
    """The area that the model looks for."""

    of: tuple[str, str] | None = None
    """SHA-256 of its picture, and the id of the model."""
    box: Box | None = None


def add_example(choices: Choices, explainer: Explainer) -> Choices:
    """Return the choices with the area that was marked in this picture for this model, if any."""
    example = state.of(Example)
    if example.box is None or example.of != (choices.image.sha256, explainer.model.id):
        return choices
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("It looks for what you marked.", width="content")
        st.button(
            "Stop that",
            icon=":material/undo:",
            type="tertiary",
            on_click=_look_for,
            args=(None, None),
            help="Back to your words, or to the model's own classes.",
        )
    return replace(choices, options=choices.options | {"examples": ((example.box, NAME),)})


def _look_for(of: tuple[str, str] | None, box: Box | None) -> None:
    example = state.of(Example)
    example.of, example.box = of, box
    state.of(Lookup).place = None
    state.of(state.ChosenBox).pair = None


def lacking(choices: Choices, explainer: Explainer) -> bool:
    """Return whether the model must first be told what to look for."""
    wanted = choices.options.get("vocabulary") or choices.options.get("examples")
    return explainer.resident.adapter.takes_words and not explainer.labels and not wanted


def ask(choices: Choices, explainer: Explainer) -> None:
    """Draw the picture, in which to mark what to look for."""
    image = choices.image
    view = panels.show(image, [panels.plain(image)], key="viewer-examples", area=True)
    marks = explainer.resident.adapter.takes_examples
    st.markdown(
        ":material/ink_selection: Mark what to look for with the rectangle, or enter it on the left."
        if marks
        else ":material/text_fields: Enter on the left what to look for."
    )
    if view.region is not None and marks:
        _button((image.sha256, explainer.model.id), view.region.xyxy)


def offer(explanation: Explanation, where: Box) -> None:
    """Draw the button that looks for a marked area, if the model takes examples."""
    x0, y0, x1, y1 = where
    if explanation.evidence.resident.adapter.takes_examples and x1 - x0 >= 1 and y1 - y0 >= 1:
        _button((explanation.image.sha256, explanation.model.id), where)


def _button(of: tuple[str, str], where: Box) -> None:
    st.button(
        "Look for more like this",
        icon=":material/image_search:",
        on_click=_look_for,
        args=(of, where),
        help="Look for everything in this picture that resembles the marked area.",
    )
