"""Show a number's pictures side by side, with maps and difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.session import reopen, state
from sightglass.components.session.markdown import escape, sentence, shorten
from sightglass.evaluation.scorecard.draw import describe_labels, draw_pair
from sightglass.explain.phrases import plural
from sightglass.pages.scorecard.charts import name_sets
from sightglass.pages.scorecard.chosen import PAGE, ChosenNumber, ScorecardPage

if TYPE_CHECKING:
    from sightglass.evaluation.scorecard.pairs import ModelPair
    from sightglass.explain.picture.item import Item
    from sightglass.pages.scorecard.job import ScoreJob

WIDE = 184
"""Pixels of one picture."""


def draw(job: ScoreJob, pair: ModelPair) -> None:
    """Draw the pictures of the number that was clicked, or what the first model of the pair loses."""
    page = state.of(ScorecardPage)
    chosen = page.number or ChosenNumber(name_sets(pair)["only_second"], tuple(pair.sets["only_second"].tolist()))
    by_picture: dict[int, list[int]] = {}
    for unit in chosen.units:
        by_picture.setdefault(pair.units[unit].picture, []).append(unit)
    what = "object" if pair.second.detects else "picture"
    st.markdown(
        f"### {escape(chosen.title)}: {plural(len(chosen.units), what)}",
        help="Each picture as both models see it. White: the label. Click another number above for its pictures.",
    )
    if page.problem:
        st.error(sentence(page.problem), icon=":material/error:")
        page.problem = ""
    if not by_picture:
        st.caption("There are none.")
        return
    columns = st.columns(2, gap="small")
    for number, (picture, units) in enumerate(list(by_picture.items())[: page.shown]):
        with columns[number % 2]:
            _row(job, pair, picture, units)
    left = len(by_picture) - page.shown
    if left > 0:
        st.button(
            f"Show {min(PAGE, left)} more of {left:,}",
            icon=":material/expand_more:",
            on_click=_show_more,
            help="Draw more of these pictures below.",
        )


def _show_more() -> None:
    state.of(ScorecardPage).shown += PAGE


def _row(job: ScoreJob, pair: ModelPair, picture: int, units: list[int]) -> None:
    key = pair.second.evaluation.pictures[picture].key
    labels = describe_labels([pair.units[i] for i in units])
    item = job.status.items.get(key)
    with st.container(border=True):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.markdown(f"**{escape(labels)}** :small[in {escape(shorten(key, 40))}]", width="content")
            if item is not None:
                st.button(
                    "Side by side",
                    icon=":material/compare:",
                    type="tertiary",
                    key=f"scorecard-open-{picture}",
                    on_click=_open,
                    args=(item, pair),
                    help="Open this picture with both models on Side by side, where any answer can be explained.",
                )
        if item is None:
            st.caption("The picture is not here any more: only the numbers are.")
            return
        try:
            views = state.latest(
                f"scorecard-{picture}", (id(pair), tuple(units)), lambda: draw_pair(item.open(), pair, units)
            )
        except Problem as problem:
            st.caption(f":material/image_not_supported: {sentence(problem)}")
            return
        with st.container(horizontal=True, gap="small"):
            for view in views:
                with st.container(width=WIDE, gap="xxsmall"):
                    if view.pixels is not None:
                        st.image(view.pixels, width="stretch", alt=f"{labels}, {view.title}: {view.words}")
                    st.markdown(f":small[**{escape(view.title)}**  \n{escape(view.words)}]")


def _open(item: Item, pair: ModelPair) -> None:
    """Open a picture with both models, in a button's callback."""
    try:
        reopen.side_by_side(item.open(), [pair.first.evaluation.model, pair.second.evaluation.model])
    except Problem as problem:
        state.of(ScorecardPage).problem = str(problem)
