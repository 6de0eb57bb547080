"""Explore: what a model sees in a picture, and where it looked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import streamlit as st

from common.errors import Cancelled
from components import canvas
from components.choices import class_picker, sidebar
from components.headline import HOT
from components.session import explain_job, history_store, page, reopen
from components.viewer import Panel
from components.views import attention_heads, charts, panels, visual_prompts
from explain.findings.diagnosis import headline
from explain.methods import METHODS

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from components.choices.sidebar import Choices
    from components.viewer import View
    from explain import Explainer, Explanation

AHEAD = 0.08
"""Seconds for which a new picture's map has the browser to itself."""


@page.screen
def explore() -> None:
    # No st.empty: what stood there would go at once, and everything below jump up, also from under a hand that draws.
    title, main = st.container(), st.container()
    if (foreseen := sidebar.foreseen()) is not None and not visual_prompts.lacking(*foreseen):
        main, paper = _papered(foreseen[1], main)
        try:
            _map_first(*foreseen, title, main)
        finally:
            _draw_on(paper, foreseen[1])
        return
    choices, explainer = sidebar.draw()
    main, paper = _papered(explainer, main)
    try:
        _explained(choices, explainer, title, main)
    finally:
        # Also where there is no map: what is drawn next may have one.
        _draw_on(paper, explainer)


def _papered(explainer: Explainer, main: DeltaGenerator) -> tuple[DeltaGenerator, DeltaGenerator | None]:
    """Where everything else stands, and where the paper does, if there is one."""
    if canvas.needs_repaint(explainer):
        st.rerun()
    if not canvas.is_offered(explainer):
        return main, None
    paper, rest = main.columns([2, 5], gap="medium")
    return rest, paper


def _draw_on(paper: DeltaGenerator | None, explainer: Explainer) -> None:
    if paper is not None:
        with paper:
            canvas.pad(explainer)


def _explained(choices: Choices, explainer: Explainer, title: DeltaGenerator, main: DeltaGenerator) -> None:
    if visual_prompts.lacking(choices, explainer):
        title.markdown("## What shall it look for?")
        with main:
            visual_prompts.ask(choices, explainer)
        return
    wanted = class_picker.wanted(choices.image)
    slow = explain_job.is_slow(choices.method)
    name = METHODS[choices.method].name
    with main:
        try:
            explanation = (
                class_picker.one(choices, explainer, wanted) if slow else explain_job.explained(choices, explainer)
            )
            heading = f"{name} is at work."
        except Cancelled:
            explanation, heading = None, f"{name} was stopped."
            explain_job.again()
        if explanation is None:
            title.markdown(f"## {heading}")
            panels.show(choices.image, [panels.plain(choices.image)], key="viewer")
            return
        explanation, index = (explanation, 0) if slow else explain_job.class_of(explanation, wanted)
        left, right = st.columns([3, 1], gap="medium")
        with right:
            index = _answers(explanation, index)
        with title:
            panels.say(headline(explanation, HOT, index), key="headline")
        # The picture before the numbers: they take longer to make and are read second.
        with left:
            view = _picture(explanation, index)
        _rest(explanation, index, view, left, right)


def _map_first(choices: Choices, explainer: Explainer, title: DeltaGenerator, main: DeltaGenerator) -> None:
    """A picture came in and nothing else changed: its map is what is waited for, so all that goes with it comes after.

    Drawing a sidebar and a list anew holds a browser up for longer than drawing a map.
    """
    with main:
        left, right = st.columns([3, 1], gap="medium")
    try:
        with left:
            place = st.container(gap=None)
            with explain_job.at_work(explainer):
                explanation = explain_job.explained(choices, explainer, quiet=True)
                assert explanation is not None
                explanation, index = explain_job.class_of(explanation, class_picker.wanted(choices.image))
                view = _picture(explanation, index, place)
        time.sleep(AHEAD)
    finally:
        drawn, _ = sidebar.draw()
    if drawn != choices:
        st.rerun()
    with right:
        index = _answers(explanation, index)
    with title:
        panels.say(headline(explanation, HOT, index), key="headline")
    _rest(explanation, index, view, left, right)


def _answers(explanation: Explanation, index: int) -> int:
    st.markdown("##### What it says")
    if not explanation.heatmaps:
        st.caption("No box is sure enough to be shown.")
        return 0
    return class_picker.answers(explanation, index)


def _picture(explanation: Explanation, index: int, place: DeltaGenerator | None = None) -> View:
    image = explanation.image
    maps = tuple(panels.heat(explanation, i) for i in range(len(explanation.heatmaps)))
    # A wide picture fills the room alone; the plain one is a key away (hold space).
    shown = [Panel(maps=maps)] if maps else [panels.plain(image)]
    marks = panels.boxes(explanation, index)
    return panels.show(image, shown, key="viewer", marks=marks, beside=True, area=True, place=place)


def _rest(explanation: Explanation, index: int, view: View, left: DeltaGenerator, right: DeltaGenerator) -> None:
    if explanation.heatmaps:
        with right:
            st.markdown("##### What the map says")
            charts.numbers(explanation, index)
    with left:
        _below(explanation, index, view)


def _below(explanation: Explanation, index: int, view: View) -> None:
    panels.tell(view, [(explanation, i) for i in range(len(explanation.heatmaps))], key="viewer-words")
    if view.region is not None and explanation.heatmaps:
        charts.marked(explanation, view.region, index)
    charts.findings(explanation, index)
    reopen.told(explanation)
    if not explanation.heatmaps:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if explanation.finished:
            charts.downloads(explanation, index)
            history_store.keep([(explanation, index)], screen="explore")
        # Made when it is opened: tables and a chart, and with them pandas and plotly, for what few people ask.
        every = st.popover(
            "All numbers",
            icon=":material/table_rows:",
            key="all-numbers",
            on_change="rerun",
            help="Every statistic of this map, in words.",
        )
        if every.open:
            with every:
                charts.all_numbers(explanation, index)
        if explanation.heatmaps[index].method == "attention":
            attention_heads.strip(explanation)
        st.caption(charts.timings(explanation), width="content")


explore()
