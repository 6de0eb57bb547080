"""Run work in threads: start, progress, stop, result."""

from __future__ import annotations

import atexit
import math
import threading
import time
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import streamlit as st

from sightglass.common import users
from sightglass.common.errors import Cancelled
from sightglass.common.work import progress as stopping
from sightglass.common.work.progress import lower_priority
from sightglass.components.session import page
from sightglass.explain.phrases import NBSP

if TYPE_CHECKING:
    from collections.abc import Callable


SETTLED = 1.0
"""Seconds after which the speed of some work says how long the rest takes."""
ABANDONED = 15.0
"""Seconds after which a job that no page polls any more is stopped."""
FAREWELL = 10.0
"""Seconds that `stop_all` waits for work that was told to stop."""
_RUNNING: dict[threading.Thread, threading.Event] = {}
"""The threads that work, and what stops each."""


@dataclass
class Status:
    """What a thread reports to the page."""

    share: float = 0.0
    words: str = "Starting"
    failure: BaseException | None = None

    def report(self, share: float, words: str) -> None:
        self.share, self.words = share, words


S = TypeVar("S", bound=Status)
T = TypeVar("T")


class Task(Generic[S]):
    """Work in a thread that goes on across pages, and is cancelled once the session drops this object."""

    def __init__(
        self, work: Callable[..., None], status: S, *given: Any, cancel: threading.Event | None = None
    ) -> None:
        """Start `work(status, cancel, *given)`; an exception becomes the status's failure.

        `cancel` tells the work to stop, and is checked between its passes.
        """
        self.status, self.cancel, self.started = status, cancel or threading.Event(), time.monotonic()
        # The thread holds no reference to this object, unless `work` is one of its methods.
        weakref.finalize(self, self.cancel.set)
        for_person = users.bind_person(_run)
        self._thread = threading.Thread(target=for_person, args=(work, status, self.cancel, *given), daemon=True)
        _RUNNING[self._thread] = self.cancel
        self._thread.start()

    def finished(self, wait: float = 0.0) -> bool:
        """Return whether it has ended, after waiting at most `wait` seconds."""
        self._thread.join(wait)
        return not self._thread.is_alive()

    def polled(self) -> bool:
        """Return whether the page must be redrawn, at each progress poll."""
        return self.finished()


class Job(Task[Status], Generic[T]):
    """A call of the engine for a page; it stops once its page was left, or its browser has gone."""

    def __init__(
        self, call: Callable[..., T], *, redraw_every: float = 0.0, cancel: threading.Event | None = None
    ) -> None:
        """Start `call(progress=…, cancel=…, partial=…)`.

        `redraw_every`: seconds between two redraws of the page for what `partial` is given.
        """
        self.result: T | None = None
        self.partial: T | None = None
        """The unfinished result, of a call that refines it step by step."""
        self.abandoned = False
        """Whether it was stopped because no page polled it any more."""
        self._grown, self._drawn, self._redraw_every = threading.Event(), cast("T | None", None), redraw_every
        self._polled_at = self._drawn_at = time.monotonic()
        super().__init__(self._call, Status(), call, cancel=cancel)

    def _call(self, status: Status, cancel: threading.Event, call: Callable[..., T]) -> None:
        def report(share: float, words: str) -> None:
            status.report(share, words)
            if time.monotonic() - self._polled_at > ABANDONED:
                self.abandoned = True
                cancel.set()

        try:
            self.result = call(progress=report, cancel=cancel, partial=self._grow)
            self.partial = self.result
        finally:
            self._grown.set()

    def _grow(self, partial: T) -> None:
        self.partial = partial
        self._grown.set()

    def draw_partial(self) -> T | None:
        """Return the unfinished result for drawing."""
        self._drawn, self._drawn_at = self.partial, time.monotonic()
        return self._drawn

    def polled(self) -> bool:
        self._polled_at = time.monotonic()
        grown = self.partial is not self._drawn and self._polled_at - self._drawn_at >= self._redraw_every
        return super().polled() or grown


def _run(work: Callable[..., None], status: Status, *given: Any) -> None:
    lower_priority()
    try:
        work(status, *given)
    except (Exception, Cancelled) as failure:
        status.failure = failure
    finally:
        _RUNNING.pop(threading.current_thread(), None)


def cancel_all() -> None:
    """Cancel all work of the process, resumable at the next start."""
    for cancel in list(_RUNNING.values()):
        cancel.set()


stopping.on_stop(cancel_all, lambda: bool(_RUNNING))


@atexit.register
def stop_all() -> None:
    """Stop all work and wait for its end, at most `FAREWELL` seconds."""
    # A daemon thread that returns from torch once the interpreter is gone aborts the process.
    end = time.monotonic() + FAREWELL
    running = list(_RUNNING)
    cancel_all()
    for thread in running:
        thread.join(max(0.0, end - time.monotonic()))


def report_bytes(status: Status, cancel: threading.Event) -> Callable[[int, int], None]:
    """Return a cancellable download callback with progress as `12 of 345 MB`."""

    def report(done: int, total: int) -> None:
        if cancel.is_set():
            raise Cancelled
        status.report(done / total if total else 0.0, f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB")

    return report


@dataclass(frozen=True)
class Ending:
    """How work ended: as it should, by its stop button, or with a problem, in one sentence."""

    done: bool
    problem: str = ""


def follow(task: Task[Any], *, label: str, event: str) -> Ending | None:
    """Draw a download until its end; log a failure as `event`."""
    if not task.finished():
        progress(task, label=label, help="Stop the download.", estimate=True)
        return None
    failure = task.status.failure
    if failure is None or isinstance(failure, Cancelled):
        return Ending(failure is None)
    return Ending(False, str(page.find_problem(failure, event) or page.SOMETHING_BROKE))


def has_come(task: Task[Any], event: str) -> bool:
    """Return whether work is done; else draw its progress or failure."""
    if not task.finished():
        progress(task)
        return False
    if task.status.failure is not None:
        page.show_failure(task.status.failure, event)
    return task.status.failure is None


def progress(task: Task[Any], *, label: str = "", help: str = "", estimate: bool = False) -> None:
    """Draw the progress of the work and, given `help`, a stop button.

    `estimate`: say how long it still takes if it goes on as fast.
    """
    with st.container(horizontal=True, vertical_alignment="center"):
        _bar(task, label, estimate)
        # Outside of what is redrawn twice a second: one run is then between the click and the end.
        if help:
            st.button("Stop", icon=":material/stop_circle:", on_click=task.cancel.set, help=help)


@st.fragment(run_every=0.5)
def _bar(task: Task[Any], label: str, estimate: bool) -> None:
    if task.polled():
        st.rerun()
    words = "Stopping…" if task.cancel.is_set() else f"{label}{task.status.words}"
    if estimate and not task.cancel.is_set():
        words += time_left(task.status.share, time.monotonic() - task.started)
    st.progress(min(1.0, task.status.share), words)


def time_left(share: float, elapsed: float) -> str:
    """Return `, about 40 s left` from seconds and share, if known.

    Rounded up to what a person would say, since the rate varies.
    """
    if elapsed < SETTLED or not 0.005 <= share < 1:
        return ""
    left = elapsed * (1 - share) / share
    if left >= 90:
        return f", about {math.ceil(left / 60)}{NBSP}min left"
    return f", about {5 * math.ceil(left / 5)}{NBSP}s left"
