"""Run a test of a map in a thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.components.session import page, state
from sightglass.components.session.jobs import background
from sightglass.components.session.jobs.background import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sightglass.common.work.progress import Progress
    from sightglass.explain import Explanation

PATIENCE = 0.4
"""Seconds that a test may take before a progress bar is worth showing."""
KEPT = 16
"""Results that a session holds: of four maps or more."""
Key = tuple[Any, ...]


@dataclass(frozen=True)
class MapTest:
    """One of the page's tests."""

    name: str
    button: str
    icon: str
    help: str
    run: Callable[..., Any]
    """Called with an explanation, a map's index, `progress` and `cancel`."""


@dataclass
class MapTestJobs:
    """The session's tests that run, were stopped or failed, by the name of their part, and what others found."""

    jobs: dict[str, tuple[Key, Job[Any]]] = field(default_factory=dict)
    results: dict[Key, Any] = field(default_factory=dict)

    def keep(self, key: Key, result: Any) -> None:
        """Hold a result in place of the oldest one."""
        self.results[key] = result
        while len(self.results) > KEPT:
            del self.results[next(iter(self.results))]


def key_of(part: MapTest, explanation: Explanation, index: int) -> Key:
    """Return everything that a test's result depends on."""
    heatmap, evidence = explanation.heatmaps[index], explanation.evidence
    of_model = (explanation.model.id, evidence.resident.adapter.weights_sha256, evidence.paths)
    return (part.name, explanation.image.sha256, *of_model, heatmap.method, heatmap.target, explanation.options)


def result(part: MapTest, explanation: Explanation, index: int, *, begin: bool = False) -> Any:
    """Return what a test found, or None, where its button, progress or failure is drawn; `begin`: it needs no click."""
    held, key = state.of(MapTestJobs), key_of(part, explanation, index)
    if (found := held.results.get(key)) is not None:
        return found
    job = _find_job(part, key)

    def start() -> None:
        held.jobs[part.name] = (key, Job(partial(_run, part, explanation, index)))

    if job is None and begin:
        start()
        job = held.jobs[part.name][1]
    if job is None:
        st.button(part.button, icon=part.icon, key=f"start-{part.name}", on_click=start, help=part.help)
        return None
    # Nobody waits for a cancelled thread: it ends at the next step.
    if job.cancel.is_set() or isinstance(job.status.failure, Cancelled):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Stopped before it finished.", width="content")
            again = "Begin this test again from the start."
            st.button("Start again", icon=":material/replay:", key=f"again-{part.name}", on_click=start, help=again)
        return None
    if not job.finished(PATIENCE):
        background.progress(job, help=f"Stop this test: {part.button.lower()}.", estimate=True)
        return None
    # A failed job stays, so that a rerun shows the same error instead of starting it again.
    if job.status.failure is not None:
        page.show_failure(job.status.failure, "a test of a map failed")
        return None
    del held.jobs[part.name]
    held.keep(key, job.result)
    return job.result


def _run(part: MapTest, explanation: Explanation, index: int, *, progress: Progress, cancel: Event, **_: Any) -> Any:
    def report(share: float, words: str) -> None:
        progress(share, words[:1].upper() + words[1:])

    return part.run(explanation, index, progress=report, cancel=cancel)


def _find_job(part: MapTest, key: Key) -> Job[Any] | None:
    """Return the job of exactly this test, if there is one; that of another map is stopped."""
    jobs = state.of(MapTestJobs).jobs
    before, job = jobs.get(part.name, ((), None))
    if job is None:
        return None
    if before == key and not job.abandoned:
        return job
    job.cancel.set()
    del jobs[part.name]
    return None
