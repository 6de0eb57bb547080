"""Fall back when a model cannot be loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

from sightglass.components.session import reopen, state
from sightglass.components.session.markdown import sentence

if TYPE_CHECKING:
    from sightglass.common.errors import WeightsProblem
    from sightglass.models.spec import ModelSpec


@dataclass
class Unavailable:
    """The model that could not be loaded last."""

    spec: ModelSpec | None = None
    why: str = ""
    instead: ModelSpec | None = None
    """The model that is used in its place."""
    pending: bool = False
    """Whether that is still to be chosen in the sidebar."""
    own: bool = False
    """Whether it is the model of a page that has its own."""


def go_back(spec: ModelSpec, problem: WeightsProblem, instead: ModelSpec | None, *, own: bool) -> NoReturn:
    """Run the page again with a model that is here; raise the problem where there is none."""
    if instead is None or instead.id == spec.id:
        raise problem
    lost = state.of(Unavailable)
    lost.spec, lost.why, lost.instead, lost.pending, lost.own = spec, str(problem), instead, True, own
    st.rerun()


def settle() -> None:
    """Choose the model that is used instead, before the sidebar is drawn."""
    lost = state.of(Unavailable)
    if lost.pending and lost.instead is not None:
        lost.pending = False
        reopen.choose_model(lost.instead, own=lost.own)


def say(model: ModelSpec) -> None:
    """Say which model could not be loaded, and offer to try it again, until another one is chosen."""
    lost = state.of(Unavailable)
    if lost.spec is None or lost.instead is None or model.id != lost.instead.id:
        lost.spec = None
        return
    st.error(sentence(f"{lost.why} {lost.instead.name} is used instead."), icon=":material/error:")
    st.button(
        "Try again",
        icon=":material/replay:",
        on_click=_again,
        help=f"Load {lost.spec.name} again. Until then everything works with {lost.instead.name}.",
    )


def _again() -> None:
    lost = state.of(Unavailable)
    spec, lost.spec = lost.spec, None
    if spec is not None:
        reopen.choose_model(spec, own=lost.own)
