"""The map of a class, a region or a number, beside the model's answers."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.components import checks, saving
from sightglass.components.choices import sidebar
from sightglass.components.saving import slides
from sightglass.components.session import reopen, url_state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape
from sightglass.components.viewer import Pane
from sightglass.components.views import areas, charts, exports, panels
from sightglass.components.widgets import HOT
from sightglass.explain.methods import METHODS
from sightglass.explain.trust.diagnosis import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.components.session.state import Choices
    from sightglass.components.viewer import View
    from sightglass.explain import Explainer, Explanation

AHEAD = 0.08
"""Seconds that the browser has for a new picture's map before anything else is sent."""

HEIGHT = 456
"""Of the picture in a window of 900 pixels: what can be done with it is in sight below it."""


def draw(choices: Choices, explainer: Explainer, main: DeltaGenerator) -> None:
    """Draw the view."""
    title = headline_row(main)
    label = areas.get_class(choices, explainer)
    slow = explain_job.is_slow(choices.method)
    with main:
        left, answers, beside = _places()
        try:
            # What a slow method has done so far is below the answers, which stay in their place as the map does.
            with beside if slow else nullcontext():
                explanation = areas.one(choices, explainer, label) if slow else areas.explain(choices, explainer)
        except Cancelled:
            explanation, slow = explain_job.before(choices), False
            with beside:
                _draw_stopped(choices, explainer, explanation)
            if explanation is None:
                with title:
                    panels.say(f"{METHODS[choices.method].name_for(choices.model.task)} was stopped.", key="headline")
                with left:
                    panels.show(choices.image, [panels.plain(choices.image)], key="viewer", height=HEIGHT)
                return
        if explanation is None:
            with title:
                panels.say(f"{METHODS[choices.method].name_for(choices.model.task)} is running.", key="headline")
            with left:
                _meanwhile(choices, label, answers)
            return
        explanation, index = (explanation, 0) if slow else explain_job.class_of(explanation, label)
        with answers:
            index = _answers_or_checks(explanation, index)
        with title:
            _say(choices, explanation, index)
        # The picture before the numbers: they take longer to compute and are read second.
        with left:
            view = _picture(explanation, index)
        _rest(explanation, index, view, left, beside)


def _places() -> tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator]:
    """Return the places of the picture, the answers and the rest.

    The same for quick and slow methods: answers that are drawn again in their place do not move.
    """
    left, right = st.columns([3, 1], gap="medium")
    return left, right.container(), right.container()


def _draw_stopped(choices: Choices, explainer: Explainer, before: Explanation | None) -> None:
    """Name the map shown after a stop, and offer to restart."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if before is not None and before.heatmaps:
            other = METHODS[before.heatmaps[0].method]
            name = other.name_for(choices.model.task)
            chosen = METHODS[choices.method].name_for(choices.model.task)
            st.caption(escape(f"{chosen} was stopped: this map is by {name}."), width="content")
            st.button(
                f"Back to {escape(name)}",
                icon=":material/undo:",
                key="back-to-method",
                on_click=url_state.put,
                args=(sidebar.method_key(explainer), other.id),
            )
        explain_job.restart_button()


def _meanwhile(choices: Choices, label: str | None, answers: DeltaGenerator) -> None:
    """Show the former map, dimmed, while a slow method runs."""
    before = explain_job.before(choices)
    if before is None or not before.heatmaps:
        panels.show(choices.image, [panels.plain(choices.image)], key="viewer", height=HEIGHT)
        return
    before, index = explain_job.class_of(before, label)
    line = f"Until then: the map by {METHODS[before.heatmaps[index].method].name_for(choices.model.task)}."
    # As it was, with the picture beside it and all its tools.
    panes = [Pane(maps=(panels.heat(before, index),))]
    panels.show(before.image, panes, key="viewer", line=line, dimmed=True, beside=True, height=HEIGHT)
    # What the model says does not depend on the method.
    with answers:
        _answers(before, index)


def draw_first(
    draw_controls: Callable[[], tuple[Choices, Explainer, object]],
    choices: Choices,
    explainer: Explainer,
    main: DeltaGenerator,
) -> None:
    """Draw a new picture's map before everything else.

    Redrawing the controls and the list takes a browser longer than drawing a map.
    """
    title = headline_row(main)
    with main:
        left, answers, beside = _places()
    try:
        with left:
            place = st.container(gap=None)
            with explain_job.spinner(explainer):
                explanation = areas.explain(choices, explainer, quiet=True)
                assert explanation is not None
                explanation, index = explain_job.class_of(explanation, areas.get_class(choices, explainer))
                view = _picture(explanation, index, place)
        time.sleep(AHEAD)
    finally:
        drawn, *_ = draw_controls()
    if drawn != choices:
        st.rerun()
    with answers:
        index = _answers_or_checks(explanation, index)
    with title:
        _say(choices, explanation, index)
    _rest(explanation, index, view, left, beside)


def _say(choices: Choices, explanation: Explanation, index: int) -> None:
    """Draw the sentence over the map, and the chip of its checks."""
    panels.say(sidebar.add_warning(choices, describe(explanation, HOT, index).short), key="headline")
    checks.chip(checks.of_map(explanation, index))


def headline_row(place: DeltaGenerator) -> DeltaGenerator:
    """Return the place of a headline, and of the chip of the checks at its right."""
    return place.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")


def _answers_or_checks(explanation: Explanation, index: int) -> int:
    """Draw the answers, or the open checks of the chosen one; return its map's index."""
    if explanation.heatmaps and checks.is_open():
        checks.cards(checks.of_map(explanation, index))
        return index
    return _answers(explanation, index)


def _answers(explanation: Explanation, index: int) -> int:
    st.markdown("### Predictions")
    if not explanation.heatmaps:
        st.caption("No box has a high enough score.")
        return 0
    return areas.answers(explanation, index)


def _picture(explanation: Explanation, index: int, place: DeltaGenerator | None = None) -> View:
    image = explanation.image
    maps = tuple(panels.heat(explanation, i) for i in range(len(explanation.heatmaps)))
    # A wide picture fills the page by itself; the space key shows it without the map.
    panes = [Pane(maps=maps)] if maps else [panels.plain(image)]
    # Save has the files of the view, once there is a map that is finished.
    look: dict[str, Any] = {"key": "viewer", "area": True, "files": not (maps and explanation.finished)}
    if explanation.task.gives_pixels:
        # What each pixel has and the map side by side: either can be clicked.
        left, right = st.columns(2)
        with left:
            areas.show_pixels(explanation)
        with right:
            view = panels.show(image, panes, height=areas.HEIGHT, **look)
            areas.take_click(view, explanation)
        return view
    marks = panels.boxes(explanation, index)
    return panels.show(image, panes, marks=marks, beside=True, place=place, height=HEIGHT, **look)


def _rest(explanation: Explanation, index: int, view: View, left: DeltaGenerator, beside: DeltaGenerator) -> None:
    if explanation.heatmaps and not checks.is_open():
        with beside:
            with st.container(horizontal=True):
                charts.numbers(explanation, index)
            charts.numbers_button(explanation, index)
    with left:
        _below(explanation, index, view)


def _below(explanation: Explanation, index: int, view: View) -> None:
    panels.describe(view, [(explanation, i) for i in range(len(explanation.heatmaps))], key="viewer-words", beside=True)
    if explanation.heatmaps:
        _actions(explanation, index)
    if explanation.task.gives_pixels:
        areas.controls(explanation, index, view)
    if view.region is not None and explanation.heatmaps:
        charts.mark(explanation, view.region, index)
    charts.findings(explanation, index, said=("cropped", "coarse"))
    reopen.warn_of_other_weights(explanation)


def _actions(explanation: Explanation, index: int) -> None:
    """Draw the map's actions beside the picture."""
    with st.container(horizontal=True, vertical_alignment="center", key="acts"):
        if explanation.finished:
            files, slide = partial(exports.of_map, explanation, index), slides.of_map(explanation, index)
            saving.save_and_export("explore", files, saved=[(explanation, index)], slide=slide)
    if explanation.heatmaps[index].method == "attention":
        panels.attention_heads(explanation)
