"""Monitor a session's explanations."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common import users
from sightglass.common.work.progress import lower_priority
from sightglass.components.session import page, state, url_state

if TYPE_CHECKING:
    from collections.abc import Hashable

    from sightglass.explain import Explanation

KEY = "watch-session"
MAX_WAITING = 16
"""Explanations in the queue; more at once are not monitored."""
AFTER = 0.3
"""Seconds that the page has for itself first."""
MAX_NOTED = 512
"""Explanations of a session that are remembered as sent."""


@dataclass
class Sent:
    """The explanations of this session that were sent to the monitor."""

    keys: dict[Hashable, None] = field(default_factory=dict)


def toggle() -> None:
    """Draw the switch, off by default; nothing for a viewer, of whom nothing is logged."""
    if not users.may_save():
        return
    url_state.widget(
        st.toggle,
        "Monitor this session",
        (True, False),
        False,
        key=KEY,
        help="Adds every picture you explain until the session ends to the server's log. The log holds its "
        "numbers and, for an odd one, also the map and the file name. Pictures are saved only if the server is set up "
        "to do so.",
    )


def on() -> bool:
    """Return whether the session is monitored."""
    return bool(url_state.memory(KEY))


def note(key: Hashable, explanation: Explanation) -> None:
    """Send an explanation to the monitor once a session; never waits, never fails."""
    sent = state.of(Sent).keys
    if key in sent:
        return
    try:
        _queue().put_nowait((time.monotonic() + AFTER, users.current(), explanation))
    except queue.Full:
        return
    sent[key] = None
    while len(sent) > MAX_NOTED:
        del sent[next(iter(sent))]


@st.cache_resource(show_spinner=False)
def _queue() -> queue.Queue[Any]:
    """The queue of the process, and the one thread that empties it."""
    waiting: queue.Queue[Any] = queue.Queue(MAX_WAITING)
    threading.Thread(target=_watch, args=(waiting,), name="watch", daemon=True).start()
    return waiting


def _watch(waiting: queue.Queue[Any]) -> None:
    lower_priority()
    while True:
        due, user, explanation = waiting.get()
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            from sightglass.monitor import default

            with users.acting(user):
                default().watch(explanation, source="dashboard")
        except Exception:
            page.LOGGER.exception("an explanation could not be monitored")
        # Release it before waiting for the next one.
        del explanation
