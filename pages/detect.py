"""Detect: the evidence for each box."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.components import proof, saving, seal, widgets
from sightglass.components.choices import detection_options, model_picker, sidebar
from sightglass.components.saving import slides
from sightglass.components.session import page, reopen, state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape
from sightglass.components.session.pictures import image_source
from sightglass.components.viewer import Pane
from sightglass.components.views import charts, comparisons, detections, exports, missing_places, panels, snapshots
from sightglass.components.views.comparisons import LensResult
from sightglass.explain.comparison.detections import box_sentence, describe_boxes, find_filtered, kinds, weaker
from sightglass.explain.evidence import missing
from sightglass.explain.findings.randomisation import describe_independent
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import download, listing
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.components.choices.detection_options import BoxOptions
    from sightglass.components.session.state import Choices
    from sightglass.components.viewer import Box, View
    from sightglass.components.views.detections import ListedBox
    from sightglass.explain import Explainer, Explanation
    from sightglass.explain.evidence.missing import Missing

VIEWER = "viewer-detect"


@dataclass(frozen=True)
class Query:
    """What is requested: everything chosen in the sidebar and on this page."""

    lens: str
    choices: Choices
    explainer: Explainer
    request: BoxOptions


@dataclass(frozen=True)
class PageLayout:
    """Where the parts of the page are drawn."""

    title: page.Title
    left: DeltaGenerator
    rows: DeltaGenerator
    right: DeltaGenerator


@page.guard
def detect() -> None:
    bar, top, main = st.container(), st.container(), st.container()
    choices, explainer = sidebar.draw(bar, threshold=False, own_detector=True, both=True)
    with page.head(top) as title:
        lens = detection_options.lens()
    with main:
        if choices.model.example:
            _of_drawn_scenes(choices)
        left, right = st.columns([3, 1], gap="medium")
        with right:
            choices = missing_places.add_example(choices, explainer)
        if missing_places.lacks_prompt(choices, explainer):
            title.markdown("## What should it look for?")
            with left:
                missing_places.ask_for_prompt(choices, explainer)
            return
        with right:
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
        _show(Query(lens, choices, explainer, request), PageLayout(title, left, rows, right))


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
            _none(explanation, asks=query.lens == "one" and query.request.per == "detection")
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
    # The lens Layers has other maps on the page.
    offered = query.lens in ("one", "all") and at < len(explanation.heatmaps)
    tested = proof.of_map(explanation, at) if offered else []
    with layout.left:
        if offered:
            seal.draw(tested)
        drawn = _through_lens(query, explanation, listed, index, missing)
        if drawn.heading:
            layout.title.markdown(f"## {escape(sidebar.add_warning(query.choices, drawn.heading))}")
        if drawn.maps:
            tested = [*drawn.maps]
            seal.draw(tested)
        _below(explanation, at, offered, tests=bool(tested))
    if offered:
        with layout.right:
            st.markdown("### What the map says", help=widgets.TERMS["evidence"])
            with st.container(horizontal=True):
                detections.numbers(explanation, at)
            if listed:
                detections.joint_table(explanation, listed[index].prediction)
    proof.panel(tested)


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


def _through_lens(
    query: Query, explanation: Explanation, listed: list[ListedBox], index: int, missing: Missing | None
) -> LensResult:
    """Draw the maps and return the result of their comparison."""
    if query.lens == "all":
        comparisons.every_box(explanation, listed)
    elif query.lens == "one":
        _one(explanation, listed, index, query.request, missing)
    elif not listed:
        panels.show(explanation.image, [panels.plain(explanation.image)], key=f"viewer-{query.lens}")
    else:
        return comparisons.every_layer(query.choices, query.explainer, query.request, listed[index])
    return LensResult()


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
        if query.lens == "one" and query.request.per == "detection":
            missing_places.about_places(view, base, listed, chosen, missing)
        with st.container(horizontal=True, vertical_alignment="center"):
            snapshots.gallery()


def _meanwhile(
    query: Query, base: Explanation, marks: tuple[Box, ...], pair: tuple[int, int] | None, *, stopped: bool
) -> View:
    """Show the former method's map, dimmed until the next; else the picture."""
    before, area = explain_job.before(query.choices), query.lens == "one"
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


def _below(explanation: Explanation, index: int, offered: bool, *, tests: bool) -> None:
    """Draw photos, the button of the `tests`, and the `offered` downloads."""

    def beside() -> None:
        charts.numbers_button(explanation, index, lambda: detections.table(explanation, index))

    snapshots.follow(explanation)
    reopen.warn_of_other_weights(explanation)
    with st.container(horizontal=True, vertical_alignment="center", key="acts"):
        snapshots.gallery()
        if tests and explanation.finished:
            proof.button()
        if not offered:
            return
        if explanation.heatmaps and METHODS[explanation.heatmaps[0].method].reads:
            panels.attention_heads(explanation, index)
        if explanation.finished:
            saving.save_and_export(
                "detect",
                partial(exports.of_boxes, explanation, index),
                saved=[(explanation, index)],
                more=partial(snapshots.save_on_server, explanation),
                beside=beside,
                slide=slides.of_map(explanation, index),
            )
        else:
            beside()


def _one(
    explanation: Explanation, listed: list[ListedBox], index: int, request: BoxOptions, missing: Missing | None
) -> None:
    """Draw one map, for the list's choice, and its findings."""
    image, at = explanation.image, 0 if request.per == "picture" else index
    maps = detections.heats(explanation, listed)
    panes = [Pane(maps=maps)] if maps else [panels.plain(image)]
    marks = detections.marks(explanation, listed, request.tags)
    asks = request.per == "detection"
    # Export has the files of the view, once there is a map that is finished.
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
    first = "" if asks else "Choose One box, and under More one map for one box. "
    st.caption(f"{escape(why)} {first}The question mark over the picture asks what is missing at a place.")


def _hidden(explanation: Explanation) -> None:
    """Describe the result of a lower threshold."""
    if hidden := weaker(explanation):
        score = missing.score_format(explanation.options.confidence)
        named = [f"{escape(p.label)} {score(p.score)}" for p in hidden[:3]]
        more = [f"{len(hidden) - 3} more"] if len(hidden) > 3 else []
        noun = "weaker box" if len(hidden) == 1 else "weaker boxes"
        st.caption(f"{len(hidden)} {noun} hidden: {listing([*named, *more])}.")


def _of_drawn_scenes(choices: Choices) -> None:
    """Describe a model of drawn scenes and offer one for photographs."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if image_source.is_own():
            st.button(
                "Try it on a drawn scene",
                icon=":material/image:",
                on_click=image_source.turn_to_example,
                args=(choices.model.example,),
                help="Choose a scene it was trained for. Your picture stays in the bar at the top.",
            )
        elif image_source.is_photograph():
            st.caption(
                f"{choices.model.name} knows drawn scenes only, so this page shows one. "
                f"{escape(image_source.current().name)} stays chosen on the other pages.",
                width="content",
            )
        _offer()


def _offer() -> None:
    """Offer to download a detector for photographs, if none is local."""
    here = model_picker.menu()[1]
    if not catalog.spec(catalog.detector(here)).example:
        return
    spec = catalog.spec(catalog.FIRST_DETECTOR)
    size, licence = download(spec.megabytes), f"licence {spec.licence}"
    if weights.offline():
        st.caption(
            f"For photographs, put {spec.arch} ({size}, {licence}) into a folder named in SIGHTGLASS_WEIGHTS.",
            width="content",
        )
        return
    st.button(
        f"Download {spec.name} ({size})",
        icon=":material/download:",
        on_click=reopen.choose_model,
        args=(spec,),
        kwargs={"own": True},
        help="For photographs: it finds 80 kinds of everyday objects. The download takes some seconds and is kept on "
        f"this machine; {licence}.",
    )


detect()
