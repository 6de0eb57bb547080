"""Time the engine, the bare model and the other libraries on one picture, and compare their maps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.classifiers.case import Case
from benchmarks.classifiers.peers import peers
from benchmarks.classifiers.sightglass import maps, sightglass
from benchmarks.gpu import cuda_graphs
from benchmarks.timing import measure, row
from explain.evidence.determinism import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.timing import Contender


def table(case: Case, rounds: int) -> dict[str, Any]:
    """Measure one model: milliseconds, their spread, the ratio to the bare forward pass, and the maps' difference."""
    lines = [*peers(case), *sightglass(case)]
    if case.device.type == "cuda":
        lines += cuda_graphs.contenders(case)
    spec = case.resident.adapter.spec
    return {
        "model": spec.id,
        "weights": case.weights,
        "layer": case.layer.path,
        "input": case.given.geometry.input,
        "channels_last": case.resident.memory_format == torch.channels_last,
        **compared(case, lines, rounds),
        **(cuda_graphs.facts(case) if case.device.type == "cuda" else {}),
    }


def compared(case: Case, lines: Sequence[Contender], rounds: int, *, warm_up: int | None = None) -> dict[str, Any]:
    """Return a row for each line, and the largest absolute difference of our maps to pytorch-grad-cam's.

    The difference is None without that library. `empty` counts our empty maps: untrained weights can give them, and
    they agree with anything.
    """
    times = measure(lines, rounds, case.device, warm_up=warm_up)
    bare = float(np.median(times["bare"]))
    ours, difference = maps(case)[0].cpu().numpy(), None
    for peer in (line for line in lines if line.id == "grad_cam"):
        # Both in full float32: a peer's pass on a GPU rounds to 10 bits by default.
        with exact(case.device):
            difference = float(np.abs(ours - np.stack(peer.call(None))).max())
    return {
        "difference": difference,
        "empty": sum(not values.any() for values in ours),
        "lines": [row(line, times[line.id], bare) for line in lines],
    }
