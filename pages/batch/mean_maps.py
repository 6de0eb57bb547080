"""Mean maps of groups of pictures, side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.components.session.markdown import escape
from sightglass.explain.phrases import percent, plural
from sightglass.pages.batch.tiles import WIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.batch.analysis import Group


def draw_groups(groups: Sequence[Group], caption: Callable[[Group], str]) -> None:
    """Draw the mean map of each group over its caption."""
    unseen: Any = "dark" if st.context.theme.type == "dark" else "light"
    with st.container(horizontal=True, gap="small"):
        for group in groups:
            with st.container(width=WIDE, gap="xxsmall"):
                st.image(group.draw_mean(unseen), width=WIDE, alt=f"Mean map of {group.name}, {group.count} pictures")
                st.markdown(f":small[{caption(group)}]")


def describe_group(group: Group, *, right: bool = False) -> str:
    """Return the name of a group, how many pictures it has, and their mean score."""
    name = f"{escape(group.name)}, right" if right else f"**{escape(group.name)}**"
    score = percent(float(group.frame["predicted_score"].mean()))
    return f"{name}  \n{plural(group.count, 'picture')}, {score} mean score"
