"""A session that waits is told how many pictures are before its own, and gives its place up where it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from streamlit.runtime.scriptrunner import StopException
from streamlit.testing.v1 import AppTest

from sightglass.common.work.turns import Turn, Turns
from sightglass.components import streamlit_internals
from sightglass.components.session.jobs import queue_line

if TYPE_CHECKING:
    from collections.abc import Callable

SOON = 20.0


@pytest.mark.parametrize(
    ("ahead", "said"),
    [(0, "Your picture is next."), (1, "1 picture is ahead of yours."), (3, "3 pictures are ahead of yours.")],
)
def test_the_place_in_plain_words(ahead: int, said: str) -> None:
    assert queue_line.describe_queue_place(ahead) == said


def _script(turn):  # type: ignore[no-untyped-def]  # its source is run where Any is no name
    import streamlit as st

    from sightglass.components.session.jobs import queue_line

    st.write("above")
    with turn:
        queue_line.stand(turn)
        st.write("its turn")
    st.write("below")


class _Busy:
    """Others' turns, one of which ends whenever the page has said that it waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, others: int, act: Callable[[_Busy, str], None]) -> None:
        self.turns, self.said = Turns(1), list[str]()
        self.others: list[Turn] = [self.turns.turn() for _ in range(others)]
        for one in self.others:
            one.__enter__()
        assert self.others[0].wait(0)
        enqueue = streamlit_internals.enqueue_message

        def heard(message: Any) -> None:
            enqueue(message)
            words = [
                one.spinner.text.removeprefix(queue_line.ICON).strip() for one in message.delta.new_transient.elements
            ]
            self.said += words or ["(nothing)"]
            act(self, self.said[-1])

        monkeypatch.setattr(streamlit_internals, "enqueue_message", heard)
        monkeypatch.setattr(queue_line, "PATIENCE", 0.0)
        monkeypatch.setattr(queue_line, "EVERY", 0.01)

    def next(self, _: str = "") -> None:
        """End the turn of the first of the others."""
        if self.others:
            self.others.pop(0).__exit__(None, None, None)
        if self.others:
            assert self.others[0].wait(0)


def test_the_page_counts_down_and_then_says_it_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = _Busy(monkeypatch, 3, _Busy.next)
    app = AppTest.from_function(_script, args=(busy.turns.turn(),), default_timeout=SOON).run()
    assert not app.exception
    assert [one.value for one in app.markdown] == ["above", "its turn", "below"]
    assert busy.said[:3] == [
        queue_line.describe_queue_place(3),
        queue_line.describe_queue_place(2),
        queue_line.describe_queue_place(1),
    ]
    assert busy.said[-1] == "(nothing)"
    assert busy.turns.waiting == 0


def test_a_session_that_leaves_gives_its_place_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaves(busy: _Busy, said: str) -> None:
        if said != "(nothing)":
            # As Streamlit does in whatever a page sends once its browser has gone.
            raise StopException

    busy = _Busy(monkeypatch, 2, leaves)
    mine = busy.turns.turn()
    AppTest.from_function(_script, args=(mine,), default_timeout=SOON).run()
    assert mine not in busy.turns
    assert busy.turns.waiting == 1
