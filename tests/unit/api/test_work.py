"""The API's queue: bounded, never a hang, and every place comes back."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from sightglass.api.problems import ApiProblem
from sightglass.api.work import BEFORE, WorkQueue
from sightglass.common.errors import Cancelled
from sightglass.common.work.progress import NICE
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


async def at_work(queue: WorkQueue, running: int, waiting: int = 0) -> None:
    """Wait until so many jobs run and wait: threads of low priority start late on a busy machine."""
    while (queue.running, len(queue)) != (running, running + waiting):
        await asyncio.sleep(0.005)


def test_what_the_work_returns_and_what_it_raises(queue: WorkQueue) -> None:
    def broken(_: threading.Event) -> None:
        raise LookupError("nothing there")

    assert loops.run(queue.run(lambda _: 3, timeout=patience(5))) == 3
    with pytest.raises(LookupError, match="nothing there"):
        loops.run(queue.run(broken, timeout=patience(5)))
    until(lambda: not len(queue))
    assert queue.counts["done"] == 2


def test_of_a_burst_some_are_answered_in_order_and_the_rest_refused_at_once(queue: WorkQueue) -> None:
    opened, served, begun, most = threading.Event(), list[int](), list[int](), list[int]()

    def work(number: int) -> bool:
        begun.append(number)
        most.append(len(begun) - len(served))
        assert opened.wait(patience(10))
        served.append(number)
        return True

    async def burst() -> list[object]:
        asked = [
            asyncio.ensure_future(queue.run(lambda _, number=number: work(number), timeout=patience(10)))
            for number in range(50)
        ]
        while sum(one.done() for one in asked) < 44:
            await asyncio.sleep(0.005)
        opened.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = loops.run(burst())
    refused = [answer for answer in answers if isinstance(answer, ApiProblem) and answer.status == 429]
    assert answers[:6] == [True] * 6 and len(refused) == 44 and sorted(served) == list(range(6))
    assert {busy.headers[BEFORE] for busy in refused} == {"6"}
    assert all(1 <= int(busy.headers["Retry-After"]) <= 60 for busy in refused)
    until(lambda: not len(queue))
    assert (queue.counts["refused"], max(most)) == (44, 2)


def test_at_the_limit_the_work_is_told_and_its_place_comes_back_when_it_ends(queue: WorkQueue) -> None:
    told, end = threading.Event(), threading.Event()

    def deaf(cancel: threading.Event) -> None:
        assert cancel.wait(5)
        told.set()
        end.wait(5)
        raise Cancelled

    with pytest.raises(ApiProblem, match=r"after 0\.3 s") as stopped:
        loops.run(queue.run(deaf, timeout=0.3))
    assert stopped.value.status == 504
    assert told.wait(2)
    assert (queue.running, queue.abandoned, queue.counts["timed_out"]) == (1, 1, 1)
    end.set()
    until(lambda: not len(queue))


def test_many_ask_and_hang_up_at_random_and_all_is_free_again(queue: WorkQueue) -> None:
    async def storm() -> list[object]:
        async def one(number: int) -> object:
            await asyncio.sleep(0.0007 * (number % 97))
            timeout = 0.003 if number % 5 == 0 else 5
            asked = asyncio.ensure_future(queue.run(lambda cancel: cancel.wait(0.002), timeout=timeout))
            if number % 3 == 0:
                await asyncio.sleep(0.001 * (number % 4))
                asked.cancel()
            return (await asyncio.gather(asked, return_exceptions=True))[0]

        return list(await asyncio.gather(*(one(number) for number in range(400))))

    answers = loops.run(storm())
    assert {type(answer) for answer in answers} <= {bool, ApiProblem, asyncio.CancelledError}
    assert any(answer is False for answer in answers)
    until(lambda: not len(queue))
    assert loops.run(queue.run(lambda _: "after", timeout=patience(5))) == "after"


def test_what_the_caller_set_holds_in_the_thread_and_pages_come_first(queue: WorkQueue) -> None:
    name = contextvars.ContextVar("name", default="nobody")

    async def asked(who: str) -> str:
        name.set(who)
        return await queue.run(lambda _: name.get(), timeout=patience(5))

    assert loops.run(asked("one")) == "one"
    if sys.platform == "linux":

        def priority(_: object = None) -> int:
            return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

        before = priority()
        assert loops.run(queue.run(priority, timeout=patience(5))) == max(before, NICE)
        assert priority() == before


def test_the_estimate_follows_recent_work_and_who_waits_for_the_whole_limit_is_told_to_come_back(
    queue: WorkQueue,
) -> None:
    end = threading.Event()

    async def crowded() -> str:
        queue._durations.extend([4.0] * 3)
        inside = [asyncio.ensure_future(queue.run(lambda _: end.wait(5), timeout=1e9)) for _ in range(5)]
        await at_work(queue, running=2, waiting=3)
        with pytest.raises(ApiProblem):
            await queue.run(lambda _: True, timeout=0.2)
        inside.append(asyncio.ensure_future(queue.run(lambda _: True, timeout=1e9)))
        await at_work(queue, running=2, waiting=4)
        with pytest.raises(ApiProblem) as refused:
            queue.check()
        end.set()
        await asyncio.gather(*inside)
        return refused.value.headers["Retry-After"]

    # Five places behind the two at work, four seconds each.
    assert loops.run(crowded()) == "10"


def test_who_hangs_up_or_is_closed_frees_the_place(queue: WorkQueue) -> None:
    told, ran = threading.Event(), []

    def work(cancel: threading.Event) -> None:
        ran.append(1)
        assert cancel.wait(5)
        told.set()

    async def hung_up() -> list[object]:
        asked = [asyncio.ensure_future(queue.run(work, timeout=patience(30))) for _ in range(6)]
        await at_work(queue, running=2, waiting=4)
        for some in (asked[3:], asked[:1]):
            for one in some:
                one.cancel()
            await asyncio.wait(some)
        await at_work(queue, running=2)
        assert queue.close(5)
        return list(await asyncio.gather(*asked[1:3], queue.run(work, timeout=patience(30)), return_exceptions=True))

    second, third, late = loops.run(hung_up())
    assert (second, third) == (None, None) and isinstance(late, ApiProblem)
    assert told.is_set() and not len(queue)
    # Who was still waiting never began.
    assert len(ran) == 3
