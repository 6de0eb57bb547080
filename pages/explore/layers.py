"""A box's map at every layer of a detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.session import url_state
from sightglass.components.session.jobs import explain_job
from sightglass.components.viewer import Pane
from sightglass.components.views import detections, panels
from sightglass.explain.comparison.detections import around, strip
from sightglass.explain.evidence.layers import stages
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital, percent, plural

if TYPE_CHECKING:
    from sightglass.components.choices.detection_options import BoxOptions
    from sightglass.components.session.state import Choices
    from sightglass.components.views.detections import ListedBox
    from sightglass.explain import Explainer, Explanation


@dataclass(frozen=True)
class LayerMaps:
    """What was drawn of a box's layers."""

    heading: str = ""
    """Empty: as of the box alone."""
    maps: tuple[tuple[str, Explanation, int], ...] = ()
    """The maps that can be tested, as the panel of tests takes them, in the order of the panels."""


def every_layer(choices: Choices, explainer: Explainer, request: BoxOptions, item: ListedBox) -> LayerMaps:
    """Draw a box's map at every stage; title the clearest one."""
    drawn = {stage.path: stage for stage in stages(explainer.resident)}
    if not drawn:
        st.info(f"{explainer.model.id} exposes no internals: there are no layers to show.", icon=":material/layers:")
        return LayerMaps()
    method = detections.quick_method(choices, explainer)
    if method != choices.method:
        name = METHODS[choices.method].name
        st.caption(f"{name} would run the model again for each map: this is {METHODS[method].name} instead.")
    chosen = replace(choices, method=method, options=choices.options | {"layers": tuple(drawn)})
    target = {"detection": (item.pair,), "class": (item.label,), "picture": ()}[request.per]
    explanation = explain_job.explain(chosen, explainer, targets=target, **request.options)
    assert explanation is not None
    boxes = panels.own_boxes(explanation, 0)
    name, within = _of(item, request.per, len(boxes))
    maps, drawn_maps = strip(explanation), []
    # What a map shows that is known not to depend on the model; empty for others.
    seals = {heatmap.path: heatmap.explanation.known_checks(0) for heatmap in maps}
    shows = {path: "" if checks is None else checks.shows for path, checks in seals.items()}
    ends = dict(zip([heatmap.path for heatmap in maps], tails([heatmap.path for heatmap in maps]), strict=True))
    titles = [f"{capital(drawn[heatmap.path].part)} {ends[heatmap.path]}" for heatmap in maps]
    for entry, title in zip(maps, titles, strict=True):
        stage = drawn[entry.path]
        cells = f", cells of {stage.stride:g} px" if stage.stride else ""
        words = entry.heatmap.state if entry.inside is None else f"{percent(entry.inside)} of the evidence in {within}."
        if known := shows[entry.path]:
            words = f"the map shows {known}, not what the model learnt."
        drawn_maps.append(
            panels.layer(
                explanation,
                entry.heatmap,
                title=title,
                note="–" if entry.inside is None else percent(entry.inside),
                text=f"**{entry.path}**, {stage.kind}{cells}. {capital(name)}: {words}",
            )
        )
    image, panes = explanation.image, [Pane(maps=(each,), boxes=boxes) for each in drawn_maps]
    above, below = st.container(), st.container()
    if item.prediction.box is not None and request.per == "detection":
        with below:
            close = _close_up()
        if close:
            image, panes = panels.cut(image, panes, around(item.prediction.box, (image.width, image.height)))
    with above:
        columns = min(len(drawn_maps), 3) if image.width > 1.2 * image.height else 4
        panels.show(image, panes, key="viewer-layers", height=320, columns=columns)
    pairs = zip(maps, titles, strict=True)
    tested = tuple((title, entry.explanation, 0) for entry, title in pairs if entry.heatmap.state == "ok")
    measured = [heatmap for heatmap in maps if heatmap.inside is not None]
    if not measured:
        return LayerMaps("", tested)
    # A map that shows the box whatever the weights would win.
    learnt = [entry for entry in measured if not shows[entry.path]]
    best = max(learnt or measured, key=lambda entry: entry.inside or 0.0)
    least = min(measured, key=lambda entry: entry.inside or 0.0)
    st.caption(
        f"Maps of {name} from the first layer to the last, with the share of the evidence in {within}. It is lowest "
        f"at {drawn[least.path].part} {ends[least.path]}: {percent(least.inside or 0.0)}. Zooming one map zooms all."
    )
    verb = "are" if request.per == "class" and len(boxes) > 1 else "is"
    where = f"{drawn[best.path].part} {ends[best.path]}"
    if not learnt:
        return LayerMaps(f"{capital(name)}: no map here shows what the model learnt.", tested)
    words = f"{capital(name)} {verb} clearest at {where}: {percent(best.inside or 0.0)} inside {within}."
    if other := len(measured) - len(learnt):
        words += f" {plural(other, 'map')} would be nearly the same with random weights."
    return LayerMaps(words, tested)


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


def _close_up() -> bool:
    help = "Show only the object and its surroundings. All numbers are of the whole picture either way."
    return url_state.widget(st.toggle, "Close-up", None, True, key="close", name="close", help=help)
