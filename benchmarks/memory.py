"""Memory: every contender in a fresh process, weighed against the bare model in that same process. Linux only."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from benchmarks.case import Case

STATUS = Path("/proc/self/status")
SETTLED = 20
"""Calls after which whatever grows is growth."""
CONTENDERS = {
    "maps": "Sightglass, maps of a prepared picture",
    "explainer": "Sightglass, Explainer on new pictures, with its cache of evidence",
    "grad_cam": "pytorch-grad-cam, one object kept",
    "torch_cam": "torch-cam, one extractor kept",
    "torch_cam_unclosed": "torch-cam, an extractor per call, never closed",
}


def memory(models: Sequence[str], path: Path, *, calls: int, classes: int, threads: int) -> list[dict[str, Any]]:
    """One row for each model and contender, in MB."""
    if not STATUS.exists():
        raise ModelProblem("Memory is measured on Linux only: there is no /proc here.")
    rows = []
    for model in models:
        for contender, name in CONTENDERS.items():
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
                row = fresh.submit(weigh, contender, model, path, calls, classes, threads).result()
            rows.append({"model": model, "id": contender, "name": name, "calls": calls, **row})
    return rows


def weigh(contender: str, model: str, path: Path, calls: int, classes: int, threads: int) -> dict[str, Any]:
    """The bare model first, then the contender's library, objects and so many calls."""
    import torch

    from benchmarks.case import Case

    torch.set_num_threads(threads)
    case = Case.build(model, path, torch.device("cpu"), classes)
    module = case.module()
    with torch.no_grad():
        for _ in range(SETTLED):
            module(case.tensor)
    with suppress(OSError):
        # From here on the peak is the contender's, and not that of loading the model.
        Path("/proc/self/clear_refs").write_text("5")
    bare = settled = megabytes("VmRSS")
    call = _call(contender, case, module)
    for number in range(1, calls + 1):
        call(number)
        if number == SETTLED:
            settled = megabytes("VmRSS")
    after, peak = megabytes("VmRSS"), megabytes("VmHWM")
    return {
        "weights": case.weights,
        "bare": bare,
        "over": after - bare,
        "peak": peak - bare,
        "growth": after - settled if calls > SETTLED else 0.0,
        "hooks": hooks(module) + hooks(case.resident.adapter.module),
    }


def hooks(module: nn.Module) -> int:
    """How many hooks of any kind are on a module and all its parts."""
    return sum(
        len(held)
        for part in module.modules()
        for name, held in vars(part).items()
        if name.endswith("_hooks") and isinstance(held, dict) and "state_dict" not in name
    )


def _call(contender: str, case: Case, module: nn.Module) -> Callable[[int], Any]:
    """Imported only now: a library's own weight is part of what it costs."""
    if contender == "explainer":
        from benchmarks.sightglass import on_new_pictures

        return on_new_pictures(case)
    if contender == "maps":
        from benchmarks.sightglass import maps

        return lambda _: maps(case)
    from benchmarks import peers

    made = {
        "grad_cam": peers.grad_cam,
        "torch_cam": peers.torch_cam,
        "torch_cam_unclosed": peers.torch_cam_unclosed,
    }[contender]
    line = next(iter(made(case, module)))
    return lambda _: line.call(None)


def megabytes(name: str) -> float:
    """A line of the kernel about this process: VmRSS, or VmHWM for the peak."""
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise ModelProblem(f"The kernel does not say {name}.")
