"""Second picture of a model that takes two: upload beside the first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import ImageProblem
from sightglass.components.choices import image_picker
from sightglass.components.session import state
from sightglass.components.session.markdown import escape, sentence
from sightglass.components.session.pictures import image_source
from sightglass.components.streamlit_internals import upload_megabytes
from sightglass.components.views import panels
from sightglass.explain.picture.image import Image, join_pictures
from sightglass.models.preprocess import is_joined

if TYPE_CHECKING:
    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer

KEY = "second-picture"
HEIGHT = 456
"""Of the first picture, as on Explore."""


@dataclass
class RefusedPicture:
    """What was wrong with the last second picture."""

    words: str = ""


def is_lacking(choices: Choices, explainer: Explainer) -> bool:
    """Return whether the model takes two pictures and only one is chosen."""
    return bool(explainer.resident.adapter.inputs) and not is_joined(choices.image.pixels)


def ask_for(explainer: Explainer) -> str:
    """Return the headline that asks for the second picture, in Markdown."""
    first, second = map(escape, explainer.resident.adapter.inputs)
    return f"This is *{first}*: which picture is *{second}*?"


def offer(choices: Choices, explainer: Explainer) -> None:
    """Draw the picture and, beside it, what takes the second one; both together are then the chosen picture."""
    first, second = explainer.resident.adapter.inputs
    left, right = st.columns(2, gap="medium")
    with left:
        pane = replace(panels.plain(choices.image), title=_begin(first))
        panels.show(choices.image, [pane], key="viewer-first", height=HEIGHT)
    with right:
        st.file_uploader(
            escape(_begin(second)),
            key=KEY,
            max_upload_size=upload_megabytes(),
            on_change=_take,
            args=(choices.image,),
            help=f"It stands beside {escape(first)}. Each gets a map, and both maps share one scale.",
        )
        image_picker.say_refused()
        if words := state.of(RefusedPicture).words:
            st.error(sentence(words), icon=":material/error:")
        st.button(
            "Use the same picture twice",
            icon=":material/content_copy:",
            on_click=_join,
            args=(choices.image, choices.image),
            help="See what the model says where nothing differs.",
        )


def _begin(name: str) -> str:
    return name[:1].upper() + name[1:]


def _take(first: Image) -> None:
    file = st.session_state.get(KEY)
    state.forget(RefusedPicture)
    if file is None:
        return
    try:
        second = Image.open(file.getvalue(), name=file.name)
    except ImageProblem as problem:
        state.of(RefusedPicture).words = str(problem)
    else:
        _join(first, second)


def _join(first: Image, second: Image) -> None:
    """Choose two pictures as one, in a widget's callback."""
    try:
        image_source.turn_to(join_pictures(first, second))
    except ImageProblem as problem:
        state.of(RefusedPicture).words = str(problem)
