"""The map of an answer beside the model's answers, whatever the model gives: classes, boxes, regions, numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.explain.evidence.layers import stages
from sightglass.explain.maps.boxes import measure
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, percent
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.detect import describe_boxes
from sightglass.explain.trust.diagnosis import agreement_sentence
from sightglass.explain.whatif import touch
from sightglass.pages.explore import classes, whatif
from sightglass.pages.explore.boxes import Boxes, ListedBox, find_place, pair_of
from sightglass.pages.explore.classes import Classes
from sightglass.ui import checks, saving
from sightglass.ui.choices import controls
from sightglass.ui.session import page, reopen
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.viewer import Box, Pane, View
from sightglass.ui.views import charts, panels

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer, Explanation
    from sightglass.ui.session.state import Choices


HEIGHT = 604
"""Height of the picture in a window of 900 pixels: what can be done with it is in sight below it."""


@dataclass(frozen=True)
class Places:
    """Where the parts of the view are drawn, the same for quick and slow methods: nothing moves."""

    title: DeltaGenerator
    """The headline."""
    left: DeltaGenerator
    answers: DeltaGenerator
    beside: DeltaGenerator
    """Below the answers."""

    @classmethod
    def draw(cls, title: DeltaGenerator, main: DeltaGenerator) -> Places:
        with main:
            left, right = st.columns(panels.COLUMNS, gap="medium")
        stage, answers = left.container(key="stage"), right.container(key="answers")
        return cls(title, stage, answers, right.container())


def draw(choices: Choices, explainer: Explainer, title: DeltaGenerator, main: DeltaGenerator) -> None:
    """Draw the view."""
    places = Places.draw(title, main)
    with places.answers:
        draws_boxes = task_of(explainer.model).explains("detection")
        answers: Boxes | Classes = (Boxes if draws_boxes else Classes)(choices, explainer)
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
    _draw_result(answers, explanation, places)


def _draw_waiting(answers: Boxes | Classes, places: Places, *, stopped: bool) -> None:
    """Draw the map by the method before, dimmed while a slow one runs; without one, the answers alone."""
    choices = answers.choices
    name = METHODS[choices.method].name_for(choices.model.task)
    before = explain_job.last_finished(choices)
    before = answers.complete(before) if before is not None else None
    if before is None or answers.find_map(before) is None:
        before = answers.base
    index = 0
    with places.answers:
        if before is not None:
            index = answers.draw_list(before)
    with places.title:
        _write_headline(f"{name} {'was stopped' if stopped else 'is running'}.")
    if stopped:
        with places.beside:
            explain_job.restart_button()
    with places.left:
        if before is None:
            panels.draw_viewer(choices.image, [panels.plain_pane(choices.image)], key=answers.viewer, height=HEIGHT)
            return
        other = METHODS[before.heatmaps[0].method].name_for(choices.model.task) if before.heatmaps else ""
        line = f"{'' if stopped else 'Until then: '}the map by {other}." if other else ""
        view = _draw_picture(answers, before, index, line=capital(line), dimmed=bool(line) and not stopped)
        if answers.asks:
            answers.draw_below(before, index, view)


def _draw_result(answers: Boxes | Classes, explanation: Explanation, places: Places) -> None:
    """Draw the answers, and what goes with the chosen one."""
    with places.answers:
        index = answers.draw_list(explanation)
    with places.title:
        _write_headline(controls.add_warning(answers.choices, answers.headline(explanation, index)))
    # The picture before the numbers: they take longer to compute and are read second.
    with places.left:
        view = _draw_picture(answers, explanation, index)
    if view.edit is not None:
        whatif.open_studio(explanation.image, view.edit)
    _draw_rest(answers, explanation, index, view, places)


def _write_headline(text: str) -> None:
    st.markdown(f"## {escape(text)}", width="stretch")


def _draw_picture(
    answers: Boxes | Classes,
    explanation: Explanation,
    index: int,
    *,
    line: str = "",
    dimmed: bool = False,
) -> View:
    image, maps = explanation.image, answers.maps(explanation)
    if answers.pair is not None:
        panes = [*(Pane(maps=(maps[i],)) for i in answers.pair), panels.difference_pane(explanation, answers.pair)]
        line = agreement_sentence(explanation, answers.pair)
        return panels.draw_viewer(image, panes, key=answers.viewer, line=line, height=HEIGHT, together=True)
    # A wide picture fills the page by itself; the space key shows it without the map.
    panes = [Pane(maps=maps)] if maps else [panels.plain_pane(image)]
    look: dict[str, Any] = {"key": answers.viewer, "area": True, "line": line, "dimmed": dimmed}
    look["touch"] = touch.register(explanation)
    if find_place(explanation) is not None:
        look["lacks"] = ("the question about a place",)
    if explanation.task.explains("pixel") and not dimmed:
        # What each pixel has and the map side by side: either can be clicked.
        view = panels.draw_viewer(image, [classes.pixel_pane(explanation), *panes], height=HEIGHT, **look)
        classes.explain_click(view, explanation)
        return view
    marks = answers.marks(explanation, index)
    return panels.draw_viewer(image, panes, marks=marks, beside=True, height=HEIGHT, **look)


def _draw_rest(answers: Boxes | Classes, explanation: Explanation, index: int, view: View, places: Places) -> None:
    """Draw the numbers beside the picture, and below it what can be done with the map and what it says."""
    has_map = index < len(explanation.heatmaps)
    if has_map:
        with places.beside:
            answers.draw_numbers(explanation, index)
            if not image_source.is_own():
                help, icon = "A story in ten slides: right answers for wrong reasons.", ":material/slideshow:"
                look: dict[str, Any] = {"label": "See a model cheat", "icon": icon, "help": help}
                st.page_link(page.script("saved"), query_params={"deck": "cheat"}, **look)
    with places.left:
        with st.container(horizontal=True, vertical_alignment="center", key="under"):
            checks.draw(explanation, index, tiles=True)
            with st.container(horizontal=True, width=326, gap="xxsmall", key="acts"):
                if has_map and explanation.finished:
                    saving.save_map("explore", explanation, index, pair=answers.pair)
                charts.fit_switch(explanation)
        answers.draw_below(explanation, index, view)
        if has_map:
            if view.region is not None:
                charts.draw_marked_area(explanation, view.region, index)
            charts.draw_findings(explanation, index, exclude=("cropped", "coarse"))
        reopen.compare_with_file(explanation)


# A box's map at every layer


def draw_layers(choices: Choices, explainer: Explainer, title: DeltaGenerator, main: DeltaGenerator) -> None:
    """Draw the chosen box's map at every stage; the headline says how much is inside the box."""
    places = Places.draw(title, main)
    with places.answers:
        boxes = Boxes(choices, explainer)
        boxes.draw_list(boxes.base)
    image = choices.image
    if not boxes.listed:
        with places.title:
            _write_headline(controls.add_warning(choices, describe_boxes(boxes.base)))
        with places.left:
            panels.draw_viewer(image, [panels.plain_pane(image)], key="viewer-layers")
        return
    with places.left:
        heading = _draw_stages(boxes, boxes.listed[boxes.chosen])
        saving.link_button()
    with places.title:
        _write_headline(controls.add_warning(choices, heading))


def _draw_stages(boxes: Boxes, item: ListedBox) -> str:
    """Draw the maps; return the headline."""
    choices, explainer = boxes.choices, boxes.explainer
    stages_by_path = {stage.path: stage for stage in stages(explainer.loaded)}
    method = choices.method
    if explain_job.is_slow(method):
        method = "gradcam" if explain_job.is_slow(explainer.model.method) else explainer.model.method
        name = METHODS[choices.method].name
        st.caption(f"{name} would run the model again for each map: this is {METHODS[method].name} instead.")
    chosen = replace(choices, method=method, options=choices.options | {"layers": tuple(stages_by_path)})
    explanation = explain_job.explain(chosen, explainer, targets=(pair_of(item.prediction),))
    assert explanation is not None
    marks = explanation.task.wording.marks
    outlines = tuple(Box(p.box, "", marks=marks(explanation, p)) for p in explanation.own(0) if p.box is not None)
    panes, shares = [], []
    for heatmap in explanation.by_layer():
        stage = stages_by_path[heatmap.layers[0]]
        title = f"{capital(stage.part)} {stage.path.removeprefix('model.')}"
        cells = f", cells of {stage.stride:g} px" if stage.stride else ""
        words, note = str(heatmap.state), "–"
        if heatmap.state == "ok" and (item_boxes := explanation.own()):
            shares.append(measure(heatmap, item_boxes, (), 0.0).inside)
            note = percent(shares[-1])
            words = f"{note} of the evidence in its box."
        text = f"**{stage.path}**, {stage.kind}{cells}. {capital(item.name)}: {words}"
        unit = explanation.model.unit_of(heatmap.target.label) if heatmap.signed else ""
        layer = panels.layer_map(heatmap, title=title, note=note, text=text, unit=unit)
        panes.append(Pane(maps=(layer,), boxes=outlines))
    image = explanation.image
    columns = min(len(panes), 3) if image.width > 1.2 * image.height else 4
    panels.draw_viewer(image, panes, key="viewer-layers", height=320, columns=columns)
    inside = f" Inside its box: {percent(min(shares))} to {percent(max(shares))}." if shares else ""
    return f"{capital(item.name)}, layer by layer.{inside}"
