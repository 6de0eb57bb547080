"""Whose session it is, wherever Streamlit runs something for it."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.testing.v1 import AppTest

from sightglass.common import users
from sightglass.components.session.jobs import background
from sightglass.components.views import charts
from sightglass.history import unsure
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ANNA, BEN = users.User("anna@example.org", "Anna", "user"), users.User("ben@example.org", "Ben", "user")


def _app() -> None:
    import streamlit as st

    from sightglass.common import users
    from sightglass.components.session.jobs import background

    def note(name: str) -> None:
        st.session_state[name] = users.current().id

    def work(status: background.Status, cancel: object) -> None:
        status.words = users.current().id

    @st.fragment
    def part() -> None:
        st.button("in a fragment", on_click=note, args=("callback of a fragment",))
        note("fragment")

    @st.dialog("Open")
    def window() -> None:
        note("dialog")

    note("script")
    st.button("in the script", on_click=note, args=("callback",))
    part()
    if st.button("open"):
        window()
    task = background.Task(work, background.Status())
    assert task.finished(10)
    st.session_state["thread"] = task.status.words


@pytest.fixture
def annas() -> Iterator[None]:
    """A server that knows of Streamlit's threads, and of no other, that they work for Anna."""
    users.resolve_with(lambda: ANNA if get_script_run_ctx(suppress_warning=True) else users.LOCAL)
    yield
    users.resolve_with(None)


@pytest.mark.usefixtures("annas")
def test_everything_that_runs_for_a_session_works_for_its_person() -> None:
    app = AppTest.from_function(_app).run()
    for button in range(3):
        app.button[button].click().run()
    assert not app.exception
    places = ("script", "callback", "fragment", "callback of a fragment", "dialog", "thread")
    assert {place: app.session_state[place] for place in places} == dict.fromkeys(places, ANNA.id)
    assert users.current() is users.LOCAL


def test_a_download_is_made_for_who_was_offered_it(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[Callable[[], Any]] = []
    monkeypatch.setattr(st, "download_button", lambda label, make, **more: offered.append(make))
    with users.acting(ANNA):
        charts.download("Everything", lambda: users.current().id, "all.zip", key=None, help="")
    assert offered[0]() == ANNA.id


def test_an_unsure_answer_is_saved_for_whose_session_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: queue.Queue[tuple[str, object]] = queue.Queue()
    monkeypatch.setattr(unsure, "save_unsure", lambda explanation, below: saved.put((users.current().id, explanation)))
    for person in (ANNA, BEN):
        with users.acting(person):
            unsure.save_unsure_later(person.name, 0.5)  # type: ignore[arg-type]
    assert [saved.get(timeout=patience(10)) for _ in range(2)] == [(ANNA.id, ANNA.name), (BEN.id, BEN.name)]


def test_work_in_a_thread_acts_for_who_started_it() -> None:
    def work(status: background.Status, cancel: object) -> None:
        status.words = users.current().id

    with users.acting(ANNA):
        task = background.Task(work, background.Status())
    assert task.finished(10)
    assert task.status.words == ANNA.id
