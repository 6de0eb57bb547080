"""Detect: every box and why it is there, and every missing box and why it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Cancelled, WeightsProblem
from components.choices import detection_options, image_picker, sidebar
from components.session import explain_job, history_store, page, reopen, url_state
from components.viewer import Panel
from components.views import charts, comparisons, detections, panels, snapshots, visual_prompts
from explain.methods import METHODS
from explain.phrases import article, listing, percent
from models import catalog, weights

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from components.choices.detection_options import Asked
    from components.choices.sidebar import Choices
    from components.viewer import View
    from components.views.detections import Item
    from explain import Explainer, Explanation
    from explain.findings.missing import Missing
    from models.adapter import ModelSpec

VIEWER = "viewer-detect"
FIRST = "yolo11n"
"""The detector to name where there is none."""


@page.screen
def detect() -> None:
    top, main = st.container(), st.container()
    choices, explainer = sidebar.draw(threshold=False)
    if explainer.model.task != "detect":
        with main:
            _no_detector(choices)
        return
    with top, st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        title = st.container(width="content").empty()
        with st.container(width="content"):
            lens = detection_options.lens()
    with main:
        left, right = st.columns([3, 1], gap="medium")
        with right:
            choices = visual_prompts.given(choices, explainer)
        if visual_prompts.lacking(choices, explainer):
            title.markdown("## What shall it look for?")
            with left:
                visual_prompts.ask(choices, explainer)
            return
        with right:
            head = st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center")
            listed = st.container()
            choices = replace(choices, options=choices.options | {"confidence": detection_options.above()})
        with head:
            st.markdown("##### Boxes", width="content")
            asked = detection_options.more(explainer, masks=METHODS[choices.method].family == "mask")
        _show(lens, choices, explainer, asked, title, left, listed, right)


def _show(
    lens: str,
    choices: Choices,
    explainer: Explainer,
    asked: Asked,
    title: DeltaGenerator,
    left: DeltaGenerator,
    rows: DeltaGenerator,
    right: DeltaGenerator,
) -> None:
    """What the lens shows of the chosen box, beside the list of all."""
    from explain.detections import found

    base = detections.first(choices, explainer, asked)
    _arrive(base)
    detections.arrive(base)
    missing = _missing(base, asked)
    _keep(_about(base))
    pair = st.session_state["box"]
    candidate = None if missing is None else missing.candidate
    known = None if candidate is None else detections.pair_of(candidate)
    explanation, state = None, "is at work"
    with left:
        try:
            explanation = detections.explained(choices, explainer, asked, base, pair, known)
        except Cancelled:
            state = "was stopped"
            explain_job.again()
    if explanation is None:
        title.markdown(f"## {METHODS[choices.method].name} {state}.")
        _waiting(lens, base, asked, missing, left, rows)
        return
    listed = detections.items(explanation, candidate)
    index = detections.place(listed, pair)
    with rows:
        if listed:
            index = detections.listing(explanation, listed, index)
        else:
            _none(explanation, asks=lens == "one" and asked.per == "detection")
        _hidden(explanation)
    if listed and listed[index].pair != pair:
        detections.choose(listed[index].pair)
        if index >= len(explanation.heatmaps) and asked.per != "picture":
            st.rerun()
    detections.keep(listed, index)
    said = f"{found(base)}{' Choose a box to see why.' if base.predictions and not index else ''}"
    title.markdown(f"## {said}")
    at = 0 if asked.per == "picture" else index
    with left:
        if lens == "all":
            comparisons.every_box(explanation, listed)
        elif lens != "one" and not listed:
            panels.show(choices.image, [panels.plain(choices.image)], key=f"viewer-{lens}")
        elif lens == "layers":
            said = comparisons.every_layer(choices, explainer, asked, listed[index])
        elif lens == "sizes":
            said = comparisons.every_size(choices, explainer, asked, listed[index].prediction)
        else:
            _one(explanation, listed, at, asked, missing)
        if said:
            title.markdown(f"## {said}")
        # Layers and sizes have maps of their own on the page.
        offered = lens in ("one", "all") and at < len(explanation.heatmaps)
        _below(explanation, at, offered)
    if offered:
        with right:
            st.markdown("##### What the map says")
            detections.numbers(explanation, at)


def _waiting(
    lens: str, base: Explanation, asked: Asked, missing: Missing | None, left: DeltaGenerator, rows: DeltaGenerator
) -> None:
    """The boxes while there is no map: another one can be chosen, or a place asked about, all the same."""
    listed, pair = detections.items(base, missing.candidate if missing else None), st.session_state["box"]
    chosen = detections.place(listed, pair)
    if listed:
        with rows:
            chosen = detections.listing(base, listed, chosen)
        detections.keep(listed, chosen)
        if listed[chosen].pair != (pair or listed[0].pair):
            detections.choose(listed[chosen].pair)
            st.rerun()
    with left:
        marks = detections.marks(base, listed, asked.tags, chosen)
        view = panels.show(base.image, [panels.plain(base.image)], key=VIEWER, marks=marks, area=lens == "one")
        if lens == "one" and asked.per == "detection":
            _places(view, base, listed, chosen, missing)
        with st.container(horizontal=True, vertical_alignment="center"):
            snapshots.camera()
            snapshots.gallery()


def _below(explanation: Explanation, index: int, offered: bool) -> None:
    """The camera, and where the map is `offered`, what can be taken along of it."""
    snapshots.follow(explanation)
    reopen.told(explanation)
    with st.container(horizontal=True, vertical_alignment="center"):
        snapshots.camera()
        snapshots.gallery()
        if not offered:
            return
        if explanation.finished:
            snapshots.save(explanation)
            charts.downloads(explanation, index)
            history_store.keep([(explanation, index)], screen="detect")
        charts.numbers_button(explanation, index, lambda: detections.table(explanation, index))
        st.caption(charts.timings(explanation), width="content")


def _one(explanation: Explanation, listed: list[Item], index: int, asked: Asked, missing: Missing | None) -> None:
    """One map, which follows the list, and what is to be said of it."""
    image = explanation.image
    maps = detections.heats(explanation, listed)
    shown = [Panel(maps=maps)] if maps else [panels.plain(image)]
    marks = detections.marks(explanation, listed, asked.tags)
    view = panels.show(image, shown, key=VIEWER, marks=marks, beside=True, area=True)
    if asked.per == "detection":
        _places(view, explanation, listed, index, missing)
    if maps:
        panels.tell(view, [(explanation, i) for i in range(len(explanation.heatmaps))], key=f"{VIEWER}-words")
        _say(explanation, index, "the whole picture" if asked.per == "picture" else listed[index].name)
        if view.region is not None:
            charts.marked(explanation, view.region, index)
        charts.findings(explanation, index)


def _say(explanation: Explanation, index: int, name: str) -> None:
    from explain.detections import lies

    if (sentence := lies(explanation, index, name)) is not None:
        st.markdown(f":material/filter_center_focus: {sentence}")


def _none(explanation: Explanation, *, asks: bool) -> None:
    """Why there is no box in the list; `asks`: what is missing can be asked for here."""
    from explain.detections import filtered, kinds

    why = "No box is sure enough to be shown."
    if hidden := filtered(explanation):
        why = f"The filter of classes, in More, hides {kinds(hidden)}."
    ask = "Click anywhere in the picture" if asks else "Choose One box, and A map for one box in More, then click"
    st.caption(f"{why} {ask} to ask for what is missing there.")


def _hidden(explanation: Explanation) -> None:
    """What a lower threshold would show."""
    from explain.detections import weaker

    if hidden := weaker(explanation):
        named = [f"{p.label} {percent(p.score)}" for p in hidden[:3]]
        more = [f"{len(hidden) - 3} more"] if len(hidden) > 3 else []
        noun = "weaker box" if len(hidden) == 1 else "weaker boxes"
        st.caption(f"{len(hidden)} {noun} hidden: {listing([*named, *more])}.")


def _arrive(base: Explanation) -> None:
    """A session that starts with an address: the place that it asks about, chosen unless a box is."""
    state, query = st.session_state, st.query_params
    if "missing" in state:
        return
    state["missing"] = None
    width, height = base.image.width, base.image.height
    label, where = query.get("ask-for"), detection_options.place(query.get("ask", ""), width, height)
    if where is not None:
        label = label if label in base.evidence.resident.adapter.labels else None
        state["missing"] = _asking(base, where, label) | {"fresh": "box" not in query}


def _asking(explanation: Explanation, where: tuple[float, ...], label: str | None) -> dict[str, Any]:
    """A question about a place, in whole pixels as the address has them."""
    x0, y0, x1, y1 = (float(round(edge)) for edge in where)
    of = (explanation.image.sha256, explanation.model.id)
    return {"of": of, "where": (x0, y0, x1, y1), "label": label, "fresh": True}


def _keep(about: dict[str, Any] | None) -> None:
    """The place in the address, of a picture that the address can name."""
    told = about is not None and st.session_state.get("picture") is None
    url_state.write("ask", detection_options.written(about["where"]) if about and told else None)
    url_state.write("ask-for", about["label"] if about and told else None)


def _about(explanation: Explanation) -> dict[str, Any] | None:
    """The place that was asked about in this picture with this model."""
    about: dict[str, Any] | None = st.session_state.get("missing")
    return about if about is not None and about["of"] == (explanation.image.sha256, explanation.model.id) else None


def _missing(base: Explanation, asked: Asked) -> Missing | None:
    """The candidate at the place that was asked about, for as long as it is."""
    about = _about(base)
    if about is None or asked.per != "detection":
        return None
    found = base.missing(about["where"], about["label"])
    if found is not None and about["fresh"]:
        about["fresh"] = False
        detections.choose(detections.pair_of(found.candidate))
        detections.turn()
    return found


def _places(view: View, explanation: Explanation, listed: list[Item], index: int, missing: Missing | None) -> None:
    """A new question about a place, or what is to be said of the last one."""
    _ask_about(view, explanation)
    if (about := _about(explanation)) is None:
        return
    asked_of = [item for item in listed if missing and item.pair == detections.pair_of(missing.candidate)]
    if asked_of and listed[index] not in asked_of:
        _looked_up(asked_of[0])
    else:
        _about_missing(missing, about, explanation)


def _ask_about(view: View, explanation: Explanation) -> None:
    """A click beside every box, or a rectangle: what is the model's best candidate there?"""
    state = st.session_state
    where = None
    # A click is told once, and this run starts anew right after it.
    if view.point is not None and view.box is None and view.point != state.get("asked-point"):
        where = (*view.point, *view.point)
    state["asked-point"] = view.point
    region = view.region if view.region is not None and view.region.kind == "rectangle" else None
    if region is not None and region.xyxy != state.get("asked-region"):
        where = region.xyxy
    state["asked-region"] = region.xyxy if region is not None else None
    if where is not None:
        state["missing"] = _asking(explanation, where, (_about(explanation) or {}).get("label"))
        st.rerun()


def _about_missing(missing: Missing | None, about: dict[str, Any], explanation: Explanation) -> None:
    """Why the candidate is not shown, for which class it is asked, and the way back."""
    state = st.session_state

    def other() -> None:
        about["label"], about["fresh"] = state["missing-class"], True

    words = missing.words if missing is not None else "There is no candidate at all at this place."
    with st.container(gap="xsmall"):
        st.markdown(f":material/search: {words}")
        with st.container(horizontal=True, vertical_alignment="center"):
            state["missing-class"] = about["label"]
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
            visual_prompts.offer(explanation, about["where"])
            _back()


def _looked_up(item: Item) -> None:
    """What is left of a candidate while another box is looked at."""
    with st.container(horizontal=True, vertical_alignment="center"):
        words = f"{article(item.label).capitalize()} was looked up: choose {item.number} in the list."
        st.caption(words, width="content")
        _back()


def _back() -> None:
    def back() -> None:
        st.session_state["missing"] = None
        detections.choose(None)
        detections.turn()

    st.button("Back to the boxes", icon=":material/undo:", on_click=back, help="Forget this candidate.")


def _no_detector(choices: Choices) -> None:
    """Of another kind of model: what it is, and the way to a detector."""
    does = "compares pictures: it predicts no class" if choices.model.task == "embed" else "names what it sees"
    st.markdown(f"## {choices.model.id} {does} and draws no boxes.")
    spec = _detector()
    if spec is None:
        first = next(spec for spec in catalog.catalog().values() if spec.task == "detect" and spec.id == FIRST)
        try:
            weights.locate(first, download=False)
        except WeightsProblem as problem:
            st.info(f"No detector is on this machine. {problem}", icon=":material/info:")
    else:
        st.button(
            f"Look with {spec.id}",
            icon=":material/select_all:",
            on_click=_use,
            args=(spec,),
            help="A detector that is on this machine; the picture stays.",
        )
    panels.show(choices.image, [panels.plain(choices.image)], key=VIEWER)


def _detector() -> ModelSpec | None:
    """A detector whose weights are here: of the catalogue's order, real ones only."""
    here = sidebar.menu()[1]
    every = [spec for spec in catalog.catalog().values() if spec.task == "detect" and spec.id in here]
    return next((spec for spec in every if "random" not in spec.weights), None)


def _use(spec: ModelSpec) -> None:
    st.session_state["family"] = spec.family
    st.session_state[f"size-{spec.family}"] = spec.id
    if spec.example and image_picker.photograph():
        image_picker.turn_to(spec.example)


detect()
