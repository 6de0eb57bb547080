"""A bounded work queue with Retry-After estimates.

Work runs in threads of low priority, so that the dashboard's pages come first. Nothing waits forever: a request that
reaches its time limit is refused, and one whose client disconnects is dropped. People are served in turn: whoever sends
many requests delays another's by one, and gives a place up to it where all are taken.
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

from sightglass.common import users
from sightglass.common.errors import Problem
from sightglass.common.memory import give_back
from sightglass.common.work.turns import Scheduler

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
WINDOW_SECONDS = 60.0
"""Seconds of recent work on which an estimate is based."""
DEFAULT_SECONDS = 1.0
"""Assumed duration of a job while few have finished recently."""
DEFAULT_WEIGHT = 2
"""Number of jobs for which that assumption counts: one or two slow jobs say little about the next."""
MAX_RETRY_AFTER = 60
"""Longest Retry-After, in seconds: no estimate is good for longer."""
BEFORE = "X-Queue-Before"
"""Header that says how many requests were at work, or waited for an earlier turn, when this one came."""
NICE = 10
EXIT_SECONDS = 3.0
"""Seconds that threads get to end when the process exits."""
_QUEUES: weakref.WeakSet[WorkQueue] = weakref.WeakSet()


class Busy(Problem):
    """The queue is full, or did not move in time; retry after `retry_after` whole seconds.

    `before`: how many requests are at work or wait.
    """

    def __init__(self, retry_after: int, before: int = 0) -> None:
        super().__init__(f"Too many requests are waiting: try again in {retry_after} s.")
        self.retry_after, self.before = retry_after, before

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after), BEFORE: str(self.before)}


class TooSlow(Problem):
    """The work was not done within `seconds`, and was cancelled."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"This was stopped after {seconds:g} s: choose a faster method, fewer masks or classes, or a smaller model."
        )
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Stats:
    """Number of jobs now, and since the start."""

    workers: int
    capacity: int
    """Maximum number of waiting jobs."""
    waiting: int
    running: int
    abandoned: int
    """Running jobs whose answer nobody awaits any more."""
    done: int
    refused: int
    timed_out: int
    """Abandoned at the time limit."""
    disconnected: int
    """Abandoned because the client disconnected."""
    seconds: float
    """Median duration of recent jobs."""


class _Job:
    def __init__(self, work: Callable[[threading.Event], Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.cancel = threading.Event()
        # Context variables of the request hold in the thread too.
        context = contextvars.copy_context()
        self.call: Callable[[], Any] = lambda: context.run(work, self.cancel)
        self.started: float | None = None
        self.abandoned = False

    def settle(self, result: Any, failure: BaseException | None) -> None:
        """Set the result from any thread; do nothing if nobody awaits it any more."""

        def settle() -> None:
            if self.future.done():
                return
            if failure is None:
                self.future.set_result(result)
            else:
                # A future does not accept StopIteration.
                self.future.set_exception(RuntimeError("stopped") if isinstance(failure, StopIteration) else failure)

        # The caller's event loop may have been closed.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(settle)


class WorkQueue:
    """Run up to `workers` jobs (at least one) at the same time and queue up to `waiting` more; refuse any others.

    Of those that wait, one of each person is run after the other.
    """

    def __init__(self, workers: int = 2, waiting: int = 16) -> None:
        self.workers, self.waiting = max(1, workers), max(0, waiting)
        self._queue: Scheduler[_Job] = Scheduler(self.workers, self.waiting)
        self._changed, self._running = self._queue.changed, self._queue.working
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False
        self._durations: deque[tuple[float, float]] = deque(maxlen=64)
        # Bounded by the number of places: one client that retries endlessly must not fake a queue of thousands.
        self._promises: deque[float] = deque(maxlen=self.workers + self.waiting)
        self._done = self._refused = self._timed_out = self._disconnected = 0
        _QUEUES.add(self)

    async def run(
        self, work: Callable[[threading.Event], T], *, timeout: float, place: Callable[[int], None] | None = None
    ) -> T:
        """Run `work` in a thread and return or raise its outcome; its argument is an event set once nobody awaits it.

        `timeout`: seconds from now. `place` is told how many jobs are before this one. Raises Busy at once if the queue
        is full, later if its place went to somebody with fewer, or if the job was still waiting at the timeout, and
        TooSlow if it had started. An abandoned job keeps its place until its thread is done with it.
        """
        job, whose = _Job(work), users.owner()
        with self._changed:
            if self._refuses(whose):
                raise self._busy()
            if self._queue.full:
                self._queue.spared().settle(None, self._busy())
            self._queue.append(whose, job)
            if place is not None:
                place(self._queue.ahead(job))
            # A thread that was just notified still counts as idle.
            if len(self._queue) > self._idle and len(self._threads) < self.workers:
                name = f"work-queue-{len(self._threads) + 1}"
                self._threads.append(threading.Thread(target=self._serve, name=name, daemon=True))
                self._threads[-1].start()
            self._changed.notify()
        try:
            await asyncio.wait((job.future,), timeout=timeout)
        except asyncio.CancelledError:
            self._give_up(job, disconnected=True)
            raise
        if job.future.done():
            return job.future.result()  # type: ignore[no-any-return]
        if self._give_up(job):
            raise TooSlow(timeout)
        with self._changed:
            raise self._busy()

    def check(self) -> None:
        """Raise Busy if `run` would, so that a long body can be refused before it is read."""
        with self._changed:
            if self._refuses(users.owner()):
                raise self._busy()

    def _refuses(self, whose: str) -> bool:
        return self._closed or self._queue.refuses(whose)

    def _give_up(self, job: _Job, *, disconnected: bool = False) -> bool:
        """Abandon a job; return whether it had started."""
        job.cancel.set()
        job.future.cancel()
        with self._changed:
            if job in self._queue:
                self._queue.remove(job)
                self._disconnected += disconnected
                return False
            if job in self._running and not job.abandoned:
                job.abandoned = True
                self._disconnected += disconnected
                self._timed_out += not disconnected
            return True

    def _serve(self) -> None:
        if sys.platform == "linux":
            # Pages come first. Threads that torch starts from here inherit the priority.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        given_back = 0.0
        while True:
            with self._changed:
                self._idle += 1
                self._changed.wait_for(lambda: self._queue or self._closed)
                self._idle -= 1
                job = self._queue.start()
                if job is None:
                    return
                job.started = time.monotonic()
            result, failure = None, None
            try:
                result = job.call()
            except BaseException as error:
                failure = error
            with self._changed:
                now = time.monotonic()
                self._queue.leave(job)
                self._done += not job.abandoned
                self._durations.append((now, now - job.started))
            job.settle(result, failure)
            # Otherwise its picture and maps would stay in memory until the next job.
            del job, result, failure
            if time.monotonic() - given_back > 1 or not self._queue:
                give_back()
                given_back = time.monotonic()

    def _seconds(self) -> float:
        """Return the median duration of recent jobs, which a few slow ones do not change."""
        now = time.monotonic()
        took = [seconds for at, seconds in self._durations if now - at <= WINDOW_SECONDS]
        return statistics.median_low([DEFAULT_SECONDS] * DEFAULT_WEIGHT + took)

    def _seconds_until_free(self, before: int) -> float:
        """Return the seconds until a worker is free for a job after the running ones and `before` more.

        A job that has run for longer than usual is expected to take as long again.
        """
        now, usual = time.monotonic(), self._seconds()
        ages = [now - (job.started or now) for job in self._running]
        free = [usual - age if age < usual else age for age in ages] + [0.0] * (self.workers - len(ages))
        heapq.heapify(free)
        for _ in range(before):
            heapq.heapreplace(free, free[0] + usual)
        return free[0]

    def _busy(self) -> Busy:
        """Return Busy with the next free time: refused clients must not all retry in the same second."""
        now = time.monotonic()
        while self._promises and self._promises[0] <= now:
            self._promises.popleft()
        before = len(self._queue) + len(self._promises)
        seconds = min(max(1, math.ceil(self._seconds_until_free(before))), MAX_RETRY_AFTER)
        self._promises.append(now + seconds)
        self._refused += 1
        return Busy(seconds, len(self._running) + len(self._queue))

    def stats(self) -> Stats:
        with self._changed:
            return Stats(
                workers=self.workers,
                capacity=self.waiting,
                waiting=len(self._queue),
                running=len(self._running),
                abandoned=sum(job.abandoned for job in self._running),
                done=self._done,
                refused=self._refused,
                timed_out=self._timed_out,
                disconnected=self._disconnected,
                seconds=self._seconds(),
            )

    def close(self, wait: float = 0.0) -> bool:
        """Accept no more jobs and cancel the running ones; return whether all threads ended within `wait` seconds."""
        with self._changed:
            self._closed = True
            while self._queue:
                self._queue.popleft().settle(None, Busy(1))
            for job in self._running:
                job.cancel.set()
            self._changed.notify_all()
        until = time.monotonic() + wait
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)


def _close_all() -> None:
    """Close every queue: a thread still inside torch would crash the interpreter as it shuts down."""
    for queue in [*_QUEUES]:
        queue.close(EXIT_SECONDS)


atexit.register(_close_all)
