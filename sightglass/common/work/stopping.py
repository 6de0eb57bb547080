"""Graceful shutdown."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STOPPING = threading.Event()
_STOPS: list[Callable[[], None]] = []
_BUSY: list[Callable[[], bool]] = []
STEP = 0.05
"""Seconds between two looks at whether work is still running."""


def stopping() -> bool:
    """Return whether this process is about to end, and takes no new work."""
    return _STOPPING.is_set()


def on_stop(stop: Callable[[], None], busy: Callable[[], bool]) -> None:
    """Have `stop` called, in any thread, once the process is told to end; it is waited for while `busy()`."""
    _STOPS.append(stop)
    _BUSY.append(busy)


def stop(seconds: float) -> bool:
    """Take no new work, tell running work to end, and return whether all of it did within these seconds."""
    _STOPPING.set()
    for tell in _STOPS:
        tell()
    return wait_for_end(seconds)


def wait_for_end(seconds: float) -> bool:
    """Wait for running work for at most these seconds, and return whether none is left."""
    until = time.monotonic() + seconds
    while any(busy() for busy in _BUSY):
        if time.monotonic() >= until:
            return False
        time.sleep(STEP)
    return True
