"""Watch: how sure a model is over time, where it looks, whether that has changed, and the worst cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from common.errors import Problem
from components.choices import sidebar
from components.session import monitoring, page, reopen, url_state
from explain.monitor import trend
from explain.monitor.observation import MEANING
from pages.watch import begin, cases, charts, drift, log

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from explain.monitor import Monitor, Observation
    from pages.watch.log import Chosen

EVERY = 3.0
"""Seconds between two looks at the log."""


@page.screen
def watch() -> None:
    reopen.go()
    # What was watched is there before the model is: that is only for the sidebar.
    main = st.container()
    try:
        with main:
            _watched()
    finally:
        choices, _ = sidebar.draw()
    begin.wanted(choices)


def _watched() -> None:
    """Everything but the sidebar."""
    title = st.container()
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="bottom"):
        before = st.container(horizontal=True, width="content", vertical_alignment="bottom")
        beside = st.container(horizontal=True, width="content", vertical_alignment="center")
    try:
        live = _live(beside)
        monitor, way = log.choose_log(beside)
        # Raises for a folder that is not to be read.
        state = trend.health(monitor.folder) if monitor.folder is not None else None
    except Problem as problem:
        title.markdown("## What a model does in use")
        st.error(str(problem), icon=":material/error:")
        begin.button()
        return
    _also(monitor, way)
    held = log.trial()
    if way == "trial" and held is not None:
        begin.told(held)
    for words in (*(state.words if state else ()), *monitor.problems):
        st.warning(words, icon=":material/warning:")
    if live:
        _tick(monitor)
    if not trend.signature(monitor.folder):
        title.markdown("## Nothing was watched yet")
        if way != "trial":
            begin.begin(monitor, way)
        return
    with before:
        chosen = log.choose_what(monitor, way)
    _shown(chosen, title)
    cases.window(monitor)


def _live(place: DeltaGenerator) -> bool:
    url_state.recall("watch-live", (True, False), True)
    with place:
        live = st.toggle("Live", key="watch-live", help="Follow the log while this page is open; off, it stands still.")
    url_state.keep("watch-live", live)
    return live


def _also(monitor: Monitor, way: str) -> None:
    with st.session_state["watch-popover"]:
        if way == "server" and trend.signature(monitor.folder):
            monitoring.toggle()
        if trend.signature(monitor.folder) or way != "server":
            begin.button()


def _shown(chosen: Chosen, title: DeltaGenerator) -> None:
    stamp: tuple[object, ...] = (chosen.folder, trend.signature(chosen.folder))
    stamp += (chosen.model, chosen.source, chosen.span)
    if chosen.since is not None:
        # What is too old by now goes, also where nothing new comes.
        stamp += (int(chosen.now.timestamp() // 60),)
    seen: list[Observation] = log.kept(
        "seen",
        stamp,
        lambda: chosen.monitor.observations(
            model=chosen.model, source=chosen.source, since=chosen.since, limit=log.MOST
        ),
    )
    title.markdown(f"## {trend.headline(seen, log.SPANS[chosen.span][1])}")
    if not seen:
        st.info("Nothing was watched in this time: choose a longer one above.", icon=":material/schedule:")
        return
    if len(seen) == log.MOST:
        st.caption(f"The newest {log.MOST:,} pictures; older ones are in the log's own files.")
    odd = [one for one in seen if one.odd]
    left, right = st.columns([5, 4], gap="medium")
    with left:
        st.markdown("##### How sure it is")
        sure = trend.trend(seen, "confidence", since=chosen.since, until=chosen.now)
        held = log.trial() if chosen.way == "trial" else None
        charts.confidence(sure, odd, chosen.monitor.threshold, held.state.since if held else None)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            heading = st.container(width="content")
            number = charts.choose(seen)
            heading.markdown("##### What its maps are like", help=MEANING[number] if number else None)
        drawn = [sure]
        if number is not None:
            drawn.append(trend.trend(seen, number, since=chosen.since, until=chosen.now))
            charts.statistic(drawn[-1])
        else:
            st.caption("None of them has a map that can be measured.")
        charts.tables(*drawn)
    with right:
        drift.draw(chosen, seen)
    cases.draw(chosen, len(odd))


def _tick(monitor: Monitor) -> None:
    folder = monitor.folder
    st.session_state["watch-drawn"] = trend.signature(folder)

    @st.fragment(run_every=EVERY)
    def tick() -> None:
        # A small look; the page is drawn again only where there is news.
        if trend.signature(folder) != st.session_state.get("watch-drawn"):
            st.rerun()

    tick()


watch()
