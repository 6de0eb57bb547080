"""The page under one's name: passwords, and what an administrator does about those that are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from common import users
from common.access import people, policy
from tests.pages.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def anna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An administrator, signed in to a server with passwords on whose list Ben is, too."""
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", str(tmp_path / "people.sqlite3"))
    found = people.add("anna", "admin", password="the-first-one").user
    people.add("ben", "user", password="forgotten-one")
    policy.install(policy.Policy("password"))
    users.resolve_with(lambda: found)
    yield
    policy.install(policy.Policy())
    users.resolve_with(None)


@pytest.mark.usefixtures("anna")
def test_an_administrator_gives_a_new_password_for_one_that_is_forgotten() -> None:
    app, token = AppTest.from_file(str(ROOT / "pages/account.py")).run(), people.issue_token("ben", "nightly")
    assert "anna" not in next(one for one in app.selectbox if one.label == "Name").options
    next(one for one in app.text_input if one.label == "Their new password").set_value("a-new-password")
    next(one for one in app.button if one.label == "Give it").click()
    app.run()
    assert not app.error
    assert people.with_password("ben", "a-new-password") is not None
    assert people.of_token(token) is None
    assert people.with_password("anna", "the-first-one") is not None


@pytest.mark.usefixtures("anna")
def test_a_wrong_password_hides_nothing_of_the_page() -> None:
    app = AppTest.from_file(str(ROOT / "pages/account.py")).run()
    next(one for one in app.text_input if one.label == "Current password").set_value("not-the-first-one")
    next(one for one in app.text_input if one.label == "New password").set_value("a-new-password")
    next(one for one in app.button if one.label == "Change").click()
    app.run()
    assert [one.value for one in app.error] == ["This is not the current password: try again."]
    assert "People" in [one.value for one in app.subheader]
