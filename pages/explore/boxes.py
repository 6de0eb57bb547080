"""The evidence for each box, and why a missing one is not shown."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.components import checks, saving, widgets
from sightglass.components.choices import detection_options, sidebar
from sightglass.components.saving import slides
from sightglass.components.session import page, reopen, state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape
from sightglass.components.viewer import Pane
from sightglass.components.views import charts, detections, exports, missing_places, panels
from sightglass.explain.comparison.detections import box_sentence, describe_boxes, find_filtered, kinds, weaker
from sightglass.explain.evidence import missing
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import listing
from sightglass.explain.trust.reliability import describe_independent
from sightglass.pages.explore.layers import every_layer
from sightglass.pages.explore.map import headline_row

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.components.choices.detection_options import BoxOptions
    from sightglass.components.session.state import Choices
    from sightglass.components.viewer import Box, View
    from sightglass.components.views.detections import ListedBox
    from sightglass.explain import Explainer, Explanation
    from sightglass.explain.evidence.missing import Missing

VIEWER = "viewer-boxes"


@dataclass(frozen=True)
class PageLayout:
    """Where the parts of the view are drawn."""

    title: page.Title
    chip: DeltaGenerator
    left: DeltaGenerator
    rows: DeltaGenerator
    right: DeltaGenerator


@dataclass(frozen=True)
class Query:
    """What is requested: everything chosen in the row of controls and beside the boxes."""

    choices: Choices
    explainer: Explainer
    request: BoxOptions
    layers: bool = False
    """Whether the chosen box's map is drawn at every layer."""


def draw(choices: Choices, explainer: Explainer, main: DeltaGenerator, *, layers: bool = False) -> None:
    """Draw the view; `layers`: with the chosen box's map at every layer."""
    with main:
        query, layout = _choose(choices, explainer)
        _show(replace(query, layers=layers), layout)


def _choose(choices: Choices, explainer: Explainer) -> tuple[Query, PageLayout]:
    """Draw the choice of boxes, and return it with the places of the rest."""
    head_row = headline_row(st.container())
    title = page.Title(head_row.container())
    chip = head_row.container(width="content")
    left, right = st.columns([3, 1], gap="medium")
    with right:
        choices = missing_places.add_example(choices, explainer)
        head = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
        rows = st.container()
        choices = replace(choices, options=choices.options | {"confidence": detection_options.confidence()})
    with head:
        st.markdown("### Boxes", width="content", help=widgets.TERMS["score"])
        masks = METHODS[choices.method].family == "mask"
        request = detection_options.more(explainer, masks=masks)
    with rows:
        request = replace(request, options=request.options | detections.choose_joint(explainer, masks=masks))
        detection_options.filter_chip(explainer, request)
    return Query(choices, explainer, request), PageLayout(title, chip, left, rows, right)


def _show(query: Query, layout: PageLayout) -> None:
    """Draw the list of boxes and the view of the chosen one."""
    base = detections.first(query.choices, query.explainer, query.request)
    missing_places.read_address(base)
    detections.arrive(base)
    missing = missing_places.missing_box(base, query.request)
    missing_places.write_address(missing_places.find_place(base))
    explanation, stopped = _explain(query, layout, base, missing)
    if explanation is None:
        _waiting(query, layout, base, missing, stopped=stopped)
        return
    pair, per_picture = state.of(state.ChosenBox).pair, query.request.per == "picture"
    listed = detections.items(explanation, None if missing is None else missing.candidate)
    index = detections.locate_box(listed, pair)
    with layout.rows:
        if listed:
            index = detections.listing(explanation, listed, index)
        else:
            _none(explanation, asks=not query.layers and query.request.per == "detection")
        _hidden(explanation)
    if listed and listed[index].pair != pair:
        detections.choose(listed[index].pair)
        if index >= len(explanation.heatmaps) and not per_picture:
            st.rerun()
    detections.keep(listed, index)
    at = 0 if per_picture else index
    known = describe_independent(explanation, at) if at < len(explanation.heatmaps) else ""
    only = query.request.options["classes"] if base.predictions else ()
    filtered = f"Showing only {listing(list(only))}." if only else ""
    heading = " ".join(filter(None, (describe_boxes(base), filtered, known)))
    layout.title.markdown(f"## {escape(sidebar.add_warning(query.choices, heading))}")
    offered = at < len(explanation.heatmaps)
    with layout.left:
        if query.layers:
            if listed:
                drawn = every_layer(query.choices, query.explainer, query.request, listed[index])
                if drawn.heading:
                    layout.title.markdown(f"## {escape(sidebar.add_warning(query.choices, drawn.heading))}")
                with layout.chip:
                    checks.chip(drawn.maps)
                checks.cards(drawn.maps, beside=True)
            else:
                panels.show(explanation.image, [panels.plain(explanation.image)], key="viewer-layers")
            return
        _one(explanation, listed, at, query.request, missing)
        _below(explanation, at, offered)
    if offered:
        maps = checks.of_map(explanation, at)
        with layout.chip:
            checks.chip(maps)
        with layout.right:
            checks.cards(maps)
            st.markdown("### What the map says", help=widgets.TERMS["evidence"])
            with st.container(horizontal=True):
                detections.numbers(explanation, at)
            if listed:
                detections.joint_table(explanation, listed[index].prediction)


def _explain(
    query: Query, layout: PageLayout, base: Explanation, missing: Missing | None
) -> tuple[Explanation | None, bool]:
    """Return the maps, if ready, and whether they were stopped."""
    candidate = None if missing is None else detections.pair_of(missing.candidate)
    pair, stopped = state.of(state.ChosenBox).pair, False
    with layout.left:
        try:
            explanation = detections.explain(query.choices, query.explainer, query.request, base, pair, candidate)
        except Cancelled:
            explanation, stopped = None, True
            explain_job.restart_button()
    if explanation is None:
        status = "was stopped" if stopped else "is running"
        layout.title.markdown(f"## {METHODS[query.choices.method].name} {status}.")
    return explanation, stopped


def _waiting(query: Query, layout: PageLayout, base: Explanation, missing: Missing | None, *, stopped: bool) -> None:
    """Draw the boxes without a map, for a choice meanwhile."""
    listed, pair = detections.items(base, missing.candidate if missing else None), state.of(state.ChosenBox).pair
    chosen = detections.locate_box(listed, pair)
    if listed:
        with layout.rows:
            chosen = detections.listing(base, listed, chosen)
        detections.keep(listed, chosen)
        if listed[chosen].pair != (pair or listed[0].pair):
            detections.choose(listed[chosen].pair)
            st.rerun()
    with layout.left:
        marks = detections.marks(base, listed, query.request.tags, chosen)
        view = _meanwhile(query, base, marks, listed[chosen].pair if listed else None, stopped=stopped)
        if not query.layers and query.request.per == "detection":
            missing_places.about_places(view, base, listed, chosen, missing)


def _meanwhile(
    query: Query, base: Explanation, marks: tuple[Box, ...], pair: tuple[int, int] | None, *, stopped: bool
) -> View:
    """Show the former method's map, dimmed until the next; else the picture."""
    before, area = explain_job.before(query.choices), not query.layers
    asks = area and query.request.per == "detection"
    if before is not None and before.options.per == query.request.per:
        mapped = detections.items(before)[: len(before.heatmaps)]
        index = next((i for i, item in enumerate(mapped) if item.pair == pair), None)
        if index is not None and before.heatmaps[index].method != query.choices.method:
            name = METHODS[before.heatmaps[index].method].name
            panes = [Pane(maps=(panels.heat(before, index),))]
            line = f"This is still the map by {name}." if stopped else f"Until then: the map by {name}."
            return panels.show(
                base.image, panes, key=VIEWER, marks=marks, area=area, asks=asks, line=line, dimmed=not stopped
            )
    return panels.show(base.image, [panels.plain(base.image)], key=VIEWER, marks=marks, area=area, asks=asks)


def _below(explanation: Explanation, index: int, offered: bool) -> None:
    """Draw the actions of a map, if `offered`."""
    reopen.warn_of_other_weights(explanation)
    with st.container(horizontal=True, vertical_alignment="center", key="acts"):
        if not offered:
            return
        if explanation.heatmaps and METHODS[explanation.heatmaps[0].method].reads:
            panels.attention_heads(explanation, index)
        if explanation.finished:
            saving.save_and_export(
                "explore",
                partial(exports.of_boxes, explanation, index),
                saved=[(explanation, index)],
                slide=slides.of_map(explanation, index),
            )
        charts.numbers_button(explanation, index, lambda: detections.table(explanation, index))


def _one(
    explanation: Explanation, listed: list[ListedBox], index: int, request: BoxOptions, missing: Missing | None
) -> None:
    """Draw one map, for the list's choice, and its findings."""
    image, at = explanation.image, index
    maps = detections.heats(explanation, listed)
    panes = [Pane(maps=maps)] if maps else [panels.plain(image)]
    marks = detections.marks(explanation, listed, request.tags)
    asks = request.per == "detection"
    # Save has the files of the view, once there is a map that is finished.
    files = not (maps and explanation.finished)
    view = panels.show(image, panes, key=VIEWER, marks=marks, beside=True, area=True, asks=asks, files=files)
    if asks:
        missing_places.about_places(view, explanation, listed, at, missing)
    if maps:
        panels.describe(view, [(explanation, i) for i in range(len(explanation.heatmaps))], key=f"{VIEWER}-words")
        name = "the whole picture" if request.per == "picture" else listed[at].name
        if (sentence := box_sentence(explanation, at, escape(name))) is not None:
            st.markdown(f":material/filter_center_focus: {sentence}")
        if view.region is not None:
            charts.mark(explanation, view.region, at)
        charts.findings(explanation, at)


def _none(explanation: Explanation, *, asks: bool) -> None:
    """Explain the empty list; `asks`: places in the picture can be chosen."""
    why = "No box has a high enough score."
    if hidden := find_filtered(explanation):
        why = f"The class filter, under More, hides {kinds(hidden)}."
    first = "" if asks else "Under More choose one map for one box. "
    st.caption(f"{escape(why)} {first}The question mark over the picture asks what is missing at a place.")


def _hidden(explanation: Explanation) -> None:
    """Describe the result of a lower threshold."""
    if hidden := weaker(explanation):
        score = missing.score_format(explanation.options.confidence)
        named = [f"{escape(p.label)} {score(p.score)}" for p in hidden[:3]]
        more = [f"{len(hidden) - 3} more"] if len(hidden) > 3 else []
        noun = "weaker box" if len(hidden) == 1 else "weaker boxes"
        st.caption(f"{len(hidden)} {noun} hidden: {listing([*named, *more])}.")
