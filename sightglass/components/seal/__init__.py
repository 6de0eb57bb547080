"""Checks: three marks for each map of a page.

The browser asks for the tests once the map is on the screen, and then again until all marks are there: each time this
fragment alone runs, so that neither the map nor a click waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.settings import settings
from sightglass.common.work.progress import PausableStop
from sightglass.components import proof
from sightglass.components.declare import declare, no_callback
from sightglass.components.session import page, state
from sightglass.components.session.jobs.background import Job
from sightglass.explain.trust.checks import QUESTIONS, known, run_checks, untested
from sightglass.explain.trust.reliability import describe_expected

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.common.work.progress import Progress
    from sightglass.components.proof import Candidate
    from sightglass.explain.trust.checks import Checks


Unfinished = dict[Hashable, "Checks"]


@dataclass
class RunningChecks:
    """The session's tests that run, or failed, and of which maps."""

    keys: tuple[Hashable, ...] = ()
    job: Job[Unfinished] | None = None


def _check_each(
    maps: Sequence[Candidate], *, progress: Progress, cancel: threading.Event, partial: Callable[[Unfinished], None]
) -> Unfinished:
    """Test some maps one after the other; report partial results."""
    seals: Unfinished = {}
    for _, explanation, index in maps:
        key = explanation.checks_key(index)

        def grow(seal: Checks, key: Hashable = key) -> None:
            seals[key] = seal
            partial(seals)

        run_checks(explanation, index, progress=progress, cancel=cancel, partial=grow)
    return seals


def follow(maps: Sequence[Candidate], *, begin: bool) -> tuple[list[Checks | None], bool]:
    """Return the checks so far and whether tests are running.

    Tests of other maps stop. `begin`: start what is missing.
    """
    running, keys = state.of(RunningChecks), tuple(explanation.checks_key(index) for _, explanation, index in maps)
    if running.job is not None and (running.keys != keys or running.job.abandoned):
        running.job.cancel.set()
        running.job = None
    missing = [candidate for candidate, key in zip(maps, keys, strict=True) if known(key) is None]
    if missing and running.job is None and begin:
        running.keys, stop = keys, PausableStop()
        state.of(page.PageRun).tests = stop
        running.job = Job(partial(_check_each, missing), cancel=stop)
    if running.job is not None:
        running.job.polled()
    works = running.job is not None and not running.job.finished()
    unfinished = (running.job and running.job.partial) or {}
    seals = [known(key) or unfinished.get(key) for key in keys]
    if running.job is not None and not works and (failure := running.job.status.failure) is not None:
        why = str(page.find_problem(failure, "a map could not be sealed") or page.SOMETHING_BROKE)
        seals = [
            checks if checks is not None and checks.whole else untested(explanation.heatmaps[index].target.label, why)
            for checks, (_, explanation, index) in zip(seals, maps, strict=True)
        ]
    return seals, works


KEY = "seal"
HEIGHT = 24
"""CSS pixels of the marks of one map."""
_component = declare("seal", __file__, html='<div class="component seals"></div>')


@dataclass
class Clicked:
    """The last click on a mark: a run that it asks for must not answer it again."""

    last: Any = None


def draw(maps: Sequence[Candidate]) -> None:
    """Draw the marks of the page's testable maps, named if several.

    A click on a mark opens its test in the page's panel.
    """
    tested = [
        heatmap for heatmap in maps if heatmap[1].finished and heatmap[1].heatmaps[heatmap[2]].measured.state == "ok"
    ]
    if tested and settings().seal:
        reported = [_shows(explanation.known_checks(index)) for _, explanation, index in tested]
        _draw(tested, [name for name, *_ in maps], reported)


def keep_place() -> None:
    """Reserve the space of a map's marks until it exists."""
    if settings().seal:
        st.space(HEIGHT)


def _shows(checks: Checks | None) -> bool:
    return checks is not None and bool(checks.shows)


@st.fragment
def _draw(maps: Sequence[Candidate], names: list[str], reported: list[bool]) -> None:
    """Draw the marks; `reported`: the maps already reported as independent."""
    sent: dict[str, Any] = st.session_state.get(KEY) or {}
    click = sent.get("open")
    is_click = isinstance(click, dict) and click.get("test") in QUESTIONS and click.get("name") in names
    if click is not None and is_click and click != state.of(Clicked).last:
        state.of(Clicked).last = click
        proof.open_test(click["test"], names, click["name"])
        st.rerun()
    seals, works = follow(maps, begin=sent.get("ask") is not None)
    if _must_redraw(seals, reported):
        st.rerun()
    rows = [
        _row(item, checks) | {"label": item[0] if names[1:] else ""} for item, checks in zip(maps, seals, strict=True)
    ]
    _component(key=KEY, data={"rows": rows, "works": works}, on_ask_change=no_callback, on_open_change=no_callback)


def _must_redraw(seals: Sequence[Checks | None], reported: Sequence[bool]) -> bool:
    """Return whether the page must report new results beyond `reported`.

    Not before all three marks are there: only then does the rest of the page know them. The first map has the headline;
    for the others the page is drawn again once, not for each.
    """
    whole = [seal is not None and seal.whole for seal in seals]
    news = [done and _shows(checks) and not known for done, checks, known in zip(whole, seals, reported, strict=True)]
    return news[0] or (any(news) and all(whole))


def _row(of: Candidate, checks: Checks | None) -> Json:
    """Return a map's marks for drawing, unanswered ones included."""
    name, explanation, index = of
    marks: list[Json] = []
    for question, words in QUESTIONS.items():
        if (mark := None if checks is None else checks[question]) is not None:
            marks.append({"test": question, "words": mark.said, "answer": mark.state, "sentence": mark.sentence})
            continue
        expected = describe_expected(explanation, index) if question == "model" else ""
        sentence = f"This is being tested. {expected}".strip()
        marks.append({"test": question, "words": words, "answer": "", "sentence": sentence})
    return {"name": name, "marks": marks}
