"""A bounded queue for the work of requests, with Retry-After estimates.

Work runs in threads of low priority, so that the dashboard's pages come first. Nothing waits forever: a request that
reaches its time limit is refused, and the work of one whose client disconnects is cancelled.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import math
import statistics
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sightglass.common.errors import Problem
from sightglass.common.work.progress import lower_priority, stopped_by

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_RETRY_AFTER = 60
"""Longest Retry-After, in seconds: no estimate is good for longer."""

DEFAULT_SECONDS = 1.0
"""Assumed duration of a job before any has finished."""

T = TypeVar("T")
BEFORE = "X-Queue-Before"
"""Header that says how many requests were at work or waited when this one came."""


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
    """Work for one request; `cancel` is set once nobody awaits it."""

    def __init__(self, work: Callable[[threading.Event], Any]) -> None:
        self._work, self.cancel = work, threading.Event()
        # Context variables of the request hold in the thread too.
        self._context = contextvars.copy_context()
        self.started: float | None = None

    def __call__(self) -> Any:
        self.started = time.monotonic()
        try:
            with stopped_by(self.cancel):
                return self._context.run(self._work, self.cancel)
        except StopIteration as error:
            # A future does not accept it.
            raise RuntimeError("the work raised StopIteration") from error


class WorkQueue:
    """Run up to `workers` jobs (at least one) at the same time and queue up to `waiting` more; refuse any others."""

    def __init__(self, workers: int = 2, waiting: int = 16) -> None:
        self.workers, self.waiting = max(1, workers), max(0, waiting)
        # Not anyio's CapacityLimiter: its threads are shared with work of normal priority, and it admits the next job
        # while the thread of a cancelled one still runs.
        self._pool = concurrent.futures.ThreadPoolExecutor(self.workers, "work-queue", initializer=lower_priority)
        self._jobs: dict[concurrent.futures.Future[Any], _Job] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._durations: deque[float] = deque(maxlen=32)
        self._done = self._refused = self._timed_out = self._disconnected = 0

    def __len__(self) -> int:
        """Return the number of jobs at work or waiting."""
        return len(self._jobs)

    def check(self) -> None:
        """Raise Busy if `run` would, so that a long body can be refused before it is read."""
        if self._closed or len(self) >= self.workers + self.waiting:
            self._refused += 1
            raise self._busy()

    async def run(self, work: Callable[[threading.Event], T], *, timeout: float) -> T:
        """Run `work` in a thread and return or raise its outcome; its argument is an event set once nobody awaits it.

        `timeout`: seconds from now. Raises Busy at once if the queue is full, later if the job was still waiting at the
        timeout, and TooSlow if it had started. An abandoned job keeps its place until its thread is done with it.
        """
        self.check()
        job = _Job(work)
        future = self._pool.submit(job)
        with self._lock:
            self._jobs[future] = job
        future.add_done_callback(self._finish)
        answer = asyncio.wrap_future(future)
        try:
            await asyncio.wait((answer,), timeout=timeout)
        except asyncio.CancelledError:
            self._disconnected += 1
            job.cancel.set()
            answer.cancel()
            raise
        if answer.done() and not answer.cancelled():
            return answer.result()  # type: ignore[no-any-return]
        job.cancel.set()
        answer.cancel()
        if future.cancel():
            raise self._busy()
        self._timed_out += 1
        raise TooSlow(timeout)

    def _finish(self, future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            job = self._jobs.pop(future)
            if job.started is not None:
                self._durations.append(time.monotonic() - job.started)
                self._done += not job.cancel.is_set()

    def _seconds(self) -> float:
        with self._lock:
            return statistics.median_low(self._durations) if self._durations else DEFAULT_SECONDS

    def _busy(self) -> Busy:
        """Return Busy with the time after which a worker is probably free."""
        waiting = max(1, len(self) - self.workers + 1)
        seconds = math.ceil(self._seconds() * waiting / self.workers)
        return Busy(min(max(1, seconds), MAX_RETRY_AFTER), len(self))

    def stats(self) -> Stats:
        with self._lock:
            jobs = list(self._jobs.values())
        running = [job for job in jobs if job.started is not None]
        return Stats(
            workers=self.workers,
            capacity=self.waiting,
            waiting=len(jobs) - len(running),
            running=len(running),
            abandoned=sum(job.cancel.is_set() for job in running),
            done=self._done,
            refused=self._refused,
            timed_out=self._timed_out,
            disconnected=self._disconnected,
            seconds=self._seconds(),
        )

    def close(self, wait: float = 0.0) -> bool:
        """Accept no more jobs and cancel the others; return whether all ended within `wait` seconds."""
        self._closed = True
        with self._lock:
            jobs = dict(self._jobs)
        for job in jobs.values():
            job.cancel.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        return not concurrent.futures.wait([one for one in jobs if not one.cancelled()], wait).not_done
