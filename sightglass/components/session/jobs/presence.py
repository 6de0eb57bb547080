"""Stop work of browsers that left."""

from __future__ import annotations

import threading
import time
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import streamlit as st

from sightglass.common.errors import Cancelled
from sightglass.common.work.progress import stopped_by
from sightglass.components.streamlit_internals import is_connected, script_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GRACE = 1.0
"""Seconds that a browser may be away: a connection that breaks off comes back within them."""
EVERY = 0.25
"""Seconds between two looks."""


class PageWork(Protocol):
    """Work for one page."""

    def finished(self) -> bool:
        """Return whether it has ended."""

    def leave(self) -> None:
        """Stop, because nobody waits for it any more."""


class Watch:
    """Stops the work of sessions that have left; its thread lives while there is any work."""

    def __init__(
        self, connected: Callable[[str], bool] = is_connected, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connected, self._clock = connected, clock
        self._lock = threading.Lock()
        self._sessions: weakref.WeakKeyDictionary[PageWork, str] = weakref.WeakKeyDictionary()
        self._left: dict[str, float] = {}
        """When each session that is away was first seen to be."""
        self._thread: threading.Thread | None = None

    def add(self, work: PageWork, session: str) -> None:
        """Stop this work once its session has left."""
        with self._lock:
            self._sessions[work] = session
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
                self._thread.start()

    def look(self) -> bool:
        """Stop what nobody waits for any more; return whether any work is left."""
        with self._lock:
            alive = {work: session for work, session in self._sessions.items() if not work.finished()}
            self._sessions = weakref.WeakKeyDictionary(alive)
        now, sessions = self._clock(), set(alive.values())
        away = {session for session in sessions if not self._connected(session)}
        self._left = {session: self._left.get(session, now) for session in away}
        for work, session in alive.items():
            if session in away and now - self._left[session] >= GRACE:
                work.leave()
        return bool(alive)

    def _run(self) -> None:
        while True:
            time.sleep(EVERY)
            if self.look():
                continue
            with self._lock:
                if not self._sessions:
                    self._thread = None
                    return


_WATCH = Watch()


class PageVisit:
    """What a page does itself while its browser waits; `cancel` is set once that has gone."""

    def __init__(self) -> None:
        self.cancel = threading.Event()
        self._done = False

    def __enter__(self) -> threading.Event:
        watch(self)
        return self.cancel

    def __exit__(self, *_: object) -> None:
        self._done = True

    def finished(self) -> bool:
        return self._done

    def leave(self) -> None:
        self.cancel.set()


@contextmanager
def visit() -> Iterator[threading.Event]:
    """End what the page does in this block at its next pass once its browser has gone, and the page with it."""
    try:
        with PageVisit() as cancel, stopped_by(cancel):
            yield cancel
    except Cancelled:
        # Nobody reads the rest of the page.
        st.stop()


def watch(work: PageWork) -> None:
    """Stop this work once the session that starts it has left; does nothing outside of a page."""
    if (context := script_context()) is not None:
        _WATCH.add(work, context.session_id)
