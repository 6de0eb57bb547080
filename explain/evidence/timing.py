"""Measure the time of a model's forward pass on this machine, as the median of warm passes."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from explain.evidence.evidence import Evidence

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of one forward pass on a picture."""

    median: float
    fastest: float
    slowest: float

    def apart(self, other: Timing) -> bool:
        """Return whether the two ranges are disjoint, so that one model is clearly faster."""
        return self.slowest < other.fastest or other.slowest < self.fastest


def measure(evidence: Evidence, rounds: int = ROUNDS) -> Timing:
    """Run the model `rounds` times on the picture of the Evidence, after one warm-up pass."""
    import torch

    resident, took = evidence.resident, []
    with resident.lock, torch.no_grad():
        for _ in range(rounds + 1):
            start = time.perf_counter()
            resident.adapter.run(evidence.tensor)
            if resident.device.type == "cuda":
                torch.cuda.synchronize(resident.device)
            took.append((time.perf_counter() - start) * 1e3)
    took = took[1:]
    return Timing(statistics.median(took), min(took), max(took))
