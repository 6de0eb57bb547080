"""Whose session it is, wherever Streamlit runs something for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from sightglass.common import access, users
from sightglass.common.errors import SettingProblem
from sightglass.ui.session import signed_in
from sightglass.ui.views import charts

ANNA = "anna@example.org"


def _app() -> None:
    import streamlit as st

    from sightglass.common import users
    from sightglass.ui.session import signed_in
    from sightglass.ui.session.jobs.background import Job
    from tests.waits import patience

    def note(name: str) -> None:
        st.session_state[name] = users.current()

    def work(**_: object) -> str:
        return users.current()

    @st.fragment
    def part() -> None:
        st.button("in a fragment", on_click=note, args=("callback of a fragment",))
        note("fragment")

    @st.dialog("Open")
    def window() -> None:
        note("dialog")

    with signed_in.running():
        note("script")
        st.button("in the script", on_click=note, args=("callback",))
        part()
        if st.button("open"):
            window()
        job = Job(work)
        assert job.finished(patience(10))
        st.session_state["thread"] = job.result


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A server at which a provider signs in, and what it said of whoever opened the page."""
    answers: dict[str, Any] = {"is_logged_in": True, "email": "Anna@example.org", "email_verified": True}
    monkeypatch.setattr(access, "_IN_USE", [access.Access("oidc")])
    monkeypatch.setattr("streamlit.user_info._get_user_info", lambda: answers)
    signed_in.install()
    yield answers
    users.resolve_with(None)


@pytest.mark.usefixtures("claims")
def test_session_work_runs_for_visitor() -> None:
    app = AppTest.from_function(_app).run()
    for button in range(3):
        app.button[button].click().run()
    assert not app.exception
    places = ("script", "callback", "fragment", "callback of a fragment", "dialog", "thread")
    assert {place: app.session_state[place] for place in places} == dict.fromkeys(places, ANNA)
    assert users.current() == users.NOBODY
    assert next(iter(signed_in.menu().values()))[0] == "Sign out"


@pytest.mark.parametrize(
    ("said", "button"),
    [({"is_logged_in": False}, "Sign in"), ({"is_logged_in": True, "email": ANNA}, "Sign in as somebody else")],
)
def test_without_an_account_a_page_asks_to_sign_in(claims: dict[str, Any], said: dict[str, Any], button: str) -> None:
    claims.clear()
    claims.update(said)
    app = AppTest.from_function(_app).run()
    assert [each.label for each in app.button] == [button]
    assert any("not verified" in each.value for each in app.warning) == bool(said["is_logged_in"])
    assert "script" not in app.session_state


def test_downloads_work_for_who_started_them(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[Callable[[], Any]] = []
    monkeypatch.setattr(st, "download_button", lambda label, make, **more: offered.append(make))
    with users.acting(ANNA):
        charts.download("Everything", users.current, "all.zip", key=None, help="")
    assert offered[0]() == ANNA


WHOLE = dict.fromkeys(signed_in.NEEDED, "x") | {"cookie_secret": "x" * 32}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, None),
        (WHOLE, None),
        (WHOLE | {"client_secret": ""}, "lacks client_secret"),
        ({"redirect_uri": "x"}, "lacks cookie_secret, client_id"),
        (WHOLE | {"cookie_secret": "short"}, "too short"),
    ],
)
def test_a_provider_that_is_not_complete_is_one_sentence(section, words, monkeypatch):
    monkeypatch.setattr(signed_in, "_provider", lambda: section)
    if words is None:
        assert signed_in.is_configured() == bool(section)
        return
    with pytest.raises(SettingProblem, match=words):
        signed_in.is_configured()
