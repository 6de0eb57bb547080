"""Turns come in the order in which they were asked for, and whoever leaves is not waited for."""

from __future__ import annotations

import math
import threading
import time

import pytest

from sightglass.common import users
from sightglass.common.work.turns import QUICK, GivingWay, Turn, Turns, WaitingLine

SOON = 20.0


def _started(turns: Turns, served: list[int], number: int, work: threading.Event) -> threading.Thread:
    """Start a thread that waits for its turn; return once it has its place in the queue."""
    before = turns.waiting

    def run() -> None:
        with turns.turn() as turn:
            entered.set()
            assert turn.wait(SOON)
            served.append(number)
            work.wait(SOON)

    entered = threading.Event()
    thread = threading.Thread(target=run)
    thread.start()
    assert entered.wait(SOON)
    assert turns.waiting <= before + 1
    return thread


def test_who_came_first_is_served_first() -> None:
    turns, served, work = Turns(1), list[int](), threading.Event()
    with turns.turn() as first:
        assert first.wait(0)
        threads = [_started(turns, served, number, work) for number in range(6)]
        work.set()
        assert served == []
    for thread in threads:
        thread.join(SOON)
    assert served == [0, 1, 2, 3, 4, 5]


def test_as_many_work_at_once_as_there_are_places() -> None:
    turns = Turns(2)
    first, second, third = (_apart(turns) for _ in range(3))
    assert (first.wait(0), second.wait(0), third.wait(0)) == (True, True, False)
    assert third.ahead == 2
    first.__exit__(None, None, None)
    assert third.wait(0)


def test_people_are_served_in_turn_and_each_knows_how_many_are_before_it() -> None:
    turns = Turns(1)
    busy, many = _apart(turns), [_apart(turns, "anna") for _ in range(5)]
    one, late = _apart(turns, "ben"), _apart(turns, "carl")
    assert busy.wait(0)
    assert [turn.ahead for turn in (*many, one, late)] == [1, 4, 5, 6, 7, 2, 3]
    served, inside = [], busy
    for turn in (many[0], one, late, *many[1:]):
        inside.__exit__(None, None, None)
        assert turn.wait(0)
        served.append(turn)
        inside = turn
    assert turns.waiting == 0


def test_a_line_is_read_in_the_order_in_which_it_is_served() -> None:
    line, left = WaitingLine[str](), 0
    for one in ("a1", "a2", "a3", "b1", "c1", "c2"):
        line.append(one[0], one)
    line.remove("a2")
    with pytest.raises(ValueError, match="does not wait"):
        line.remove("a2")
    served = [*line]
    assert served == ["a1", "b1", "c1", "a3", "c2"]
    assert [line.popleft() for _ in range(2)] == served[:2]
    # Who comes back is behind those who wait.
    line.append("b", "b2")
    assert [*line] == ["c1", "a3", "b2", "c2"]
    left = len(line)
    assert [line.popleft() for _ in range(left)] == ["c1", "a3", "b2", "c2"]
    assert not line


def test_who_has_most_waiting_spares_the_last_one_for_who_has_less() -> None:
    line = WaitingLine[str]()
    assert not line.spares("b")
    for one in ("a1", "a2", "a3", "c1"):
        line.append(one[0], one)
    assert [line.spares(whose) for whose in "abc"] == [False, True, True]
    assert line.spared() == "a3"
    line.append("b", "b1")
    assert not any(line.spares(whose) for whose in "abc")
    assert [*line] == ["a1", "c1", "b1", "a2"]


def _apart(turns: Turns, whose: str = "") -> Turn:
    """Return a place in the queue as another thread takes it: one that is inside passes at once."""
    with users.acting(whose):
        return turns.turn().__enter__()


def test_a_turn_knows_how_many_are_before_it_and_who_leaves_counts_no_more() -> None:
    turns = Turns(1)
    busy, second, third = (_apart(turns) for _ in range(3))
    assert busy.wait(0)
    assert (busy.ahead, second.ahead, third.ahead) == (0, 1, 2)
    assert not third.wait(0.01)
    second.__exit__(None, None, None)
    assert (third.ahead, turns.waiting) == (1, 1)
    busy.__exit__(None, None, None)
    assert third.wait(0)


def test_work_that_fails_leaves_its_place() -> None:
    turns = Turns(1)
    with pytest.raises(ValueError, match="broken"), turns.turn() as turn:
        turn.wait()
        raise ValueError("broken")
    with turns.turn() as turn:
        assert turn.wait(0)


def test_who_is_inside_does_not_wait_for_itself() -> None:
    turns = Turns(1)
    with turns.turn() as outer:
        assert outer.wait(0)
        with turns.turn() as inner:
            assert inner.wait(0)
            assert inner.ahead == 0
        # The inner block does not end the turn.
        assert not _elsewhere(turns)
    assert _elsewhere(turns)


def _elsewhere(turns: Turns) -> bool:
    """Return whether another thread gets a turn at once."""
    found: list[bool] = []

    def ask() -> None:
        with turns.turn() as turn:
            found.append(turn.wait(0))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join(SOON)
    return found[0]


def test_work_of_low_priority_waits_while_a_map_is_made_and_stops_at_once() -> None:
    stop, went_on = GivingWay(), threading.Event()
    assert not stop.is_set()

    def work() -> None:
        assert not stop.is_set()
        went_on.set()

    with QUICK.turn() as turn:
        assert turn.wait(SOON)
        threading.Thread(target=work).start()
        assert not went_on.wait(0.2)
    assert went_on.wait(SOON)
    with QUICK.turn() as turn:
        assert turn.wait(SOON)
        threading.Timer(0.05, stop.set).start()
        assert stop.is_set()


def test_work_that_nobody_wants_for_now_is_held_and_stops_in_the_end() -> None:
    stop = GivingWay()
    stop.wanted_until = time.monotonic() - 1
    threading.Timer(0.2, lambda: setattr(stop, "wanted_until", math.inf)).start()
    before = time.monotonic()
    assert not stop.is_set() and time.monotonic() - before >= 0.15
    stop.wanted_until, stop.patience = time.monotonic() - 1, 0.5
    assert not stop.stopped and stop.is_set() and stop.stopped
