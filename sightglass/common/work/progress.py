"""Progress, cancellation, priority, and the limit on simultaneous explanations."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sightglass.common.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator

Progress = Callable[[float, str], None]
"""Called with the share done, 0..1, and a short text."""
_SLOTS = threading.BoundedSemaphore(max(2, os.cpu_count() or 1))
"""Quick explanations that somebody waits for, at the same time: more at once are not done sooner."""
_POLL = 0.25
"""Seconds between two checks whether waiting work was cancelled."""
PAUSE = 1.0
NICE = 10
"""Priority of threads that let the dashboard's pages come first."""
_thread = threading.local()


def lower_priority() -> None:
    """Let pages come first from now on; threads that torch starts from this one inherit that."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


class PausableStop(threading.Event):
    """A stop event whose check waits while the page is being drawn, for at most `PAUSE` seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._free = threading.Event()
        self._free.set()

    def pause(self) -> None:
        self._free.clear()

    def resume(self) -> None:
        self._free.set()

    def set(self) -> None:
        super().set()
        self.resume()

    def is_set(self) -> bool:
        # Not for longer: the check may be within a lock that the page waits for.
        self._free.wait(PAUSE)
        return super().is_set()


@contextmanager
def stopped_by(event: threading.Event | None) -> Iterator[None]:
    """Raise Cancelled at the next pass of this thread, whatever it is part of, once an event is set; None: never."""
    before = getattr(_thread, "stop", None)
    _thread.stop = event
    try:
        yield
    finally:
        _thread.stop = before


def check() -> None:
    """Raise Cancelled where the work of this thread was stopped."""
    event: threading.Event | None = getattr(_thread, "stop", None)
    if event is not None and event.is_set():
        raise Cancelled


@contextmanager
def explanation_slot(cancel: threading.Event | None = None) -> Iterator[None]:
    """Wait until this thread may make a quick explanation; raise Cancelled once `cancel` is set."""
    while not _SLOTS.acquire(timeout=_POLL):
        if cancel is not None and cancel.is_set():
            raise Cancelled
    try:
        yield
    finally:
        _SLOTS.release()
