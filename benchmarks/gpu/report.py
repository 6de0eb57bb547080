"""Measure how a GPU changes maps, or its rounding without one.

Without a GPU it also counts launches.

The rest (the same maps as on the CPU, the same bits twice, memory, threads, speed) needs a CUDA device, and is reported
as missing without one.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.case import FAST
from benchmarks.gpu.figures import Sizes, allocated, figures
from benchmarks.gpu.sections import HEADING, on_the_device
from benchmarks.report import FOLDER, Row, attempt, grid, machine, page
from benchmarks.timing import Contender, measure
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.models.adapters.folding import unfold
from sightglass.models.catalog import available, spec
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from sightglass.explain.explanation import Explanation

MODELS = ("efficientnet-lite0", "demo-cls-m", "demo-vit", "yolo11n", "yolox_nano")
HOW = {"tf32": "TF32", "float32": "float32"}
PACKAGES = ("torch", "torchvision", "timm", "ultralytics", "grad-cam", "torchcam", "numpy")
COUNT = {"classify": 5, "detect": 10}
CALLS = 500
THREADS = 4
SETTLED = 20
"""Calls after which any increase counts as growth."""
ROUNDS = 11
VIEWS = {
    "aten::view", "aten::_unsafe_view", "aten::expand", "aten::t", "aten::transpose", "aten::permute", "aten::slice",
    "aten::select", "aten::detach", "aten::alias", "aten::unsqueeze", "aten::squeeze", "aten::as_strided",
    "aten::unbind", "aten::split", "aten::split_with_sizes", "aten::empty", "aten::empty_like", "aten::new_empty",
    "aten::lift_fresh",
}  # fmt: skip
"""Operations that launch nothing."""
OUT = FOLDER / "GPU.md"
aten = torch.ops.aten


class Rounded(TorchDispatchMode):
    """Convolutions as on a GPU: operands rounded to TF32's 10 bits, or float32's last bit at random."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self._noise = torch.Generator().manual_seed(0)

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        operands = {aten.convolution.default: (0, 1), aten.convolution_backward.default: (0, 2)}.get(operation)
        if operands is None:
            return operation(*args, **(kwargs or {}))
        given = list(args)
        for at in operands if self.how == "tf32" else operands[:1]:
            given[at] = tf32(given[at]) if self.how == "tf32" else self._moved(given[at])
        return operation(*given, **(kwargs or {}))

    def _moved(self, values: Tensor) -> Tensor:
        return values * (1 + 2**-24 * torch.randn(values.shape, generator=self._noise))


def tf32(values: Tensor) -> Tensor:
    """Round to nearest, ties to even, to the 10 fraction bits of TF32."""
    bits = values.clone().view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


class Counted(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += operation._schema.name not in VIEWS
        return operation(*args, **(kwargs or {}))


def gpu(models: Sequence[str], path: Path, device: torch.device, rounds: int | None) -> Row:
    """Measure everything; `here` and `figures` are None unless `device` is a CUDA one.

    Without `models`, those of MODELS whose weights are on this machine; the others are in `without`.
    """
    there = models or [name for name in MODELS if available(spec(name))]
    result: Row = {"machine": machine(torch.get_num_threads(), str(device), PACKAGES), "here": None, "figures": None}
    result["without"] = [] if models else [name for name in MODELS if name not in there]
    result["rounding"] = [row for model in there for row in rounding(model, path)]
    result["launches"] = [row for model in there for row in launches(model, path, device, rounds or ROUNDS)]
    if device.type == "cuda":
        result |= measured_on(there, path, device, Sizes(rounds=rounds) if rounds else Sizes())
        result["name"] = torch.cuda.get_device_name(device)
    return result


def measured_on(models: Sequence[str], path: Path, device: torch.device, sizes: Sizes, calls: int = CALLS) -> Row:
    """Return `figures`, and of each model in `here` whether its maps on the device are the CPU's."""
    here = [attempt(model, partial(on_device, model, path, device, calls)) for model in models]
    return {"figures": figures(path, device, sizes), "here": here}


def options_for(explainer: Explainer) -> Row:
    """Return the options for the strongest boxes, or the best classes."""
    detects = explainer.model.task == "detect"
    return {"top_k": COUNT[explainer.model.task]} | ({"per": "detection", "confidence": 0.1} if detects else {})


def fresh(explainer: Explainer, path: Path, **options: Any) -> Explanation:
    EVIDENCE.clear()
    return explainer(path, **options)


def apart(first: Explanation, second: Explanation) -> float:
    """Return the largest difference of their maps of the same targets, 0..1."""
    pairs = zip(first.heatmaps, second.heatmaps, strict=True)
    return max(float(np.abs(a.at_input - b.at_input).max()) for a, b in pairs)


def by_method(first: Explanation, second: Explanation) -> dict[str, float]:
    return {method.id: apart(first.with_method(method.id), second.with_method(method.id)) for method in FAST}


def named(explanation: Explanation) -> tuple[Any, ...]:
    """Return its targets, for another explanation."""
    targets = (heatmap.target for heatmap in explanation.heatmaps)
    return tuple((t.anchors[0], t.index) if explanation.options.per == "detection" else t.index for t in targets)


def rounding(model: str, path: Path) -> list[Row]:
    """Return how much a model's maps change on the CPU under other rounding, by method."""
    explainer = Explainer(model, device="cpu")
    options = options_for(explainer)
    found = []
    # The CPU's fused steps do not exist on a GPU.
    with unfold():
        options["targets"] = named(fresh(explainer, path, **options))
        plain = fresh(explainer, path, **options)
        for how in HOW:
            with Rounded(how):
                moved = fresh(explainer, path, **options)
                # Within the mode, since it covers the gradients too.
                differences = by_method(plain, moved)
            found.append({"model": model, "how": how, "differences": differences})
    return found


def launches(model: str, path: Path, device: torch.device, rounds: int) -> list[Row]:
    """Compare ways to the gradients of several targets: operations launched, and milliseconds on the device."""
    explainer = Explainer(model, device=str(device))
    made = fresh(explainer, path, **options_for(explainer))
    evidence, targets = made.evidence, [heatmap.target for heatmap in made.heatmaps]
    resident, given = evidence.resident, ModelInput(evidence.tensor, evidence.geometry)

    def bare() -> None:
        with torch.no_grad():
            resident.adapter.run(evidence.tensor)

    def batched() -> None:
        scalars = torch.stack([resident.adapter.scalar(evidence.outputs, target) for target in targets])
        one_each = torch.eye(len(targets), device=device)
        torch.autograd.grad(
            scalars, evidence.recorded, one_each, retain_graph=True, allow_unused=True, is_grads_batched=True
        )

    lines: dict[str, Callable[[], Any]] = {
        "a bare pass": bare,
        "a pass that keeps its graph": lambda: Evidence(resident, given, evidence.layers),
        "PyTorch's own way, one by one": lambda: [evidence._backward(target) for target in targets],
    }
    if len(targets[0].anchors) == 1:
        lines["walked back in windows"] = lambda: [evidence._cut_windows(target) for target in targets]
    lines["a batched product"] = batched
    counts, times = {}, {}
    with resident.lock, torch.enable_grad():
        for name, call in lines.items():
            with Counted() as counted:
                call()
            counts[name] = counted.count
        # The time of launching means nothing on a device that computes asynchronously.
        if device.type == "cuda":
            contenders = [Contender(name, name, lambda _, call=call: call()) for name, call in lines.items()]  # type: ignore[misc]
            times = measure(contenders, rounds, device)
    return [
        {"model": model, "targets": len(targets), "what": name, "launches": counts[name]}
        | ({"ms": float(np.median(times[name]))} if name in times else {})
        for name in lines
    ]


def on_device(model: str, path: Path, device: torch.device, calls: int = CALLS) -> Row:
    """Compare a device's maps with the CPU's, with a second run and with several threads, and measure memory."""
    cpu, here = Explainer(model, device="cpu"), Explainer(model, device=str(device))
    options = options_for(cpu)
    options["targets"] = named(fresh(cpu, path, **options))
    first = fresh(here, path, **options)
    differences = by_method(fresh(cpu, path, **options), first)
    again = by_method(fresh(here, path, **options), first)
    with ThreadPoolExecutor(THREADS) as pool:
        # Each with another method, so that all run at once.
        wanted = [method.id for method in FAST] * 2
        threaded = list(pool.map(lambda name: fresh(here, path, method=name, **options), wanted))
    others = [apart(made, first.with_method(name)) for made, name in zip(threaded, wanted, strict=True)]
    settled = 0
    for number in range(calls):
        fresh(here, path, **options)
        if number == SETTLED:
            settled = allocated(device)
    return {
        "model": model,
        "differences": differences,
        "again": max(again.values()),
        "threads": max(others),
        "growth": allocated(device) - settled,
        "calls": calls,
    }


def markdown(result: Row, before: str = "") -> str:
    """Return GPU.md; `before`: its text until now, of which stays what this machine cannot measure.

    That is the part of a GPU where there is none, and the part before it where models were left out.
    """
    here = on_the_device(result, before)
    if result["without"] and HEADING in before:
        return before.partition(HEADING)[0] + "\n\n".join(here) + "\n"
    parts = (*_rounded(result["rounding"]), *_launched(result["launches"]), *here)
    return page("On a GPU", "gpu", result["machine"], *parts, note=" Give --device cuda where there is a GPU.")


def _rounded(found: Sequence[Row]) -> list[str]:
    rows = [(row["model"], HOW[row["how"]], *(f"{v:.0e}" for v in row["differences"].values())) for row in found]
    return [
        "## Rounding, emulated on the CPU",
        "PyTorch lets cuDNN round the operands of a convolution to TF32's 10 bits on GPUs that can. Here they are "
        "rounded like that on the CPU, forward and backward, and beside it by half of float32's last bit at random, as "
        "another order of summing does. The largest difference of any map, on its scale of 0 to 1: "
        f"{COUNT['classify']} classes, or {COUNT['detect']} boxes at most. That is why passes on a GPU are in whole "
        "float32 (`explain/evidence/determinism.py`).",
        grid(("model", "rounded to", *(method.name for method in FAST)), rows),
    ]


def _launched(found: Sequence[Row]) -> list[str]:
    rows = [(row["model"], str(row["targets"]), row["what"], f"{row['launches']:,}") for row in found]
    return [
        "## What is launched",
        "Operations that launch something, views left out. A small model waits for its launches on a GPU. Sightglass "
        "walks a box back in windows where there are rules for that: more operations, on fewer numbers.",
        grid(("model", "targets", "what", "launches"), rows),
    ]
