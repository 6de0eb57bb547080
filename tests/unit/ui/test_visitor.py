"""A tab's state, and who may have it."""

from typing import Any

import pytest

from sightglass.ui.session.state import Kept
from sightglass.ui.session.url_state import Memory
from sightglass.ui.session.visitor import HEADER, MAX_AGE, TabMiddleware, Tabs, is_id, new_id
from sightglass.ui.views.pairs import MAX_KEPT, Gallery

ADDRESS = "topk", {"k": "3"}


def test_a_tab_finds_its_state_at_the_same_address_for_an_hour() -> None:
    now = 0.0
    tabs = Tabs(clock=lambda: now)
    states: dict[str, Kept] = {"memory": Memory(values={"k": 3})}
    tabs.keep(("me", "tab"), ADDRESS, states)
    assert tabs.find(("me", "tab"), ADDRESS) == states
    # A link that was opened in the tab; another tab; who knows the tab's id, but is another browser.
    for tab, address in (
        (("me", "tab"), ("topk", {"k": "5"})),
        (("me", "tab"), ("explore", {"k": "3"})),
        (("me", "other"), ADDRESS),
        (("other", "tab"), ADDRESS),
    ):
        assert tabs.find(tab, address) == {}
    now = MAX_AGE + 1
    assert tabs.find(("me", "tab"), ADDRESS) == {}


def test_what_a_tab_had_is_not_changed_by_its_next_session() -> None:
    memory = Memory(values={"k": 3}, links={"k": "5"}, linked={"ticked"}, sent={"k": "3"})
    again = memory.kept()
    assert again == Memory(values={"k": 3})
    again.values["k"] = 5
    assert memory.values == {"k": 3}


def test_a_large_gallery_is_not_kept() -> None:
    small, large = (Gallery(items=("picture",), size=size) for size in (MAX_KEPT, MAX_KEPT + 1))  # type: ignore[arg-type]
    assert small.kept() == small and small.kept().nbytes == MAX_KEPT
    assert large.kept() == Gallery()


def test_the_tab_of_a_websocket_becomes_its_only_header_of_that_name() -> None:
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.append(dict(scope["headers"]))

    headers = [(HEADER.encode(), b"false"), (b"host", b"x")]
    given = {"type": "websocket", "query_string": b"tab=mine", "headers": headers}
    for scope in (given, {**given, "query_string": b""}, {**given, "type": "http"}):
        # It waits for nothing; a process that has driven a browser already has a loop.
        with pytest.raises(StopIteration):
            TabMiddleware(app)(scope, None, None).send(None)  # type: ignore[arg-type]
    assert [each[HEADER.encode()] for each in heard] == [b"mine", b"", b"false"]


def test_ids_cannot_be_guessed_nor_be_anything_else() -> None:
    assert is_id(new_id()) and new_id() != new_id()
    assert not any(map(is_id, ("", "short", "a" * 65, "with space " * 3, "None")))
