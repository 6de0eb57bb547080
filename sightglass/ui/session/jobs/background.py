"""Run jobs in threads with progress, stop and result."""

import atexit
import math
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.common.work import ending
from sightglass.common.work.progress import Progress, lower_priority
from sightglass.explain.phrases import NBSP
from sightglass.ui.session import page, state
from sightglass.ui.session.markdown import escape

ESTIMATE_AFTER = 1.0
"""Seconds after which the speed of some work says how long the rest takes."""
ABANDONED_AFTER = 15.0
"""Seconds after which a job that no page polls any more is stopped."""
STOP_TIMEOUT = 10.0
"""Seconds that `stop_all` waits for stopped jobs."""
READING = 10.0
"""Seconds for which a page waits for a finished result; then it shows that it is read."""
BUSY = 0.5
"""Seconds between two looks at a folder that another run writes into."""
PROGRESS_AFTER = 0.4
"""Seconds that work may take before a progress bar is worth showing."""
MAX_RESULTS = 24
"""Results of a session in memory: proofs are small, a scrambled model's maps take about 2 MB."""
_RUNNING: dict[threading.Thread, threading.Event] = {}
"""The threads that work, and what stops each."""

T = TypeVar("T")


class Job(Generic[T]):
    """A call in a thread, cancelled once the session drops this object."""

    def __init__(
        self,
        call: Callable[..., T],
        *,
        cancel: threading.Event | None = None,
        stays: bool = True,
        redraws: bool = False,
        name: Hashable = "",
        reads: bool = False,
    ) -> None:
        """Start `call(progress=…, cancel=…, partial=…)`; an exception becomes the `failure`.

        `cancel` tells the call to stop, and is checked between its passes. `stays`: it goes on where no page polls it.
        `redraws`: the page is redrawn for what `partial` is given. `name`: the person's other sessions join it by this
        (`SHARED`). `reads`: it reads a finished result, which takes a moment; then no progress is drawn.
        """
        self.share, self.words, self.started = 0.0, "Starting", time.monotonic()
        self.cancel = cancel or threading.Event()
        self.failure: BaseException | None = None
        self.result: T | None = None
        self.partial: T | None = None
        """The unfinished result, of a call that refines it step by step."""
        self.abandoned = False
        """Whether it was stopped because no page polled it any more."""
        self.drawn: T | None = None
        """The unfinished result that the page drew last."""
        self._polled_at = time.monotonic()
        self._redraws = redraws
        # The thread holds no reference to this object.
        weakref.finalize(self, self.cancel.set)
        self._thread = threading.Thread(target=_run, args=(weakref.ref(self), call, self.cancel, stays), daemon=True)
        _RUNNING[self._thread] = self.cancel
        self._thread.start()
        if name:
            SHARED[name] = self
        if reads:
            self.finished(READING)

    def finished(self, wait: float = 0.0) -> bool:
        """Return whether it has ended, after waiting at most `wait` seconds."""
        self._thread.join(wait)
        return not self._thread.is_alive()

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop; its thread ends at the next step."""
        return self.cancel.is_set() or isinstance(self.failure, Cancelled)

    def poll(self) -> bool:
        """Note that a page still waits; return whether it must be redrawn."""
        self._polled_at = time.monotonic()
        return self.finished() or (self._redraws and self.partial is not self.drawn)


def _run(ref: weakref.ref[Job[Any]], call: Callable[..., Any], cancel: threading.Event, stays: bool) -> None:
    lower_priority()

    def report(share: float, words: str) -> None:
        if (job := ref()) is not None:
            job.share, job.words = share, words
            if not stays and time.monotonic() - job._polled_at > ABANDONED_AFTER:
                job.abandoned = True
                cancel.set()

    def set_partial(partial: Any) -> None:
        if (job := ref()) is not None:
            job.partial = partial

    result, failure = None, None
    try:
        result = call(progress=report, cancel=cancel, partial=set_partial)
    except (Exception, Cancelled) as error:
        failure = error
    finally:
        if (job := ref()) is not None:
            job.result, job.failure = result, failure
            job.partial = job.partial if result is None else result
        _RUNNING.pop(threading.current_thread(), None)


SHARED: weakref.WeakValueDictionary[Hashable, Any] = weakref.WeakValueDictionary()
"""The jobs of all sessions by name, which a reloaded page joins."""


def wait_for_folder(
    run: Callable[[], T], describe: Callable[[], tuple[float, str]], progress: Progress, cancel: threading.Event
) -> T | None:
    """Return `run()` once no other run writes into its folder; report meanwhile how far that is. None if cancelled."""
    from sightglass.batch.journal import FolderBusy

    while True:
        try:
            return run()
        except FolderBusy:
            progress(*describe())
            if cancel.wait(BUSY):
                return None


@dataclass
class Jobs:
    """The session's jobs by name, and their results by input."""

    jobs: dict[str, tuple[Hashable, Job[Any]]] = field(default_factory=dict)
    results: dict[Hashable, Any] = field(default_factory=dict)

    def find(self, name: str, key: Hashable) -> Job[Any] | None:
        """Return the job with these inputs, if any; stop one with others."""
        before, job = self.jobs.get(name, (None, None))
        if job is None or (before == key and not job.abandoned):
            return job
        self.stop(name)
        return None

    def start(self, name: str, key: Hashable, call: Callable[..., Any], **options: Any) -> Job[Any]:
        """Start a call in place of the job before."""
        self.stop(name)
        job: Job[Any] = Job(call, stays=False, **options)
        self.jobs[name] = key, job
        return job

    def stop(self, name: str) -> None:
        """Stop a job, if there is one, and forget it."""
        _, job = self.jobs.pop(name, (None, None))
        if job is not None:
            job.cancel.set()

    def keep(self, key: Hashable, result: Any) -> None:
        """Keep a result in place of the oldest ones."""
        self.results.pop(key, None)
        self.results[key] = result
        while len(self.results) > MAX_RESULTS:
            del self.results[next(iter(self.results))]


def outcome(name: str, key: Hashable, call: Callable[..., T], *, button: str, help: str, event: str) -> T | None:
    """Return a call's result; without one, draw its state and return None. A failure is logged as `event`."""
    jobs = state.of(Jobs)
    if key in jobs.results:
        known: T = jobs.results[key]
        return known
    job = jobs.find(name, key)

    def start() -> None:
        jobs.start(name, key, call)

    if job is None:
        st.button(button, icon=":material/play_arrow:", key=f"start-{name}", on_click=start, help=help)
    elif not (job.stopped or job.finished(PROGRESS_AFTER)):
        progress(job, help="Stop it; what was computed before stays.")
    elif job.stopped:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Stopped: {escape(job.words)}.", width="content")
            again = "Begin again from the start."
            st.button("Start again", icon=":material/replay:", key=f"again-{name}", on_click=start, help=again)
    elif job.failure is not None:
        # A failed job stays, so that a rerun shows the same error instead of starting it again.
        page.show_failure(job.failure, event)
    else:
        del jobs.jobs[name]
        jobs.keep(key, job.result)
        return job.result
    return None


def cancel_all() -> None:
    """Tell all work of the process to stop."""
    for cancel in tuple(_RUNNING.values()):
        cancel.set()


ending.AT_STOP.append(cancel_all)


@atexit.register
def stop_all() -> None:
    """Stop all work of the process and wait for its end, at most `STOP_TIMEOUT` seconds."""
    # A daemon thread that returns from torch once the interpreter is gone aborts the process.
    end = time.monotonic() + STOP_TIMEOUT
    cancel_all()
    for thread in tuple(_RUNNING):
        thread.join(max(0.0, end - time.monotonic()))


def has_ended(job: Job[Any], event: str) -> bool:
    """Return whether a job has ended; draw its progress or failure."""
    if not job.finished():
        progress(job)
        return False
    if job.failure is not None and not job.stopped:
        page.show_failure(job.failure, event)
    return True


def progress(job: Job[Any], *, help: str = "") -> None:
    """Draw the progress of the work and, given `help`, a stop button."""
    with st.container(horizontal=True, vertical_alignment="center"):
        _bar(job)
        # Outside of what is redrawn twice a second: one run is then between the click and the end.
        if help:
            st.button("Stop", icon=":material/stop_circle:", on_click=job.cancel.set, help=help)


@st.fragment(run_every=0.5)
def _bar(job: Job[Any]) -> None:
    if job.poll() and not state.of(page.PageRun).window:
        st.rerun()
    words = f"{escape(job.words)}{time_left(job.share, time.monotonic() - job.started)}"
    st.progress(min(1.0, job.share), "Stopping…" if job.cancel.is_set() else words)


def time_left(share: float, elapsed: float) -> str:
    """Return `, about 40 s left`, rounded up as the rate varies, by seconds and share; empty while unknown."""
    if elapsed < ESTIMATE_AFTER or not 0.005 <= share < 1:
        return ""
    left = elapsed * (1 - share) / share
    about = f"{math.ceil(left / 60)}{NBSP}min" if left >= 90 else f"{5 * math.ceil(left / 5)}{NBSP}s"
    return f", about {about} left"
