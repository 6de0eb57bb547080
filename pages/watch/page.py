"""Watch: a model in use, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.choices import sidebar
from sightglass.components.session import page, reopen, state, url_state
from sightglass.components.session.jobs import monitoring
from sightglass.components.session.markdown import sentence
from sightglass.monitor import trend
from sightglass.monitor.observation import MEANING
from sightglass.monitor.threshold import judge
from sightglass.pages.watch import begin, cases, charts, drift, limits, log
from sightglass.pages.watch.log import Watching

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.monitor import Monitor, Observation
    from sightglass.pages.watch.log import Chosen

EVERY = 3.0
"""Seconds between two checks of the log for new lines."""


@page.guard
def watch() -> None:
    reopen.go()
    main = st.container()
    if begin.wants_example():
        # In one run: what a run that is cut short sets, such as the span of time, may not reach the browser.
        try:
            begin.start_example(*sidebar.draw())
        finally:
            with main:
                _draw_page()
        return
    # The log first: the model, which takes longer to load, is only needed for the sidebar.
    try:
        with main:
            _draw_page()
    finally:
        choices, _ = sidebar.draw()
    begin.start_requested(choices)


def _draw_page() -> None:
    """Draw everything but the sidebar."""
    title = st.container()
    begin.leave_outdated()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        before = st.container(horizontal=True, width="content", vertical_alignment="bottom")
        beside = st.container(horizontal=True, width="content", vertical_alignment="center")
    try:
        with beside:
            help = "Follow the log while this page is open."
            live = url_state.widget(st.toggle, "Live", (True, False), True, key="watch-live", help=help)
        monitor, way, popover = log.choose_log(beside)
        # Raises Problem for a folder that cannot be read.
        health = trend.health(monitor.folder) if monitor.folder is not None else None
    except Problem as problem:
        title.markdown("## A model in use")
        st.error(sentence(problem), icon=":material/error:")
        begin.button()
        return
    with popover:
        if way == "server" and trend.signature(monitor.folder):
            monitoring.toggle()
        if trend.signature(monitor.folder) or way != "server":
            begin.button()
    trial = log.trial()
    if way == "trial" and trial is not None:
        begin.progress(trial)
    for words in (*(health.words if health else ()), *monitor.problems):
        st.warning(words, icon=":material/warning:")
    if live:
        _tick(monitor, watches_server=trial is not None and trial.shared)
    if not trend.signature(monitor.folder):
        title.markdown(
            "## A model in use: explaining the first pictures" if way == "trial" else "## Nothing monitored yet"
        )
        if way != "trial":
            begin.begin(monitor, way)
        return
    with before:
        chosen = log.choose_what(monitor, way)
    _draw_report(chosen, title)
    cases.window(monitor)


def _draw_report(chosen: Chosen, title: DeltaGenerator) -> None:
    seen = log.read(
        ("seen", *chosen.stamp),
        lambda: chosen.monitor.observations(
            model=chosen.model, source=chosen.source, since=chosen.since, limit=log.MAX_LINES
        ),
    )
    if not seen:
        title.markdown(f"## {trend.headline(seen, log.SPANS[chosen.span][1])}")
        st.info("Nothing was monitored in this time: choose a longer one above.", icon=":material/schedule:")
        return
    left, right = st.columns([5, 4], gap="medium")
    with left:
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="top"):
            st.markdown("### Confidence", width="content")
            with st.container(width=300, gap="xxsmall"):
                unsure = limits.choose(chosen, seen)
        seen = judge(seen, unsure.by_model)
        brush = _charts(chosen, seen, unsure.drawn)
    shown = (
        seen if brush is None else [one for one in seen if one.time is not None and brush[0] <= one.time <= brush[1]]
    )
    with left:
        if brush is not None:
            charts.describe_brush(brush, len(shown))
        else:
            st.caption("Drag over the chart to compare a span of time.")
    with right:
        found = drift.draw(chosen, seen, brush)
    when = "in the time chosen" if brush else log.SPANS[chosen.span][1]
    words = trend.headline(shown, when)
    if found is not None and found.enough:
        title.markdown(f"## {found.headline}")
        title.caption(words)
    else:
        title.markdown(f"## {words}")
    cases.draw(chosen, sum(bool(one.odd) for one in seen), unsure.by_model)


def _charts(chosen: Chosen, seen: list[Observation], unsure: float) -> charts.Brush | None:
    """Draw confidence and one number of the maps over time; `unsure`: the threshold to draw, 0 for none. Return the
    span of time that was dragged over."""
    if len(seen) == log.MAX_LINES:
        st.caption(f"The newest {log.MAX_LINES:,} pictures; older ones are in the log's files.")
    odd, since = [one for one in seen if one.odd], trend.fit(seen, chosen.since, chosen.now)
    sure = trend.trend(seen, "confidence", since=since, until=chosen.now)
    trial = log.trial() if chosen.way == "trial" else None
    brush = charts.confidence(sure, odd, unsure, trial.status.since if trial else None)
    if since is None and chosen.since is not None:
        st.caption("The charts show only the time in which pictures came.")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        heading = st.container(width="content")
        number = charts.choose(seen)
        heading.markdown("### Its maps", help=MEANING[number] if number else None)
    drawn = [sure]
    if number is not None:
        drawn.append(trend.trend(seen, number, since=since, until=chosen.now))
        charts.statistic(drawn[-1])
    else:
        st.caption("None of these pictures has a map to measure.")
    charts.tables(*drawn)
    return brush


def _tick(monitor: Monitor, *, watches_server: bool) -> None:
    """Draw the page again when the log changes; `watches_server`: or when the server's own is no longer empty."""
    folder = monitor.folder

    def signature() -> object:
        return trend.signature(folder), watches_server and log.empty()

    state.of(Watching).drawn = signature()

    @st.fragment(run_every=EVERY)
    def tick() -> None:
        # Cheap: the page is drawn again only if a log has changed.
        if signature() != state.of(Watching).drawn:
            st.rerun()

    tick()


watch()
