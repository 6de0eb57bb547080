"""The map of an answer beside the model's answers, whatever the model gives: classes, boxes, regions, numbers."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
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
from sightglass.components.views import charts, exports, panels
from sightglass.explain.comparison.detections import describe_boxes, strip
from sightglass.explain.evidence.layers import stages
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, percent, plural
from sightglass.explain.tasks import task_of
from sightglass.pages.explore import classes
from sightglass.pages.explore.boxes import Boxes
from sightglass.pages.explore.classes import Classes

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.components.session.state import Choices
    from sightglass.components.viewer import View
    from sightglass.explain import Explainer, Explanation
    from sightglass.pages.explore.boxes import ListedBox


AHEAD = 0.08
"""Seconds that the browser has for a new picture's map before anything else is sent."""
HEIGHT = 456
"""Of the picture in a window of 900 pixels: what can be done with it is in sight below it."""


@dataclass(frozen=True)
class Places:
    """Where the parts of the view are drawn, the same for quick and slow methods: nothing moves."""

    title: DeltaGenerator
    """The headline, and the chip of the checks at its right."""
    left: DeltaGenerator
    answers: DeltaGenerator
    beside: DeltaGenerator
    """Below the answers."""

    @staticmethod
    def draw(main: DeltaGenerator) -> Places:
        title = main.container(
            key="headline", horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
        )
        with main:
            left, right = st.columns([3, 1], gap="medium")
        return Places(title, left, right.container(), right.container())


def draw(choices: Choices, explainer: Explainer, main: DeltaGenerator) -> None:
    """Draw the view."""
    places = Places.draw(main)
    with places.answers:
        answers: Boxes | Classes = (Boxes if task_of(explainer.model).has_boxes else Classes)(choices, explainer)
    stopped = False
    try:
        # What a slow method has done so far is below the answers, which stay in their place as the map does.
        with places.beside:
            explanation = answers.explain()
    except Cancelled:
        explanation, stopped = None, True
    if explanation is None:
        _draw_waiting(answers, places, stopped=stopped)
        return
    index = _draw_answers(answers, explanation, places)
    with places.title:
        _say(answers, explanation, index)
    # The picture before the numbers: they take longer to compute and are read second.
    with places.left:
        view = _draw_picture(answers, explanation, index)
    _draw_rest(answers, explanation, index, view, places)


def _draw_waiting(answers: Boxes | Classes, places: Places, *, stopped: bool) -> None:
    """Draw the map by the method before, dimmed while a slow one runs; without one, the answers alone."""
    choices = answers.choices
    name = METHODS[choices.method].name_for(choices.model.task)
    before = explain_job.before(choices)
    before = answers.complete(before) if before is not None else None
    if before is None or answers.find_map(before) is None:
        before = answers.base
    other = METHODS[before.heatmaps[0].method] if before is not None and before.heatmaps else None
    if stopped:
        with places.beside, st.container(horizontal=True, vertical_alignment="center"):
            if other is not None:
                named = other.name_for(choices.model.task)
                st.caption(escape(f"{name} was stopped: this map is by {named}."), width="content")
                st.button(
                    f"Back to {escape(named)}",
                    icon=":material/undo:",
                    key="back-to-method",
                    on_click=url_state.put,
                    args=(sidebar.method_key(answers.explainer), other.id),
                    help="Choose the method of the map that you see.",
                )
            explain_job.restart_button()
    index = 0
    with places.answers:
        if before is not None:
            index = answers.draw_list(before)
    with places.title:
        if before is not None and stopped and other is not None:
            _say(answers, before, index)
        else:
            _write_headline(f"{name} {'was stopped' if stopped else 'is running'}.")
    with places.left:
        if before is None:
            panels.show(choices.image, [panels.plain(choices.image)], key=answers.viewer, height=HEIGHT)
            return
        line = "" if stopped or other is None else f"Until then: the map by {other.name_for(choices.model.task)}."
        view = _draw_picture(answers, before, index, line=line, dimmed=bool(line))
    if stopped and other is not None:
        _draw_rest(answers, before, index, view, places)
    elif answers.asks:
        with places.left:
            answers.draw_below(before, index, view)


def draw_first(
    draw_controls: Callable[[], tuple[Choices, Explainer, object]],
    choices: Choices,
    explainer: Explainer,
    main: DeltaGenerator,
) -> None:
    """Draw a new picture's map before everything else.

    Redrawing the controls and the list takes a browser longer than drawing a map.
    """
    places = Places.draw(main)
    answers = Classes(choices, explainer)
    try:
        with places.left:
            place = st.container(gap=None)
            with explain_job.spinner(explainer):
                explanation = answers.explain(quiet=True)
                assert explanation is not None
                index = answers.find_map(explanation) or 0
                view = _draw_picture(answers, explanation, index, place)
        time.sleep(AHEAD)
    finally:
        drawn, *_ = draw_controls()
    if drawn != choices:
        st.rerun()
    index = _draw_answers(answers, explanation, places)
    with places.title:
        _say(answers, explanation, index)
    _draw_rest(answers, explanation, index, view, places)


def _draw_answers(answers: Boxes | Classes, explanation: Explanation, places: Places) -> int:
    """Draw the answers, or the open checks of the chosen one; return its map's index."""
    with places.answers:
        if explanation.heatmaps and checks.is_open():
            index = answers.find_map(explanation) or 0
            checks.cards(explanation, index)
            return index
        return answers.draw_list(explanation)


def _write_headline(text: str) -> None:
    st.markdown(f"## {escape(text)}", width="stretch")


def _say(answers: Boxes | Classes, explanation: Explanation, index: int) -> None:
    """Draw the sentence over the map, and the chip of its checks."""
    _write_headline(sidebar.add_warning(answers.choices, answers.headline(explanation, index)))
    checks.chip(explanation, index)


def _draw_picture(
    answers: Boxes | Classes,
    explanation: Explanation,
    index: int,
    place: DeltaGenerator | None = None,
    *,
    line: str = "",
    dimmed: bool = False,
) -> View:
    image, maps = explanation.image, answers.maps(explanation)
    # A wide picture fills the page by itself; the space key shows it without the map.
    panes = [Pane(maps=maps)] if maps else [panels.plain(image)]
    look: dict[str, Any] = {"key": answers.viewer, "area": True, "line": line, "dimmed": dimmed}
    if explanation.task.gives_pixels and not dimmed:
        # What each pixel has and the map side by side: either can be clicked.
        left, right = st.columns(2)
        with left:
            classes.show_pixels(explanation)
        with right:
            view = panels.show(image, panes, height=classes.HEIGHT, **look)
            classes.take_click(view, explanation)
        return view
    marks = answers.marks(explanation, index)
    return panels.show(image, panes, marks=marks, beside=True, place=place, height=HEIGHT, **look)


def _draw_rest(answers: Boxes | Classes, explanation: Explanation, index: int, view: View, places: Places) -> None:
    """Draw the numbers beside the picture, and below it what can be done with the map and what it says."""
    has_map = index < len(explanation.heatmaps)
    if has_map and not checks.is_open():
        with places.beside:
            answers.draw_numbers(explanation, index)
    with places.left:
        maps = [(explanation, i) for i in range(len(explanation.heatmaps))]
        panels.describe(view, maps, key=f"{answers.viewer}-words", beside=True)
        with st.container(horizontal=True, vertical_alignment="center", key="acts"):
            if has_map and explanation.finished:
                of = exports.of_boxes if isinstance(answers, Boxes) else exports.of_map
                files = partial(of, explanation, index)
                saving.save_and_export(
                    "explore", files, saved=[(explanation, index)], slide=slides.of_map(explanation, index)
                )
        answers.draw_below(explanation, index, view)
        if has_map:
            if view.region is not None:
                charts.mark(explanation, view.region, index)
            charts.findings(explanation, index, said=("cropped", "coarse"))
        reopen.warn_of_other_weights(explanation)


# A box's map at every layer


def draw_layers(choices: Choices, explainer: Explainer, main: DeltaGenerator) -> None:
    """Draw the chosen box's map at every stage; the headline names the clearest one."""
    places = Places.draw(main)
    with places.answers:
        boxes = Boxes(choices, explainer)
        boxes.draw_list(boxes.base)
    image = choices.image
    if not boxes.listed:
        with places.title:
            _write_headline(sidebar.add_warning(choices, describe_boxes(boxes.base)))
        with places.left:
            panels.show(image, [panels.plain(image)], key="viewer-layers")
        return
    with places.left:
        heading = _draw_stages(boxes, boxes.listed[boxes.chosen])
    with places.title:
        _write_headline(sidebar.add_warning(choices, heading))


def _draw_stages(boxes: Boxes, item: ListedBox) -> str:
    """Draw the maps; return the headline."""
    choices, explainer = boxes.choices, boxes.explainer
    drawn = {stage.path: stage for stage in stages(explainer.resident)}
    method = choices.method
    if explain_job.is_slow(method):
        method = "gradcam" if explain_job.is_slow(explainer.model.method) else explainer.model.method
        name = METHODS[choices.method].name
        st.caption(f"{name} would run the model again for each map: this is {METHODS[method].name} instead.")
    chosen = replace(choices, method=method, options=choices.options | {"layers": tuple(drawn)})
    explanation = explain_job.explain(chosen, explainer, targets=(item.pair,))
    assert explanation is not None
    own = panels.own_boxes(explanation, 0)
    maps = strip(explanation)
    # What a map shows that is known not to depend on the model; empty for others.
    known = {entry.path: entry.explanation.known_checks(0) for entry in maps}
    shows = {path: "" if found is None else found.shows for path, found in known.items()}
    titles = {
        entry.path: f"{drawn[entry.path].part} {end}"
        for entry, end in zip(maps, tails([entry.path for entry in maps]), strict=True)
    }
    panes = []
    for entry in maps:
        stage, title = drawn[entry.path], capital(titles[entry.path])
        cells = f", cells of {stage.stride:g} px" if stage.stride else ""
        words = entry.heatmap.state if entry.inside is None else f"{percent(entry.inside)} of the evidence in its box."
        if shows[entry.path]:
            words = f"the map shows {shows[entry.path]}, not what the model learnt."
        note = "–" if entry.inside is None else percent(entry.inside)
        text = f"**{entry.path}**, {stage.kind}{cells}. {capital(item.name)}: {words}"
        layer = panels.layer(explanation, entry.heatmap, title=title, note=note, text=text)
        panes.append(Pane(maps=(layer,), boxes=own))
    image = explanation.image
    columns = min(len(panes), 3) if image.width > 1.2 * image.height else 4
    panels.show(image, panes, key="viewer-layers", height=320, columns=columns)
    measured = [entry for entry in maps if entry.inside is not None]
    if not measured:
        return describe_boxes(boxes.base)
    # A map that shows the box whatever the weights would win.
    learnt = [entry for entry in measured if not shows[entry.path]]
    best = max(learnt or measured, key=lambda entry: entry.inside or 0.0)
    least = min(measured, key=lambda entry: entry.inside or 0.0)
    st.caption(
        f"Maps of {escape(item.name)} from the first layer to the last, with the share of the evidence in its box. "
        f"It is lowest at {titles[least.path]}: {percent(least.inside or 0.0)}. Zooming one map zooms all."
    )
    if not learnt:
        return f"{capital(item.name)}: no map here shows what the model learnt."
    words = f"{capital(item.name)} is clearest at {titles[best.path]}: {percent(best.inside or 0.0)} inside its box."
    if other := len(measured) - len(learnt):
        words += f" {plural(other, 'map')} would be nearly the same with random weights."
    return words


def tails(paths: list[str]) -> list[str]:
    """Return the distinguishing ends of layers' paths."""
    parts = [path.split(".") for path in paths]

    def tail(whole: list[str], least: int = 1) -> list[str]:
        ends = (whole[-n:] for n in range(least, len(whole) + 1))
        return next((end for end in ends if [part[-len(end) :] for part in parts].count(end) == 1), whole)

    short = [tail(whole) for whole in parts]
    if not all(end[-1].isdecimal() and len(end) == 1 for end in short):
        short = [tail(whole, 2) if end[0].isdecimal() else end for whole, end in zip(parts, short, strict=True)]
    return [".".join(end) for end in short]
