"""Showing a model what to look for: a marked area becomes its only class (YOLOE's visual prompts)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from components.views import panels

if TYPE_CHECKING:
    from components.choices.sidebar import Choices
    from explain import Explainer, Explanation
    from models.geometry import Box

NAME = "like the marked area"


def given(choices: Choices, explainer: Explainer) -> Choices:
    """The choices with the area that was marked in this picture, if it is still what the model shall look for."""
    held = st.session_state.get("examples")
    if held is None or held["of"] != (choices.image.sha256, explainer.model.id):
        return choices
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("It looks for what you marked.", width="content")
        st.button(
            "Stop that",
            icon=":material/undo:",
            type="tertiary",
            on_click=lambda: st.session_state.update(examples=None, missing=None, box=None),
            help="Back to the words, or to the model's own classes.",
        )
    return replace(choices, options=choices.options | {"examples": ((held["box"], NAME),)})


def lacking(choices: Choices, explainer: Explainer) -> bool:
    """Whether the model has to be told first what to look for."""
    told = choices.options.get("vocabulary") or choices.options.get("examples")
    return explainer.resident.adapter.takes_words and not explainer.labels and not told


def ask(choices: Choices, explainer: Explainer) -> None:
    """The picture, to mark in it what to look for."""
    image = choices.image
    view = panels.show(image, [panels.plain(image)], key="viewer-examples", area=True)
    marks = explainer.resident.adapter.takes_examples
    st.markdown(
        ":material/ink_selection: Mark in the picture what to look for, with the rectangle, or say it on the left."
        if marks
        else ":material/text_fields: Say on the left what to look for."
    )
    if view.region is not None and marks:
        _button((image.sha256, explainer.model.id), view.region.xyxy)


def offer(explanation: Explanation, where: Box) -> None:
    """A button, for a marked area and a model that takes examples."""
    x0, y0, x1, y1 = where
    if explanation.evidence.resident.adapter.takes_examples and x1 - x0 >= 1 and y1 - y0 >= 1:
        _button((explanation.image.sha256, explanation.model.id), where)


def _button(of: tuple[str, str], where: Box) -> None:
    wanted = {"of": of, "box": where}
    st.button(
        "Look for more like this",
        icon=":material/image_search:",
        on_click=lambda: st.session_state.update(examples=wanted, missing=None, box=None),
        help="The model looks for what is in the marked area, wherever it is in this picture.",
    )
