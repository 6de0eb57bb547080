"""Detect: why each box is there, and why a missing one is not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from common.errors import Cancelled, WeightsProblem
from components import saving
from components.choices import detection_options, sidebar
from components.session import explain_job, image_source, page, reopen, state, url_state
from components.viewer import Panel
from components.views import charts, comparisons, detections, exports, panels, snapshots, visual_prompts
from components.views.detections import Lookup, Place
from explain.methods import METHODS
from explain.phrases import article, listing, percent
from models import catalog, weights

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from components.choices.detection_options import DetectOptions
    from components.session.state import Choices
    from components.viewer import View
    from components.views.detections import Item
    from explain import Explainer, Explanation
    from explain.findings.missing import Missing
    from models.adapter import ModelSpec

VIEWER = "viewer-detect"
FIRST = "yolo11n"
"""The detector to recommend where there is none."""


@dataclass(frozen=True)
class Query:
    """What is requested: everything chosen in the sidebar and on this page."""

    lens: str
    choices: Choices
    explainer: Explainer
    request: DetectOptions


@dataclass(frozen=True)
class Layout:
    """Where the parts of the page are drawn."""

    title: DeltaGenerator
    left: DeltaGenerator
    rows: DeltaGenerator
    right: DeltaGenerator


@page.guarded
def detect() -> None:
    top, main = st.container(), st.container()
    choices, explainer = sidebar.draw(threshold=False)
    if explainer.model.task != "detect":
        with main:
            _no_detector(choices)
        return
    with page.head(top) as title:
        lens = detection_options.lens()
    with main:
        left, right = st.columns([3, 1], gap="medium")
        with right:
            choices = visual_prompts.given(choices, explainer)
        if visual_prompts.lacking(choices, explainer):
            title.markdown("## What should it look for?")
            with left:
                visual_prompts.ask(choices, explainer)
            return
        with right:
            head = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
            rows = st.container()
            choices = replace(choices, options=choices.options | {"confidence": detection_options.confidence()})
        with head:
            st.markdown("### Boxes", width="content")
            request = detection_options.more(explainer, masks=METHODS[choices.method].family == "mask")
        _show(Query(lens, choices, explainer, request), Layout(title, left, rows, right))


def _show(query: Query, layout: Layout) -> None:
    """Draw the list of boxes, and what the lens shows of the chosen one."""
    from explain.detections import found

    base = detections.first(query.choices, query.explainer, query.request)
    _read_address(base)
    detections.arrive(base)
    missing = _missing(base, query.request)
    _write_address(_place(base))
    explanation = _explained(query, layout, base, missing)
    if explanation is None:
        _waiting(query, layout, base, missing)
        return
    pair, per_picture = state.of(state.ChosenBox).pair, query.request.per == "picture"
    listed = detections.items(explanation, None if missing is None else missing.candidate)
    index = detections.place(listed, pair)
    with layout.rows:
        if listed:
            index = detections.listing(explanation, listed, index)
        else:
            _none(explanation, asks=query.lens == "one" and query.request.per == "detection")
        _hidden(explanation)
    if listed and listed[index].pair != pair:
        detections.choose(listed[index].pair)
        if index >= len(explanation.heatmaps) and not per_picture:
            st.rerun()
    detections.keep(listed, index)
    heading = f"{found(base)}{' Choose a box to see why.' if base.predictions and not index else ''}"
    layout.title.markdown(f"## {heading}")
    at = 0 if per_picture else index
    # The lenses Layers and Sizes have other maps on the page.
    offered = query.lens in ("one", "all") and at < len(explanation.heatmaps)
    with layout.left:
        if heading := _through_lens(query, explanation, listed, index, missing):
            layout.title.markdown(f"## {heading}")
        _below(explanation, at, offered)
    if offered:
        with layout.right:
            st.markdown("### What the map says")
            detections.numbers(explanation, at)


def _explained(query: Query, layout: Layout, base: Explanation, missing: Missing | None) -> Explanation | None:
    """Return the maps; while a slow method runs, and after it was stopped, say so and return None."""
    candidate = None if missing is None else detections.pair_of(missing.candidate)
    pair, status = state.of(state.ChosenBox).pair, "is running"
    with layout.left:
        try:
            made = detections.explained(query.choices, query.explainer, query.request, base, pair, candidate)
        except Cancelled:
            made, status = None, "was stopped"
            explain_job.restart_button()
    if made is None:
        layout.title.markdown(f"## {METHODS[query.choices.method].name} {status}.")
    return made


def _through_lens(
    query: Query, explanation: Explanation, listed: list[Item], index: int, missing: Missing | None
) -> str:
    """Draw the maps, and return the heading that a comparison gives, if any."""
    if query.lens == "all":
        comparisons.every_box(explanation, listed)
    elif query.lens == "one":
        _one(explanation, listed, index, query.request, missing)
    elif not listed:
        panels.show(explanation.image, [panels.plain(explanation.image)], key=f"viewer-{query.lens}")
    elif query.lens == "layers":
        return comparisons.every_layer(query.choices, query.explainer, query.request, listed[index])
    else:
        return comparisons.every_size(query.choices, query.explainer, query.request, listed[index].prediction)
    return ""


def _waiting(query: Query, layout: Layout, base: Explanation, missing: Missing | None) -> None:
    """Draw the boxes while there is no map: another box, or a place, can be chosen all the same."""
    listed, pair = detections.items(base, missing.candidate if missing else None), state.of(state.ChosenBox).pair
    chosen = detections.place(listed, pair)
    if listed:
        with layout.rows:
            chosen = detections.listing(base, listed, chosen)
        detections.keep(listed, chosen)
        if listed[chosen].pair != (pair or listed[0].pair):
            detections.choose(listed[chosen].pair)
            st.rerun()
    with layout.left:
        marks = detections.marks(base, listed, query.request.tags, chosen)
        view = panels.show(base.image, [panels.plain(base.image)], key=VIEWER, marks=marks, area=query.lens == "one")
        if query.lens == "one" and query.request.per == "detection":
            _about_places(view, base, listed, chosen, missing)
        with st.container(horizontal=True, vertical_alignment="center"):
            snapshots.camera()
            snapshots.gallery()


def _below(explanation: Explanation, index: int, offered: bool) -> None:
    """Draw the camera, and the downloads of the map where it is `offered`."""
    snapshots.follow(explanation)
    reopen.warn_of_other_weights(explanation)
    with st.container(horizontal=True, vertical_alignment="center"):
        snapshots.camera()
        snapshots.gallery()
        if not offered:
            return
        if explanation.finished:
            saving.save_and_export(
                "detect",
                partial(exports.of_boxes, explanation, index),
                saved=[(explanation, index)],
                more=partial(snapshots.save_on_server, explanation),
            )
        charts.numbers_button(explanation, index, lambda: detections.table(explanation, index))
        st.caption(charts.timings(explanation), width="content")


def _one(
    explanation: Explanation, listed: list[Item], index: int, request: DetectOptions, missing: Missing | None
) -> None:
    """Draw one map, which follows the list, and what it says."""
    from explain.detections import box_sentence

    image, at = explanation.image, 0 if request.per == "picture" else index
    maps = detections.heats(explanation, listed)
    shown = [Panel(maps=maps)] if maps else [panels.plain(image)]
    marks = detections.marks(explanation, listed, request.tags)
    # Export has the files of the view, once there is a map that is finished.
    files = not (maps and explanation.finished)
    view = panels.show(image, shown, key=VIEWER, marks=marks, beside=True, area=True, files=files)
    if request.per == "detection":
        _about_places(view, explanation, listed, at, missing)
    if maps:
        panels.describe(view, [(explanation, i) for i in range(len(explanation.heatmaps))], key=f"{VIEWER}-words")
        name = "the whole picture" if request.per == "picture" else listed[at].name
        if (sentence := box_sentence(explanation, at, name)) is not None:
            st.markdown(f":material/filter_center_focus: {sentence}")
        if view.region is not None:
            charts.marked(explanation, view.region, at)
        charts.findings(explanation, at)


def _none(explanation: Explanation, *, asks: bool) -> None:
    """Say why the list is empty; `asks`: a click in the picture asks for a missing box."""
    from explain.detections import filtered, kinds

    why = "No box has a high enough score."
    if hidden := filtered(explanation):
        why = f"The class filter, under More, hides {kinds(hidden)}."
    ask = "Click in the picture" if asks else "Choose One box, and under More one map for one box, then click"
    st.caption(f"{why} {ask} to find out what is missing there.")


def _hidden(explanation: Explanation) -> None:
    """Say what a lower threshold would show."""
    from explain.detections import weaker

    if hidden := weaker(explanation):
        named = [f"{p.label} {percent(p.score)}" for p in hidden[:3]]
        more = [f"{len(hidden) - 3} more"] if len(hidden) > 3 else []
        noun = "weaker box" if len(hidden) == 1 else "weaker boxes"
        st.caption(f"{len(hidden)} {noun} hidden: {listing([*named, *more])}.")


def _read_address(base: Explanation) -> None:
    """Take over the place that the address asks about, once a session; a box in the address stays chosen."""
    lookup, query = state.of(Lookup), st.query_params
    if lookup.read:
        return
    lookup.read = True
    label, where = (
        query.get("ask-for"),
        detection_options.place(query.get("ask", ""), base.image.width, base.image.height),
    )
    if where is not None:
        label = label if label in base.evidence.resident.adapter.labels else None
        lookup.place = replace(_place_at(base, where, label), fresh="box" not in query)


def _place_at(explanation: Explanation, where: tuple[float, ...], label: str | None) -> Place:
    x0, y0, x1, y1 = (float(round(edge)) for edge in where)
    return Place((explanation.image.sha256, explanation.model.id), (x0, y0, x1, y1), label)


def _write_address(place: Place | None) -> None:
    """Write the place to the address, if the address can name the picture."""
    named = place is not None and not image_source.is_own()
    url_state.write("ask", detection_options.written(place.where) if place and named else None)
    url_state.write("ask-for", place.label if place and named else None)


def _place(explanation: Explanation) -> Place | None:
    """Return the place that was asked about in this picture with this model."""
    place = state.of(Lookup).place
    return place if place is not None and place.of == (explanation.image.sha256, explanation.model.id) else None


def _missing(base: Explanation, request: DetectOptions) -> Missing | None:
    """Return the candidate at the place that was asked about, and choose it once."""
    place = _place(base)
    if place is None or request.per != "detection":
        return None
    found = base.missing(place.where, place.label)
    if found is not None and place.fresh:
        place.fresh = False
        detections.choose(detections.pair_of(found.candidate), new_list=True)
    return found


def _about_places(
    view: View, explanation: Explanation, listed: list[Item], index: int, missing: Missing | None
) -> None:
    """Take a new question about a place, or answer the last one."""
    _ask_about(view, explanation)
    if (place := _place(explanation)) is None:
        return
    looked_up = [item for item in listed if missing and item.pair == detections.pair_of(missing.candidate)]
    if looked_up and listed[index] not in looked_up:
        _looked_up(looked_up[0])
    else:
        _about_missing(missing, place, explanation)


def _ask_about(view: View, explanation: Explanation) -> None:
    """Take a click beside every box, or a rectangle, as the question: what is the best candidate there?"""
    lookup, where = state.of(Lookup), None
    # The viewer reports a click once, and this run starts anew right after it.
    if view.point is not None and view.box is None and view.point != lookup.point:
        where = (*view.point, *view.point)
    lookup.point = view.point
    rectangle = view.region.xyxy if view.region is not None and view.region.kind == "rectangle" else None
    if rectangle is not None and rectangle != lookup.rectangle:
        where = rectangle
    lookup.rectangle = rectangle
    if where is not None:
        before = _place(explanation)
        lookup.place = _place_at(explanation, where, before.label if before else None)
        st.rerun()


def _about_missing(missing: Missing | None, place: Place, explanation: Explanation) -> None:
    """Say why the candidate is not shown; ask for another class there, or go back."""

    def other() -> None:
        place.label, place.fresh = st.session_state["missing-class"], True

    words = missing.words if missing is not None else "There is no candidate at this place."
    with st.container(gap="xsmall"):
        st.markdown(f":material/search: {words}")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.session_state["missing-class"] = place.label
            st.selectbox(
                "Candidate for",
                sorted(set(explanation.evidence.resident.adapter.labels)),
                index=None,
                key="missing-class",
                placeholder="of any class",
                label_visibility="collapsed",
                on_change=other,
                width=200,
                help="The strongest candidate of this class at that place.",
            )
            visual_prompts.offer(explanation, place.where)
            _back()


def _looked_up(item: Item) -> None:
    """Keep the candidate within reach while another box is shown."""
    with st.container(horizontal=True, vertical_alignment="center"):
        words = f"You looked up {article(item.label)}: choose {item.number} in the list."
        st.caption(words, width="content")
        _back()


def _back() -> None:
    def back() -> None:
        state.of(Lookup).place = None
        detections.choose(None, new_list=True)

    st.button("Back to the boxes", icon=":material/undo:", on_click=back, help="Forget this candidate.")


def _no_detector(choices: Choices) -> None:
    """Say that this model is no detector, and offer one."""
    does = (
        "compares pictures: it predicts no class" if choices.model.task == "embed" else "classifies the whole picture"
    )
    st.markdown(f"## {choices.model.id} {does} and draws no boxes.")
    spec = next((spec for spec in sidebar.present("detect") if "random" not in spec.weights), None)
    if spec is None:
        try:
            weights.locate(catalog.spec(FIRST), download=False)
        except WeightsProblem as problem:
            st.info(f"No detector is on this machine. {problem}", icon=":material/info:")
    else:
        st.button(
            f"Look with {spec.id}",
            icon=":material/select_all:",
            on_click=_use,
            args=(spec,),
            help="A detector on this machine; your picture stays.",
        )
    panels.show(choices.image, [panels.plain(choices.image)], key=VIEWER)


def _use(spec: ModelSpec) -> None:
    reopen.choose_model(spec)
    if spec.example and image_source.is_photograph():
        image_source.turn_to_example(spec.example)


detect()
