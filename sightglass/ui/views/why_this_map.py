"""*Why this map?*: the maps that were tested for a map, and what each of them cost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.explain.methods import choice
from sightglass.report.candidate_maps import draw_candidate
from sightglass.ui.session import page
from sightglass.ui.session.markdown import escape

if TYPE_CHECKING:
    from sightglass.explain import Explanation
    from sightglass.explain.methods.method import Candidate

TITLE = "Why this map?"
COLUMNS = 3
SIDE = 220
"""CSS pixels of a map's longer side, so that six are in sight at once."""
SCALE = "Yellow is each map's own maximum. Lines: half and 80 % of it. Frame: what the model saw."


def draw_button(explanation: Explanation, index: int) -> None:
    """Draw the button for the window, of a map that several others were tested for."""
    if not explanation.heatmaps[index].candidates:
        return
    help = "The maps that were tested for this one, and what hiding and keeping what each shows did to the answer."
    draw = partial(_draw, explanation, index)
    page.button_for_window(TITLE, draw, icon=":material/quiz:", help=help, key="why-this-map", width="large")


def _draw(explanation: Explanation, index: int) -> None:
    ranked = choice.rank(explanation.heatmaps[index].candidates)
    st.markdown(escape(choice.describe_choice(ranked)))
    with st.container(key="why-maps"):
        for first in range(0, len(ranked), COLUMNS):
            columns = st.columns(COLUMNS)
            for column, candidate in zip(columns, ranked[first : first + COLUMNS], strict=False):
                with column:
                    _draw_candidate(explanation, index, candidate)
    st.caption(escape(f"{SCALE} {choice.describe_columns(explanation.task)}"))


def _draw_candidate(explanation: Explanation, index: int, candidate: Candidate) -> None:
    label, words = explanation.heatmaps[index].target.label, choice.describe_cost(candidate)
    st.markdown(f"**{escape(candidate.name)}**")
    picture = draw_candidate(explanation, index, candidate)
    height, width = picture.shape[:2]
    shown = max(1, SIDE * width // max(height, width))
    st.image(picture, width=shown, alt=f"The map of {label} by {candidate.name}. {words}")
    st.caption(escape(words))
