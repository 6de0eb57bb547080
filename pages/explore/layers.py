"""A box's map at every layer of a detector."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components import checks
from sightglass.components.choices import sidebar
from sightglass.components.session.jobs import explain_job
from sightglass.components.viewer import Pane
from sightglass.components.views import panels
from sightglass.explain.comparison.detections import describe_boxes, strip
from sightglass.explain.evidence.layers import stages
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, percent, plural
from sightglass.pages.explore.boxes import Boxes
from sightglass.pages.explore.view import Places

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.components.checks import Candidate
    from sightglass.components.session.state import Choices
    from sightglass.explain import Explainer
    from sightglass.pages.explore.boxes import ListedBox


def draw(choices: Choices, explainer: Explainer, main: DeltaGenerator) -> None:
    """Draw the chosen box's map at every stage; the headline names the clearest one."""
    places = Places.draw(main)
    with places.answers:
        boxes = Boxes(choices, explainer)
        boxes.draw_list(boxes.base)
    image = choices.image
    if not boxes.listed:
        with places.title:
            panels.say(sidebar.add_warning(choices, describe_boxes(boxes.base)), key="headline")
        with places.left:
            panels.show(image, [panels.plain(image)], key="viewer-layers")
        return
    with places.left:
        heading, maps = _draw_stages(boxes, boxes.listed[boxes.chosen])
        checks.cards(maps, beside=True)
    with places.title:
        panels.say(sidebar.add_warning(choices, heading), key="headline")
        checks.chip(maps)


def _draw_stages(boxes: Boxes, item: ListedBox) -> tuple[str, list[Candidate]]:
    """Draw the maps; return the headline, and the maps that can be tested."""
    choices, explainer = boxes.choices, boxes.explainer
    drawn = {stage.path: stage for stage in stages(explainer.resident)}
    method = choices.method
    if explain_job.is_slow(method):
        method = "gradcam" if explain_job.is_slow(explainer.model.method) else explainer.model.method
        name = METHODS[choices.method].name
        st.caption(f"{name} would run the model again for each map: this is {METHODS[method].name} instead.")
    chosen = replace(choices, method=method, options=choices.options | {"layers": tuple(drawn)})
    target = {"detection": (item.pair,), "class": (item.label,), "picture": ()}[boxes.per]
    explanation = explain_job.explain(chosen, explainer, targets=target)
    assert explanation is not None
    own = panels.own_boxes(explanation, 0)
    name, within = _of(item, boxes.per, len(own))
    maps = strip(explanation)
    # What a map shows that is known not to depend on the model; empty for others.
    known = {entry.path: entry.explanation.known_checks(0) for entry in maps}
    shows = {path: "" if found is None else found.shows for path, found in known.items()}
    titles = {
        entry.path: f"{drawn[entry.path].part} {end}"
        for entry, end in zip(maps, tails([entry.path for entry in maps]), strict=True)
    }
    panes, tested = [], []
    for entry in maps:
        stage, title = drawn[entry.path], capital(titles[entry.path])
        cells = f", cells of {stage.stride:g} px" if stage.stride else ""
        words = entry.heatmap.state if entry.inside is None else f"{percent(entry.inside)} of the evidence in {within}."
        if shows[entry.path]:
            words = f"the map shows {shows[entry.path]}, not what the model learnt."
        note = "–" if entry.inside is None else percent(entry.inside)
        text = f"**{entry.path}**, {stage.kind}{cells}. {capital(name)}: {words}"
        layer = panels.layer(explanation, entry.heatmap, title=title, note=note, text=text)
        panes.append(Pane(maps=(layer,), boxes=own))
        if entry.heatmap.state == "ok":
            tested.append((title, entry.explanation, 0))
    image = explanation.image
    columns = min(len(panes), 3) if image.width > 1.2 * image.height else 4
    panels.show(image, panes, key="viewer-layers", height=320, columns=columns)
    measured = [entry for entry in maps if entry.inside is not None]
    if not measured:
        return describe_boxes(boxes.base), tested
    # A map that shows the box whatever the weights would win.
    learnt = [entry for entry in measured if not shows[entry.path]]
    best = max(learnt or measured, key=lambda entry: entry.inside or 0.0)
    least = min(measured, key=lambda entry: entry.inside or 0.0)
    st.caption(
        f"Maps of {name} from the first layer to the last, with the share of the evidence in {within}. It is lowest "
        f"at {titles[least.path]}: {percent(least.inside or 0.0)}. Zooming one map zooms all."
    )
    if not learnt:
        return f"{capital(name)}: no map here shows what the model learnt.", tested
    verb = "are" if boxes.per == "class" and len(own) > 1 else "is"
    words = f"{capital(name)} {verb} clearest at {titles[best.path]}: {percent(best.inside or 0.0)} inside {within}."
    if other := len(measured) - len(learnt):
        words += f" {plural(other, 'map')} would be nearly the same with random weights."
    return words, tested


def _of(item: ListedBox, per: str, boxes: int) -> tuple[str, str]:
    """Name the maps' target and the boxes of their measures."""
    if per == "picture":
        return "the whole picture", "its box" if boxes == 1 else "the boxes"
    if per == "class" and boxes > 1:
        return f"the {boxes} boxes of {item.label}", "them"
    return item.name, "its box"


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
