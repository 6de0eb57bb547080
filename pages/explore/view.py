"""The map of an answer beside the model's answers, whatever the model gives: classes, boxes, regions, numbers."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.explain.evidence.layers import stages
from sightglass.explain.maps.boxes import measure
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, percent
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.explain.tasks.detect import describe_boxes
from sightglass.explain.trust.diagnosis import agreement_sentence, describe_fit
from sightglass.explain.whatif import touch
from sightglass.pages.explore import places, whatif
from sightglass.pages.explore.answers import Answers, Row
from sightglass.pages.explore.sentence import Sentence
from sightglass.ui import checks, saving
from sightglass.ui.choices import controls
from sightglass.ui.choices.method_switch import MethodSwitch
from sightglass.ui.instruments import Numbers, instruments, numbers_of
from sightglass.ui.session import page, reopen, state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.jobs.tested_job import Wanted
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.viewer import Box, Pane, View
from sightglass.ui.views import charts, panels, why_this_map

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer, Explanation
    from sightglass.ui.session.state import Choices

AHEAD = 0.16
"""Seconds that the browser has for a new picture's map before anything else is sent."""
HEIGHT = 604
"""Height of the picture in a window of 900 pixels: what can be done with it is in sight below it."""


def draw(choices: Choices, explainer: Explainer, title: DeltaGenerator, main: DeltaGenerator) -> None:
    """Draw the view: the same parts for quick and slow methods, so that nothing moves."""
    left, listed, beside = _columns(main)
    switch = MethodSwitch(choices, explainer)
    with listed:
        kind = Sentence if explainer.loaded.adapter.takes_prompt else Answers
        answers = kind(switch.standing, explainer)
    with beside:
        switch_place = st.container()
    explanation, line, dimmed = None, "", False
    try:
        # What a slow method has done so far is below the answers, which stay in their place as the map does.
        with beside:
            explanation = answers.explain()
        waits = "is running"
    except Cancelled:
        waits = "was stopped"
        with beside:
            explain_job.restart_button()
    finished = explanation is not None
    working = METHODS[choices.method].name_for(choices.model.task) if answers.slow else choices.model.name
    if explanation is not None:
        explanation = _swap(switch, answers, explanation)
        line = switch.until
    with switch_place:
        switch.draw()
    if explanation is None:
        if (before := _map_before(answers)) is None:
            with title:
                _write_headline(f"{working} {waits}.")
            with left:
                panels.draw_viewer(choices.image, [panels.plain_pane(choices.image)], key="viewer", height=HEIGHT)
            return
        explanation, line = before
        dimmed = bool(line) and waits == "is running"
        line = capital(f"until then: {line}" if dimmed else line)
    view = None
    # The row of controls is not drawn with these choices yet.
    if finished and state.of(state.Controls).last is not choices:
        answers.find_map(explanation)
        with left:
            view = _draw_picture(answers, explanation, line=line, dimmed=False)
        time.sleep(AHEAD)
    with listed:
        index = answers.draw_list(explanation)
    if view is not None and answers.pair is not None:
        st.rerun()
    with title:
        if finished:
            said = [answers.headline(explanation, index)]
            if answers.pair is None:
                said += filter(None, [describe_fit(explanation)])
            _write_headline(controls.add_warning(answers.choices, " ".join(said)), explanation)
        else:
            _write_headline(f"{working} {waits}.")
    # The picture before the numbers: they take longer to compute and are read second.
    with left:
        view = view or _draw_picture(answers, explanation, line=line, dimmed=dimmed)
    if view.edit is not None:
        whatif.open_studio(explanation.image, view.edit)
    if not finished:
        with left:
            answers.draw_below(explanation, index, view)
        return
    if index is not None:
        with beside:
            answers.draw_numbers(explanation, index)
            instruments(view, _numbers(answers, explanation))
            with st.container(horizontal=True, vertical_alignment="center"):
                why_this_map.draw_button(explanation, index)
                charts.numbers_button(explanation, index)
                if not image_source.is_own():
                    help, icon = "A story in ten slides: right answers for wrong reasons.", ":material/slideshow:"
                    look: dict[str, Any] = {"label": "See a cheat", "icon": icon, "help": help}
                    st.page_link(page.script("saved"), query_params={"deck": "cheat"}, **look)
    with left:
        _draw_below(answers, explanation, index, view, waits=switch.waits)


def _swap(switch: MethodSwitch, answers: Answers, explanation: Explanation) -> Explanation:
    """Return the tested map of the chosen answer, where it was asked for and is known; else the given maps."""
    place = answers.find_map(explanation) if switch.tests else None
    if place is None:
        return explanation
    return switch.swap([Wanted(explanation, (place,))])[0]


def _columns(main: DeltaGenerator) -> tuple[DeltaGenerator, DeltaGenerator, DeltaGenerator]:
    """Return where the picture, the answers, and what is below these are drawn."""
    left, right = main.columns(panels.COLUMNS, gap="medium")
    return left.container(key="stage"), right.container(key="answers"), right.container(key="beside")


def _map_before(answers: Answers) -> tuple[Explanation, str] | None:
    """Return the map before, and its line; without one the answers alone, or None before there are any."""
    before = explain_job.last_finished(answers.choices)
    before = None if before is None else answers.complete(before)
    if before is None or answers.find_map(before) is None:
        return (answers.base, "") if answers.slow else None
    return before, f"the map by {METHODS[before.heatmaps[0].method].name_for(before.model.task)}."


def _write_headline(text: str, explanation: Explanation | None = None) -> None:
    """Write the headline, and on its line what it recommends for the picture."""
    hot = VIEWER_STYLE.hot.capitalize()
    # The browser writes the name of the colour that it shows there: headline.js.
    marked = escape(text).replace(f". {hot} ", f". *{hot}* ", 1)
    with st.container(horizontal=True, vertical_alignment="center", key="headline-line"):
        st.markdown(f"## {marked}")
        if explanation is not None:
            controls.draw_way_back(explanation.model)
            charts.whole_button(explanation)


def _draw_picture(answers: Answers, explanation: Explanation, *, line: str, dimmed: bool) -> View:
    image, maps = explanation.image, answers.maps(explanation)
    look: dict[str, Any] = {"key": "viewer", "height": HEIGHT}
    if answers.pair is not None:
        panes = [*(Pane(maps=(maps[i],)) for i in answers.pair), panels.difference_pane(explanation, answers.pair)]
        return panels.draw_viewer(
            image, panes, line=agreement_sentence(explanation, answers.pair), together=True, **look
        )
    # A wide picture fills the page by itself; the space key shows it without the map.
    panes = [Pane(maps=maps)] if maps else [panels.plain_pane(image)]
    look |= {"area": True, "line": line, "dimmed": dimmed, "touch": touch.register(explanation)}
    if places.find_place(explanation) is not None:
        look["lacks"] = ("the question about a place",)
    if explanation.task.explains("pixel") and not dimmed:
        # What each pixel has and the map side by side: either can be clicked.
        view = panels.draw_viewer(image, [places.pixel_pane(explanation), *panes], **look)
        places.explain_click(view, explanation)
        return view
    return panels.draw_viewer(image, panes, marks=answers.marks(explanation), beside=True, **look)


def _numbers(answers: Answers, explanation: Explanation) -> list[Numbers | str]:
    """Return the numbers of the viewer's maps, in its order.

    A difference, which is the last map, has none.
    """
    shown = range(len(explanation.heatmaps)) if answers.pair is None else answers.pair
    return [numbers_of(explanation, i) for i in shown]


def _draw_below(
    answers: Answers, explanation: Explanation, index: int | None, view: View, *, waits: bool = False
) -> None:
    """Draw below the picture what can be done with the map and what it says.

    `waits`: a tested map is about to take its place.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="under"):
        if index is not None:
            if answers.pair is not None:
                st.caption(f"Checks of {escape(explanation.heatmaps[index].target.label)}", width="content")
            checks.draw(explanation, index, tiles=True, waits=waits)
        with st.container(horizontal=True, width=326, gap="xxsmall", key="acts"):
            if index is not None and explanation.finished:
                saving.save_map("explore", explanation, index, pair=answers.pair)
            charts.fit_switch(explanation)
    answers.draw_below(explanation, index, view)
    if index is not None:
        if view.region is not None:
            charts.draw_marked_area(explanation, view.region, index)
        # A headline that warns of a model of drawn scenes says what its notes do.
        said = explanation.evidence.loaded.adapter.notes if controls.add_warning(answers.choices, "") else ()
        charts.draw_findings(explanation, index, exclude=("cropped", "coarse", *said))
    reopen.compare_with_file(explanation)


def draw_layers(choices: Choices, explainer: Explainer, title: DeltaGenerator, main: DeltaGenerator) -> None:
    """Draw the chosen box's map at every stage; the headline says how much is inside the box."""
    left, listed, _ = _columns(main)
    with listed:
        boxes = Answers(choices, explainer)
        boxes.draw_list(boxes.predict())
    with left:
        if boxes.listed:
            heading = _draw_stages(boxes, boxes.listed[boxes.chosen])
            saving.link_button()
        else:
            heading = describe_boxes(boxes.base)
            panels.draw_viewer(choices.image, [panels.plain_pane(choices.image)], key="viewer-layers")
    with title:
        _write_headline(controls.add_warning(choices, heading))


def _quick_method(choices: Choices, explainer: Explainer) -> str:
    """Return the chosen method, or in place of a slow one a quick one, and say so."""
    if METHODS[choices.method].quick:
        return choices.method
    method = explainer.model.method if METHODS[explainer.model.method].quick else "gradcam"
    name = METHODS[choices.method].name
    st.caption(f"{name} would run the model again for each map: this is {METHODS[method].name} instead.")
    return method


def _draw_stages(boxes: Answers, item: Row) -> str:
    """Draw the maps; return the headline."""
    choices, explainer = boxes.choices, boxes.explainer
    stages_by_path = {stage.path: stage for stage in stages(explainer.loaded)}
    method = _quick_method(choices, explainer)
    chosen = replace(choices, method=method, options=choices.options | {"layers": tuple(stages_by_path)})
    explanation = explain_job.explain(chosen, explainer, targets=(places.pair_of(item.prediction),))
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
    view = panels.draw_viewer(image, panes, key="viewer-layers", height=320, columns=columns)
    instruments(view)
    inside = f" Inside its box: {percent(min(shares))} to {percent(max(shares))}." if shares else ""
    return f"{capital(item.name)}, layer by layer.{inside}"
