"""What sessions hold for nobody: the callbacks of other pages, and the results of browsers that are away."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from streamlit import runtime
from streamlit.runtime.app_session import AppSessionState
from streamlit.runtime.fragment import MemoryFragmentStorage
from streamlit.runtime.state.common import WidgetMetadata
from streamlit.runtime.state.session_state import SessionState
from streamlit.testing.v1 import AppTest

from sightglass.components.session import held


class Large:
    """Stands for an explanation."""

    made: ClassVar[list[weakref.ref[Large]]] = []
    saved = 0

    def __init__(self) -> None:
        self.made.append(weakref.ref(self))

    def save(self) -> None:
        Large.saved += 1


def two_pages() -> None:
    import streamlit as st

    from sightglass.components.session import page
    from tests.unit.components.test_held import Large

    @page.guard
    def drawn() -> None:
        name = st.session_state.get("page", "one")
        st.button("Save", key=f"keep-{name}", on_click=Large.save, args=(Large(),))

    drawn()


def test_a_page_that_was_left_holds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Large, "made", [])
    app = AppTest.from_function(two_pages).run()
    app.button[0].click().run()
    assert not app.exception and Large.saved == 1
    app.session_state["page"] = "two"
    app.run()
    gc.collect()
    assert [one() is not None for one in Large.made] == [False, False, True]
    app.button[0].click().run()
    assert Large.saved == 2


class Session:
    """One of Streamlit's, which holds something large in each way."""

    def __init__(self, id: str, *, running: bool = False) -> None:
        self.id = id
        self._state = AppSessionState.APP_IS_RUNNING if running else AppSessionState.APP_NOT_RUNNING
        self.session_state, self._fragment_storage = SessionState(), MemoryFragmentStorage()
        held: list[Any] = [Large(), Large(), Large()]
        self.session_state["latest-ranking"] = ("key", held[0])
        self.session_state["chosen"] = "mine"
        self.session_state._set_widget_metadata(
            WidgetMetadata("$$ID-1-keep", str, str, "trigger_value", callback=Large.save, callback_args=(held[1],))
        )
        self._fragment_storage.register("one", held[2].save)
        self.holds = [weakref.ref(one) for one in held]


def test_sessions_of_browsers_that_are_away_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    here, away, running = Session("here"), Session("away"), Session("running", running=True)
    manager = SimpleNamespace(
        list_sessions=lambda: [SimpleNamespace(session=one) for one in (here, away, running)],
        is_active_session=lambda id: id == "here",
    )
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(_session_mgr=manager))
    held.by_browsers_away()
    gc.collect()
    held_by = [[one() is not None for one in session.holds] for session in (here, away, running)]
    assert held_by == [[True] * 3, [False] * 3, [True] * 3]
    assert away.session_state["chosen"] == "mine"
    # Its widgets still read what the browser sends when it is back.
    assert away.session_state.get_widget_metadata("$$ID-1-keep") is not None
