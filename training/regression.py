"""Train demo-regress, which measures the angle of a rod, on drawn scenes.

The angle is one number in degrees: rods lean by 60 degrees at most, so that no two angles far apart look alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sightglass.models.families.demo.nets import WEIGHTS, build, trained
from training.demo import scenes
from training.evaluation import as_tensor, normalised, share
from training.pool import CHUNK, SCENES_PER_SEED, in_processes
from training.train import Learner, Watch, cosine, run, settings_of, shuffled, turned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    Scenes = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]
    """Pictures (N, side, side, 3) RGB, the angle of the rod in each, degrees (N,), and its cells (N, h, w)."""

NAME, LABEL = "demo-regress", "angle"
FIRST = "demo-seg"
"""The network whose body it takes: it knows rods, and no angle."""
SCALE = 30.0
"""Degrees that count as 1 in the loss, and that the last layer gives at first."""
WAYS = (0, 2, 4, 6)
"""Of `turned`: each scene is seen as it is, upside down, and mirrored, where its rod leans the other way."""
CELL, COVERED = 8, 0.25
"""Pixels per side of a cell of the last map, and the share of it that the rod covers where the cell is the rod's."""
BINS = 13
"""Angles that each cell of the last map is told in training, from -60 to 60 degrees."""
HELD_OUT = 500
"""Number of held-out scenes that the card measures."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of the training."""

    images: int = 80_000
    pool: int = 8000
    """Number of scenes; each is seen images / pool times, half of them mirrored."""
    batch: int = 32
    rate: float = 3e-3
    decay: float = 0.01
    cells: float = 0.3
    """Weight of what each cell says of the rod, beside the angle of the whole picture."""


def pictures(count: int, *, seed: int = 0, held_out: bool = False, processes: int = 1) -> Scenes:
    """Draw `count` scenes with rod angles and cells, reproducibly."""
    first = seed * SCENES_PER_SEED
    chunks = [(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    pixels, angles, cells = zip(*in_processes(partial(_chunk, held_out), chunks, processes), strict=True)
    return np.concatenate(pixels), np.concatenate(angles), np.concatenate(cells)


def _chunk(held_out: bool, ends: tuple[int, int]) -> Scenes:
    specs = [scenes.sample(number, task="regress", held_out=held_out) for number in range(*ends)]
    angles = [scenes.lean_of(spec.things[0]) for spec in specs]
    drawings = [scenes.draw(spec) for spec in specs]
    cells = np.stack([cells_of(scene.objects[0].mask) for scene in drawings])
    return np.stack([scene.pixels for scene in drawings]), np.array(angles, np.float32), cells


def cells_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask's cells in the last map, covered by `COVERED`."""
    height, width = (side // CELL for side in mask.shape)
    covered: NDArray[np.bool_] = mask.reshape(height, CELL, width, CELL).mean((1, 3)) >= COVERED
    return covered


def whole() -> Any:
    """Return the untrained network with the body of `FIRST`, in eval mode."""
    net: Any = build(NAME)
    known = trained(FIRST).state_dict()
    body = {key.removeprefix("backbone."): value for key, value in known.items() if key.startswith("backbone.")}
    net.load_state_dict({**net.state_dict(), **body})
    with torch.no_grad():
        net.fc[-1].weight *= SCALE
    return net.eval()


def parts_of(net: Any) -> tuple[nn.Sequential, nn.Sequential, nn.Sequential]:
    """Return the frozen part, the map's and the head, sharing weights."""
    return (
        nn.Sequential(net.stem, net.layer1, net.layer2),
        nn.Sequential(net.layer3, net.layer4),
        nn.Sequential(net.avgpool, nn.Flatten(), net.fc),
    )


def fit(pool: Scenes, recipe: Recipe, seed: int, watch: Callable[[nn.Module, int, float], None]) -> nn.Module:
    """Return the network with averaged weights, trained on drawn scenes.

    Each cell of the last map says too whether the rod covers it, and how that leans; the layer that says so is left out
    afterwards. From one number a picture alone the map is learnt many times slower. `watch` is called after each step.
    """
    torch.manual_seed(seed)
    net = whole()
    body, maps, end = parts_of(net)
    learnt = nn.ModuleList([maps, end, nn.Conv2d(net.fc[0].in_features, 1 + BINS, 1)])
    generator = np.random.default_rng(seed)
    learner = Learner(learnt, recipe.decay)
    steps = math.ceil(recipe.images / recipe.batch)
    for step, rows in zip(range(steps), shuffled(len(pool[0]), recipe.batch, generator), strict=False):
        pixels, angles, cells = turn_rows(pool, rows, generator.choice(WAYS, len(rows)))
        with torch.no_grad():
            seen = body(normalised(as_tensor(pixels)))
        last = learnt[0](seen)
        off = nn.functional.smooth_l1_loss(learnt[1](last)[:, 0] / SCALE, angles / SCALE, beta=0.1)
        loss = off + recipe.cells * nn.functional.cross_entropy(learnt[2](last), targets_of(angles, cells))
        learner.step(loss, recipe.rate * cosine(step, steps))
        watch(learner.average, min((step + 1) * recipe.batch, recipe.images), off.item())
    learnt.load_state_dict(learner.average.state_dict())
    module: nn.Module = net.eval()
    return module


def turn_rows(pool: Scenes, rows: NDArray[np.int64], ways: NDArray[np.int64]) -> tuple[Any, Tensor, Tensor]:
    """Return turned rows: pixels, angles (B,) and cells (B, h, w)."""
    pairs = list(zip(rows.tolist(), ways.tolist(), strict=True))
    pixels, cells = (np.stack([turned(part[row], way) for row, way in pairs]) for part in (pool[0], pool[2]))
    angles = np.where(ways >= 4, -pool[1][rows], pool[1][rows])
    return pixels, torch.from_numpy(angles), torch.from_numpy(cells)


def targets_of(angles: Tensor, cells: Tensor) -> Tensor:
    """Return cells' targets (B, 1 + BINS, h, w): none or angles."""
    middles = torch.linspace(-scenes.STEEPEST, scenes.STEEPEST, BINS)
    near = (1 - (angles[:, None] - middles).abs() / (middles[1] - middles[0])).clamp(min=0)  # (B, BINS)
    rod = cells[:, None].float()
    return torch.cat([1 - rod, rod * near[:, :, None, None]], 1)


def exam(count: int, processes: int = 1) -> Callable[[nn.Module], dict[str, Any]]:
    """Return an angle evaluation on `count` held-out scenes."""
    pixels, angles, _ = pictures(count, held_out=True, processes=processes)
    return lambda net: measure(net, pixels, angles)


def measure(net: nn.Module, pixels: NDArray[np.uint8], angles: NDArray[np.float32]) -> dict[str, Any]:
    """Return how far a net's angles are from the true ones.

    In degrees the mean and the median; that of always saying 0; and the share of scenes within five degrees.
    """
    lots = [normalised(as_tensor(pixels[start : start + 50])) for start in range(0, len(pixels), 50)]
    with torch.no_grad():
        predicted = torch.cat([net(lot)[:, 0] for lot in lots]).numpy()
    off = np.abs(predicted - angles)
    return {
        "error": round(float(off.mean()), 2),
        "median_error": round(float(np.median(off)), 2),
        "error_of_always_0": round(float(np.abs(angles).mean()), 2),
        "within_5": share(off <= 5),
    }


def train(recipe: Recipe, *, seed: int = 0, out: Path = WEIGHTS, processes: int = 1) -> dict[str, Any]:
    """Train, write `demo-regress.safetensors` (float16) and its card, and return the card."""
    out.mkdir(parents=True, exist_ok=True)
    print(f"{NAME}: drawing {recipe.pool:,} scenes", flush=True)
    pool = pictures(recipe.pool, seed=seed, processes=processes)
    watch = Watch(out / f"{NAME}.safetensors", recipe.images, partial=False)
    watch.save(fit(pool, recipe, seed, watch))
    saved, side, count = trained(NAME, out), pool[0].shape[1], recipe.pool
    return watch.card(
        saved,
        task="regress",
        outputs=[{"name": LABEL, "unit": "°", "range": [-scenes.STEEPEST, scenes.STEEPEST]}],
        about=(
            "The angle between the rod and the horizontal; above 0 its right end is higher. It is one number, so that "
            "a map is of what a person reads: rods lean by 60 degrees at most, or those of 89 and -89 degrees would "
            "look alike. Things of other families lie around and on the rod, bars among them."
        ),
        data={"kind": "one rod", "side": side, "held_out_scenes": HELD_OUT, "seed": seed, "scenes": count},
        training={"begun_with": FIRST, **settings_of(recipe)},
        metrics=exam(HELD_OUT, processes)(saved),
    )


if __name__ == "__main__":
    run("regression", __doc__, Recipe(), train)
