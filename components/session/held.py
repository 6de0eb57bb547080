"""Let go of what Streamlit's sessions hold for nobody: an explanation, with its activations and its model.

Streamlit keeps the callback of every button as long as the session, though the button is on a page that was left, and
all of a session for two minutes after its browser has gone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from streamlit import runtime
from streamlit.runtime.app_session import AppSessionState
from streamlit.runtime.scriptrunner import get_script_run_ctx

from components.session import state
from explain.evidence.cache import makes_room

if TYPE_CHECKING:
    from collections.abc import Container

    from streamlit.runtime.state.session_state import SessionState


def by_other_pages() -> None:
    """Drop the callbacks of widgets that the page, drawn to its end, does not have."""
    context = get_script_run_ctx(suppress_warning=True)
    # Of a fragment only its own widgets are drawn.
    if context is not None and not context.fragment_ids_this_run:
        _drop_callbacks(context.session_state._state, context.shared.widget_ids_this_run.snapshot())


@makes_room
def by_browsers_away() -> None:
    """Drop what sessions without a browser make again when it comes back, which draws their page anew."""
    if not runtime.exists():
        return
    manager = runtime.get_instance()._session_mgr
    for session in [info.session for info in manager.list_sessions()]:
        if not manager.is_active_session(session.id) and session._state is AppSessionState.APP_NOT_RUNNING:
            _drop_callbacks(session.session_state, ())
            session._fragment_storage.clear()
            state.drop_latest(session.session_state)


def _drop_callbacks(held: SessionState, drawn: Container[str]) -> None:
    metadata = held._new_widget_state.widget_metadata
    for id, one in list(metadata.items()):
        if id not in drawn and (one.callback or one.callbacks):
            metadata[id] = replace(one, callback=None, callbacks=None, callback_args=None, callback_kwargs=None)
