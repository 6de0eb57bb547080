"""Time the models of a comparison in a thread, once its maps are on the page."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.work.progress import stopped_by
from sightglass.explain.comparison import times
from sightglass.ui.session import page, state
from sightglass.ui.session.jobs.background import Jobs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from sightglass.common.work.progress import Progress
    from sightglass.explain.comparison.models import Comparison
    from sightglass.explain.comparison.times import Timing
    from sightglass.explain.evidence.evidence import Evidence

JOB = "times"
"""Name of the work among the session's jobs."""
POLL = 0.5
"""Seconds between two looks at the work."""


@dataclass
class TimedModels:
    """What the session's models took, by models, devices and sizes of the input."""

    timings: dict[Hashable, tuple[Timing, ...]] = field(default_factory=dict)
    failed: dict[Hashable, str] = field(default_factory=dict)
    """Why models could not be timed."""
    looks: int = 0
    """How often the work was looked at since the page ran: the first look is in that run."""
    drawn: Hashable = None
    """The models of the last run: they are timed from a second one on, when their maps are on the screen."""


def with_times(comparison: Comparison) -> Comparison:
    """Return a comparison with the times of its models, if this session measured them."""
    _collect(_key(comparison))
    return replace(comparison, timings=state.of(TimedModels).timings.get(_key(comparison), ()))


def measured(comparison: Comparison) -> Comparison:
    """Return a comparison with the times of its models.

    Where they are not known, they are measured now.
    """
    key, timings = _key(comparison), state.of(TimedModels).timings
    if key not in timings:
        # Both at once would slow each other.
        state.of(Jobs).stop(JOB)
        timings[key] = times.measure_in_turns(_evidences(comparison))
    return with_times(comparison)


def forget(comparison: Comparison) -> None:
    """Have the models timed again."""
    timed, key = state.of(TimedModels), _key(comparison)
    timed.timings.pop(key, None)
    timed.failed.pop(key, None)


def failure(comparison: Comparison) -> str:
    """Return why the models could not be timed; empty where they can."""
    return state.of(TimedModels).failed.get(_key(comparison), "")


def follow(comparison: Comparison) -> None:
    """Time the models in the background.

    The page is run again once that is done.
    """
    timed, key = state.of(TimedModels), _key(comparison)
    pending = key not in timed.timings and key not in timed.failed
    timed.looks = 0
    st.fragment(_poll, run_every=POLL if pending else None)(comparison)


def _poll(comparison: Comparison) -> None:
    """Start the work; run the page again once it is done."""
    timed, jobs, key = state.of(TimedModels), state.of(Jobs), _key(comparison)
    timed.looks += 1
    job = jobs.find(JOB, key)
    if key in timed.timings or key in timed.failed:
        return
    if job is None and timed.drawn == key:
        jobs.start(JOB, key, partial(_measure, _evidences(comparison)))
    timed.drawn = key
    # Another run of the page would lose the click that this one answers, and close a window that is open over it.
    if timed.looks == 1 or state.of(page.PageRun).window:
        return
    if _collect(key):
        st.rerun()


def _collect(key: Hashable) -> bool:
    """Keep what the work has found, or why it failed.

    Return whether it has finished just now.
    """
    timed, jobs = state.of(TimedModels), state.of(Jobs)
    job = jobs.find(JOB, key)
    if job is None or not job.poll():
        return False
    if job.failure is None:
        timed.timings[key] = job.result or ()
    elif not job.stopped:
        timed.failed[key] = page.describe_failure(job.failure, "models could not be timed")
    jobs.stop(JOB)
    return True


def _measure(evidences: Sequence[Evidence], *, progress: Progress, cancel: Event, **_: Any) -> tuple[Timing, ...]:
    with stopped_by(cancel):
        return times.measure_in_turns(evidences, progress=progress)


def _evidences(comparison: Comparison) -> list[Evidence]:
    return [explanation.evidence for explanation in comparison.explanations]


def _key(comparison: Comparison) -> Hashable:
    """Return what the times depend on, besides the machine."""
    return tuple(
        (evidence.loaded.adapter.spec.id, str(evidence.loaded.device), evidence.geometry.input)
        for evidence in _evidences(comparison)
    )
