"""The current visitor, and that visitor's folders."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sightglass.common import users

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
