"""So much work at once, so much waiting, and everybody else is told when to come back.

Work runs in threads of its own, which give way to the dashboard's pages. Nothing waits without an end: who has waited
for the whole time limit is told so, and who hangs up no longer waits.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import heapq
import math
import os
import statistics
import sys
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from common.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
RECENT = 60.0
"""Seconds back that an estimate looks."""
GUESS = 1.0
"""Seconds that work takes where little has ended lately."""
DOUBT = 2
"""How many pieces of work the guess counts for: one or two slow ones say little of what comes next."""
LONGEST = 60
"""Seconds that anybody is told to stay away, at most: no estimate is good for longer."""
NICE = 10
PARTING = 3.0
"""Seconds that threads are given as the process ends."""
_GATES: weakref.WeakSet[Gate] = weakref.WeakSet()


class Busy(Problem):
    """The queue is full, or did not move in time; come back in `retry_after` whole seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many requests are waiting: try again in {retry_after} s.")
        self.retry_after = retry_after


class TooSlow(Problem):
    """The work was not done within `seconds`, and was told to stop."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"This was not done within {seconds:g} s and was stopped: choose a quicker method, fewer masks or classes, "
            "or a smaller model."
        )
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Stats:
    """What goes on: pieces of work now, and since the start."""

    workers: int
    room: int
    """How many may wait."""
    waiting: int
    running: int
    late: int
    """Of those running: nobody waits for them any more, and they have not yet ended."""
    done: int
    refused: int
    stopped: int
    """Given up at the time limit."""
    left: int
    """Given up because whoever asked hung up."""
    seconds: float
    """What one piece took lately: the median."""


class _Job:
    def __init__(self, work: Callable[[threading.Event], Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.cancel = threading.Event()
        # What the caller set for this request holds in the thread too.
        context = contextvars.copy_context()
        self.call: Callable[[], Any] = lambda: context.run(work, self.cancel)
        self.begun: float | None = None
        self.late = False

    def settle(self, result: Any, failure: BaseException | None) -> None:
        """From any thread; nothing where nobody waits any more."""

        def told() -> None:
            if self.future.done():
                return
            if failure is None:
                self.future.set_result(result)
            else:
                # A future does not take this one.
                self.future.set_exception(RuntimeError("stopped") if isinstance(failure, StopIteration) else failure)

        # The loop of whoever asked may have ended.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(told)


class Gate:
    """`workers` pieces of work at once (one at least), `waiting` in the queue (0 or more), the next one is refused."""

    def __init__(self, workers: int = 2, waiting: int = 16) -> None:
        self.workers, self.waiting = max(1, workers), max(0, waiting)
        self._news = threading.Condition()
        self._queue: deque[_Job] = deque()
        self._running: set[_Job] = set()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False
        self._took: deque[tuple[float, float]] = deque(maxlen=64)
        # As many as there are places: one client that asks without end must not make up a queue of thousands.
        self._promised: deque[float] = deque(maxlen=self.workers + self.waiting)
        self._done = self._refused = self._stopped = self._left = 0
        _GATES.add(self)

    async def run(self, work: Callable[[threading.Event], T], *, timeout: float) -> T:
        """What `work` returns or raises, made in a thread; it is given an event that is set once nobody waits for it.

        `timeout`: seconds from now. Raises Busy at once where the queue is full, and once it has waited for that long;
        TooSlow where the work had begun. A thread that was given up keeps its place until it ends.
        """
        job = _Job(work)
        with self._news:
            if self._full():
                raise self._busy()
            self._queue.append(job)
            # Who was woken just now still counts as idle.
            if len(self._queue) > self._idle and len(self._threads) < self.workers:
                name = f"gate-{len(self._threads) + 1}"
                self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
                self._threads[-1].start()
            self._news.notify()
        try:
            await asyncio.wait((job.future,), timeout=timeout)
        except asyncio.CancelledError:
            self._give_up(job, hung_up=True)
            raise
        if job.future.done():
            return job.future.result()  # type: ignore[no-any-return]
        if self._give_up(job):
            raise TooSlow(timeout)
        with self._news:
            raise self._busy()

    def look(self) -> None:
        """Raises Busy where `run` would: whoever has a long body to send is told before it is read."""
        with self._news:
            if self._full():
                raise self._busy()

    def _full(self) -> bool:
        return self._closed or len(self._running) + len(self._queue) >= self.workers + self.waiting

    def _give_up(self, job: _Job, *, hung_up: bool = False) -> bool:
        """Nobody waits for it any more; whether it had begun."""
        job.cancel.set()
        job.future.cancel()
        with self._news:
            if job in self._queue:
                self._queue.remove(job)
                self._left += hung_up
                return False
            if job in self._running and not job.late:
                job.late = True
                self._left += hung_up
                self._stopped += not hung_up
            return True

    def _serve(self) -> None:
        if sys.platform == "linux":
            # Pages come first. Threads that torch starts from here inherit it.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            with self._news:
                self._idle += 1
                while not self._queue and not self._closed:
                    self._news.wait()
                self._idle -= 1
                if not self._queue:
                    return
                job = self._queue.popleft()
                job.begun = time.monotonic()
                self._running.add(job)
            result, failure = None, None
            try:
                result = job.call()
            except BaseException as error:
                failure = error
            with self._news:
                now = time.monotonic()
                self._running.discard(job)
                self._done += not job.late
                self._took.append((now, now - job.begun))
            job.settle(result, failure)
            # Held until the next one came, a picture or a map would be.
            del job, result, failure

    def _seconds(self) -> float:
        """What one piece of work takes: the median of the last ones, which a few slow ones do not move."""
        now = time.monotonic()
        took = [seconds for at, seconds in self._took if now - at <= RECENT]
        return statistics.median_low([GUESS] * DOUBT + took)

    def _ahead(self, before: int) -> float:
        """Seconds until a worker is free for whoever comes after what runs now and `before` more.

        What has run for longer than others do, late or not, is taken to go on for as long as it has.
        """
        now, usual = time.monotonic(), self._seconds()
        ages = [now - (job.begun or now) for job in self._running]
        free = [usual - age if age < usual else age for age in ages] + [0.0] * (self.workers - len(ages))
        heapq.heapify(free)
        for _ in range(before):
            heapq.heapreplace(free, free[0] + usual)
        return free[0]

    def _busy(self) -> Busy:
        """Places are promised one after the other: all who were refused must not come back in the same second."""
        now = time.monotonic()
        while self._promised and self._promised[0] <= now:
            self._promised.popleft()
        before = len(self._queue) + len(self._promised)
        seconds = min(max(1, math.ceil(self._ahead(before))), LONGEST)
        self._promised.append(now + seconds)
        self._refused += 1
        return Busy(seconds)

    def stats(self) -> Stats:
        with self._news:
            return Stats(
                workers=self.workers,
                room=self.waiting,
                waiting=len(self._queue),
                running=len(self._running),
                late=sum(job.late for job in self._running),
                done=self._done,
                refused=self._refused,
                stopped=self._stopped,
                left=self._left,
                seconds=self._seconds(),
            )

    def close(self, wait: float = 0.0) -> bool:
        """Take nothing more and tell what runs to stop; whether all threads ended within `wait` seconds."""
        with self._news:
            self._closed = True
            while self._queue:
                self._queue.popleft().settle(None, Busy(1))
            for job in self._running:
                job.cancel.set()
            self._news.notify_all()
        until = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


def _end() -> None:
    """A thread that is inside of torch while the interpreter is taken apart would take the process down."""
    for gate in [*_GATES]:
        gate.close(PARTING)


atexit.register(_end)
