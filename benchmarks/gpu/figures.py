"""Measure GPU speed, memory release and half precision.

The same functions run on a CPU, which shows that they work; what they return there is no figure of a GPU.
"""

from __future__ import annotations

import gc
import math
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.case import FAST, maps_of, seeded
from benchmarks.classifiers.case import Case
from benchmarks.classifiers.sightglass import GRADCAM
from benchmarks.gpu.graphs import graphs
from benchmarks.report import Row, attempt, goal
from benchmarks.timing import Contender, measure, row
from sightglass.explain.evidence import batched_pass
from sightglass.explain.evidence.resident import Residency
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.explain.maps.statistics import compare
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sightglass.common.work.progress import Progress
    from sightglass.explain.evidence.resident import Resident
    from sightglass.models.spec import ModelSpec

GOAL = 2.0
"""Most milliseconds of all maps of one picture from device to device, on an H100."""
PROOFS = 7
"""Most rounds of the curves of a proof, which take hundreds of passes each."""
TITLES = {
    "maps": "Maps, device to device",
    "upload": "From the bytes of a JPEG to maps on the picture's grid",
    "batch": "A batch, beside the bare forward of the same batch",
    "prove": "Curves of a proof, beside the bare forward of the same pictures",
    "residency": "More models than fit the budget",
    "autocast": "Maps with and without autocast",
}


@dataclass(frozen=True)
class Sizes:
    """What is measured, and how much of it."""

    model: str = "resnet50"
    """A classifier, with random weights where it has no others: the time does not depend on them."""
    classes: int = 5
    rounds: int = 31
    batch: int = batched_pass.ON_GPU
    steps: int = 20
    loaded: tuple[str, ...] = ("resnet50", "resnet18", "efficientnet_b0", "demo-cls-m")
    """Models that compete for memory."""
    compared: tuple[str, ...] = ("resnet50", "efficientnet-lite0", "demo-cls-m", "demo-vit")
    """Classifiers whose maps are compared."""


def figures(path: Path, device: torch.device, sizes: Sizes) -> dict[str, Row]:
    """Measure each of TITLES; what fails says so in its place, and the others go on."""

    def case() -> Case:
        return Case.build(sizes.model, path, device, sizes.classes)

    made: dict[str, Callable[[], Row]] = {
        "maps": lambda: maps(case(), sizes),
        "upload": lambda: upload(case(), sizes),
        "batch": lambda: batch(case(), sizes),
        "prove": lambda: prove(case(), sizes),
        "residency": lambda: residency(path, device, sizes),
        "autocast": lambda: autocast(path, device, sizes),
    }
    return {name: attempt(title, made[name]) for name, title in TITLES.items()}


def maps(case: Case, sizes: Sizes) -> Row:
    """Time the maps of all targets of a picture, from its tensor on the device to maps on the device."""
    bare, tensor = case.module(), case.tensor
    count = len(case.targets)
    lines = [
        Contender("bare", "bare forward, as its library runs it", lambda _: _passed(bare, tensor)),
        Contender("maps", f"Sightglass, {count} maps at input size", lambda _: case.maps([GRADCAM])[0]),
    ]
    if case.device.type == "cuda":
        lines += graphs(case)
    found = _timed(case, lines, sizes.rounds)
    made = case.maps([GRADCAM])[0]
    if made.device != case.device:
        raise RuntimeError(f"The maps were on {made.device}.")
    taken = {line["id"]: line["ms"] for line in found}["maps"]
    return {
        **_about(case),
        "maps": count,
        "lines": found,
        "goals": [goal(f"{count} maps of {sizes.model}, device to device (on an H100)", taken, GOAL)],
    }


def upload(case: Case, sizes: Sizes) -> Row:
    """Time the way from a file's bytes to maps on the host, at the model's input and on the picture's own grid."""
    data, bare, tensor = case.path.read_bytes(), case.module(), case.tensor
    explainer = _explainer(case)
    chosen: dict[str, Any] = {"method": GRADCAM.id, "targets": case.indices, "layers": (case.layer.path,)}
    height, width = case.image.pixels.shape[:2]

    def grown(count: int) -> list[NDArray[np.float32]]:
        return [heatmap.values for heatmap in explainer(data, **chosen).heatmaps[:count]]

    on_grid = f"on the picture's own {width}x{height}"
    lines = [
        Contender("bare", "bare forward of a prepared picture", lambda _: _passed(bare, tensor)),
        Contender(
            "input",
            f"Explainer(...)(bytes), {len(case.targets)} maps at input size",
            lambda _: explainer(data, **chosen),
            EVIDENCE.clear,
        ),
        Contender("one", f"the same, and one map {on_grid}", lambda _: grown(1), EVIDENCE.clear),
        Contender("all", f"the same, and all maps {on_grid}", lambda _: grown(len(case.targets)), EVIDENCE.clear),
    ]
    return {**_about(case), "kilobytes": len(data) / 1e3, "lines": _timed(case, lines, sizes.rounds)}


def batch(case: Case, sizes: Sizes) -> Row:
    """Time a batch of different pictures: bare, to one map of each on the device, and from pixels to heatmaps."""
    adapter, first, bare = case.resident.adapter, case.targets[0], case.module()
    pictures = [np.roll(case.image.pixels, 16 * number, 1) for number in range(sizes.batch)]
    prepared = [adapter.prepare(pixels, adapter.preprocessings[0]) for pixels in pictures]
    given = [ModelInput(one.tensor.to(case.device), one.geometry) for one in prepared]
    whole = torch.cat([one.tensor for one in given])
    explainer = _explainer(case)

    def mapped() -> list[Tensor]:
        parts = batched_pass.run_pass(case.resident, given, case.layers)
        batched_pass.backward(parts, [first] * len(parts))
        return [maps_of(part, [first], [GRADCAM])[0] for part in parts]

    def explained() -> object:
        return explainer(pictures, method=GRADCAM.id, targets=first.index, layers=(case.layer.path,))

    lines = [
        Contender("bare", "bare forward, as its library runs it", lambda _: _passed(bare, whole)),
        Contender("maps", "Sightglass, one map of each, device to device", lambda _: mapped()),
        Contender("pictures", "Explainer(...)(arrays), heatmaps on the host", lambda _: explained(), EVIDENCE.clear),
    ]
    found = _timed(case, lines, sizes.rounds)
    rates = [line | {"images": sizes.batch / line["ms"] * 1e3} for line in found]
    return {**_about(case), "batch": sizes.batch, "lines": rates}


def prove(case: Case, sizes: Sizes) -> Row:
    """Time the curves of five maps, as the benchmark of proofs does, with the model where it is."""
    # It brings what the pages need.
    from benchmarks.prove import timed_curves

    explained = _explainer(case)(case.path, method=GRADCAM.id, targets=case.indices[:1], layers=(case.layer.path,))
    return {
        **_about(case),
        "steps": sizes.steps,
        **timed_curves(explained, min(sizes.rounds, PROOFS), sizes.steps),
    }


class Seeded(Residency):
    """A residency of models with random weights where they have no others; it counts what it loads."""

    def __init__(self, budget: int | None = None) -> None:
        super().__init__(budget)
        self.modules: list[weakref.ref[nn.Module]] = []

    def get(self, spec: ModelSpec, device: torch.device, progress: Progress | None = None) -> Resident:
        resident = super().get(seeded(spec)[0], device, progress)
        module = resident.adapter.module
        if not any(one() is module for one in self.modules):
            self.modules.append(weakref.ref(module))
        return resident

    @property
    def alive(self) -> int:
        """The number of models whose weights are still in memory."""
        return sum(one() is not None for one in self.modules)


def residency(path: Path, device: torch.device, sizes: Sizes) -> Row:
    """Explain with several models in turn in half of the memory that they need; bytes are above those before."""

    def explain(name: str, within: Residency) -> None:
        Explainer(name, device=str(device), residency=within)(path, top_k=1)

    roomy = Seeded(2**62)
    for name in sizes.loaded:
        explain(name, roomy)
    needed = roomy.nbytes
    roomy.free()
    # What libraries keep from their first use on is no model's.
    before = allocated(device)
    pressed = Seeded(needed // 2)
    most = most_over = kept = 0
    for name in (*sizes.loaded, *sizes.loaded):
        explain(name, pressed)
        now = allocated(device) - before
        most, most_over = max(most, now), max(most_over, now - pressed.nbytes)
        kept = max(kept, pressed.alive - len(pressed.residents()))
    left = len(pressed.residents())
    pressed.free()
    return {
        "models": sizes.loaded,
        "needed": needed,
        "budget": pressed.limit,
        "loads": len(pressed.modules),
        "evicted": len(pressed.modules) - left,
        "kept": kept,
        "most": most,
        "most_over": most_over,
        "after": allocated(device) - before,
        "alive": pressed.alive,
    }


def allocated(device: torch.device) -> int:
    """Return the bytes of tensors on a GPU, without evidence of the latest pictures; 0 elsewhere."""
    EVIDENCE.clear()
    gc.collect()
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def autocast(path: Path, device: torch.device, sizes: Sizes) -> Row:
    """Compare the maps of passes in whole float32, as Sightglass runs them, with those under autocast."""
    found = [
        one
        for name in sizes.compared
        for one in _under_autocast(Case.build(name, path, device, sizes.classes), min(sizes.rounds, PROOFS))
    ]
    return {"lines": found}


def _under_autocast(case: Case, rounds: int) -> list[Row]:
    kinds = (torch.float16, torch.bfloat16) if case.device.type == "cuda" else (torch.bfloat16,)
    plain = case.maps(FAST)

    def moved(kind: torch.dtype) -> list[Tensor]:
        with torch.autocast(case.device.type, dtype=kind):
            evidence = case.evidence()
            evidence.gradients(case.targets)
        # What is made of them is scaled in float32, and is too little work for less.
        return maps_of(evidence, case.targets, FAST)

    found = []
    for kind in kinds:
        made = moved(kind)
        lines = [
            Contender("off", "off", lambda _: case.maps(FAST)),
            Contender("on", "on", lambda _, kind=kind: moved(kind)),  # type: ignore[misc]
        ]
        taken = measure(lines, rounds, case.device)
        found.append(
            {
                "model": case.resident.adapter.spec.id,
                "weights": case.weights,
                "kind": str(kind).removeprefix("torch."),
                "methods": {
                    method.id: _alike(one, other) for method, one, other in zip(FAST, plain, made, strict=True)
                },
                "off": float(np.median(taken["off"])),
                "on": float(np.median(taken["on"])),
            }
        )
    return found


def _alike(one: Tensor, other: Tensor) -> tuple[float, float]:
    """Return the largest difference and the lowest rank correlation of maps (k, h, w); not numbers if one has such."""
    first, second = one.float().cpu().numpy(), other.float().cpu().numpy()
    if not np.isfinite(first).all() or not np.isfinite(second).all():
        return math.nan, math.nan
    ranks = [compare(a, b).rank_correlation for a, b in zip(first, second, strict=True)]
    return float(np.abs(first - second).max()), float(min(ranks))


@torch.no_grad()
def _passed(module: nn.Module, tensor: Tensor) -> object:
    return module(tensor)


def _explainer(case: Case) -> Explainer:
    return Explainer(case.resident.adapter.spec.id, device=str(case.device), residency=case.residency)


def _timed(case: Case, lines: Sequence[Contender], rounds: int) -> list[Row]:
    taken = measure(lines, rounds, case.device)
    return [row(line, taken[line.id], float(np.median(taken["bare"]))) for line in lines]


def _about(case: Case) -> Row:
    return {"model": case.resident.adapter.spec.id, "weights": case.weights, "input": case.given.geometry.input}
