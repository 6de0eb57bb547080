"""Train a demo model on drawn scenes, write its weights and its card.

Each is meant for one thread: two trainings side by side are faster than one on two threads.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import torch

from sightglass.models.families.demo.nets import WEIGHTS
from training.clip import Clip
from training.loop import Recipe, Task, train
from training.reid import Reid
from training.tasks import WAYS, Classify, Detect, DetectByQueries, Regress, Segment
from training.vlm import Vlm

UPRIGHT = (0,)
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Detect("demo-s", Recipe(48_000, batch=32, rate=4e-3)),
        Detect("demo-m", Recipe(48_000, batch=32, rate=4e-3)),
        Detect("demo-l", Recipe(56_000, batch=32, rate=4e-3)),
        DetectByQueries("demo-detr", Recipe(56_000, rate=1e-3, beta=0.999, max_norm=1)),
        Classify("demo-cls-s", Recipe(80_000)),
        Classify("demo-cls-m", Recipe(80_000)),
        Classify("demo-cls-l", Recipe(88_000)),
        Classify("demo-cls-cheat", Recipe(60_000, pool=12_000, ways=UPRIGHT), data="stamped"),
        Classify("demo-cls-honest", Recipe(120_000, pool=12_000, ways=UPRIGHT), data="honest"),
        Classify("demo-cls-texture", Recipe(60_000), data="textured"),
        Classify("demo-vit", Recipe(88_000, rate=1e-3, decay=0.05)),
        Segment("demo-seg", Recipe(30_000, pool=5000), held_out=500),
        Regress("demo-regress", Recipe(80_000, batch=32, ways=WAYS), held_out=500),
        Vlm("demo-vlm", Recipe(40_000, 12_000, rate=1.2e-3, decay=0.05, max_norm=1, ways=UPRIGHT), held_out=500),
        Clip("demo-clip", Recipe(32_000, pool=4000, batch=8, rate=4e-3, decay=0.02), held_out=500),
        Reid(
            "demo-reid",
            Recipe(160_000, 12_000, 32, rate=1.5e-3, decay=0.05, beta=0.98, max_norm=5, horizon=0.995, ways=UPRIGHT),
            held_out=200,
        ),
    )
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    options.add_argument("name", choices=TASKS)
    options.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the weights and the card")
    options.add_argument("--seed", type=int, default=0, help="seed of the weights and of the pictures")
    options.add_argument("--quick", action="store_true", help="4,000 pictures: shows that it learns, and no more")
    chosen = options.parse_args(arguments)
    task = TASKS[chosen.name]
    if chosen.quick:
        task = replace(task, recipe=replace(task.recipe, images=4000, pool=2000))
    # At this size more threads cost time.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        train(task, seed=chosen.seed, out=chosen.out)
    except KeyboardInterrupt:
        raise SystemExit(f"{chosen.name}: stopped; no card and no final weights were written.") from None


if __name__ == "__main__":
    main()
