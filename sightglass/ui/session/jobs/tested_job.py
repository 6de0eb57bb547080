"""Compute tested maps in a thread, while a page shows the quick ones that they take the place of."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.work.progress import PausableStop
from sightglass.ui.session import page, state
from sightglass.ui.session.control_table import TESTED
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.jobs.background import Jobs
from sightglass.ui.session.markdown import escape, sentence

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from threading import Event

    from sightglass.common.work.progress import Progress
    from sightglass.explain import Explanation
    from sightglass.ui.session.jobs.background import Job

JOB = "tested"
"""Name of the work among the session's jobs."""
POLL = 0.5
"""Seconds between two looks at the work."""
WAITING = "Tested: waits until the page is drawn"
STOP = "Stop, and stay with the quick map."
AGAIN = "Compute the tested map from the start."


@dataclass(frozen=True, eq=False)
class Wanted:
    """Quick maps whose targets are to be explained by a tested map."""

    explanation: Explanation
    places: tuple[int, ...]
    """Indices of the maps."""

    @cached_property
    def key(self) -> explain_job.Key:
        """Everything that the tested maps depend on."""
        image, options = self.explanation.image, self.explanation.options
        # The name and notes as well: see `explain_job.explain`.
        about = (JOB, image.name, image.notes, options.within, options.scale, options.top_k)
        return (*about, *map(self.explanation.checks_key, self.places))

    def compute(self, progress: Progress, cancel: Event) -> Explanation:
        """Return the tested maps of these targets alone."""
        explanation = self.explanation
        if len(self.places) < len(explanation.heatmaps):
            targets = [explanation.heatmaps[place].target for place in self.places]
            boxes = explanation.task.explains("detection") and explanation.options.per == "detection"
            named: list[Any] = [(each.anchors[0], each.index) if boxes else each.index for each in targets]
            explanation = explanation.with_targets(*named)
        return explanation.with_method(TESTED, progress=progress, cancel=cancel)


@dataclass
class TestedMaps:
    """What the session's work has found."""

    last: dict[explain_job.Key, Explanation] = field(default_factory=dict)
    """The maps of the last work: the cache of all sessions may have no room for them."""
    failed: dict[Hashable, str] = field(default_factory=dict)
    """Why maps could not be tested."""
    looks: int = 0
    """How often the work was looked at since the page ran: the first look is in that run."""
    drawn: Hashable = None
    """What was asked for in the last look: work begins in a second one, once the quick map is on the screen."""


def find(wanted: Sequence[Wanted]) -> list[Explanation] | None:
    """Return the tested maps; None while one of them is not known."""
    _collect(wanted)
    last = state.of(TestedMaps).last
    found = [last.get(each.key) or explain_job.find(each.key) for each in wanted]
    known = [explain_job.with_checks(explanation) for explanation in found if explanation is not None]
    return known if len(known) == len(wanted) else None


def is_coming(wanted: Sequence[Wanted]) -> bool:
    """Return whether the maps are computed, or are about to be: neither failed nor stopped."""
    key = _key(wanted)
    job = state.of(Jobs).find(JOB, key)
    return key not in state.of(TestedMaps).failed and not (job is not None and job.stopped)


def stop() -> None:
    """Stop the work, as other maps are shown."""
    state.of(Jobs).stop(JOB)


def follow(wanted: Sequence[Wanted]) -> None:
    """Compute the tested maps in the background, and draw how far that is.

    The page is run again once they are known.
    """
    key = _key(wanted)
    tested = state.of(TestedMaps)
    tested.looks = 0
    st.fragment(_poll, run_every=None if key in tested.failed else POLL)(wanted)


def _key(wanted: Sequence[Wanted]) -> Hashable:
    return tuple(each.key for each in wanted)


def _poll(wanted: Sequence[Wanted]) -> None:
    """Start the work and draw it; run the page again once it is done."""
    tested, key = state.of(TestedMaps), _key(wanted)
    tested.looks += 1
    if key in tested.failed:
        st.error(sentence(tested.failed[key]), icon=":material/error:")
        return
    job = state.of(Jobs).find(JOB, key)
    if job is None and tested.drawn == key:
        job = _start(wanted)
    tested.drawn = key
    _draw(job)
    # Another run of the page would lose the click that this one answers, and close a window that is open over it.
    waits = tested.looks == 1 or state.of(page.PageRun).window
    if job is not None and job.poll() and not (job.stopped or waits):
        st.rerun()


def _start(wanted: Sequence[Wanted]) -> Job[list[Explanation]]:
    cancel = PausableStop()
    state.of(page.PageRun).maps = cancel
    return state.of(Jobs).start(JOB, _key(wanted), partial(_compute, wanted), cancel=cancel)


def _draw(job: Job[list[Explanation]] | None) -> None:
    """Draw how far the work is, and what stops it or begins it again."""
    with st.container(horizontal=True, vertical_alignment="center", key="tested-progress"):
        if job is None:
            st.progress(0.0, WAITING)
        elif job.stopped:
            st.caption("Stopped: this is the quick map.", width="content")
            look: dict[str, Any] = {"icon": ":material/replay:", "key": "tested-again", "help": AGAIN}
            st.button("Start again", on_click=stop, **look)
        else:
            st.progress(min(1.0, job.share), escape(job.words))
            look = {"icon": ":material/stop_circle:", "key": "tested-stop", "help": STOP}
            if st.button("Stop", **look):
                job.cancel.set()
                # The checks of the quick map begin.
                st.rerun()


def _collect(wanted: Sequence[Wanted]) -> None:
    """Keep what the work has found, or why it failed."""
    tested = state.of(TestedMaps)
    job = state.of(Jobs).find(JOB, _key(wanted))
    if job is None or job.stopped or not job.finished():
        return
    if job.failure is not None:
        tested.failed[_key(wanted)] = page.describe_failure(job.failure, "a map could not be tested")
    for each, explanation in zip(wanted, job.result or (), strict=False):
        explain_job.keep(each.key, explanation)
    tested.last = {each.key: found for each, found in zip(wanted, job.result or (), strict=False)}
    stop()


def _compute(wanted: Sequence[Wanted], *, progress: Progress, cancel: Event, **_: Any) -> list[Explanation]:
    found = []
    for place, each in enumerate(wanted):

        def report(share: float, words: str, place: int = place) -> None:
            progress((place + share) / len(wanted), words)

        found.append(each.compute(report, cancel))
    return found
