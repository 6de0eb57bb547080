"""Thread pools, and results in order."""

import ctypes
import os
import platform
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextvars import copy_context
from itertools import repeat, takewhile
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")
M_ARENA_MAX = -8
"""Parameter of `mallopt`, as in malloc.h."""


def processor_cores() -> int:
    """Return the number of usable processor cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_heap() -> None:
    """Let later threads allocate from the heaps that exist, under glibc.

    By default each thread gets a heap of its own, and the others can't use what is freed there: after ten minutes with
    20 sessions a server held 140 MB more.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def read_ahead(items: Iterable[T], count: int) -> Generator[T, None, None]:
    """Yield the items, up to `count` read ahead in a thread, which ends with this iterator."""
    source, context = iter(items), copy_context()
    end: Any = object()
    pool = ThreadPoolExecutor(1, "ahead")
    try:
        read = in_order(repeat(source), lambda source: context.run(next, source, end), pool, count + 1)
        yield from takewhile(lambda item: item is not end, read)
    finally:
        pool.shutdown(cancel_futures=True)


def in_order(items: Iterable[T], work: Callable[[T], R], pool: Executor, count: int) -> Iterator[R]:
    """Yield `work` of each item in order, `count` at once."""
    pending: deque[Future[R]] = deque()
    for item in items:
        pending.append(pool.submit(work, item))
        if len(pending) >= count:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def torch_pool(count: int, name: str, threads: int = 1) -> ThreadPoolExecutor:
    """Return a pool of `count` workers, each with `threads` threads of PyTorch.

    With PyTorch's default every worker would have threads that wait in busy loops, on cores that others need.
    """
    import torch

    before, ready = torch.get_num_threads(), threading.Barrier(count + 1)

    def set_up() -> None:
        # Otherwise a thread takes the process's number of threads at its first operation, whatever it was given.
        torch.get_num_threads()
        torch.set_num_threads(threads)
        ready.wait()

    pool = ThreadPoolExecutor(count, name)
    for _ in range(count):
        pool.submit(set_up)
    ready.wait()
    # Each thread keeps its own number; later threads of this process must have as many as before.
    torch.set_num_threads(before)
    return pool
