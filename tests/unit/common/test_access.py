"""Who may use a server: by its address, the settings, and a provider's claims."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sightglass.common import access, users
from sightglass.common.errors import SettingProblem

LOCAL = ("localhost", "LOCALHOST.", "127.0.0.1", "127.8.8.8", "::1", "[::1]", "::ffff:127.0.0.1", "unix:/tmp/s")
NETWORK = (None, "", "0.0.0.0", "::", "192.0.2.7", "example.org", "localhost.example.org")


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0"])
def test_a_token_or_a_provider_counts_on_every_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert access.choose(host, oidc=True) == access.Access("oidc")
    monkeypatch.setenv("SIGHTGLASS_API_KEY", "key")
    assert access.choose(host) == access.Access("token", "key")
    monkeypatch.setenv("SIGHTGLASS_TOKEN", "token")
    assert access.choose(host) == access.Access("token", "token")
    assert access.choose(host, token="given") == access.Access("token", "given")
    assert access.choose(host, oidc=True) == access.Access("oidc", "token")


def test_open_is_said_and_contradicts_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    assert access.choose("0.0.0.0", open_to_all=True).way == "open"
    monkeypatch.setenv("SIGHTGLASS_OPEN", "1")
    assert "whoever reaches this address" in (access.announcement(access.choose("0.0.0.0")) or "")
    for more in ({"token": "t"}, {"oidc": True}):
        with pytest.raises(SettingProblem, match="remove one of them"):
            access.choose("0.0.0.0", **more)


MAIL = {"email": "Anna@Example.org", "email_verified": True, "sub": "x7"}


@pytest.mark.parametrize(
    ("claims", "id_"),
    [
        (MAIL, "anna@example.org"),
        (MAIL | {"email_verified": False}, "x7"),
        (MAIL | {"email_verified": "true"}, "x7"),
        # The letter's small form is k.
        (MAIL | {"email": "\N{KELVIN SIGN}im@example.org"}, "\N{KELVIN SIGN}im@example.org"),
        ({"sub": "anna@example.org"}, None),
        ({"sub": "x\n7"}, None),
        ({"sub": " "}, None),
        ({"sub": "x" * 255}, None),
        ({}, None),
    ],
)
def test_an_address_counts_only_if_it_is_verified(claims: dict[str, Any], id_: str | None) -> None:
    assert access.identify(claims) == id_


@pytest.mark.parametrize(
    ("emails", "allowed"),
    [
        ("ben@example.org, ANNA@EXAMPLE.ORG", True),
        ("@example.org", True),
        ("ben@example.org", False),
        ("@ample.org", False),
        ("example.org", False),
    ],
)
def test_emails_and_domains_may_be_named(emails: str, allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_EMAILS", emails)
    assert (access.identify(MAIL) is not None) == allowed
    assert access.identify({"sub": "x7"}) is None


def test_nobody_signs_in_on_localhost_and_any_other_address_has_a_token_of_its_own() -> None:
    for host in LOCAL:
        assert access.choose(host) == access.Access("local"), host
    for network in NETWORK:
        one, other = access.choose(network), access.choose(network)
        assert (one.way, one.generated, one.asks, len(one.token) >= 43) == ("token", True, True, True), network
        assert one.token != other.token


def test_a_short_token_is_warned_of_and_a_cookie_stands_for_its_token_alone() -> None:
    assert "can be guessed" in (access.announcement(access.Access("token", "hunter2")) or "")
    assert access.announcement(access.Access("token", "x" * 32)) is None
    assert "hunter2" not in repr(access.Access("token", "hunter2"))
    one, other = access.Access("token", "one"), access.Access("token", "other")
    assert one.accepts_cookie(one.cookie()) and "one" not in one.cookie()
    assert not any(one.accepts_cookie(wrong) for wrong in (other.cookie(), "one", ""))
    assert not access.Access("oidc", "one").accepts_cookie(one.cookie())
    assert not access.Access().accepts("")


ANNA, BEN = "anna@example.org", "ben"
BASE = Path("store")


def test_folders_are_of_the_current_visitor_unless_another_is_named() -> None:
    assert users.folder(BASE) == BASE
    with users.acting(ANNA):
        # As servers with accounts of their own named it.
        assert users.folder(BASE) == users.folder(BASE, ANNA) == BASE / "users" / "anna-a3bf86238a1c"
        assert users.folder(BASE, users.LOCAL) == BASE
        with pytest.raises(RuntimeError), users.acting(BEN):
            assert users.folder(BASE).name.startswith("ben-")
            raise RuntimeError
        assert users.current() == ANNA
    assert users.current() == users.LOCAL
    assert users.folder(BASE, users.NOBODY) != BASE


@pytest.mark.parametrize(
    "id_", ["../../etc", "a/b", "..", "C:\\x", "\x00", "é" * 300, "con", "LOCAL", "anna smith", "-rf", "\U0001f600"]
)
def test_an_id_never_leaves_the_store(id_: str) -> None:
    found = users.folder(BASE, id_)
    assert found.parent == BASE / "users"
    assert len(found.name) < 80
    assert not found.name.startswith((".", "-"))


@pytest.mark.parametrize(
    ("one", "other"), [("a b", "a-b"), ("Anna", "anna"), ("anna@x.org", "anna@y.org"), ("x" * 90, "x" * 91)]
)
def test_ids_that_are_spelled_alike_have_folders_of_their_own(one: str, other: str) -> None:
    assert len({str(users.folder(BASE, id_)).lower() for id_ in (one, other)}) == 2


def test_a_pool_works_for_its_caller_only_if_it_is_bound() -> None:
    with ThreadPoolExecutor(2) as pool:
        with users.acting(ANNA):
            anna = users.bind_person(users.current)
        with users.acting(BEN):
            ben = users.bind_person(users.current)
        assert list(pool.map(lambda who: who(), [anna, ben, anna, ben])) == [ANNA, BEN, ANNA, BEN]
        assert pool.submit(users.current).result() == users.LOCAL
