"""Train demo-detr, whose boxes are queries, on drawn scenes.

It begins with the body of demo-m: a decoder alone is learnt in minutes, both together in hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sightglass.models.checkpoints import checkpoint
from sightglass.models.families.demo.nets import WEIGHTS, build, trained
from training.demo import scenes
from training.evaluation import BATCH, as_tensor, detection
from training.pool import Pool, Source, fill
from training.train import (
    HELD_OUT,
    WATCHED,
    Learner,
    Watch,
    batch_of,
    cosine,
    parser,
    settings_of,
    shuffled,
    single_thread,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import nn

NAME, BODY = "demo-detr", "demo-m"
SOURCE = Source("detect")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of the training."""

    images: int = 56_000
    pool: int = 8000
    """Number of scenes; each is seen images / pool times."""
    batch: int = 16
    rate: float = 1e-3
    decay: float = 0.01


def begin(seed: int, earlier: Path | None = None) -> Any:
    """Return the network with demo-m's body, or an `earlier` training's."""
    torch.manual_seed(seed)
    net: Any = build(NAME)
    if earlier is not None:
        net.load_state_dict(checkpoint.read(earlier))
        return net
    body: Any = trained(BODY)
    for layer, trained_layer in zip(net.model[:-1], body.model[:-1], strict=True):
        layer.load_state_dict(trained_layer.state_dict())
    return net


def fit(net: Any, pool: Pool, recipe: Recipe, seed: int, watch: Callable[[nn.Module, int, float], None]) -> nn.Module:
    """Return averaged weights trained on drawn scenes; `watch`: after each step."""
    generator = np.random.default_rng(seed)
    learner = Learner(net, recipe.decay, beta=0.999, max_norm=1)
    steps = math.ceil(recipe.images / recipe.batch)
    for step, rows in zip(range(steps), shuffled(len(pool), recipe.batch, generator), strict=False):
        batch = batch_of(pool, rows, generator.integers(0, 8, len(rows)))
        loss, _ = net.loss(truth(batch))
        learner.step(loss, recipe.rate * cosine(step, steps))
        watch(learner.average, min((step + 1) * recipe.batch, recipe.images), loss.item())
    return learner.average


def truth(batch: Pool) -> dict[str, torch.Tensor]:
    """Return a batch as Ultralytics' own loss of RT-DETR takes it."""
    boxes = torch.from_numpy(np.concatenate(batch.boxes))
    sides = boxes[:, 2:] - boxes[:, :2]
    counts = torch.tensor([len(each) for each in batch.boxes])
    return {
        "img": as_tensor(batch.pixels),
        "batch_idx": torch.arange(len(counts)).repeat_interleave(counts),
        "cls": torch.from_numpy(np.concatenate(batch.classes)),
        "bboxes": torch.cat([boxes[:, :2] + sides / 2, sides], 1),
    }


def find(net: nn.Module, pool: Pool) -> list[NDArray[np.float32]]:
    """Return each scene's (n, 6): xyxy, score, class, after the library's post-processing."""
    from ultralytics.utils.ops import xywh2xyxy

    detections: list[NDArray[np.float32]] = []
    side = pool.pixels.shape[1]
    for start in range(0, len(pool), BATCH):
        with torch.no_grad():
            rows = net(as_tensor(pool.pixels[start : start + BATCH]))[0]  # (B, n, 6), boxes as shares
        detections += [*torch.cat((xywh2xyxy(rows[..., :4]) * side, rows[..., 4:]), 2).numpy()]
    return detections


def exam(count: int, processes: int = 1) -> Callable[[nn.Module], dict[str, Any]]:
    """Return a box evaluation on `count` held-out scenes."""
    pool = fill(replace(SOURCE, held_out=True), count, processes=processes)
    return lambda net: detection(net, pool, find)


def train(
    recipe: Recipe,
    *,
    seed: int = 0,
    out: Path = WEIGHTS,
    processes: int = 1,
    earlier: Path | None = None,
    before: int = 0,
) -> dict[str, Any]:
    """Train, write `demo-detr.safetensors` (float16) and its card, and return the card.

    `earlier`: weights of a training that was stopped after `before` pictures, from which this one goes on.
    """
    out.mkdir(parents=True, exist_ok=True)
    print(f"{NAME}: drawing {recipe.pool:,} scenes", flush=True)
    pool = fill(SOURCE, recipe.pool, seed=seed, processes=processes)
    watch = Watch(out / f"{NAME}.safetensors", recipe.images, exam=exam(WATCHED, processes))
    watch.save(fit(begin(seed, earlier), pool, recipe, seed, watch))
    saved = trained(NAME, out)
    return watch.card(
        saved,
        task="detect",
        classes=list(scenes.CLASSES),
        data={
            "kind": SOURCE.data,
            "side": pool.pixels.shape[1],
            "seed": seed,
            "scenes": recipe.pool,
            "held_out_scenes": HELD_OUT,
        },
        training={
            "begins_with": BODY,
            **({"images_before": before} if earlier else {}),
            **settings_of(recipe),
        },
        metrics=exam(HELD_OUT, processes)(saved),
    )


def main() -> None:
    options = parser("detr", __doc__)
    options.add_argument("--images", type=int, default=Recipe().images, help="how many pictures it sees")
    options.add_argument("--processes", type=int, default=1, help="how many draw the scenes")
    options.add_argument("--pool", type=int, default=Recipe().pool, help="how many scenes are drawn")
    options.add_argument("--earlier", type=Path, help="weights of a stopped training to go on from")
    options.add_argument("--before", type=int, default=0, help="how many pictures that one saw")
    chosen = options.parse_args()
    single_thread()
    recipe = Recipe(images=chosen.images, pool=chosen.pool)
    more = {"earlier": chosen.earlier, "before": chosen.before}
    train(recipe, seed=chosen.seed, out=chosen.out, processes=chosen.processes, **more)


if __name__ == "__main__":
    main()
