"""Train a demo model: one loop, and what a task adds to it."""

from __future__ import annotations

import json
import math
import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
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
Exam = Callable[[nn.Module], Metrics]
Watch = Callable[[nn.Module, int, float], None]
"""Called after each step with the averaged weights, the number of images so far and the loss."""
SCENES_PER_SEED = 1_000_000
BATCH = 50
"""Number of scenes that are evaluated at once."""


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
    watched: int = 300
    """Number of held-out scenes for the measurements during training; 0: there are none."""
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

    def exam(self, count: int) -> Exam:
        """Return an evaluation on `count` held-out scenes."""
        pool = self.draw(count, held_out=True)
        return lambda net: self.measure(net, pool)

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


def parts(pool: Any, size: int = BATCH) -> Iterator[Any]:
    """Yield a sequence in parts of `size`."""
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
    unsound = torch.backends.cpu.get_cpu_capability() == "AVX512" and not bfloat16_helps()
    with torch.backends.mkldnn.flags(enabled=not unsound):
        loss.backward()  # type: ignore[no-untyped-call]


def bfloat16_helps() -> bool:
    """Return whether the processor multiplies bfloat16 natively."""
    known: Callable[[], bool] = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return known()


def half_precision() -> torch.autocast:
    """Return a context that computes in bfloat16 where that is faster."""
    return torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_helps())


def fit(task: Task, pool: Pool, seed: int, watch: Watch = lambda *_: None) -> nn.Module:
    """Return the network, trained on a pool, with averaged weights."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    net, recipe = task.begin(), task.recipe
    learner = Learner(net, recipe)
    for step, rows in zip(range(recipe.steps), task.rows(len(pool), generator), strict=False):
        ways = generator.choice(recipe.ways, len(rows)).tolist()
        loss = task.loss(net, [task.turned(pool[row], way) for row, way in zip(rows, ways, strict=True)])
        learner.step(loss, task.rate(step, recipe.steps))
        watch(learner.average, min((step + 1) * recipe.batch, recipe.images), loss.item())
    return task.end(learner.average, pool, generator)


def train(task: Task, *, seed: int = 0, out: Path = WEIGHTS) -> dict[str, Any]:
    """Train, write `NAME.safetensors` (float16) and its card, and return the card.

    `noise` (results of several trainings with one recipe) and `margins` (minimum leads of its maps over baselines, as
    `benchmarks truth` measures them) are those of the packaged card: no training measures them.
    """
    out.mkdir(parents=True, exist_ok=True)
    print(f"{task.name}: drawing {task.recipe.pool:,} scenes", flush=True)
    pool, watch = task.draw(task.recipe.pool, seed=seed), _reporter(task)
    began, busy = time.monotonic(), time.process_time()
    net = fit(task, pool, seed, watch)
    minutes, cpu_minutes = (time.monotonic() - began) / 60, (time.process_time() - busy) / 60
    path, packaged = out / f"{task.name}.safetensors", WEIGHTS / f"{task.name}.json"
    save(net, path)
    time_taken = {
        "minutes": round(minutes, 1),
        # Fewer on a machine that does other work too.
        "cpu_minutes": round(cpu_minutes, 1),
        "threads": torch.get_num_threads(),
    }
    before = json.loads(packaged.read_text("utf-8")) if packaged.exists() else {}
    card = _make_card(task, task.trained(out), {"side": len(pool[0][0]), "seed": seed}, time_taken, before)
    card |= {"bytes": path.stat().st_size, "commit": _commit(), "versions": _versions()}
    write_file(path.with_suffix(".json"), json.dumps(card, indent=2).encode() + b"\n")
    print(f"{task.name}: {minutes:.1f} min, held out: {_in_words(card['metrics'])}", flush=True)
    return card


def _make_card(task: Task, net: nn.Module, drawn: Metrics, time_taken: Metrics, before: Metrics) -> dict[str, Any]:
    """Return the card of a trained network: what its task says, how it was trained, and its metrics."""
    recipe, card = task.recipe, task.card()
    return {
        "name": task.name,
        **card,
        "data": {**card["data"], **drawn, "scenes": recipe.pool, "held_out_scenes": task.held_out},
        "net": {
            "size": task.name.rpartition("-")[2],
            "parameters": sum(weight.numel() for weight in net.parameters()),
            **card.get("net", {}),
        },
        "training": {
            **card.get("training", {}),
            **{key: value for key, value in asdict(recipe).items() if key != "pool"},
            "ways": list(recipe.ways),
            "epochs": round(recipe.images / recipe.pool, 2),
            "steps": recipe.steps,
            **time_taken,
        },
        "metrics": task.exam(task.held_out)(net),
        **{key: before[key] for key in ("noise", "margins") if key in before},
    }


def _versions() -> dict[str, str]:
    libraries = {library: version(library) for library in ("torch", "ultralytics", "numpy")}
    return {"python": platform.python_version(), **libraries, "opencv": cv2.__version__}


def _reporter(task: Task) -> Watch:
    """Return what prints ten times how far a training is, and measures it."""
    exam = task.exam(task.watched) if task.watched else None
    began, images = time.monotonic(), task.recipe.images

    def report(net: nn.Module, done: int, loss: float) -> None:
        if done * 10 // images > (done - task.recipe.batch) * 10 // images and done < images:
            left = (time.monotonic() - began) * (images - done) / done / 60
            measured = f", held out: {_in_words(exam(net))}" if exam else ""
            print(f"{task.name}: {done:,} images, loss {loss:.3f}, {left:.1f} min left{measured}", flush=True)

    return report


def _in_words(metrics: Metrics) -> str:
    return ", ".join(f"{key} {value:.3f}" for key, value in metrics.items() if isinstance(value, float))


def save(net: nn.Module, path: Path) -> None:
    """Write the weights as float16, whole or not at all."""
    state = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in net.state_dict().items()
    }
    write_file(path, as_bytes(state))


def _commit() -> str | None:
    """Return the project's commit; None outside of a checkout or without git."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
