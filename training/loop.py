"""Train a demo model: one loop, and what a task adds to it."""

from __future__ import annotations

import json
import math
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as as_bytes
from torch import Tensor, nn

from sightglass.common.files import write_file
from sightglass.models.families.demo.nets import MEAN, STD, WEIGHTS, build, fill

Sample = tuple[Any, ...]
"""A drawn scene: pixels, uint8 (h, w, 3) RGB, then what is true of it."""
Pool = Sequence[Sample]
Metrics = dict[str, Any]
SCENES_PER_SEED = 1_000_000


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of a training."""

    images: int
    pool: int = 8000
    """Number of scenes; each is seen images / pool times."""
    batch: int = 16
    rate: float = 3e-3
    decay: float = 0.01
    beta: float = 0.99
    """Second beta of AdamW; the first is 0.9."""
    max_norm: float = 10
    """Largest norm of the gradients, to which larger ones are clipped."""
    horizon: float = 0.998
    """Decay of the weights' moving average in the end."""
    ways: tuple[int, ...] = tuple(range(8))
    """Orientations of `turn` that it sees: labels stay correct, but a stamp would leave its corner."""

    @property
    def steps(self) -> int:
        return math.ceil(self.images / self.batch)


@dataclass
class Task:
    """How a model is trained: its scenes, network, loss and evaluation.

    Subclasses define `card`, `sample`, `loss` and `measure`, and override what differs.
    """

    name: str
    recipe: Recipe
    held_out: int = 1000
    """Number of held-out scenes that the card measures."""

    def card(self) -> dict[str, Any]:
        """Return what its card says besides; the sections `data`, `net` and `training` are merged."""
        raise NotImplementedError

    def sample(self, number: int, *, held_out: bool = False) -> Sample:
        """Draw a scene by its number."""
        raise NotImplementedError

    def turned(self, sample: Sample, way: int) -> Sample:
        """Return a scene in one of 8 orientations."""
        return turn(sample[0], way), *sample[1:]

    def network(self) -> nn.Module:
        """Build the untrained network."""
        return build(self.name)

    def begin(self) -> nn.Module:
        """Return what learns: the network, or parts of it with layers for training only."""
        return self.network()

    def rows(self, count: int, generator: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of each batch: all in random order, again and again."""
        size = self.recipe.batch
        while True:
            order = generator.permutation(count)
            yield from (order[start : start + size] for start in range(0, count - size + 1, size))

    def loss(self, net: Any, batch: Pool) -> Tensor:
        """Return the loss of what `begin` returned."""
        raise NotImplementedError

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate: a warm-up, then a cosine."""
        warm = min(150, steps // 5 + 1)
        if step < warm:
            return self.recipe.rate * ((step + 1) / warm)
        return self.recipe.rate * (0.02 + 0.98 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2)

    def end(self, average: Any, pool: Pool, generator: np.random.Generator) -> nn.Module:
        """Return the trained network from the averaged weights."""
        module: nn.Module = average
        return module

    def exam(self, net: Any, count: int) -> Metrics:
        """Return a network's metrics on `count` held-out scenes."""
        return self.measure(net, self.draw(count, held_out=True))

    def measure(self, net: Any, pool: Pool) -> Metrics:
        """Return a network's metrics on these scenes."""
        raise NotImplementedError

    def draw(self, count: int, *, seed: int = 0, held_out: bool = False) -> Pool:
        """Draw `count` scenes, reproducibly."""
        first = seed * SCENES_PER_SEED
        return [self.sample(number, held_out=held_out) for number in range(first, first + count)]

    def trained(self, folder: Path = WEIGHTS) -> nn.Module:
        """Return the trained network in eval mode; raise WeightsProblem on misfit."""
        return fill(self.network(), folder / f"{self.name}.safetensors")


def turn(pixels: NDArray[Any], way: int) -> NDArray[Any]:
    """Return (h, w, ...) in one of 8 orientations: from 4 on mirrored, then in quarter turns."""
    return np.rot90(pixels[:, ::-1] if way >= 4 else pixels, way % 4)


def as_tensor(pixels: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Convert uint8 pictures (h, w, 3) to float32 (B, 3, h, w), 0..1."""
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float().div_(255)


def normalised(pixels: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Convert uint8 pictures (h, w, 3) to a classifier's input."""
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    return (as_tensor(pixels) - mean) / std


def parts(pool: Any, size: int = 50) -> Iterator[Any]:
    """Yield a sequence in parts of `size`, each of which is evaluated at once."""
    return (pool[start : start + size] for start in range(0, len(pool), size))


def share(true: Any) -> float:
    """Return the true share, to four digits."""
    return round(float(np.mean(true)), 4)


class Learner:
    """A network in training with AdamW, and the moving average of its weights, which is what is saved."""

    def __init__(self, net: nn.Module, recipe: Recipe) -> None:
        self._net, self._recipe, self._steps = net, recipe, 0
        net.train().to(memory_format=torch.channels_last)
        self.average = deepcopy(net).eval().requires_grad_(False)
        self._parameters = [each for each in net.parameters() if each.requires_grad]
        # No decay of biases and norms.
        groups = [
            {"params": [each for each in self._parameters if (each.ndim > 1) == (decay > 0)], "weight_decay": decay}
            for decay in (recipe.decay, 0.0)
        ]
        self._optimiser = torch.optim.AdamW(groups, betas=(0.9, recipe.beta), fused=True)

    def step(self, loss: Tensor, rate: float) -> None:
        """Move the weights against the loss's gradients, and the average towards them."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad()
        _backward(loss)
        nn.utils.clip_grad_norm_(self._parameters, self._recipe.max_norm)
        self._optimiser.step()
        decay = min(self._recipe.horizon, (1 + self._steps) / (20 + self._steps))
        old, new = self.average.state_dict(), self._net.state_dict()
        floats = [key for key, value in old.items() if value.is_floating_point()]
        torch._foreach_lerp_([old[key] for key in floats], [new[key].detach() for key in floats], 1 - decay)
        self._steps += 1


def _backward(loss: Tensor) -> None:
    """Compute the gradients of all weights.

    On Intel's AVX-512 without bfloat16 oneDNN's gradient of a 1x1 convolution's weights writes where it must not (seen
    with torch 2.15): PyTorch's own way is slower there and sound. Explaining needs no gradient of weights.
    """
    unsound = torch.backends.cpu.get_cpu_capability() == "AVX512" and not torch.cpu._is_avx512_bf16_supported()
    with torch.backends.mkldnn.flags(enabled=not unsound):
        loss.backward()  # type: ignore[no-untyped-call]


def half_precision() -> torch.autocast:
    """Return a context that computes in bfloat16 where the processor multiplies it natively."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.cpu._is_avx512_bf16_supported())


def fit(task: Task, pool: Pool, seed: int) -> nn.Module:
    """Return the network, trained on a pool, with averaged weights; print ten times how far it is."""
    torch.manual_seed(seed)
    generator, began = np.random.default_rng(seed), time.monotonic()
    net, recipe = task.begin(), task.recipe
    learner = Learner(net, recipe)
    for step, rows in zip(range(recipe.steps), task.rows(len(pool), generator), strict=False):
        ways = generator.choice(recipe.ways, len(rows)).tolist()
        loss = task.loss(net, [task.turned(pool[row], way) for row, way in zip(rows, ways, strict=True)])
        learner.step(loss, task.rate(step, recipe.steps))
        done = step + 1
        if done * 10 // recipe.steps > step * 10 // recipe.steps:
            left = (time.monotonic() - began) * (recipe.steps - done) / done / 60
            print(f"{task.name}: step {done:,} of {recipe.steps:,}, loss {loss:.3f}, {left:.1f} min left", flush=True)
    return task.end(learner.average, pool, generator)


def train(task: Task, *, seed: int = 0, out: Path = WEIGHTS) -> dict[str, Any]:
    """Train, write `NAME.safetensors` (float16) and its card, and return the card.

    `noise` (results of several trainings with one recipe) and `margins` (minimum leads of its maps over baselines, as
    `benchmarks truth` measures them) are those of the packaged card: no training measures them.
    """
    out.mkdir(parents=True, exist_ok=True)
    print(f"{task.name}: drawing {task.recipe.pool:,} scenes", flush=True)
    pool = task.draw(task.recipe.pool, seed=seed)
    began, busy = time.monotonic(), time.process_time()
    net = fit(task, pool, seed)
    minutes = round((time.monotonic() - began) / 60, 1)
    # Fewer on a machine that does other work too.
    cpu_minutes = round((time.process_time() - busy) / 60, 1)
    path, packaged = out / f"{task.name}.safetensors", WEIGHTS / f"{task.name}.json"
    save(net, path)
    before = json.loads(packaged.read_text("utf-8")) if packaged.exists() else {}
    trained, recipe, card = task.trained(out), task.recipe, task.card()
    drawn = {"side": len(pool[0][0]), "seed": seed, "scenes": recipe.pool, "held_out_scenes": task.held_out}
    card = {
        "name": task.name,
        **card,
        "data": {**card["data"], **drawn},
        "net": {
            "size": task.name.rpartition("-")[2],
            "parameters": sum(weight.numel() for weight in trained.parameters()),
            **card.get("net", {}),
        },
        "training": {
            **card.get("training", {}),
            **{key: value for key, value in asdict(recipe).items() if key != "pool"},
            "ways": list(recipe.ways),
            "epochs": round(recipe.images / recipe.pool, 2),
            "steps": recipe.steps,
            "minutes": minutes,
            "cpu_minutes": cpu_minutes,
            "threads": torch.get_num_threads(),
        },
        "metrics": task.exam(trained, task.held_out),
        **{key: before[key] for key in ("noise", "margins") if key in before},
    }
    command, commit = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], None
    if shutil.which("git"):
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or None
    libraries = {library: version(library) for library in ("torch", "ultralytics", "numpy")}
    versions = {"python": platform.python_version(), **libraries, "opencv": cv2.__version__}
    card |= {"bytes": path.stat().st_size, "commit": commit, "versions": versions}
    write_file(path.with_suffix(".json"), json.dumps(card, indent=2).encode() + b"\n")
    print(f"{task.name}: {minutes} min, held out: {card['metrics']}", flush=True)
    return card


def save(net: nn.Module, path: Path) -> None:
    """Write the weights as float16, whole or not at all."""
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in net.state_dict().items()
    }
    write_file(path, as_bytes(state))
