"""Top-k: the best classes side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.explain.methods import METHODS
from sightglass.explain.tasks.describe import lacks_map
from sightglass.explain.trust.diagnosis import agreement_sentence
from sightglass.report import offers, views
from sightglass.ui import checks, saving
from sightglass.ui.choices import controls
from sightglass.ui.session import page, reopen, url_state
from sightglass.ui.session.control_table import TOP_K, Page
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.viewer import Pane
from sightglass.ui.views import charts, panels

if TYPE_CHECKING:
    from sightglass.explain import Explanation


@page.show_errors
def topk() -> None:
    bar, top, main = st.container(key="controls"), st.container(key="top"), st.container(key="maps")
    choices, explainer = controls.draw(bar)
    with top.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        # As wide as is left: a long sentence takes two lines and does not push the controls below it.
        title, right = st.container(), st.container(horizontal=True, width="content", vertical_alignment="center")
    with right:
        beside = st.container(width="content")
        count = TOP_K.choose(Page(explainer))
    with main:
        if METHODS[choices.method].slow:
            title.markdown("## One map at a time.")
            quick = "choose a fast method for this page, or " if explainer.loaded.gradients else ""
            words = f"{METHODS[choices.method].name} takes minutes for several classes: {quick}look at one on Explore"
            words = words if quick else f"{explainer.model.id} {lacks_map(explainer.loaded, f', and {words}')}"
            st.info(f"{words}.", icon=":material/hourglass:")
            return
        explanation = explain_job.explain(choices, explainer, wait=explainer.loaded.adapter.takes_prompt, top_k=count)
        if explanation is None:
            title.markdown(f"## {METHODS[choices.method].name_for(choices.model.task)} is running.")
            return
        if not explanation.heatmaps:
            title.markdown(f"## {escape(controls.add_warning(choices, agreement_sentence(explanation)))}")
            panels.draw_viewer(choices.image, [panels.plain_pane(choices.image)], key="viewer-topk")
            charts.draw_findings(explanation, 0)
            charts.fit_switch(explanation)
            return
        pair = _draw_maps(explanation)
        with beside:
            checks.draw(explanation, 0)
        # The maps before their agreement, which takes longer to compute.
        agreement = agreement_sentence(explanation, pair)
        if pair is None:
            title.markdown(f"## {escape(controls.add_warning(choices, agreement))}")
        else:
            title.markdown(f"## {escape(panels.difference_title(explanation, pair))}")
            st.caption(escape(agreement))
        with st.container(horizontal=True, vertical_alignment="center"):
            files = lambda look: offers.class_downloads(explain_job.with_proofs(explanation), look)  # noqa: E731
            slide = lambda look: views.classes_view(explain_job.with_proofs(explanation), pair, look)  # noqa: E731
            saving.save_and_export("topk", files, saved=[(explanation, {})], slide=slide)
    with top:
        reopen.compare_with_file(explanation)


def _draw_maps(explanation: Explanation) -> tuple[int, int] | None:
    """Draw the maps; return the indices of the compared two, if any."""
    panes = [Pane(maps=(panels.to_map(explanation, i),)) for i in range(len(explanation.heatmaps))]
    labels = [heatmap.target.label for heatmap in explanation.heatmaps]
    above = st.container(key="above")
    pair = _choose_pair(labels)
    if pair is not None:
        panes.append(panels.difference_pane(explanation, pair))
    with above:
        marks = panels.boxes(explanation)
        panels.draw_viewer(explanation.image, panes, key="viewer-topk", marks=marks, height=360, together=True)
    return pair


def _choose_pair(labels: list[str]) -> tuple[int, int] | None:
    """Draw the choice of two classes; return their indices, None without two."""
    if len(labels) < 2:
        return None
    # Two classes of ImageNet are called crane.
    labels = url_state.distinct(labels)
    key = f"ticked-{labels}"
    if (linked := url_state.read_pair_once("ticked", labels)) is not None:
        st.session_state[key] = [*linked]
    ticked = st.pills(
        "Classes to compare",
        range(len(labels)),
        selection_mode="multi",
        key=key,
        format_func=lambda i: escape(labels[i]),
        label_visibility="collapsed",
        help="Tick two classes to see what speaks for the first and not for the second.",
    )
    pair = (ticked[-2], ticked[-1]) if len(ticked) > 1 else None
    url_state.set_url("ticked", [labels[i] for i in pair] if pair else None)
    return pair


topk()
