"""Equal tiles with a picture, a title that opens them, and a line about them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from sightglass.ui.session.markdown import escape

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.delta_generator import DeltaGenerator

BLANK = np.zeros((3, 4, 4), np.uint8)
"""The transparent picture of a tile without one."""


def grid() -> DeltaGenerator:
    """Return a place for tiles."""
    return st.container(horizontal=True, key="saved-tiles")


def draw_tile(
    key: str,
    picture: bytes,
    title: str,
    about: str,
    *,
    alt: str,
    on_open: Callable[[], None],
    help: str,
    beside: Callable[[], None] | None = None,
) -> None:
    """Draw a tile; `beside`: draws what stands before its title; `about`: in Markdown."""
    with st.container(width=240, gap="xsmall", key=f"saved-tile-{key}"):
        st.image(picture or BLANK, width="stretch", alt=alt)
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            if beside is not None:
                beside()
            st.button(escape(title), key=f"saved-open-{key}", type="tertiary", on_click=on_open, help=help)
        st.caption(about)
