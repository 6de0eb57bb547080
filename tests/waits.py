"""Time limits of tests, which grow where this machine is slow or busy.

What is waited for is a condition and never a time: a limit only says when to give up.
"""

import os
import time
from functools import cache

QUIET = 0.025
"""Seconds of a processor that the piece of work takes on two cores of a virtual machine of 2024."""

LONGEST = 450.0
"""Seconds after which a busy machine gives up, too: a dozen failures must not take hours."""


@cache
def _slow() -> float:
    """Return how many times as long as there a known piece of work takes here; measured once, and at least 1."""
    started = time.process_time()
    sum(i * i % 7 for i in range(300_000))
    return max(1.0, (time.process_time() - started) / QUIET)


def patience(seconds: float) -> float:
    """Return how long to wait for what takes at most so many seconds on a quiet machine."""
    waiting = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    busy = max(1.0, waiting / (os.cpu_count() or 1))
    return min(seconds * _slow() * busy, LONGEST)
