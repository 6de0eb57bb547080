"""The checks of a page's maps: three tiles under the picture on Explore, a chip elsewhere, each with its cards.

A fragment runs the short tests once the page is drawn, and again until all are answered, so that neither the map nor a
click waits for them. The cards are there before anybody opens them; only what takes long begins by a click.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.settings import MIB, settings
from sightglass.common.work.progress import PausableStop, Progress, stopped_by
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import capital
from sightglass.explain.trust import MEANINGS, Mark, proof, scramble, stability
from sightglass.explain.trust.checks import QUESTIONS, Check, CheckId, Checks, run_checks
from sightglass.report import charts
from sightglass.ui import check_plays
from sightglass.ui.session import page, state
from sightglass.ui.session.jobs import background
from sightglass.ui.session.jobs.background import Jobs
from sightglass.ui.session.markdown import escape
from sightglass.ui.views import tables

if TYPE_CHECKING:
    from threading import Event

    from sightglass.explain import Explanation

POLL = 0.5
"""Seconds between two polls of the running tests."""
ICONS: dict[Mark, str] = {
    "yes": ":green[:material/check_circle:]",
    "no": ":red[:material/cancel:]",
    "cannot be told": ":material/help:",
}
WORDS: dict[Mark, str] = {"yes": "passed", "no": "failed", "cannot be told": "unclear"}
TILES: dict[CheckId, tuple[str, str]] = {
    "model": ("Changes with the model", "Point at the tile: this map and that of random weights take turns."),
    "answer": (
        "Matters",
        "Move across the tile: the strongest places are hidden, and beside them as much elsewhere (not of a box).",
    ),
    "stable": ("Stays", "Move across the tile: eight small changes and their maps."),
}
"""The names of the tiles, and what each plays on the large picture."""
BUTTONS: dict[CheckId, tuple[str, str]] = {
    "model": ("Scramble the weights", "Makes the map again three to eight times, by a copy of your model."),
    "answer": ("Measure every share", "Hides 5, 10, 15, … % in turn, then keeps only as much."),
    "stable": ("Change the picture", "Makes the map again for eight small changes of the picture."),
}
"""The buttons of tests that wait for a click: the longest one, and those of large models and slow methods."""

CHIP = "Whether this map can be relied on, by three tests of its own: a click shows what each found."


@dataclass(frozen=True, eq=False)
class Tested:
    """The checks of a map, and what their tests found."""

    checks: Checks
    found: dict[CheckId, Any] = field(default_factory=dict)
    """By `run_checks`; not of tests that could not be made."""


CACHE: ByteCache[Tested] = ByteCache(
    64 * MIB, lambda tested: 10 * tested.found["stable"].spread.nbytes if "stable" in tested.found else 1000
)
"""The checks of maps that pages showed, by `Result.checks_key`; eight maps and their spread are the most of each."""
JOB = "checks"
"""Name of the session's tests among its jobs."""


@dataclass
class CheckedMaps:
    """The maps whose tests began, or failed."""

    drawn: Hashable = None
    """The map of the last run: tests begin in a second one, once the map is on the screen."""
    failed: dict[Hashable, Tested] = field(default_factory=dict)
    """The checks of maps whose tests failed."""


def draw(explanation: Explanation, index: int, *, tiles: bool = False, waits: bool = False) -> None:
    """Draw the checks of a map: a chip that opens their cards, or with `tiles` one for each, which plays it.

    `waits`: another map is about to take its place, so that no test is begun.
    """
    maps = explanation.heatmaps
    if index >= len(maps) or not explanation.finished or maps[index].measured.state != "ok" or not settings().checks:
        return
    tested = CACHE.get(key := explanation.checks_key(index))
    pending = tested is None and key not in state.of(CheckedMaps).failed
    shows = tested is not None and bool(tested.checks.shows)
    poll = st.fragment(_poll, run_every=POLL if pending and not waits else None)
    poll(explanation, index, reported=shows, pending=pending, tiles=tiles, waits=waits)


def _poll(
    explanation: Explanation, index: int, *, reported: bool, pending: bool, tiles: bool, waits: bool = False
) -> None:
    """Draw the checks so far; `reported`: the headline says what they show; `pending`: some are not made yet."""
    tested, works = (CACHE.get(explanation.checks_key(index)), False) if waits else follow(explanation, index)
    known: dict[CheckId, Check] = {} if tested is None else {check.id: check for check in tested.checks.checks}
    # The headline says of a map that it does not depend on the model; only a run of the whole page ends the polling.
    final = tested is not None and len(known) == len(QUESTIONS) and (pending or (tested.checks.shows and not reported))
    if final and not state.of(page.PageRun).window:
        st.rerun()
    found: dict[CheckId, Any] = {} if tested is None else dict(tested.found)
    results = state.of(Jobs).results
    longer: tuple[CheckId, ...] = ("model", "stable")
    for id in longer:
        if (result := results.get((id, explanation.checks_key(index)))) is not None:
            found[id] = result
            known[id] = Check(id, result.mark if id == "model" else result.verdict, result.sentence)

    def card(id: CheckId, hint: str = "") -> None:
        with st.container(key=f"card-{id}", gap="xsmall"):
            _draw_answer(id, known.get(id))
            if id == "model" and id in found:
                st.caption(f"{MEANINGS[found[id].verdict]} {found[id].describe_draws()}")
            if hint:
                st.caption(f":material/touch_app: {hint}")
            # A window that is opened from here would be gone with the next poll.
            if not pending and (id == "answer" or id not in found):
                _draw_longer(id, explanation, index)

    with st.container(key="checks", horizontal=True, gap="xsmall"):
        if tiles:
            for id, (name, hint) in TILES.items():
                with st.popover(f"{name} **{_word(known.get(id))}**", key=f"tile-{id}", width="stretch", wrap=True):
                    card(id, hint)
            check_plays.draw(explanation, index, found)
            return
        words = "" if tested is None else describe(tested.checks)
        icon = ":material/hourglass_top:" if works or not words else ":material/fact_check:"
        unknown = "Checks" if waits else "Checking…"
        label = f"Checks: {words}" if words else unknown
        with st.popover(label, icon=icon, key="chip", type="tertiary", help=CHIP):
            for id in QUESTIONS:
                card(id)


def draw_saved(checks: Checks) -> None:
    """Draw the checks of a saved map: a chip that opens their cards."""
    with st.popover(
        f"Checks: {describe(checks)}", icon=":material/fact_check:", key="chip", type="tertiary", help=CHIP
    ):
        for check in checks.checks:
            _draw_answer(check.id, check)


def _draw_answer(id: CheckId, check: Check | None) -> None:
    st.markdown(f"#### {capital(QUESTIONS[id])}: {_word(check)}")
    if check is not None:
        st.caption(escape(capital(check.sentence)))


def _word(check: Check | None) -> str:
    if check is None:
        return ":material/hourglass_top: …"
    return f"{ICONS[check.state]} {'unclear' if check.state == 'cannot be told' else check.state}"


def _draw_longer(id: CheckId, explanation: Explanation, index: int) -> None:
    """Draw the button for a test that takes longer, its progress, and what it found."""

    def test(*, progress: Progress, cancel: Event, **_: Any) -> Any:
        def report(share: float, words: str) -> None:
            progress(share, capital(words))

        if id == "answer":
            # Other sessions may hold the same explanation: they have not asked for its proof.
            return explanation.with_tests({}).prove(index, progress=report, cancel=cancel)
        make: Callable[..., Any] = scramble.scramble if id == "model" else stability.stability
        with stopped_by(cancel):
            return make(explanation, index, progress=report)

    (button, help), event = BUTTONS[id], "a test of a map failed"
    key = (id, explanation.checks_key(index))
    result = background.outcome(f"check-{id}", key, test, button=button, help=help, event=event)
    if result is not None and id == "answer":
        help, icon = "The whole test, with all its numbers.", ":material/open_in_full:"
        look: dict[str, Any] = {"key": "details-answer", "title": capital(QUESTIONS[id]), "width": "large"}
        page.button_for_window("Details", partial(_draw_proof, result), icon=icon, help=help, **look)
    elif result is not None:
        st.rerun()


def _draw_proof(result: proof.Proof) -> None:
    """Draw a proof's sentence, curves and table."""
    st.image(charts.figure(charts.describe_proof(result)), alt=f"The score by what is hidden. {result.sentence}")
    st.markdown(f":material/fact_check: {escape(result.sentence)}")
    st.caption(escape(" ".join(proof.lines(result))))
    tables.table([dict(zip(proof.COLUMNS, row, strict=True)) for row in proof.rows(result)], right=proof.COLUMNS[1:])
    st.caption("Compare lines with each other, not with 0 or 100 %: a model has not learnt from half-covered pictures.")


def describe(checks: Checks) -> str:
    """Return the states of the checks so far: `2 passed, 1 unclear`."""
    states = Counter(check.state for check in checks.checks)
    return ", ".join(f"{states[name]} {words}" for name, words in WORDS.items() if states[name])


def follow(explanation: Explanation, index: int) -> tuple[Tested | None, bool]:
    """Return the checks so far and whether tests are running; from a map's second run on, start what is missing."""
    jobs, checked, key = state.of(Jobs), state.of(CheckedMaps), explanation.checks_key(index)
    job = jobs.find(JOB, key)
    if CACHE.get(key) is None and key not in checked.failed and job is None and checked.drawn == key:
        stop = state.of(page.PageRun).tests = PausableStop()
        job = jobs.start(JOB, key, partial(_run, explanation, index), cancel=stop)
    checked.drawn = key
    works = job is not None and not job.poll()
    if job is not None and not works and job.failure is not None and CACHE.get(key) is None:
        why = page.describe_failure(job.failure, "a map could not be tested")
        failed = tuple(Check(id, "cannot be told", why) for id in QUESTIONS)
        checked.failed[key] = Tested(Checks(explanation.heatmaps[index].target.label, failed))
    return CACHE.get(key) or checked.failed.get(key) or (job.partial if job is not None else None), works


def _run(explanation: Explanation, index: int, *, partial: Callable[[Tested], None], **options: Any) -> None:
    found: dict[CheckId, Any] = {}

    def report(checks: Checks) -> None:
        partial(Tested(checks, dict(found)))

    result = run_checks(explanation, index, partial=report, on_result=found.__setitem__, **options)
    CACHE.put(explanation.checks_key(index), Tested(result, found))
