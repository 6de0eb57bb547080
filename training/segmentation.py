"""Train demo-seg, a segmentation network, on the exact masks of drawn scenes.

It learns at a quarter of the picture's side, where its head answers: enlarging first costs as much as the body.
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

    Scenes = tuple[NDArray[np.uint8], NDArray[np.uint8]]
    """Pictures (N, side, side, 3) RGB, and the class of each pixel (N, side, side): 0 is the background."""

NAME = "demo-seg"
LABELS = ("background", *scenes.CLASSES)
STEP = 4
"""Pixels of the picture per pixel at which the network answers."""
WATCHED, HELD_OUT = 100, 500
"""Numbers of held-out scenes for the measurements during training, and for the card."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of the training."""

    images: int = 30_000
    pool: int = 5000
    """Number of scenes; each is seen images / pool times."""
    batch: int = 16
    rate: float = 3e-3
    decay: float = 0.01
    background: float = 0.4
    """Weight of a pixel of the background: most are."""


def classes_of(scene: scenes.DemoScene) -> NDArray[np.uint8]:
    """Return each pixel's class, (H, W): 0 background, else index + 1."""
    classes = np.zeros(scene.background.shape, np.uint8)
    for thing in scene.objects:
        classes[thing.mask] = 1 + thing.index
    return classes


def pictures(count: int, *, seed: int = 0, held_out: bool = False, processes: int = 1) -> Scenes:
    """Draw `count` scenes with their pixels' classes, reproducibly."""
    first = seed * SCENES_PER_SEED
    chunks = [(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    pixels, labels = zip(*in_processes(partial(_chunk, held_out), chunks, processes), strict=True)
    return np.concatenate(pixels), np.concatenate(labels)


def _chunk(held_out: bool, ends: tuple[int, int]) -> Scenes:
    drawings = [scenes.draw(scenes.sample(number, task="segment", held_out=held_out)) for number in range(*ends)]
    return np.stack([scene.pixels for scene in drawings]), np.stack([classes_of(scene) for scene in drawings])


def fit(pool: Scenes, recipe: Recipe, seed: int, watch: Callable[[nn.Module, int, float], None]) -> nn.Module:
    """Return averaged weights trained on drawn scenes; `watch`: after each step."""
    torch.manual_seed(seed)
    net: Any = build(NAME)
    generator = np.random.default_rng(seed)
    learner = Learner(net, recipe.decay)
    weights = torch.ones(len(LABELS))
    weights[0] = recipe.background
    steps = math.ceil(recipe.images / recipe.batch)
    for step, rows in zip(range(steps), shuffled(len(pool[0]), recipe.batch, generator), strict=False):
        ways = generator.integers(0, 8, len(rows)).tolist()
        pixels, labels = (
            np.stack([turned(each[row], way) for row, way in zip(rows, ways, strict=True)]) for each in pool
        )
        logits = net.classifier(net.backbone(normalised(as_tensor(pixels))))
        classes = torch.from_numpy(labels[:, STEP // 2 :: STEP, STEP // 2 :: STEP].astype(np.int64))
        loss = nn.functional.cross_entropy(logits, classes, weights)
        learner.step(loss, recipe.rate * cosine(step, steps))
        watch(learner.average, min((step + 1) * recipe.batch, recipe.images), loss.item())
    return learner.average


def exam(count: int, processes: int = 1) -> Callable[[nn.Module], dict[str, Any]]:
    """Return a pixel evaluation on `count` held-out scenes.

    It measures the share of pixels that are right, and for each class the IoU of its pixels in all scenes together.
    """
    pixels, labels = pictures(count, held_out=True, processes=processes)
    return lambda net: measure(net, pixels, labels)


def measure(net: nn.Module, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> dict[str, Any]:
    """Return pixel accuracy, mean IoU and each class's IoU."""
    pairs = np.zeros((len(LABELS), len(LABELS)), np.int64)
    for start in range(0, len(pixels), 20):
        with torch.no_grad():
            predicted = net(normalised(as_tensor(pixels[start : start + 20])))["out"].argmax(1).numpy()
        both = labels[start : start + 20].astype(np.int64) * len(LABELS) + predicted
        pairs += np.bincount(both.ravel(), minlength=pairs.size).reshape(pairs.shape)
    shared = pairs.diagonal()
    iou = shared / np.maximum(pairs.sum(0) + pairs.sum(1) - shared, 1)
    return {
        "pixels": share(shared.sum() / pairs.sum()),
        "mIoU": share(iou),
        "IoU_per_class": {label: share(value) for label, value in zip(LABELS, iou, strict=True)},
    }


def train(recipe: Recipe, *, seed: int = 0, out: Path = WEIGHTS, processes: int = 1) -> dict[str, Any]:
    """Train, write `demo-seg.safetensors` (float16) and its card, and return the card."""
    out.mkdir(parents=True, exist_ok=True)
    print(f"{NAME}: drawing {recipe.pool:,} scenes", flush=True)
    pool = pictures(recipe.pool, seed=seed, processes=processes)
    watch = Watch(out / f"{NAME}.safetensors", recipe.images, exam=exam(WATCHED, processes))
    watch.save(fit(pool, recipe, seed, watch))
    saved, side, count = trained(NAME, out), pool[0].shape[1], recipe.pool
    return watch.card(
        saved,
        task="segment",
        classes=list(LABELS),
        data={"kind": "plain", "side": side, "held_out_scenes": HELD_OUT, "seed": seed, "scenes": count},
        training=settings_of(recipe),
        metrics=exam(HELD_OUT, processes)(saved),
    )


if __name__ == "__main__":
    run("segmentation", __doc__, Recipe(), train)
