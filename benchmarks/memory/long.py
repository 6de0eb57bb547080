"""Explain thousands of pictures and look for memory leaks.

There are more models than there is room for.
"""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import threading
import time
import weakref
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.classifiers.memory import hooks
from benchmarks.processes import HAS_PROC, check_proc, environment, fresh, megabytes
from benchmarks.report import FOLDER, Row, goal, goals, grid, machine, page
from sightglass.common.errors import ModelProblem
from sightglass.common.memory import give_back

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from sightglass.explain.evidence.resident import Residency
    from sightglass.explain.picture.image import Image

OUT = FOLDER / "MEMORY.md"
COUNT, DRIFT_MB = 2000, 50.0
MODELS = (
    *("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2", "yolo11n", "yolo26n", "yolo11n-seg"),
    *("yolox_nano", "demo-vit", "demo-clip", "demo-reid", "demo-l", "demo-cls-l", "demo-m", "demo-cls-m"),
)
"""The first `HOW_MANY` that are on this machine are used."""
HOW_MANY, ROOM = 8, 3
PICTURES = ("bus", "scene 1", "scene 2", "scene 3")
SIDES = (160, 900)
"""The shortest and the longest side of the parts that are cut out of them, in pixels."""
WARM = 0.1
"""Share of the explanations after which memory must not grow any more."""
SAMPLES = 80
SLOW_EVERY, SAVED_EVERY = 40, 20
"""One of so many is by a method that runs the model again and again, and one of so many is saved to files."""


@dataclass(frozen=True)
class Left:
    """What is alive or open beside what should be."""

    models: int
    """Evicted models that are still in memory,"""
    weights: int
    """and tensors of such models."""
    hooks: int
    descriptors: int
    threads: int
    files: int
    """In the folder of temporary files."""


class Watch:
    """Counts what this process holds, and follows every model that it ever loaded."""

    def __init__(self, folder: Path) -> None:
        """`folder`: that of temporary files."""
        self._folder = folder
        self._modules: dict[int, weakref.ref[nn.Module]] = {}
        self._weights: dict[int, weakref.ref[Tensor]] = {}
        self.count()

    def count(self) -> None:
        """Note what is open now: what is opened later must be closed."""
        self._before = self._counts()

    def follow(self, module: nn.Module) -> None:
        if id(module) not in self._modules:
            _follow(self._modules, module)
            for weight in module.parameters():
                _follow(self._weights, weight)

    def left(self, residency: Residency) -> Left:
        """Return what is left once everything that nobody uses was collected."""
        gc.collect()
        held = [resident.adapter.module for resident in residency.residents()]
        models = self._modules.keys() - set(map(id, held))
        weights = self._weights.keys() - {id(weight) for module in held for weight in module.parameters()}
        more = (max(0, after - before) for before, after in zip(self._before, self._counts(), strict=True))
        return Left(len(models), len(weights), sum(map(hooks, held)), *more)

    def _counts(self) -> tuple[int, int, int]:
        descriptors = len(os.listdir("/proc/self/fd")) if HAS_PROC else 0
        return descriptors, threading.active_count(), sum(1 for _ in self._folder.rglob("*"))


def _follow(into: dict[int, weakref.ref[Any]], value: Any) -> None:
    key = id(value)
    into[key] = weakref.ref(value, lambda _: into.pop(key, None))


class Day:
    """Explanations of parts of pictures, by all models and methods in turn, as chance has it."""

    def __init__(self, models: Sequence[str], residency: Residency, folder: Path, seed: int = 0) -> None:
        from sightglass.explain.picture.image import load_bundled

        self.models, self.residency, self._folder = models, residency, folder
        self._random = np.random.default_rng(seed)
        self._pictures = [load_bundled(name) for name in PICTURES]
        self.methods = Counter[str]()

    def explain(self, number: int) -> nn.Module:
        """Make one explanation and drop it; return the module that made it."""
        from sightglass.explain import Explainer
        from sightglass.explain.methods import list_methods

        explainer = Explainer(str(self._random.choice(self.models)), residency=self.residency)
        quick = [method.id for method in list_methods(explainer.resident) if method.quick]
        slow = number % SLOW_EVERY == SLOW_EVERY - 1 and explainer.model.task != "embed"
        chosen: dict[str, Any] = {"method": "occlusion", "masks": 9} if slow else {}
        if not chosen and explainer.resident.gradients:
            chosen = {"method": str(self._random.choice(quick))}
        made = explainer(self._part(), top_k=int(self._random.integers(1, 6)), **chosen)
        self.methods[made.recipe.method] += 1
        if made.heatmaps and number % SAVED_EVERY == 0:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                made.save(folder)
        return explainer.resident.adapter.module

    def _part(self) -> Image:
        """Return a part of one of the pictures, of any size and shape."""
        from sightglass.explain.picture.image import Image

        pixels = self._pictures[self._random.integers(len(self._pictures))].pixels
        sides, whole = self._random.integers(*SIDES, 2), np.array(pixels.shape[:2])
        high, wide = np.minimum(sides, whole)
        top, left = self._random.integers(0, 1 + whole - (high, wide))
        return Image.open(np.ascontiguousarray(pixels[top : top + high, left : left + wide]))


def chosen_models(models: Sequence[str] = ()) -> list[str]:
    """Return these models, or the first eight that are on this machine; raise ModelProblem where they are fewer."""
    from sightglass.models import catalog

    here = [name for name in models or MODELS if catalog.available(catalog.spec(name))][: len(models) or HOW_MANY]
    if len(here) <= ROOM:
        raise ModelProblem(f"Name more models than {ROOM} that are on this machine: `sightglass models list`.")
    return here


def room_for(models: Sequence[str]) -> int:
    """Return the bytes that are room for `ROOM` of these models, each taken as large as they are on average."""
    from sightglass.explain import Explainer
    from sightglass.explain.evidence.resident import Residency
    from sightglass.explain.picture.image import load_bundled

    residency = Residency(2**40)
    for name in models:
        Explainer(name, residency=residency)(load_bundled(PICTURES[0]))
    return residency.nbytes * ROOM // len(models)


def explain_many(
    count: int,
    models: Sequence[str],
    folder: Path,
    *,
    samples: int = SAMPLES,
) -> Row:
    """Make `count` explanations in this process; return its memory in MB at each sample, and what was left at the end.

    `folder`: that of temporary files.
    """
    from sightglass.explain.evidence.resident import Residency
    from sightglass.explain.explainer import EVIDENCE

    names = chosen_models(models)
    limit = room_for(names)
    residency = Residency(limit)
    watch, day = Watch(folder), Day(names, residency, folder)
    memory, start = [], time.perf_counter()
    for number in range(count):
        watch.follow(day.explain(number))
        if number == int(WARM * count):
            # Libraries open a font, and start a thread, once.
            watch.count()
        if (number + 1) % max(1, count // samples) == 0:
            memory.append(_rest())
    EVIDENCE.clear()
    return {
        "count": count,
        "models": names,
        "limit": limit / 2**20,
        "held": len(residency.residents()),
        "memory": memory,
        "peak": megabytes("VmHWM"),
        "drift": drift(memory),
        "seconds": time.perf_counter() - start,
        "methods": len(day.methods),
        "left": asdict(watch.left(residency)),
    }


def _rest() -> float:
    """Return the MB of this process at rest: without evidence, which comes and goes, and what it would give back."""
    from sightglass.explain.explainer import EVIDENCE

    EVIDENCE.clear()
    gc.collect()
    give_back()
    return megabytes()


def drift(memory: Sequence[float]) -> float:
    """Return the MB by which memory grew from after the warm-up to the end: the medians of a tenth of the samples."""
    tenth = max(1, round(WARM * len(memory)))
    return statistics.median(memory[-tenth:]) - statistics.median(memory[tenth : 2 * tenth])


def long(count: int = COUNT, models: Sequence[str] = ()) -> Row:
    """Explain `count` pictures in a new process; see `explain_many`."""
    check_proc()
    with tempfile.TemporaryDirectory() as folder, environment(TMPDIR=folder):
        found: Row = fresh(_in_process, count, tuple(models), folder)
    return {"machine": machine(found["threads"], "cpu"), **found}


def _in_process(count: int, models: Sequence[str], folder: str) -> Row:
    import torch

    return explain_many(count, models, Path(folder)) | {"threads": torch.get_num_threads()}


HOW = (
    "One after another in one process, each of a part of a picture of any size and shape, by a model and a method that "
    f"chance chose; one of {SLOW_EVERY} by a method that runs the model again and again, one of {SAVED_EVERY} saved to "
    f"files and deleted. There is room for {ROOM} of the {HOW_MANY} models, so most explanations load one and evict "
    "another. Memory is that of the process at rest, after its cache of evidence was emptied. Drift: from after the "
    "first tenth to the end, each the median of a tenth of the samples."
)


def markdown(found: Row) -> str:
    left, memory = found["left"], found["memory"]
    names = {
        "models": "evicted models still in memory",
        "weights": "tensors of evicted models still in memory",
        "hooks": "hooks left on models",
        "descriptors": "file descriptors more than after the first tenth",
        "threads": "threads more than after the first tenth",
        "files": "temporary files more than after the first tenth",
    }
    reached = [goal("drift of the process's memory", found["drift"], DRIFT_MB, "MB")]
    reached += [goal(words, left[name], 0, "") for name, words in names.items()]
    title = f"{found['count']:,} explanations over {len(found['models'])} models"
    tenth = max(1, len(memory) // 10)
    course = [(f"{share * 10} %", f"{statistics.median(memory[tenth * share :][:tenth]):.0f}") for share in range(10)]
    return page(
        "Memory over a long day",
        "long",
        found["machine"],
        HOW,
        f"{title} ({', '.join(found['models'])}) with {found['limit']:.0f} MiB for models, by {found['methods']} "
        f"methods, in {found['seconds'] / 60:.0f} minutes; peak {found['peak']:.0f} MB.",
        goals([{"goals": reached}]),
        grid(("done", "MB at rest"), course),
    )
