"""Progress, cancellation and priority of work."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sightglass.common.errors import Cancelled

Progress = Callable[[float, str], None]
"""Called with the share done, 0..1, and a short text."""
PAUSE = 1.0
"""Seconds for which a check waits at most while a page is drawn."""
BACKGROUND_PRIORITY = 10
"""Priority of threads that let the dashboard's pages come first."""
_thread = threading.local()


def lower_priority() -> None:
    """Lower this thread's priority below pages; torch's threads inherit it."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND_PRIORITY)


class PausableStop(threading.Event):
    """A stop event whose check waits while the page is drawn, for at most `PAUSE` seconds.

    The thread that draws the page does not wait for itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self._page = 0
        self._free = threading.Event()
        self._free.set()

    def pause(self) -> None:
        self._page = threading.get_ident()
        self._free.clear()

    def resume(self) -> None:
        self._free.set()

    def set(self) -> None:
        super().set()
        self.resume()

    def is_set(self) -> bool:
        # Not for longer: the check may be within a lock that the page waits for.
        if threading.get_ident() != self._page:
            self._free.wait(PAUSE)
        return super().is_set()


@contextmanager
def stopped_by(event: threading.Event | None) -> Iterator[None]:
    """Raise Cancelled in this thread's next pass once an event is set, beside those around; None adds none."""
    before = getattr(_thread, "stops", ())
    _thread.stops = before if event is None else (*before, event)
    try:
        yield
    finally:
        _thread.stops = before


@contextmanager
def reported_to(progress: Progress | None) -> Iterator[None]:
    """Call `progress` with what this thread's work reports; None: nobody hears of it."""
    before = getattr(_thread, "progress", None)
    _thread.progress = progress
    try:
        yield
    finally:
        _thread.progress = before


def report(share: float, words: str) -> None:
    """Report the share done, 0..1, to whom `reported_to` named, if anybody."""
    progress: Progress | None = getattr(_thread, "progress", None)
    if progress is not None:
        progress(share, words)


def check() -> None:
    """Raise Cancelled if this thread's work was stopped."""
    if any(event.is_set() for event in getattr(_thread, "stops", ())):
        raise Cancelled
