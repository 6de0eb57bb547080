"""Measure the memory of each classifier contender in a new process.

It is given over the bare model in that process. Linux only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.processes import check_proc, fresh, megabytes, reset_peak

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn

    from benchmarks.classifiers.case import Case

SETTLED = 20
"""Calls after which any increase counts as growth."""
CONTENDERS = {
    "maps": "Sightglass, maps of a prepared picture",
    "explainer": "Sightglass, Explainer on new pictures, with its cache of evidence",
    "grad_cam": "pytorch-grad-cam, one object reused",
    "torch_cam": "torch-cam, one extractor reused",
    "torch_cam_unclosed": "torch-cam, an extractor per call, never closed",
}


def memory(models: Sequence[str], path: Path, *, calls: int, classes: int, threads: int) -> list[dict[str, Any]]:
    check_proc()
    rows = []
    for model in models:
        for contender, name in CONTENDERS.items():
            row = fresh(weigh, contender, model, path, calls, classes, threads)
            rows.append({"model": model, "id": contender, "name": name, "calls": calls, **row})
    return rows


def weigh(contender: str, model: str, path: Path, calls: int, classes: int, threads: int) -> dict[str, Any]:
    import torch

    from benchmarks.classifiers.case import Case

    torch.set_num_threads(threads)
    case = Case.build(model, path, torch.device("cpu"), classes)
    module = case.module()
    with torch.no_grad():
        for _ in range(SETTLED):
            module(case.tensor)
    reset_peak()
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
    """Return the number of hooks of any kind on a module and all its parts."""
    return sum(
        len(hooked)
        for part in module.modules()
        for name, hooked in vars(part).items()
        if name.endswith("_hooks") and isinstance(hooked, dict) and "state_dict" not in name
    )


def _call(contender: str, case: Case, module: nn.Module) -> Callable[[int], Any]:
    """Import a contender only now: its library's own memory is part of the cost."""
    if contender == "explainer":
        from benchmarks.classifiers.sightglass import on_new_pictures

        return on_new_pictures(case)
    if contender == "maps":
        from benchmarks.classifiers.sightglass import GRADCAM

        return lambda _: case.maps([GRADCAM])
    from benchmarks.classifiers import peers

    made = {
        "grad_cam": peers.grad_cam,
        "torch_cam": peers.torch_cam,
        "torch_cam_unclosed": peers.torch_cam_unclosed,
    }[contender]
    line = next(iter(made(case, module)))
    return lambda _: line.call(None)
