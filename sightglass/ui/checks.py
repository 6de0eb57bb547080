"""The checks of a page's maps: a chip beside the headline, and a card for each check.

A fragment runs the short tests once the page is drawn, and again until all are answered, so that neither the map nor a
click waits for them. The cards show each test at length; they are computed when a person opens them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.settings import MIB, settings
from sightglass.common.work.progress import PausableStop
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import capital
from sightglass.explain.trust.checks import QUESTIONS, Check, Checks, run_checks
from sightglass.ui.session import page, state, url_state
from sightglass.ui.session.jobs.background import Jobs
from sightglass.ui.session.markdown import escape

if TYPE_CHECKING:
    from sightglass.explain import Explanation
    from sightglass.explain.trust import Mark

POLL = 0.5
"""Seconds between two polls of the running tests."""
ICONS: dict[Mark, str] = {
    "yes": ":material/check_circle:",
    "no": ":material/cancel:",
    "cannot be told": ":material/help:",
}
WORDS: dict[Mark, str] = {"yes": "passed", "no": "failed", "cannot be told": "unclear"}
CACHE: ByteCache[Checks] = ByteCache(1 * MIB, lambda _: 1000)
"""The checks of maps that pages showed, by `Result.checks_key`."""
JOB = "checks"
"""Name of the session's tests among its jobs."""


@dataclass
class CheckedMaps:
    """The maps whose tests began, or failed."""

    drawn: Hashable = None
    """The map of the last run: tests begin in a second one, once the map is on the screen."""
    failed: dict[Hashable, Checks] = field(default_factory=dict)
    """The checks of maps whose tests failed."""


def _key() -> str:
    """Return under what the page remembers whether its cards are open."""
    return f"prove-{state.of(state.Navigation).page}"


def is_open() -> bool:
    """Return whether the page's cards are open, at first by address."""
    opened: bool = url_state.recall_value(_key(), (True, False), False, name="prove", read="1".__eq__)
    url_state.remember(_key(), opened, False, name="prove")
    return opened


def _toggle() -> None:
    url_state.remember(_key(), not url_state.memory(_key()))
    if not url_state.memory(_key()):
        _stop()


def _stop() -> None:
    """Stop the tests of the cards."""
    for id in QUESTIONS:
        state.of(Jobs).stop(f"check-{id}")


def draw_chip(explanation: Explanation, index: int) -> None:
    """Draw the chip with the state of a map's checks, which opens the cards."""
    maps = explanation.heatmaps
    if index >= len(maps) or not explanation.finished or maps[index].measured.state != "ok" or not settings().checks:
        return
    checks = CACHE.get(key := explanation.checks_key(index))
    pending = checks is None and key not in state.of(CheckedMaps).failed
    shows = checks is not None and bool(checks.shows)
    st.fragment(_poll_chip, run_every=POLL if pending else None)(explanation, index, shows, pending)


def _poll_chip(explanation: Explanation, index: int, reported: bool, pending: bool) -> None:
    checks, works = follow(explanation, index)
    # The headline says of a map that it does not depend on the model; only a run of the whole page ends the polling.
    final = checks is not None and len(checks.checks) == len(QUESTIONS) and (pending or (checks.shows and not reported))
    if final and not state.of(page.PageRun).window:
        st.rerun()
    words = "" if checks is None else describe(checks)
    if st.button(
        f"Checks: {words}" if words else "Checking…",
        icon=":material/hourglass_top:" if works or not words else ":material/fact_check:",
        key="checks",
        type="tertiary",
        on_click=_toggle,
        help="Three tests of the map: with random weights, with its places hidden, with small changes of the picture.",
    ):
        # The cards are drawn outside of this fragment.
        st.rerun()


def describe(checks: Checks) -> str:
    """Return the states of the checks so far: `2 passed, 1 unclear`."""
    states = Counter(check.state for check in checks.checks)
    return ", ".join(f"{states[name]} {words}" for name, words in WORDS.items() if states[name])


def follow(explanation: Explanation, index: int) -> tuple[Checks | None, bool]:
    """Return the checks so far and whether tests are running.

    Tests of another map stop. What is missing begins in the second run with this map.
    """
    jobs, checked, key = state.of(Jobs), state.of(CheckedMaps), explanation.checks_key(index)
    job = jobs.find(JOB, key)
    if CACHE.get(key) is None and key not in checked.failed and job is None and checked.drawn == key:
        stop = state.of(page.PageRun).tests = PausableStop()
        job = jobs.start(JOB, key, partial(_run, explanation, index), cancel=stop)
    checked.drawn = key
    works = job is not None and not job.polled()
    if job is not None and not works and job.failure is not None and CACHE.get(key) is None:
        why = page.describe_failure(job.failure, "a map could not be tested")
        failed = tuple(Check(id, "cannot be told", why) for id in QUESTIONS)
        checked.failed[key] = Checks(explanation.heatmaps[index].target.label, failed)
    return CACHE.get(key) or checked.failed.get(key) or (job.partial if job is not None else None), works


def _run(explanation: Explanation, index: int, **options: Any) -> Checks:
    result = run_checks(explanation, index, **options)
    CACHE.put(explanation.checks_key(index), result)
    return result


def draw_cards(explanation: Explanation, index: int, *, beside: bool = False) -> None:
    """Draw the open cards; `beside`: in one row, for a place as wide as the page."""
    if index >= len(explanation.heatmaps) or not explanation.finished or not is_open():
        return
    # Their charts and tables take large libraries.
    from sightglass.ui import check_cards

    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("### Checks", width="content")
        st.button("Close", icon=":material/close:", key="close-checks", type="tertiary", on_click=_toggle)
    heatmap = explanation.heatmaps[index]
    if heatmap.measured.state != "ok":
        _stop()
        words = f"There is nothing to test about the map of {heatmap.target.label}: no place is stronger than another."
        st.info(words, icon=":material/science:")
        return
    columns = st.columns(len(QUESTIONS)) if beside else [st.container() for _ in QUESTIONS]
    checks, begin = CACHE.get(explanation.checks_key(index)), True
    for (id, name), place in zip(QUESTIONS.items(), columns, strict=True):
        with place, st.container(border=True, key=f"check-{id}"):
            if checks is None or (check := checks[id]) is None:
                st.markdown(f"#### :material/hourglass_top: {capital(name)}")
            else:
                word = "unclear" if check.state == "cannot be told" else check.state
                st.markdown(f"#### {ICONS[check.state]} {capital(name)}: {word}")
                st.caption(escape(capital(check.sentence)))
            # One test after the other: they share the machine with the page.
            begin = check_cards.draw(id, explanation, index, begin) and begin
