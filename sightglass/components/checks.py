"""The checks of a page's maps: a chip beside the headline, and a card for each check.

A fragment runs the short tests once the page is drawn, and again until all are answered, so that neither the map nor a
click waits for them. The cards show each test at length; they are computed when a person opens them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.settings import settings
from sightglass.common.work.progress import PausableStop
from sightglass.components.session import page, state, url_state
from sightglass.components.session.jobs.background import Jobs
from sightglass.components.session.markdown import escape
from sightglass.explain.phrases import capital
from sightglass.explain.trust.checks import QUESTIONS, Checks, known, run_checks, untested

if TYPE_CHECKING:
    import threading

    from sightglass.common.work.progress import Progress
    from sightglass.explain import Explanation
    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.trust import Mark
    from sightglass.explain.trust.checks import Check

Candidate = tuple[str, "Explanation", int]
"""A map that can be tested: its name among those of the page, its explanation, its index there."""
Unfinished = dict[Hashable, Checks]
POLL = 0.5
"""Seconds between two looks at the running tests."""
ICONS: dict[Mark, str] = {
    "yes": ":material/check_circle:",
    "no": ":material/cancel:",
    "cannot be told": ":material/help:",
}
WORDS: dict[Mark, str] = {"yes": "passed", "no": "failed", "cannot be told": "unclear"}
_EMPTY = {
    "no evidence": "nothing in the picture speaks for it, so no place is hotter than another",
    "flat": "it is the same everywhere, so no place is hotter than another",
    "not a number": "it holds values that are not numbers, which the model or the method made",
}


JOB = "checks"
"""Name of the session's tests among its jobs."""


@dataclass
class CheckedMaps:
    """The maps whose tests began, or failed."""

    drawn: tuple[Hashable, ...] = ()
    """The maps of the last run: tests begin in a second one, once the maps are on the screen."""
    failed: dict[Hashable, Checks] = field(default_factory=dict)
    """What is said of maps whose tests broke."""


@dataclass
class OpenCards:
    """The pages whose cards are open."""

    pages: set[str] = field(default_factory=set)
    read: bool = False
    """Whether the address was read."""


def of_map(explanation: Explanation, index: int) -> list[Candidate]:
    """Return a map as the only one of its page, if there is one."""
    heatmaps = explanation.heatmaps
    return [(heatmaps[index].target.label, explanation, index)] if index < len(heatmaps) else []


def why_untested(heatmap: Heatmap) -> str | None:
    """Return the reason against a test in a sentence; None without one."""
    why = _EMPTY.get(heatmap.measured.state)
    return None if why is None else f"There is nothing to test about the map of {heatmap.target.label}: {why}."


def is_open() -> bool:
    """Return whether the page's cards are open, at first by address."""
    opened, name = state.of(OpenCards), state.of(state.Navigation).page
    if not opened.read:
        opened.read = True
        if st.query_params.get("prove") == "1":
            opened.pages.add(name)
    url_state.write("prove", name in opened.pages, False)
    return name in opened.pages


def _turn() -> None:
    opened, name = state.of(OpenCards), state.of(state.Navigation).page
    opened.pages ^= {name}
    if name not in opened.pages:
        _stop()


def _stop() -> None:
    """Stop the tests of the cards."""
    for id in QUESTIONS:
        state.of(Jobs).stop(f"check-{id}")


def chip(maps: Sequence[Candidate]) -> None:
    """Draw the chip with the state of the checks, which opens the cards."""
    tested = [item for item in maps if item[1].finished and item[1].heatmaps[item[2]].measured.state == "ok"]
    if not tested or not settings().seal:
        return
    keys = [explanation.checks_key(index) for _, explanation, index in tested]
    failed = state.of(CheckedMaps).failed
    pending = any(known(key) is None and key not in failed for key in keys)
    reported = [_shows(known(key)) for key in keys]
    st.fragment(_chip, run_every=POLL if pending else None)(tested, reported, pending)


def _chip(maps: Sequence[Candidate], reported: list[bool], pending: bool) -> None:
    results, works = follow(maps)
    whole = [checks is not None and checks.whole for checks in results]
    # The headline says of a map that it does not depend on the model; only a run of the whole page ends the polling.
    if (pending and all(whole)) or (whole[0] and _shows(results[0]) and not reported[0]):
        st.rerun()
    words = describe(results)
    icon = ":material/hourglass_top:" if works or not words else ":material/fact_check:"
    st.button(
        f"Checks: {words}" if words else "Checking…",
        icon=icon,
        key="checks",
        type="tertiary",
        on_click=_turn,
        help="Three tests of the map: with random weights, with its places hidden, with small changes of the picture.",
    )


def describe(results: Sequence[Checks | None]) -> str:
    """Return the states of the checks so far: `2 passed, 1 unclear`."""
    states = Counter(check.state for checks in results if checks is not None for check in checks.checks)
    return ", ".join(f"{states[name]} {words}" for name, words in WORDS.items() if states[name])


def _shows(checks: Checks | None) -> bool:
    return checks is not None and bool(checks.shows)


def follow(maps: Sequence[Candidate]) -> tuple[list[Checks | None], bool]:
    """Return the checks so far and whether tests are running.

    Tests of other maps stop. What is missing begins in the second run with these maps.
    """
    jobs, maps_state = state.of(Jobs), state.of(CheckedMaps)
    keys, failed = tuple(explanation.checks_key(index) for _, explanation, index in maps), maps_state.failed
    job = jobs.find(JOB, keys)
    missing = [item for item, key in zip(maps, keys, strict=True) if known(key) is None and key not in failed]
    if missing and job is None and maps_state.drawn == keys:
        stop = state.of(page.PageRun).tests = PausableStop()
        job = jobs.start(JOB, keys, partial(_check_each, missing), cancel=stop)
    maps_state.drawn = keys
    works = job is not None and not job.polled()
    if job is not None and not works and job.failure is not None:
        why = str(page.find_problem(job.failure, "a map could not be tested") or page.SOMETHING_BROKE)
        for (_, explanation, index), key in zip(maps, keys, strict=True):
            if known(key) is None:
                failed[key] = untested(explanation.heatmaps[index].target.label, why)
    unfinished: Unfinished = (job and job.partial) or {}
    return [known(key) or failed.get(key) or unfinished.get(key) for key in keys], works


def _check_each(
    maps: Sequence[Candidate], *, progress: Progress, cancel: threading.Event, partial: Callable[[Unfinished], None]
) -> Unfinished:
    """Test some maps one after the other; report partial results."""
    results: Unfinished = {}
    for _, explanation, index in maps:
        key = explanation.checks_key(index)

        def grow(checks: Checks, key: Hashable = key) -> None:
            results[key] = checks
            partial(results)

        run_checks(explanation, index, progress=progress, cancel=cancel, partial=grow)
    return results


def cards(maps: Sequence[Candidate], *, beside: bool = False) -> None:
    """Draw the open cards; `beside`: in one row, for a place as wide as the page."""
    maps = [candidate for candidate in maps if candidate[1].finished]
    if not maps or not is_open():
        return
    # Their charts and tables take large libraries.
    from sightglass.components import check_cards

    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("### Checks", width="content")
        st.button(
            "Close", icon=":material/close:", key="close-checks", type="tertiary", on_click=_turn, help="Go back."
        )
    _, explanation, index = maps[_which([name for name, *_ in maps])]
    if (why := why_untested(explanation.heatmaps[index])) is not None:
        _stop()
        st.info(why, icon=":material/science:")
        return
    titles = check_cards.TITLES
    columns = st.columns(len(titles)) if beside else [st.container() for _ in titles]
    checks, begin = known(explanation.checks_key(index)), True
    for (id, title), place in zip(titles.items(), columns, strict=True):
        with place, st.container(border=True, key=f"check-{id}"):
            _say(title, None if checks is None else checks[id])
            # One test after the other: they share the machine with the page.
            begin = check_cards.draw(id, explanation, index, begin) and begin


def _say(title: str, check: Check | None) -> None:
    """Draw a card's title with the check's state, and its sentence."""
    if check is None:
        st.markdown(f"#### :material/hourglass_top: {title}")
        return
    unclear = check.state == "cannot be told"
    st.markdown(f"#### {ICONS[check.state]} {title}: {'unclear' if unclear else check.state}")
    st.caption(escape(capital(check.sentence)))


def _which(names: list[str]) -> int:
    """Let a person choose one of several maps."""
    if len(names) < 2:
        return 0
    chosen = url_state.widget(
        st.selectbox,
        "Map to test",
        {str(i): name for i, name in enumerate(names)},
        "0",
        key=f"checks-of-{'-'.join(names)}",
        label_visibility="collapsed",
        help="Which of the maps on this page is tested.",
    )
    return int(chosen)
