"""Top-k: the best classes side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import percent
from sightglass.explain.tasks.describe import lacks_map
from sightglass.explain.trust.diagnosis import LIKELY, agreement_sentence, count_likely, describe_single
from sightglass.explain.whatif import touch
from sightglass.report import offers, views
from sightglass.ui import checks, saving
from sightglass.ui.choices import controls
from sightglass.ui.choices.method_switch import MethodSwitch
from sightglass.ui.instruments import instruments, numbers_of
from sightglass.ui.session import page, reopen, state, url_state
from sightglass.ui.session.control_table import TOP_K, Page
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.jobs.tested_job import Wanted
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.viewer import Pane
from sightglass.ui.views import charts, panels
from sightglass.ui.views.comparison_table import ComparisonTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain import Explanation
    from sightglass.explain.maps.statistics import Agreement

HIGHEST = 520
"""CSS pixels of maps in a window of 900: below them the first numbers are in sight."""
UNLIKELY = "unlikely"
"""Name in the address of the choice of answers below 1 %."""


@page.show_errors
def topk() -> None:
    bar, top, main = st.container(key="controls"), st.container(key="top"), st.container(key="maps")
    choices, explainer = controls.draw(bar)
    if image_source.adapt_to_model(choices.model):
        st.rerun()
    with top.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        # As wide as is left: a long sentence takes two lines and does not push the controls below it.
        title = st.container()
        right = st.container(horizontal=True, width="content", vertical_alignment="center", key="topk-choices")
    with right:
        beside = st.container(width="content")
        unlikely = st.container(width="content")
        count = TOP_K.choose(Page(explainer))
    switch = MethodSwitch(choices, explainer)
    with main:
        if METHODS[switch.standing.method].slow:
            title.markdown("## One map at a time.")
            quick = "choose a fast method for this page, or " if explainer.loaded.gradients else ""
            words = f"{METHODS[choices.method].name} takes minutes for several classes: {quick}look at one on Explore"
            words = words if quick else f"{explainer.model.id} {lacks_map(explainer.loaded, f', and {words}')}"
            st.info(f"{words}.", icon=":material/hourglass:")
            switch.draw()
            return
        waits = explainer.loaded.adapter.takes_prompt
        explanation = explain_job.explain(switch.standing, explainer, wait=waits, top_k=count)
        if explanation is None:
            title.markdown(f"## {METHODS[choices.method].name_for(choices.model.task)} is running.")
            return
        if not explanation.heatmaps:
            title.markdown(f"## {escape(controls.add_warning(choices, agreement_sentence(explanation)))}")
            panels.draw_viewer(choices.image, [panels.plain_pane(choices.image)], key="viewer-topk")
            charts.draw_findings(explanation, 0)
            charts.fit_switch(explanation)
            return
        every = explanation
        with unlikely:
            explanation = _leave_out_unlikely(every)
        explanation = switch.swap([Wanted(explanation, tuple(range(len(explanation.heatmaps))))])[0]
        # Two classes of ImageNet are called crane.
        labels = url_state.distinct(heatmap.target.label for heatmap in explanation.heatmaps)
        table = ComparisonTable(labels, partial(_agreement, explanation), matrix=False)
        pair = _draw_maps(explanation, table, switch)
        with beside:
            checks.draw(explanation, 0, waits=switch.waits)
        single = len(explanation.heatmaps) == 1 < len(every.heatmaps)
        agreement = describe_single(explanation) if single else agreement_sentence(explanation, pair)
        if pair is None:
            title.markdown(f"## {escape(controls.add_warning(choices, agreement))}")
            with title:
                controls.draw_way_back(choices.model)
        else:
            title.markdown(f"## {escape(panels.difference_title(explanation, pair))}")
            st.caption(escape(agreement))
        with st.container(horizontal=True, vertical_alignment="center", key="acts-topk"):
            files = lambda look: offers.class_downloads(explain_job.with_proofs(explanation), look)  # noqa: E731
            slide = lambda look: views.classes_view(explain_job.with_proofs(explanation), pair, look)  # noqa: E731
            saving.save_and_export("topk", files, saved=[(explanation, {})], slide=slide)
    with top:
        reopen.compare_with_file(explanation)


def _leave_out_unlikely(explanation: Explanation) -> Explanation:
    """Draw the choice of answers below 1 %, if there are any.

    Return an explanation without these answers until the choice is made.
    """
    likely, every = count_likely(explanation), len(explanation.heatmaps)
    if likely == every:
        url_state.set_url(UNLIKELY, None)
        return explanation
    label = f"{every - likely} more below {percent(LIKELY)}"
    help = "Also show answers that the model hardly considers."
    if url_state.widget(st.toggle, label, None, False, key="topk-unlikely", name=UNLIKELY, help=help):
        return explanation

    def make() -> Explanation:
        return explain_job.with_checks(explanation.with_options(top_k=likely))

    return state.latest("likely", (explanation, likely), make)


def _agreement(explanation: Explanation, first: int, second: int) -> Agreement | None:
    """Return how similar two maps are; None where one is empty."""
    empty = any(explanation.heatmaps[place].measured.state != "ok" for place in (first, second))
    return None if empty else explanation.agreements[first][second]


def _draw_maps(explanation: Explanation, table: ComparisonTable, switch: MethodSwitch) -> tuple[int, int] | None:
    """Draw the maps; return the indices of the compared two, if any."""
    places = range(len(explanation.heatmaps))
    maps = [panels.to_map(explanation, place, half=False) for place in places]
    panes = [Pane(maps=(maps[place],), facts=table.facts(place)) for place in places]
    place_of_maps = st.container()
    pair = _choose_pair(table.names)
    if pair is not None:
        panes.append(panels.difference_pane(explanation, pair))
    arrangement = panels.arrange(explanation.image, len(panes), highest=HIGHEST)
    look: dict[str, Any] = {"key": "viewer-topk", "together": True, "beside": len(panes) == 1}
    look |= {"height": arrangement.height, "columns": arrangement.columns}
    look |= {"keys": ("",) * len(panes), "spread": True, "touch": touch.register(explanation), "line": switch.until}
    with place_of_maps:
        stage, numbers = arrangement.places()
    with stage:
        view = panels.draw_viewer(explanation.image, panes, marks=panels.boxes(explanation), **look)
    with numbers:
        switch.draw()
        instruments(view, [numbers_of(explanation, place) for place in places])
        panels.draw_bars(panels.list_answers(explanation), key="topk-bars")
    return pair


def _choose_pair(labels: Sequence[str]) -> tuple[int, int] | None:
    """Draw the choice of two classes; return their indices, None without two."""
    if len(labels) < 2:
        return None
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
