"""Time all contenders in one process, once a round each, in a new order every round."""

from __future__ import annotations

import gc
import random
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.classifiers.case import SEED, Case
from benchmarks.classifiers.peers import peers
from benchmarks.classifiers.sightglass import maps, sightglass
from benchmarks.gpu import cuda_graphs
from explain.evidence.determinism import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.contender import Contender

WARM_UP = 3
"""Number of rounds that are not counted."""


def speed(
    models: Sequence[str], path: Path, device: torch.device, *, rounds: int, classes: int
) -> list[dict[str, Any]]:
    """Return one table per model."""
    return [table(Case.build(model, path, device, classes), rounds) for model in models]


def table(case: Case, rounds: int) -> dict[str, Any]:
    """Measure one model: milliseconds, their spread, the ratio to the bare forward pass, and the maps' difference."""
    lines = [*peers(case), *sightglass(case)]
    if case.device.type == "cuda":
        lines += cuda_graphs.contenders(case)
    times = measure(lines, rounds, case.device)
    bare = float(np.median(times["bare"]))
    spec = case.resident.adapter.spec
    return {
        "model": spec.id,
        "weights": case.weights,
        "layer": case.layer.path,
        "input": case.given.geometry.input,
        "channels_last": case.resident.memory_format == torch.channels_last,
        **equality(case, {line.id: line for line in lines}),
        "lines": [row(line, times[line.id], bare) for line in lines],
        **(cuda_graphs.facts(case) if case.device.type == "cuda" else {}),
    }


def measure(
    lines: Sequence[Contender], rounds: int, device: torch.device, *, warm_up: int | None = None
) -> dict[str, list[float]]:
    """Return the milliseconds of every round by contender; `warm_up` rounds are not counted (None: WARM_UP).

    Raises RuntimeError if a contender changes the number of threads, as some libraries do.
    """
    threads = torch.get_num_threads()
    times: dict[str, list[float]] = {line.id: [] for line in lines}
    # Shuffled and not rotated: in a rotation each contender always follows the same one, which has filled the
    # processor's caches.
    shuffle = random.Random(SEED).shuffle
    order = list(lines)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for number in range(-(WARM_UP if warm_up is None else warm_up), rounds):
            shuffle(order)
            gc.collect()
            for line in order:
                took = timed(line.call, line.prepare(), device)
                if torch.get_num_threads() != threads:
                    raise RuntimeError(f"{line.name} leaves {torch.get_num_threads()} threads of {threads}.")
                if number >= 0:
                    times[line.id].append(took)
    finally:
        if collecting:
            gc.enable()
    return times


def timed(call: Callable[[Any], Any], argument: Any, device: torch.device) -> float:
    """Return the milliseconds of one call, on a GPU until its last kernel is done."""
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


def equality(case: Case, lines: dict[str, Contender]) -> dict[str, Any]:
    """Return the largest absolute difference to pytorch-grad-cam's maps (None without it), and how many of ours are
    empty: untrained weights can give empty maps, which agree with anything."""
    ours = maps(case)[0].cpu().numpy()
    empty = sum(not values.any() for values in ours)
    if "grad_cam" not in lines:
        return {"difference": None, "empty": empty}
    # Both in full float32: a peer's pass on a GPU rounds to 10 bits by default.
    with exact(case.device):
        theirs = np.stack(lines["grad_cam"].call(None))
    return {"difference": float(np.abs(ours - theirs).max()), "empty": empty}


def row(line: Contender, times: list[float], bare: float) -> dict[str, Any]:
    """Return the median milliseconds, their spread and the ratio to `bare`."""
    p10, median, p90 = np.percentile(times, (10, 50, 90)).tolist()
    return {"id": line.id, "name": line.name, "ms": median, "p10": p10, "p90": p90, "ratio": median / bare}
