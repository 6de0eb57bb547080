"""For whom something works, and where that person's files are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sightglass.common import users

ANNA, BEN = users.User("anna@example.org", "Anna", "user"), users.User("ben", "Ben", "viewer")
BASE = Path("store")


def test_nobody_signed_in_is_the_local_admin_with_the_folders_of_before() -> None:
    assert users.current() is users.LOCAL
    assert users.LOCAL.role == "admin"
    assert users.folder(BASE) == BASE


def test_acting_ends_with_its_block_even_after_an_error() -> None:
    with users.acting(ANNA):
        with pytest.raises(RuntimeError), users.acting(BEN):
            assert users.current() is BEN
            raise RuntimeError
        assert users.current() is ANNA
    assert users.current() is users.LOCAL


def test_folders_are_of_the_current_person_unless_another_is_named() -> None:
    with users.acting(ANNA):
        assert users.folder(BASE) == users.folder(BASE, ANNA)
        assert users.folder(BASE, BEN) != users.folder(BASE)
        assert users.folder(BASE, users.LOCAL) == BASE


@pytest.mark.parametrize(
    "id_", ["../../etc", "a/b", "..", "", "C:\\x", "\x00", "é" * 300, "con", "LOCAL", "anna smith", "-rf", "\U0001f600"]
)
def test_an_id_never_leaves_the_store(id_: str) -> None:
    found = users.folder(BASE, users.User(id_, "", "user"))
    assert found.parent == BASE / "users"
    assert len(found.name) < 80
    assert not found.name.startswith((".", "-"))


@pytest.mark.parametrize(
    ("one", "other"), [("a b", "a-b"), ("Anna", "anna"), ("anna@x.org", "anna@y.org"), ("x" * 90, "x" * 91)]
)
def test_ids_that_are_spelled_alike_have_folders_of_their_own(one: str, other: str) -> None:
    found = {str(users.folder(BASE, users.User(id_, "", "user"))).lower() for id_ in (one, other)}
    assert len(found) == 2


def test_an_account_called_local_is_somebody_of_its_own() -> None:
    assert users.folder(BASE, users.User("local", "local", "admin")) != BASE


def test_a_pool_works_for_its_caller_only_if_it_is_carried() -> None:
    with ThreadPoolExecutor(2) as pool:
        with users.acting(ANNA):
            anna = users.bind_person(users.current)
        with users.acting(BEN):
            ben = users.bind_person(users.current)
        assert list(pool.map(lambda who: who(), [anna, ben, anna, ben])) == [ANNA, BEN, ANNA, BEN]
        assert pool.submit(users.current).result() is users.LOCAL


def test_whoever_knows_for_whom_a_thread_works_is_asked_where_nobody_said_so() -> None:
    users.resolve_with(lambda: ANNA)
    try:
        assert users.current() is ANNA
        with users.acting(BEN):
            assert users.current() is BEN
    finally:
        users.resolve_with(None)
    assert users.current() is users.LOCAL
