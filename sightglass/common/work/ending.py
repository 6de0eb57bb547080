"""End this process in time, whatever its threads are at."""

import faulthandler
import signal
from collections.abc import Callable

GRACE = 3
"""Seconds beyond those of running requests, in which work stops and the interpreter ends."""
STOPPED_BY = (signal.SIGINT, signal.SIGTERM)
AT_STOP: list[Callable[[], None]] = []
"""What tells work in threads to stop, without waiting for it."""


def end_within(seconds: int) -> None:
    """End the process by force after so many seconds, and at once by the next signal.

    Python waits for threads at its end, and one in a library may never return. By force, what each thread was at goes
    to stderr.
    """
    faulthandler.dump_traceback_later(seconds, exit=True)
    if hasattr(signal, "alarm"):
        # By the kernel: libraries may hang once the interpreter is gone.
        signal.alarm(seconds + 1)
    end_at_once()


def stop_work() -> None:
    """Tell work in threads to stop."""
    for stop in AT_STOP:
        stop()


def end_at_once() -> None:
    """Let the next signal end the process without waiting for anything."""
    for number in STOPPED_BY:
        signal.signal(number, signal.SIG_DFL)
