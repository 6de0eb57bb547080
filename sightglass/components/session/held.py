"""Release explanations of closed pages.

Streamlit keeps the callback of every button as long as the session, though the button is on a page that was left, and
all of a session for two minutes after its browser has gone.
"""

from __future__ import annotations

from sightglass.components import streamlit_internals
from sightglass.components.session import state
from sightglass.explain.evidence.cache import makes_room
from sightglass.explain.evidence.cache import relieve as relieve


def by_other_pages() -> None:
    """Drop the callbacks of widgets that the page, drawn to its end, does not have."""
    streamlit_internals.release_other_pages()


@makes_room
def by_browsers_away() -> None:
    """Drop what sessions without a browser make again when it comes back, which draws their page anew."""
    for session in streamlit_internals.idle_sessions():
        streamlit_internals.release_widgets(session)
        state.drop_latest(session.session_state)
