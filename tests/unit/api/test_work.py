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

from sightglass.api.problems import ApiProblem
from sightglass.api.work import WorkQueue
from sightglass.common.errors import Cancelled
from sightglass.common.work import progress
from sightglass.common.work.progress import NICE, check
from tests import loops
from tests.servers import until
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkQueue]:
    monkeypatch.setattr(progress, "_STOPPING", threading.Event())
    monkeypatch.setattr(progress, "_STOPS", [])
    monkeypatch.setattr(progress, "_BUSY", [])
    queue = WorkQueue(workers=2, waiting=4)
    yield queue
    queue.cancel()


def endless() -> None:
    while True:
        time.sleep(0.005)
        check()


async def at_work(queue: WorkQueue, running: int, waiting: int = 0) -> None:
    """Wait until so many jobs run and wait: threads of low priority start late on a busy machine."""
    while (queue.running, len(queue)) != (running, running + waiting):
        await asyncio.sleep(0.005)


def test_what_the_work_returns_and_what_it_raises(queue: WorkQueue) -> None:
    def broken() -> None:
        raise LookupError("nothing there")

    assert loops.run(queue.run(lambda: 3, timeout=patience(5))) == 3
    with pytest.raises(LookupError, match="nothing there"):
        loops.run(queue.run(broken, timeout=patience(5)))
    until(lambda: not len(queue))


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
            asyncio.ensure_future(queue.run(lambda number=number: work(number), timeout=patience(10)))
            for number in range(50)
        ]
        while sum(one.done() for one in asked) < 44:
            await asyncio.sleep(0.005)
        opened.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    answers = loops.run(burst())
    refused = [answer for answer in answers if isinstance(answer, ApiProblem) and answer.status == 429]
    assert answers[:6] == [True] * 6 and len(refused) == 44 and sorted(served) == list(range(6))
    assert {busy.headers["Retry-After"] for busy in refused} == {"3"}
    until(lambda: not len(queue))
    assert max(most) == 2


def test_at_the_limit_the_work_is_told_and_its_place_comes_back_when_it_ends(queue: WorkQueue) -> None:
    told, end = threading.Event(), threading.Event()

    def deaf() -> None:
        try:
            endless()
        finally:
            told.set()
            end.wait(5)

    with pytest.raises(ApiProblem, match=r"after 0\.3 s") as stopped:
        loops.run(queue.run(deaf, timeout=0.3))
    assert stopped.value.status == 504
    assert told.wait(2)
    assert queue.running == 1
    end.set()
    until(lambda: not len(queue))


def test_what_the_caller_set_holds_in_the_thread_and_pages_come_first(queue: WorkQueue) -> None:
    name = contextvars.ContextVar("name", default="nobody")

    async def asked(who: str) -> str:
        name.set(who)
        return await queue.run(name.get, timeout=patience(5))

    assert loops.run(asked("one")) == "one"
    if sys.platform == "linux":

        def priority() -> int:
            return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

        before = priority()
        assert loops.run(queue.run(priority, timeout=patience(5))) == max(before, NICE)
        assert priority() == before


def test_who_hangs_up_frees_the_place_and_a_stop_ends_all(queue: WorkQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_STOP_SECONDS", "0.1")

    async def hung_up() -> list[object]:
        asked = [asyncio.ensure_future(queue.run(endless, timeout=patience(30))) for _ in range(6)]
        await at_work(queue, running=2, waiting=4)
        for one in (*asked[4:], asked[0]):
            one.cancel()
        await at_work(queue, running=2, waiting=1)
        assert await asyncio.to_thread(progress.stop, patience(5))
        with pytest.raises(ApiProblem) as late:
            await queue.run(endless, timeout=1)
        assert (late.value.status, late.value.headers["Retry-After"]) == (503, "5")
        return list(await asyncio.gather(*asked[1:4], return_exceptions=True))

    assert [type(answer) for answer in loops.run(hung_up())] == [Cancelled] * 3
    assert not len(queue)
