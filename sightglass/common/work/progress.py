"""Progress callbacks and cancellation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sightglass.common.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Iterator

Progress = Callable[[float, str], None]
"""Called with the share done, 0..1, and a short text."""
_thread = threading.local()


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
