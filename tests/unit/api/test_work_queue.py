"""The API's queue: bounded, never a hang, and every place comes back."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from sightglass.api.work_queue import NICE, Busy, TooSlow, WorkQueue
from sightglass.common import users
from sightglass.common.errors import Cancelled
from tests import loops
from tests.servers import until
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def queue() -> Iterator[WorkQueue]:
    made = WorkQueue(workers=2, waiting=4)
    yield made
    made.close()


def free(queue: WorkQueue) -> bool:
    return queue.stats().running == queue.stats().waiting == 0


async def at_work(queue: WorkQueue, running: int, waiting: int = 0) -> None:
    """Wait until so many jobs run and wait: threads of low priority start late on a busy machine."""
    while (queue.stats().running, queue.stats().waiting) != (running, waiting):
        await asyncio.sleep(0.005)


def test_what_the_work_returns_and_what_it_raises(queue: WorkQueue) -> None:
    def broken(_: threading.Event) -> None:
        raise LookupError("nothing there")

    assert loops.run(queue.run(lambda _: threading.current_thread().name, timeout=patience(5))).startswith(
        "work-queue-"
    )
    with pytest.raises(LookupError, match="nothing there"):
        loops.run(queue.run(broken, timeout=patience(5)))
    until(lambda: free(queue))
    assert queue.stats().done == 2


def test_of_a_burst_some_are_answered_and_the_rest_refused_at_once(queue: WorkQueue) -> None:
    opened = threading.Event()

    async def burst() -> tuple[list[object], float]:
        asked = [asyncio.ensure_future(queue.run(lambda _: opened.wait(5), timeout=patience(10))) for _ in range(50)]
        start = time.monotonic()
        done, _ = await asyncio.wait(asked, timeout=0.5, return_when=asyncio.FIRST_EXCEPTION)
        while len(done) < 44:
            done, _ = await asyncio.wait(asked, timeout=0.05)
            assert time.monotonic() - start < 5
        refused = time.monotonic() - start
        opened.set()
        return await asyncio.gather(*asked, return_exceptions=True), refused

    answers, seconds = loops.run(burst())
    refused = [answer for answer in answers if isinstance(answer, Busy)]
    assert answers.count(True) == 2 + 4
    assert len(refused) == 44
    assert {busy.before for busy in refused} == {6}
    # Long before the work was done.
    assert seconds < 2
    assert all(1 <= busy.retry_after <= 60 for busy in refused)
    until(lambda: free(queue))
    assert loops.run(queue.run(lambda _: "after", timeout=patience(5))) == "after"
    assert queue.stats().refused == 44


def test_each_is_told_how_many_were_before_it(queue: WorkQueue) -> None:
    places: list[int] = []

    async def ask() -> None:
        opened = threading.Event()
        works = [queue.run(lambda _: opened.wait(5), timeout=patience(10), place=places.append) for _ in range(6)]
        asked = [asyncio.ensure_future(work) for work in works]
        while len(places) < 6:
            await asyncio.sleep(0)
        opened.set()
        await asyncio.gather(*asked)
        await queue.run(lambda _: None, timeout=patience(5), place=places.append)

    loops.run(ask())
    assert places == [0, 1, 2, 3, 4, 5, 0]


def test_people_are_served_in_turn_and_are_told_so() -> None:
    queue, opened, served, places = WorkQueue(workers=1, waiting=16), threading.Event(), list[str](), list[int]()

    async def ask(name: str) -> None:
        def work(_: threading.Event) -> None:
            assert opened.wait(5)
            served.append(name)

        with users.acting(name[0]):
            await queue.run(work, timeout=patience(10), place=places.append)

    async def crowd() -> None:
        asked = [asyncio.ensure_future(ask("a0"))]
        while not queue.stats().running:
            await asyncio.sleep(0.005)
        asked += [asyncio.ensure_future(ask(name)) for name in ("a1", "a2", "a3", "b1", "b2", "c1")]
        while len(places) < 7:
            await asyncio.sleep(0)
        opened.set()
        await asyncio.gather(*asked)

    loops.run(crowd())
    queue.close()
    assert places == [0, 1, 2, 3, 2, 4, 3]
    assert served == ["a0", "a1", "b1", "c1", "a2", "b2", "a3"]


def test_who_takes_all_places_gives_one_up_to_who_has_fewer() -> None:
    queue, opened = WorkQueue(workers=1, waiting=4), threading.Event()

    async def ask(name: str) -> str:
        with users.acting(name[0]):
            await queue.run(lambda _: opened.wait(5), timeout=patience(10))
        return name

    async def crowd() -> list[object]:
        asked = [asyncio.ensure_future(ask("a0"))]
        while not queue.stats().running:
            await asyncio.sleep(0.005)
        asked += [asyncio.ensure_future(ask(f"a{number}")) for number in range(1, 6)]
        while queue.stats().waiting < 4:
            await asyncio.sleep(0)
        for name in "ab":
            with users.acting(name):
                if name == "b":
                    queue.check()
                else:
                    with pytest.raises(Busy):
                        queue.check()
        asked += [asyncio.ensure_future(ask(name)) for name in ("b0", "b1", "b2")]
        await asyncio.wait(asked, timeout=0.1)
        assert queue.stats().waiting == 4
        opened.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = loops.run(crowd())
    queue.close()
    # Her last two made room for his first two: each then has as many.
    assert [one for one in answers if isinstance(one, str)] == ["a0", "a1", "a2", "b0", "b1"]
    assert sum(isinstance(one, Busy) for one in answers) == 4


def test_two_work_at_once_and_no_more(queue: WorkQueue) -> None:
    now, most, lock = 0, 0, threading.Lock()

    def work(_: threading.Event) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1

    async def six() -> None:
        await asyncio.gather(*(queue.run(work, timeout=patience(5)) for _ in range(6)))

    loops.run(six())
    assert most == 2


def test_at_the_limit_the_work_is_told_and_its_place_comes_back_when_it_ends(queue: WorkQueue) -> None:
    told, end = threading.Event(), threading.Event()

    def deaf(cancel: threading.Event) -> None:
        assert cancel.wait(5)
        told.set()
        end.wait(5)

    start = time.monotonic()
    with pytest.raises(TooSlow, match=r"after 0\.1 s"):
        loops.run(queue.run(deaf, timeout=0.1))
    assert time.monotonic() - start < 2
    assert told.wait(2)
    assert (queue.stats().running, queue.stats().abandoned, queue.stats().timed_out) == (1, 1, 1)
    end.set()
    until(lambda: free(queue))
    assert queue.stats().abandoned == 0


def test_a_slow_method_that_listens_frees_its_place_by_itself(queue: WorkQueue) -> None:
    def listens(cancel: threading.Event) -> None:
        assert cancel.wait(5)
        raise Cancelled

    with pytest.raises(TooSlow):
        loops.run(queue.run(listens, timeout=patience(0.3)))
    until(lambda: free(queue))


def test_who_waits_for_the_whole_limit_is_told_to_come_back(queue: WorkQueue) -> None:
    end = threading.Event()

    async def crowded() -> list[object]:
        first = [asyncio.ensure_future(queue.run(lambda _: end.wait(5), timeout=patience(10))) for _ in range(2)]
        await at_work(queue, running=2)
        waited = await asyncio.gather(queue.run(lambda _: True, timeout=0.2), return_exceptions=True)
        end.set()
        return [*waited, *await asyncio.gather(*first)]

    busy, *rest = loops.run(crowded())
    assert isinstance(busy, Busy)
    assert rest == [True, True]
    assert queue.stats().waiting == 0


def test_nobody_is_refused_while_there_is_room_whatever_was_slow_before(queue: WorkQueue) -> None:
    queue._durations.extend([(time.monotonic(), 30.0)] * 8)

    async def burst() -> list[object]:
        asked = [queue.run(lambda _: time.sleep(0.01), timeout=patience(10)) for _ in range(2 + 4)]
        return list(await asyncio.gather(*asked, return_exceptions=True))

    assert loops.run(burst()) == [None] * 6


def test_a_few_slow_ones_keep_nobody_away_for_long(queue: WorkQueue) -> None:
    end = threading.Event()

    async def crowded(slow: list[float]) -> list[int]:
        queue._durations.extend((time.monotonic(), seconds) for seconds in slow)
        queue._promises.clear()
        inside = [asyncio.ensure_future(queue.run(lambda _: end.wait(5), timeout=patience(10))) for _ in range(6)]
        await at_work(queue, running=2, waiting=4)
        asked = [queue.run(lambda _: None, timeout=patience(10)) for _ in range(20)]
        refused = await asyncio.gather(*asked, return_exceptions=True)
        end.set()
        await asyncio.gather(*inside)
        assert all(isinstance(busy, Busy) for busy in refused)
        return [busy.retry_after for busy in refused if isinstance(busy, Busy)]

    assert max(loops.run(crowded([16.0, 16.0]))) <= 6
    # And where all are slow, the promise is for no longer than it can be good for.
    end.clear()
    queue._durations.clear()
    assert max(loops.run(crowded([300.0] * 8))) == 60


def test_what_nobody_waits_for_any_more_counts_by_its_age() -> None:
    queue, end = WorkQueue(workers=1, waiting=0), threading.Event()

    async def late() -> int:
        with pytest.raises(TooSlow):
            await queue.run(lambda _: end.wait(5), timeout=patience(0.3))
        (job,) = queue._running
        assert job.abandoned
        job.started = time.monotonic() - 16
        with pytest.raises(Busy) as refused:
            await queue.run(lambda _: None, timeout=patience(10))
        return refused.value.retry_after

    try:
        assert 16 <= loops.run(late()) <= 20
    finally:
        end.set()
        queue.close()


def test_whether_there_is_a_place_can_be_asked_before_a_body_is_read() -> None:
    queue, end = WorkQueue(workers=1, waiting=0), threading.Event()

    async def full() -> None:
        queue.check()
        inside = asyncio.ensure_future(queue.run(lambda _: end.wait(5), timeout=patience(10)))
        await at_work(queue, running=1)
        with pytest.raises(Busy):
            queue.check()
        end.set()
        await inside

    loops.run(full())
    until(lambda: free(queue))
    queue.check()
    assert queue.stats().refused == 1
    queue.close()
    with pytest.raises(Busy):
        queue.check()


def test_who_hangs_up_frees_the_place(queue: WorkQueue) -> None:
    told, ran = threading.Event(), []

    def work(cancel: threading.Event) -> None:
        ran.append(1)
        assert cancel.wait(5)
        told.set()

    async def hung_up() -> None:
        asked = [asyncio.ensure_future(queue.run(work, timeout=patience(30))) for _ in range(6)]
        await at_work(queue, running=2, waiting=4)
        for one in asked:
            one.cancel()
        await asyncio.wait(asked)
        assert queue.stats().waiting == 0

    loops.run(hung_up())
    assert told.wait(2)
    until(lambda: free(queue))
    # Who was still waiting never began.
    assert len(ran) == 2
    assert (queue.stats().disconnected, queue.stats().done) == (6, 0)


def test_the_estimate_follows_the_last_seconds_and_the_refused_come_back_one_after_the_other(queue: WorkQueue) -> None:
    end = threading.Event()

    async def crowded() -> list[int]:
        now = time.monotonic()
        # What was long ago does not count.
        queue._durations.extend([(now - 300, 50.0)] * 9 + [(now, 4.0)] * 3)
        inside = [asyncio.ensure_future(queue.run(lambda _: end.wait(5), timeout=1e9)) for _ in range(6)]
        await at_work(queue, running=2, waiting=4)
        told = []
        for _ in range(12):
            with pytest.raises(Busy) as refused:
                await queue.run(lambda _: True, timeout=1e9)
            told.append(refused.value.retry_after)
        end.set()
        await asyncio.gather(*inside)
        return told

    told = loops.run(crowded())
    # Six before it, two at a time, four seconds each.
    assert told[0] == 12
    assert told == sorted(told)
    # Both workers are free then; whoever comes next is told of a later time.
    assert told[1:3] == [12, 16]
    # One that asks without end makes up no queue of thousands.
    assert told[-1] <= 24


def test_many_ask_and_hang_up_at_random_and_all_is_free_again(queue: WorkQueue) -> None:
    def work(cancel: threading.Event) -> bool:
        return cancel.wait(0.002)

    async def storm() -> list[object]:
        async def one(number: int) -> object:
            await asyncio.sleep(0.0007 * (number % 97))
            asked = asyncio.ensure_future(queue.run(work, timeout=0.003 if number % 5 == 0 else 5))
            if number % 3 == 0:
                await asyncio.sleep(0.001 * (number % 4))
                asked.cancel()
            return (await asyncio.gather(asked, return_exceptions=True))[0]

        return list(await asyncio.gather(*(one(number) for number in range(400))))

    answers = loops.run(storm())
    assert {type(answer) for answer in answers} <= {bool, Busy, TooSlow, asyncio.CancelledError}
    assert any(answer is False for answer in answers)
    until(lambda: free(queue))
    assert loops.run(queue.run(lambda _: "after", timeout=patience(5))) == "after"


def test_what_the_caller_set_holds_in_the_thread(queue: WorkQueue) -> None:
    name = contextvars.ContextVar("name", default="nobody")

    async def asked(who: str) -> str:
        name.set(who)
        return await queue.run(lambda _: name.get(), timeout=patience(5))

    assert loops.run(asked("one")) == "one"
    assert loops.run(queue.run(lambda _: name.get(), timeout=patience(5))) == "nobody"


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux only")
def test_pages_come_first(queue: WorkQueue) -> None:
    def priority(_: object = None) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    before = priority()
    assert loops.run(queue.run(priority, timeout=patience(5))) == max(before, NICE)
    assert priority() == before


def test_a_closed_gate_takes_nothing_and_lets_go() -> None:
    queue, told = WorkQueue(1, 1), threading.Event()

    def work(cancel: threading.Event) -> None:
        assert cancel.wait(5)
        told.set()

    async def closed() -> list[object]:
        asked = [asyncio.ensure_future(queue.run(work, timeout=patience(30))) for _ in range(2)]
        await at_work(queue, running=1, waiting=1)
        queue.close()
        return list(await asyncio.gather(*asked, queue.run(work, timeout=patience(30)), return_exceptions=True))

    first, second, third = loops.run(closed())
    assert first is None
    assert isinstance(second, Busy)
    assert isinstance(third, Busy)
    assert told.is_set()
