"""Time contenders in one process, in a new order every round."""

from __future__ import annotations

import gc
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SEED = 0
WARM_UP = 3
"""Number of rounds that are not counted."""
CPU = torch.device("cpu")
Key = TypeVar("Key")
Sample = TypeVar("Sample")


@dataclass(frozen=True)
class Contender:
    """One line of a table: what is timed or weighed, and what must be there before."""

    id: str
    name: str
    call: Callable[[Any], Any]
    """It gets what `prepare` returned."""
    prepare: Callable[[], Any] = lambda: None
    """Called anew for every round and not timed."""


def in_rounds(calls: Mapping[Key, Callable[[], Sample]], rounds: int, warm_up: int) -> dict[Key, list[Sample]]:
    """Return each call's results after `warm_up` rounds, without garbage collection."""
    samples: dict[Key, list[Sample]] = {key: [] for key in calls}
    # Shuffled and not rotated: in a rotation each contender always follows the same one, which has filled the
    # processor's caches.
    shuffle, order, collecting = random.Random(SEED).shuffle, list(calls), gc.isenabled()
    gc.disable()
    try:
        for number in range(-warm_up, rounds):
            shuffle(order)
            gc.collect()
            for key in order:
                sample = calls[key]()
                if number >= 0:
                    samples[key].append(sample)
    finally:
        if collecting:
            gc.enable()
    return samples


def measure(
    lines: Sequence[Contender], rounds: int, device: torch.device = CPU, *, warm_up: int | None = None
) -> dict[str, list[float]]:
    """Return each contender's milliseconds per round after `warm_up` rounds.

    Raises RuntimeError if a contender changes the number of threads, as some libraries do.
    """
    threads = torch.get_num_threads()

    def once(line: Contender) -> float:
        took = timed(line.call, line.prepare(), device)
        if torch.get_num_threads() != threads:
            raise RuntimeError(f"{line.name} leaves {torch.get_num_threads()} threads of {threads}.")
        return took

    calls = {line.id: lambda line=line: once(line) for line in lines}
    return in_rounds(calls, rounds, WARM_UP if warm_up is None else warm_up)


def timed(call: Callable[[Any], Any], argument: Any, device: torch.device) -> float:
    """Return a call's milliseconds, until a GPU's last kernel."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize(device)
        start.record()
        call(argument)
        end.record()
        torch.cuda.synchronize(device)
        return float(start.elapsed_time(end))
    begin = time.perf_counter()
    call(argument)
    return (time.perf_counter() - begin) * 1e3


def compare(
    lines: Sequence[Contender], rounds: int, device: torch.device = CPU, *, warm_up: int | None = None
) -> list[dict[str, Any]]:
    """Measure contenders; return the median milliseconds of each, their spread, and the ratio to those of `bare`."""
    taken = measure(lines, rounds, device, warm_up=warm_up)
    bare, rows = float(np.median(taken["bare"])), []
    for line in lines:
        p10, median, p90 = np.percentile(taken[line.id], (10, 50, 90)).tolist()
        rows.append({"id": line.id, "name": line.name, "ms": median, "p10": p10, "p90": p90, "ratio": median / bare})
    return rows
