"""Train demo-regress, which measures the angle of a rod, on drawn scenes.

The angle is one number in degrees: rods lean by 60 degrees at most, so that no two angles far apart look alike.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import nn

from sightglass.models.demo import scenes
from sightglass.models.families.demo.nets import WEIGHTS, build, trained
from training.evaluation import as_tensor, normalised, share
from training.pool import CHUNK, SCENES_PER_SEED, in_processes
from training.train import Learner, Watch, cosine, parser, shuffled, turned

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    Scenes = tuple[NDArray[np.uint8], NDArray[np.float32]]
    """Pictures (N, side, side, 3) RGB, and the angle of the rod in each, degrees (N,)."""

NAME, LABEL = "demo-regress", "angle"
FIRST = "demo-seg"
"""The network whose body it takes as it is: it knows rods, and no angle."""
SCALE = 30.0
"""Degrees that count as 1 in the loss, and that the last layer gives at first."""
WAYS = (0, 4)
"""Of `turned`: each scene is seen as it is and mirrored, where its rod leans the other way."""
HELD_OUT = 500
"""Number of held-out scenes that the card measures."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of the training."""

    images: int = 50_000
    pool: int = 3000
    """Number of scenes; each is seen images / pool times, half of them mirrored."""
    batch: int = 64
    rate: float = 3e-3
    decay: float = 0.01


def pictures(count: int, *, seed: int = 0, held_out: bool = False, processes: int = 1) -> Scenes:
    """Draw `count` scenes with the angle of their rod, the same for a seed with any number of processes."""
    first = seed * SCENES_PER_SEED
    chunks = [(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    pixels, angles = zip(*in_processes(partial(_chunk, held_out), chunks, processes), strict=True)
    return np.concatenate(pixels), np.concatenate(angles)


def _chunk(held_out: bool, ends: tuple[int, int]) -> Scenes:
    specs = [scenes.sample(number, task="regress", held_out=held_out) for number in range(*ends)]
    angles = [scenes.lean_of(spec.things[0]) for spec in specs]
    return np.stack([scenes.draw(spec).pixels for spec in specs]), np.array(angles, np.float32)


def whole() -> Any:
    """Return the untrained network with the body of `FIRST`, in eval mode."""
    net: Any = build(NAME)
    known = trained(FIRST).state_dict()
    body = {key.removeprefix("backbone."): value for key, value in known.items() if key.startswith("backbone.")}
    net.load_state_dict({**net.state_dict(), **body})
    with torch.no_grad():
        net.fc[-1].weight *= SCALE
    return net.eval()


def head_of(net: Any) -> nn.Sequential:
    """Return what is trained: all after the body, sharing its weights."""
    return nn.Sequential(*net.layer4[1:], net.avgpool, nn.Flatten(), net.fc)


def features(net: Any, pixels: NDArray[np.uint8]) -> Tensor:
    """Return what the body makes of pictures, float16 (N, C, h, w)."""
    found = []
    for start in range(0, len(pixels), 50):
        with torch.no_grad():
            x = net.stem(normalised(as_tensor(np.ascontiguousarray(pixels[start : start + 50]))))
            found.append(net.layer4[0](net.layer3(net.layer2(net.layer1(x)))).half())
    return torch.cat(found)


def fit(pool: Scenes, recipe: Recipe, seed: int, watch: Callable[[nn.Module, int, float], None]) -> nn.Module:
    """Train on drawn scenes and return the network with the moving average of the weights.

    `watch` is called after each step.
    """
    torch.manual_seed(seed)
    net = whole()
    seen = torch.cat([features(net, np.stack([turned(one, way) for one in pool[0]])) for way in WAYS])
    wanted = torch.from_numpy(np.concatenate([-pool[1] if way >= 4 else pool[1] for way in WAYS]))
    generator = np.random.default_rng(seed)
    head = head_of(net)
    learner = Learner(head, recipe.decay)
    steps = math.ceil(recipe.images / recipe.batch)
    for step, rows in zip(range(steps), shuffled(len(seen), recipe.batch, generator), strict=False):
        loss = nn.functional.smooth_l1_loss(head(seen[rows].float())[:, 0] / SCALE, wanted[rows] / SCALE, beta=0.1)
        learner.step(loss, recipe.rate * cosine(step, steps))
        watch(learner.average, min((step + 1) * recipe.batch, recipe.images), loss.item())
    head.load_state_dict(learner.average.state_dict())
    made: nn.Module = net.eval()
    return made


def exam(count: int, processes: int = 1) -> Callable[[nn.Module], dict[str, Any]]:
    """Draw `count` held-out scenes, and return the function that measures a net's angles on them."""
    pixels, angles = pictures(count, held_out=True, processes=processes)
    return lambda net: measure(net, pixels, angles)


def measure(net: nn.Module, pixels: NDArray[np.uint8], angles: NDArray[np.float32]) -> dict[str, Any]:
    """Return how far a net's angles are from the true ones.

    In degrees the mean and the median; that of always saying 0; and the share of scenes within five degrees.
    """
    lots = [normalised(as_tensor(pixels[start : start + 50])) for start in range(0, len(pixels), 50)]
    with torch.no_grad():
        found = torch.cat([net(lot)[:, 0] for lot in lots]).numpy()
    off = np.abs(found - angles)
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
    saved, settings = trained(NAME, out), asdict(recipe)
    side, count = pool[0].shape[1], settings.pop("pool")
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
        training={
            "begun_with": FIRST,
            **settings,
            "epochs": round(recipe.images / count, 2),
            "steps": -(-recipe.images // recipe.batch),
        },
        metrics=exam(HELD_OUT, processes)(saved),
    )


def main() -> None:
    options = parser("regression", __doc__)
    options.add_argument("--images", type=int, default=Recipe().images, help="how many pictures it sees")
    options.add_argument("--processes", type=int, default=1, help="how many draw the scenes")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    train(Recipe(images=chosen.images), seed=chosen.seed, out=chosen.out, processes=chosen.processes)


if __name__ == "__main__":
    main()
