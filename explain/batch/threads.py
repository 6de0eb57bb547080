"""Run batches in threads of this process, one per core.

Each thread processes a whole batch, from its files to its line in the journal. On a CPU every worker runs the model
with a single thread, which was measured to be faster than all threads in one pass; if the model is on a GPU, or
explains one picture at a time, one worker runs it while the others decode ahead and write.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import torch

from common.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from explain.batch.item import Item
    from explain.batch.journal import Outcome
    from explain.batch.worker import Work


def processor_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ThreadEngine:
    """Workers in threads of this process."""

    def __init__(self, work: Work, workers: int) -> None:
        self._work, self._workers = work, workers
        self.device = work.device

    def run(
        self,
        batches: Sequence[Sequence[Item]],
        take: Callable[[list[Outcome]], None],
        tick: Callable[[str], bool],
    ) -> None:
        """See `runner.Engine`."""
        stop, lock, left = self._work.stop, threading.Lock(), iter(batches)

        def worker() -> None:
            # Otherwise a thread takes the process's number of threads at its first operation, whatever it was given.
            torch.get_num_threads()
            torch.set_num_threads(threads)
            ready.wait()
            own = self._work.for_worker()
            while not stop.is_set():
                with lock:
                    batch = next(left, None)
                if batch is None:
                    return
                try:
                    take(own.process(batch))
                except Cancelled:
                    return
                except BaseException:
                    stop.set()
                    raise

        # Each thread keeps its own number; later threads of this process must have as many as before.
        before = torch.get_num_threads()
        threads = 1 if self._work.parallel else before
        ready = threading.Barrier(self._workers + 1)
        with ThreadPoolExecutor(self._workers, "folder") as pool:
            workers = [pool.submit(worker) for _ in range(self._workers)]
            ready.wait()
            torch.set_num_threads(before)
            try:
                while wait(workers, 0.25).not_done:
                    if tick(""):
                        stop.set()
            except BaseException:
                stop.set()
                raise
        for one in workers:
            one.result()
