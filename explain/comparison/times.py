"""Time models on one picture, in turns."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.common.work.progress import check
from sightglass.explain.phrases import NBSP, milliseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from sightglass.common.work.progress import Progress
    from sightglass.explain.evidence.evidence import Evidence

ROUNDS = 10
"""Passes of each model that are timed."""
STEADY = 1.3
"""Median over fastest pass up to which a time says something about the model and not about the machine."""
NOT_MEASURABLE = "not measurable now"
"""What is said in place of times that a busy machine took."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one forward pass on a picture."""

    median: float
    fastest: float
    slowest: float

    @property
    def steady(self) -> bool:
        """Whether the passes took about as long; else the machine was busy."""
        return self.median <= STEADY * self.fastest

    @property
    def text(self) -> str:
        """The median with its range, `34 ms (30–40 ms)`."""
        least, most = milliseconds(self.fastest), milliseconds(self.slowest)
        number, unit = least.split(NBSP)
        # The unit once, where it is the same.
        if most.endswith(f"{NBSP}{unit}"):
            least = number
        return f"{milliseconds(self.median)} ({least}–{most})"


def measure_in_turns(
    evidences: Sequence[Evidence], rounds: int = ROUNDS, progress: Progress | None = None
) -> tuple[Timing, ...]:
    """Time several models in alternating passes, after one warm-up round.

    What slows the machine for a while then slows all of them alike.
    """
    times: list[list[float]] = [[] for _ in evidences]
    for evidence in evidences:
        _time_pass(evidence)
    for done in range(rounds):
        if progress is not None:
            progress(done / rounds, "Measuring times")
        for evidence, passes in zip(evidences, times, strict=True):
            passes.append(_time_pass(evidence))
    return tuple(Timing(statistics.median(passes), min(passes), max(passes)) for passes in times)


def all_steady(timings: Sequence[Timing]) -> bool:
    """Return whether the machine did little else while models were timed in turns."""
    return all(timing.steady for timing in timings)


def describe_times(timings: Sequence[Timing]) -> list[str]:
    """Return the times of models that were timed in turns; where the machine was busy, that none can be told."""
    if not all_steady(timings):
        return [NOT_MEASURABLE] * len(timings)
    return [timing.text for timing in timings]


def find_fastest(timings: Sequence[Timing]) -> int | None:
    """Return the index of the clearly fastest model.

    None where its range overlaps with the next one's, the machine was busy, or there are fewer than two models.
    """
    if len(timings) < 2 or not all_steady(timings):
        return None
    order = sorted(range(len(timings)), key=lambda place: timings[place].median)
    first, second = order[:2]
    return first if timings[first].slowest < timings[second].fastest else None


def _time_pass(evidence: Evidence) -> float:
    """Return the milliseconds of one pass."""
    import torch

    loaded = evidence.loaded
    with loaded.lock, torch.no_grad():
        check()
        _wait_for(loaded.device)
        start = time.perf_counter()
        loaded.adapter.run(evidence.tensor)
        _wait_for(loaded.device)
        return (time.perf_counter() - start) * 1e3


def _wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was given.

    Other devices are not waited for.
    """
    import torch

    if device.type == "cuda":
        torch.cuda.current_stream(device).synchronize()
