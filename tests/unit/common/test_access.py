"""Who gets in: passwords, the list of people, sessions, tokens, ways to sign in, and how often somebody may ask."""

from __future__ import annotations

import sqlite3
import stat
import sys
import time
from typing import TYPE_CHECKING

import pytest

from sightglass.common import users
from sightglass.common.access import attempts, passwords, people, policy, rates, visit
from sightglass.common.errors import NotAllowed, Problem, SettingProblem
from sightglass.common.users import LOCAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def own_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", str(tmp_path / "access" / "people.sqlite3"))
    # Tests need no slow hash but one.
    monkeypatch.setattr(passwords, "COST", 2**4)
    yield
    policy.install(policy.Policy())


def test_a_password_is_stored_as_a_slow_hash_with_its_own_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    one, other = passwords.hash_password(PASSWORD), passwords.hash_password(PASSWORD)
    assert one != other
    assert PASSWORD not in one
    assert passwords.matches(PASSWORD, one)
    assert not passwords.matches(PASSWORD + " ", one)
    assert not passwords.matches("x" * 10**6, one)
    assert int(one.split("$")[1]) * int(one.split("$")[2]) * 128 >= 16 * 2**20


def test_nobodys_password_takes_as_long_and_matches_nothing() -> None:
    assert not passwords.matches("", None)
    assert not passwords.matches(PASSWORD, None)


def test_reading_makes_no_file_and_writing_makes_one_for_its_owner_alone() -> None:
    assert people.everybody() == []
    assert people.in_session("0") is None
    assert not people.path().exists()
    people.add("anna", "user", password=PASSWORD)
    if sys.platform != "win32":
        assert stat.S_IMODE(people.path().stat().st_mode) == 0o600


def test_no_secret_is_in_the_file() -> None:
    people.add("anna", "user", password=PASSWORD)
    secrets = [PASSWORD, people.open_session("anna"), people.issue_token("anna", "nightly")]
    held = people.path().read_bytes()
    assert not [secret for secret in secrets if secret.encode() in held]


def test_an_address_is_the_same_in_any_case_and_a_name_is_not() -> None:
    people.add(" Anna@Example.org ", "user")
    assert people.find("anna@example.org")
    with pytest.raises(Problem, match="on the list already"):
        people.add("ANNA@example.org", "viewer")
    people.add("ben", "user")
    people.add("Ben", "user")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 300, "a\x00b"])
def test_what_cannot_be_a_name_is_one_sentence(name: str) -> None:
    with pytest.raises(Problem, match="cannot be somebody's name"):
        people.add(name, "user")


def test_a_short_password_is_refused() -> None:
    with pytest.raises(Problem, match="at least 8 characters"):
        people.add("anna", "user", password="short")
    assert people.everybody() == []


def test_signing_in_needs_both() -> None:
    people.add("anna", "viewer", password=PASSWORD)
    people.add("ben", "user")
    found = people.with_password("anna", PASSWORD)
    assert found is not None
    assert found.user == users.User("anna", "anna", "viewer")
    assert people.with_password("anna", "another password") is None
    assert people.with_password("nobody", PASSWORD) is None
    assert people.with_password("ben", "") is None


def test_a_changed_password_and_a_removal_end_sessions_and_tokens() -> None:
    people.add("anna", "user", password=PASSWORD)
    for end in (lambda: people.set_password("anna", "another password"), lambda: people.remove("anna")):
        session, token = people.digest(people.open_session("anna")), people.issue_token("anna", "")
        assert people.in_session(session) == people.of_token(token) == "anna"
        end()
        assert people.in_session(session) is people.of_token(token) is None


def test_sessions_end_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    digests = [people.digest(people.open_session("anna", brief=brief)) for brief in (False, True)]
    monkeypatch.setattr(time, "time", lambda: now + people.SESSION_SECONDS + 1)
    assert [people.in_session(one) for one in digests] == [None, None]


def test_a_token_is_named_listed_and_revoked_by_its_owner_alone() -> None:
    people.add("anna", "user")
    token = people.issue_token("anna", "nightly")
    (listed,) = people.tokens("anna")
    assert (listed.label, people.of_token(token)) == ("nightly", "anna")
    with pytest.raises(Problem, match="ben has no token"):
        people.revoke_token("ben", listed.number)
    people.revoke_token("anna", listed.number)
    assert people.of_token(token) is None
    for _ in range(people.MAX_TOKENS):
        people.issue_token("anna", "")
    with pytest.raises(Problem, match="revoke one"):
        people.issue_token("anna", "")


def test_a_list_that_cannot_be_read_is_one_sentence() -> None:
    people.path().parent.mkdir()
    people.path().write_bytes(b"no database at all" * 100)
    for use in (people.everybody, lambda: people.add("anna", "user"), lambda: people.in_session("0")):
        with pytest.raises(Problem, match=r"The list of people, .*people.sqlite3, cannot be used"):
            use()


def test_two_processes_share_the_list() -> None:
    people.add("anna", "user")
    with sqlite3.connect(people.path()) as other:
        other.execute("UPDATE people SET role = 'admin'")
    other.close()
    found = people.find("anna")
    assert found is not None
    assert found.role == "admin"


@pytest.mark.parametrize(
    ("host", "way"),
    [
        ("localhost", "local"),
        ("127.0.0.1", "local"),
        ("127.8.8.8", "local"),
        ("::1", "local"),
        ("[::1]", "local"),
        ("::ffff:127.0.0.1", "local"),
        ("unix:///run/sightglass.sock", "local"),
        ("0.0.0.0", "password"),
        ("::", "password"),
        ("192.168.1.7", "password"),
        ("sightglass.example.org", "password"),
        ("", "password"),
        (None, "password"),
    ],
)
def test_only_this_machine_is_asked_nothing(host: str | None, way: str) -> None:
    assert policy.of(host).way == way


def test_the_setting_decides_wherever_the_server_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    for way in ("open", "password", "oidc"):
        monkeypatch.setenv("SIGHTGLASS_ACCESS", way.upper())
        assert policy.of("localhost").way == policy.of("0.0.0.0").way == way
    monkeypatch.setenv("SIGHTGLASS_ACCESS", "proxy")
    with pytest.raises(SettingProblem, match="SIGHTGLASS_PROXY_HEADER"):
        policy.of("localhost")


def test_the_start_says_who_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert policy.announcement(policy.of("localhost")) is None
    assert "nobody can sign in yet" in str(policy.announcement(policy.of("0.0.0.0")))
    monkeypatch.setenv("SIGHTGLASS_PASSWORD", PASSWORD)
    said = str(policy.announcement(policy.of("0.0.0.0")))
    assert "asks for a password" in said
    assert PASSWORD not in said
    monkeypatch.setenv("SIGHTGLASS_ACCESS", "open")
    assert "anyone who can reach this machine" in str(policy.announcement(policy.of("0.0.0.0")))


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("127.0.0.1", True),
        ("10.2.0.1", False),
        ("", False),
        (None, False),
        ("testclient", False),
    ],
)
def test_a_proxy_is_trusted_by_its_address(address: str | None, trusted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_PROXIES", "127.0.0.1, 10.1.0.0/16")
    assert policy.is_trusted_proxy(address) == trusted


def test_who_is_vouched_for_has_the_role_of_the_list_or_that_of_newcomers(monkeypatch: pytest.MonkeyPatch) -> None:
    people.add("anna@example.org", "admin")
    assert policy.get_user("Anna@Example.org", "Anna A.") == users.User("anna@example.org", "Anna A.", "admin")
    assert policy.get_user("ben@example.org") is None
    monkeypatch.setenv("SIGHTGLASS_NEWCOMERS", "viewer")
    assert policy.get_user("ben@example.org", "Ben") == users.User("ben@example.org", "Ben", "viewer")
    assert policy.get_user("", "Nobody") is None


def test_two_of_a_providers_people_are_never_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_NEWCOMERS", "user")
    people.add("anna", "admin")
    assert policy.get_user("ａnna") is None
    one, other = policy.get_user("strasse@example.org"), policy.get_user("straße@example.org")
    assert one is not None
    assert other is not None
    assert one.id != other.id
    # The sign for kelvin, which normal forms make a K; and what could not be decoded.
    assert policy.get_user("\u212aen@example.org") is None
    assert policy.get_user("j\ufffdrg") is None
    # One spelling of the same letters is as good as the other.
    assert policy.get_user("\u0958") == policy.get_user("\u0915\u093c") is not None
    assert policy.get_user("ju\u0308rgen") == policy.get_user("j\u00fcrgen") is not None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("testclient", "testclient", True),
    ],
)
def test_whoever_has_many_addresses_is_counted_once(one: str, other: str, same: bool) -> None:
    assert (rates.of_address(one) == rates.of_address(other)) == same


def test_the_key_is_the_operators_and_a_token_is_its_owners() -> None:
    people.add("anna", "viewer")
    token = people.issue_token("anna", "")
    assert policy.of_secret("the key", "the key") == LOCAL
    assert policy.of_secret(token, "the key") == users.User("anna", "anna", "viewer")
    for wrong in ("", "the ke", token[:-1], "sg_", "\udc80"):
        assert policy.of_secret(wrong, "the key") is None
    assert policy.of_secret("", None) is None


def test_a_shared_password_ends_with_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert policy.of_session(policy.SHARED) is None
    monkeypatch.setenv("SIGHTGLASS_PASSWORD", PASSWORD)
    shared = policy.of_session(policy.SHARED)
    assert shared is not None
    assert shared.role == "user"


def test_a_bucket_empties_refuses_and_refills(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    limiter = rates.Limiter(per_minute=30, burst=3)
    assert [limiter.take("anna") for _ in range(4)] == [0, 0, 0, 2]
    assert limiter.take("ben") == 0
    now += 1.9
    assert limiter.take("anna") == 1
    now += 0.2
    assert limiter.take("anna") == 0
    now += 1e6
    assert [limiter.take("anna") for _ in range(4)] == [0, 0, 0, 2]


def test_buckets_do_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_BUCKETS", 10)
    limiter = rates.Limiter(per_minute=1, burst=1)
    for number in range(100):
        limiter.take(str(number))
    assert len(limiter._buckets) == 10


def test_no_limit_is_set_by_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_REQUESTS_PER_MINUTE", "0")
    assert [rates.of_person("anna") for _ in range(1000)] == [0] * 1000
    monkeypatch.setenv("SIGHTGLASS_REQUESTS_PER_MINUTE", "60")
    assert any(rates.of_person("anna") for _ in range(30))


def test_a_visit_is_who_it_was_until_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    policy.install(policy.Policy("password"))
    people.add("anna", "user", password=PASSWORD)
    digest = people.digest(people.open_session("anna"))
    sealed = visit.seal(visit.Visit("session", "anna", session=digest, since=time.time()))
    found = visit.unseal(sealed)
    assert found is not None
    assert found.user() == users.User("anna", "anna", "user")
    people.set_role("anna", "viewer")
    assert found.user() == users.User("anna", "anna", "viewer")
    people.close_session(digest)
    assert found.user() is None


def test_a_visit_that_stays_open_asks_anew_and_nobody_is_let_in_once_people_sign_in() -> None:
    people.add("anna", "user")
    now = time.time()
    assert visit.Visit("vouched", "anna", since=now - 60).user() is not None
    assert visit.Visit("vouched", "anna", since=now - visit.MAX_SECONDS - 1).user() is None
    assert visit.Visit("nobody", "local").user() == LOCAL
    policy.install(policy.Policy("password"))
    assert visit.Visit("nobody", "local").user() is None


@pytest.mark.parametrize("forged", [None, "", ".", "e30.", "a.b", "\udcff.\udcff"])
def test_what_this_process_did_not_seal_is_no_visit(forged: str | None) -> None:
    assert visit.unseal(forged) is None
    body, _, seal = visit.seal(visit.Visit("vouched", "anna", since=time.time())).partition(".")
    assert visit.unseal(f"{body[:-2]}xx.{seal}") is None


def test_roles_may_what_they_may() -> None:
    for role, saves, administers in (("viewer", False, False), ("user", True, False), ("admin", True, True)):
        with users.acting(users.User("x", "x", role)):
            assert users.may_save() == saves
            if not saves:
                with pytest.raises(NotAllowed, match="Viewers cannot start a batch"):
                    users.require_saving("start a batch")
            if not administers:
                with pytest.raises(NotAllowed, match="Only administrators can add models"):
                    users.require_admin("add models")
    users.require_saving("start a batch")
    users.require_admin("add models")


def test_where_people_sign_in_a_thread_that_says_nothing_is_nobodys() -> None:
    for asks in (policy.Policy("password"), policy.Policy("oidc"), policy.Policy("proxy")):
        policy.install(asks)
        assert users.current() is users.NOBODY
        with users.acting(LOCAL):
            assert users.current() is LOCAL
    policy.install(policy.Policy("open"))
    assert users.current() is LOCAL


def test_nobody_has_the_name_of_those_with_the_one_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_NEWCOMERS", "user")
    with pytest.raises(Problem, match="stands for everybody with the one password"):
        people.add(f" {policy.SHARED}", "viewer", password=PASSWORD)
    assert policy.get_user(policy.SHARED) is None


def test_long_names_take_no_more_memory_than_short_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rates.Limiter(2, 10)
    monkeypatch.setattr(attempts, "_PASSWORDS", found)
    attempts.count("192.0.2.1", "a" * 16_000)
    assert max(map(len, found._buckets)) < 300
