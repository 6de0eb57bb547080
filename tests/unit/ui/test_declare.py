"""Events of components, as Streamlit delivers them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sightglass.ui import declare as declaring
from sightglass.ui.session import state


class Session:
    """A component on a page and its callbacks, in place of Streamlit's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown: dict[str, Any] = {}
        self.callbacks: dict[str, Any] = {}
        held: dict[type, Any] = {}
        monkeypatch.setattr(state, "of", lambda kind: held.setdefault(kind, kind()))
        monkeypatch.setattr(declaring.st, "session_state", self.shown)
        monkeypatch.setattr(declaring, "_register", lambda *_: self._mount)
        self.draw = declaring.declare("live", __file__, events=("frame",))

    def _mount(self, *, key: str, data: Any, **callbacks: Any) -> SimpleNamespace:
        self.callbacks = callbacks
        return SimpleNamespace(frame=None)

    def send(self, value: object) -> None:
        self.shown["camera"] = SimpleNamespace(frame=value)
        self.callbacks["on_frame_change"]()


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    opened = Session(monkeypatch)
    opened.draw(key="camera")
    return opened


def test_event_that_no_run_has_read_comes_to_the_next_run_alone(session):
    session.send("open")
    assert session.draw(key="camera").frame == "open"
    assert session.draw(key="camera").frame is None


def test_event_that_comes_again_after_its_page_was_left_is_no_error(session):
    session.shown.clear()
    session.callbacks["on_frame_change"]()
    assert session.draw(key="camera").frame is None
