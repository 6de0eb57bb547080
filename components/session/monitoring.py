"""What this session explains, put before the monitor where a person asked for it: aside, after it is shown."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import streamlit as st

from components.session import url_state

if TYPE_CHECKING:
    from collections.abc import Hashable

    from explain import Explanation

KEY = "watch-session"
MOST = 16
"""Explanations that wait to be watched; what comes when so many do is left out."""
AFTER = 0.3
"""Seconds that the page has for itself first."""
_TOLD = 512
"""Explanations of a session that are known to have been watched."""


def toggle() -> None:
    """The switch, off until it is chosen."""
    url_state.recall(KEY, (True, False), False)
    on = st.toggle(
        "Watch what this session explains",
        key=KEY,
        help="Every picture that you explain on the other screens, until the session ends, goes into the server's log: "
        "its numbers, and of an odd one the map and the name. The picture itself is kept only where the server was "
        "told to.",
    )
    url_state.keep(KEY, on)


def on() -> bool:
    """Whether it was asked for; costs nothing."""
    return bool(st.session_state.get("memory", {}).get(KEY))


def note(key: Hashable, explanation: Explanation) -> None:
    """Have an explanation watched once a session, by a thread; never waits, never fails."""
    told: dict[Hashable, None] = st.session_state.setdefault("watched", {})
    if key in told:
        return
    try:
        _waiting().put_nowait((time.monotonic() + AFTER, explanation))
    except queue.Full:
        return
    told[key] = None
    while len(told) > _TOLD:
        del told[next(iter(told))]


@st.cache_resource(show_spinner=False)
def _waiting() -> queue.Queue[Any]:
    """What waits, with the one thread that takes it."""
    waiting: queue.Queue[Any] = queue.Queue(MOST)
    threading.Thread(target=_watch, args=(waiting,), name="watch", daemon=True).start()
    return waiting


def _watch(waiting: queue.Queue[Any]) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
    while True:
        due, explanation = waiting.get()
        time.sleep(max(0.0, due - time.monotonic()))
        from components.session.page import LOGGER

        try:
            from explain.monitor import default

            default().watch(explanation, source="dashboard")
        except Exception:
            LOGGER.exception("an explanation could not be watched")
        # Not held while the next one is waited for.
        del explanation
