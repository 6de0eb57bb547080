"""The plain engine: as many threads of this process as it has cores, each with a batch at a time.

Each takes a batch all the way, from its files to its row in the journal. On a CPU every worker runs the model with one
thread of its own, which was measured to be quicker than all threads in one pass; where the model is on a GPU, or
explains one picture at a time, one worker is in the model while the others decode ahead and write.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import torch

from common.errors import Cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from explain.batch.item import Item
    from explain.batch.journal import Entry
    from explain.batch.worker import Work


class Lanes:
    """The workers of this process."""

    def __init__(self, work: Work, workers: int) -> None:
        self._work, self._workers = work, workers
        self.device = work.device

    def run(
        self,
        batches: Sequence[Sequence[Item]],
        take: Callable[[list[Entry]], None],
        tick: Callable[[str], bool],
    ) -> None:
        """As `job.Engine` has it."""
        stop, lock, left = self._work.stop, threading.Lock(), iter(batches)

        def lane() -> None:
            # A thread that has not asked yet takes everybody's number at its first operation, whatever it was given.
            torch.get_num_threads()
            torch.set_num_threads(threads)
            ready.wait()
            own = self._work.lane()
            while not stop.is_set():
                with lock:
                    batch = next(left, None)
                if batch is None:
                    return
                try:
                    take(own.entries(batch))
                except Cancelled:
                    return
                except BaseException:
                    stop.set()
                    raise

        # Every thread keeps its own number; new ones of this process shall have as many as before.
        before = torch.get_num_threads()
        threads = 1 if self._work.apart else before
        ready = threading.Barrier(self._workers + 1)
        with ThreadPoolExecutor(self._workers, "folder") as pool:
            lanes = [pool.submit(lane) for _ in range(self._workers)]
            ready.wait()
            torch.set_num_threads(before)
            try:
                while wait(lanes, 0.25).not_done:
                    if tick(""):
                        stop.set()
            except BaseException:
                stop.set()
                raise
        for one in lanes:
            one.result()
