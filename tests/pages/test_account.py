"""The page under one's name: passwords, and what an administrator does about those that are forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from streamlit.testing.v1 import AppTest

from sightglass.common import users
from sightglass.common.access import attempts, passwords, people, policy, rates
from tests.pages.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def anna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An administrator, signed in to a server with passwords on whose list Ben is, too."""
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", str(tmp_path / "people.sqlite3"))
    monkeypatch.setattr(passwords, "COST", 2**4)
    monkeypatch.setattr(attempts, "_PASSWORDS", rates.Limiter(2, 10))
    found = people.add("anna", "admin", password="the-first-one").user
    people.add("ben", "user", password="forgotten-one")
    policy.install(policy.Policy("password"))
    users.resolve_with(lambda: found)
    yield
    policy.install(policy.Policy())
    users.resolve_with(None)


def give(app: AppTest, name: str, password: str) -> AppTest:
    """Fill the form for forgotten passwords, and press its button: the page has not run since."""
    next(one for one in app.selectbox if one.label == "Name").set_value(name)
    next(one for one in app.text_input if one.label == "Their new password").set_value(password)
    next(one for one in app.button if one.label == "Set password").click()
    return app


@pytest.mark.usefixtures("anna")
def test_an_administrator_gives_a_new_password_for_one_that_is_forgotten() -> None:
    app, token = AppTest.from_file(str(ROOT / "pages/account.py")).run(), people.issue_token("ben", "nightly")
    assert "anna" not in next(one for one in app.selectbox if one.label == "Name").options
    give(app, "ben", "a-new-password").run()
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


def change(app: AppTest, old: str, new: str) -> AppTest:
    fields = {field.label: field for field in app.text_input}
    fields["Current password"].set_value(old)
    fields["New password"].set_value(new)
    next(button for button in app.button if button.label == "Change").click()
    return app.run()


@pytest.mark.usefixtures("anna")
def test_the_current_password_cannot_be_guessed_on_the_account_page_either() -> None:
    app = AppTest.from_file(str(ROOT / "pages/account.py")).run()
    said = [change(app, f"guess {number}", "another one").error[0].value for number in range(11)]
    assert said[:10] == ["This is not the current password: try again."] * 10
    assert said[10].startswith("Too many attempts: try again in")
    # The right one has to wait, here and at the sign-in.
    assert change(app, "the-first-one", "another one").error[0].value.startswith("Too many attempts")
    assert attempts.count("198.51.100.1", "anna") > 0
    assert people.with_password("anna", "the-first-one") is not None


@pytest.mark.usefixtures("anna")
def test_a_right_password_counts_for_nothing() -> None:
    app = AppTest.from_file(str(ROOT / "pages/account.py")).run()
    for number in range(12):
        change(app, f"password number {number}" if number else "the-first-one", f"password number {number + 1}")
        assert not app.error
        assert app.success[0].value.startswith("The password is changed")


@pytest.mark.usefixtures("anna")
def test_a_list_that_changes_meanwhile_gives_nobody_elses_password_away() -> None:
    people.add("zoe", "user", password="forgotten-too")
    app = give(AppTest.from_file(str(ROOT / "pages/account.py")).run(), "zoe", "a-new-password")
    people.add("aaron", "user", password="not-forgotten")
    app.run()
    assert people.with_password("aaron", "not-forgotten") is not None
    assert people.with_password("ben", "forgotten-one") is not None
    assert [one.value for one in app.error] == ["Choose who has forgotten the password, and type the new one again."]


@pytest.mark.usefixtures("anna")
def test_a_page_that_stays_open_undoes_no_change_of_another_administrators() -> None:
    app = AppTest.from_file(str(ROOT / "pages/account.py")).run()
    next(one for one in app.selectbox if one.label == "ben").set_value("admin")
    app.run()
    assert [one.role for one in people.everybody()] == ["admin", "admin"]
    for role in ("viewer", "user", "viewer", "admin"):
        people.set_role("ben", role)
        app.run()
        assert [one.role for one in people.everybody()] == ["admin", role]
        assert next(one for one in app.selectbox if one.label == "ben").value == role
    people.remove("ben")
    people.add("ben", "viewer", password="somebody-else")
    app.run()
    assert [one.role for one in people.everybody()] == ["admin", "viewer"]
