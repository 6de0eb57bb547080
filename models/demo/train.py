"""`python -m models.demo.train NAME`: draw scenes, train one demo model on them, write its weights and its card.

One thread is meant to do it: two trainings beside each other are faster than one on two threads. Nothing is looked up
anywhere. The loop is plain: AdamW, a cosine, an exponential moving average of the weights, which is what is kept.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import time
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import nn

from common.files import write_file
from models.demo import scenes
from models.demo.evaluation import as_tensor, exam, normalised
from models.demo.nets import WEIGHTS, build, trained
from models.demo.pool import fill
from models.demo.recipes import MARGINS, NAMES, NOISE, RECIPES, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from models.demo.pool import Pool

    Loss = Callable[[Any, "Batch"], Tensor]

WATCHED, HELD_OUT = 300, 1000
"""Held-out scenes that are looked at on the way, and for the card."""
SAVE_SECONDS, TELL_SECONDS = 120, 20


@dataclass(frozen=True, slots=True)
class Batch:
    """B pictures and what is on them."""

    pixels: NDArray[np.uint8]
    """(B, side, side, 3)"""
    boxes: Sequence[NDArray[np.float32]]
    classes: Sequence[NDArray[np.int64]]


def batch_of(pool: Pool, rows: NDArray[np.int64], ways: NDArray[np.int64]) -> Batch:
    """These rows of a pool, each flipped and turned in one of 8 ways; way 0 leaves it as it is."""
    pairs = list(zip(rows.tolist(), ways.tolist(), strict=True))
    return Batch(
        np.stack([turned(pool.pixels[row], way) for row, way in pairs]),
        [turned_boxes(pool.boxes[row], way) for row, way in pairs],
        [pool.classes[row] for row in rows],
    )


def turned(pixels: NDArray[np.uint8], way: int) -> NDArray[np.uint8]:
    """(H, W, 3), mirrored where `way` is 4 or more, then turned left by `way` % 4 quarters."""
    return np.rot90(pixels[:, ::-1] if way >= 4 else pixels, way % 4)


def turned_boxes(boxes: NDArray[np.float32], way: int) -> NDArray[np.float32]:
    """(n, 4) xyxy in shares of the side, as `turned` moves the pixels."""
    left, top, right, bottom = boxes.T
    if way >= 4:
        left, right = 1 - right, 1 - left
    for _ in range(way % 4):
        left, top, right, bottom = top, 1 - right, bottom, 1 - left
    return np.stack([left, top, right, bottom], 1)


def classification_loss(_net: nn.Module) -> Loss:
    """Cross-entropy."""

    def loss(logits: Tensor, batch: Batch) -> Tensor:
        labels = torch.from_numpy(np.concatenate(batch.classes))
        return nn.functional.cross_entropy(logits.float(), labels)

    return loss


def detection_loss(net: Any) -> Loss:
    """Ultralytics' own loss, per picture."""
    from ultralytics.cfg import get_cfg

    net.args = get_cfg()
    criterion = net.init_criterion()

    def loss(outputs: dict[str, Any], batch: Batch) -> Tensor:
        boxes = torch.from_numpy(np.concatenate(batch.boxes))
        counts = torch.tensor([len(each) for each in batch.boxes])
        sides = boxes[:, 2:] - boxes[:, :2]
        truth = {
            "batch_idx": torch.arange(len(counts)).repeat_interleave(counts).float(),
            "cls": torch.from_numpy(np.concatenate(batch.classes)).float()[:, None],
            "bboxes": torch.cat([boxes[:, :2] + sides / 2, sides], 1),
        }
        whole = {key: value.float() if key in ("boxes", "scores") else value for key, value in outputs.items()}
        total: Tensor = criterion(whole, truth)[0]
        return total.sum() / len(counts)

    return loss


def fit(
    net: nn.Module,
    pool: Pool,
    recipe: Recipe,
    seed: int,
    watch: Callable[[nn.Module, int, float], None] = lambda *_: None,
) -> nn.Module:
    """Train `net` on a pool and return the moving average of its weights, in eval mode.

    `watch` is called after each step with that average, the number of images so far and the loss.
    """
    steps = math.ceil(recipe.images / recipe.batch)
    generator = np.random.default_rng(seed)
    detects = recipe.source.task == "detect"
    loss_of = (detection_loss if detects else classification_loss)(net)
    net = net.train().to(memory_format=torch.channels_last)
    kept = deepcopy(net).eval().requires_grad_(False)
    optimiser, schedule = optimiser_of(net, recipe, steps)
    half = bfloat16_helps()
    for step, rows in zip(range(steps), _shuffled(len(pool), recipe.batch, generator), strict=False):
        ways = generator.integers(0, 8 if recipe.turns else 1, len(rows))
        batch = batch_of(pool, rows, ways)
        pixels = as_tensor(batch.pixels)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = net(pixels if detects else normalised(pixels))
        loss = loss_of(outputs, batch)
        optimiser.zero_grad()
        back(loss)
        nn.utils.clip_grad_norm_(net.parameters(), 10)
        optimiser.step()
        schedule.step()
        average(kept, net, min(0.998, (1 + step) / (20 + step)))
        watch(kept, min((step + 1) * recipe.batch, recipe.images), loss.item())
    return kept


def _shuffled(count: int, size: int, generator: np.random.Generator) -> Any:
    """Rows of one pass after the other, each in an order of its own, `size` at a time."""
    while True:
        order = generator.permutation(count)
        yield from (order[start : start + size] for start in range(0, count - size + 1, size))


def optimiser_of(net: nn.Module, recipe: Recipe, steps: int) -> tuple[torch.optim.Optimizer, Any]:
    """AdamW, no decay of biases and norms, and a cosine after a short warming."""
    parameters = [each for each in net.parameters() if each.requires_grad]
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": recipe.decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.99), fused=True)
    warm = min(150, steps // 5 + 1)

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.02 + 0.98 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def average(kept: nn.Module, net: nn.Module, decay: float) -> None:
    """Move the moving average of the weights towards what they are now."""
    old, new = kept.state_dict(), net.state_dict()
    floats = [key for key, value in old.items() if value.is_floating_point()]
    torch._foreach_lerp_([old[key] for key in floats], [new[key].detach() for key in floats], 1 - decay)


def back(loss: Tensor) -> None:
    """The gradients of all weights.

    On Intel's AVX-512 without bfloat16 oneDNN's gradient of a 1x1 convolution's weights writes where it must not (seen
    with torch 2.15): PyTorch's own way is slower there and sound. Explaining needs no gradient of weights.
    """
    unsound = torch.backends.cpu.get_cpu_capability() == "AVX512" and not bfloat16_helps()
    with torch.backends.mkldnn.flags(enabled=not unsound):
        loss.backward()  # type: ignore[no-untyped-call]


def bfloat16_helps() -> bool:
    """Whether the processor multiplies bfloat16; where it does not, it is slower than float32."""
    known: Callable[[], bool] = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return known()


def train(
    name: str, *, recipe: Recipe | None = None, seed: int = 0, out: Path = WEIGHTS, processes: int = 1
) -> dict[str, Any]:
    """Train a demo model, write `NAME.safetensors` (float16) and `NAME.json`, its card, and return the card.

    Weights are also written every two minutes as `NAME.partial.safetensors`, which the end takes away: a training
    that is stopped leaves a whole file and no card.
    """
    recipe = recipe or RECIPES[name]
    out.mkdir(parents=True, exist_ok=True)
    print(f"{name}: drawing {recipe.pool:,} scenes", flush=True)
    pool = fill(recipe.source, recipe.pool, seed=seed, processes=processes)
    torch.manual_seed(seed)
    net = build(name)
    partial = out / f"{name}.partial.safetensors"
    watch = _Watch(name, recipe, partial)
    busy = time.process_time()
    kept = fit(net, pool, recipe, seed, watch)
    minutes, busy = (time.monotonic() - watch.began) / 60, (time.process_time() - busy) / 60
    save(kept, out / f"{name}.safetensors")
    partial.unlink(missing_ok=True)
    card = describe(name, recipe, seed, minutes, busy, out)
    write_file(out / f"{name}.json", json.dumps(card, indent=2).encode() + b"\n")
    print(f"{name}: {minutes:.1f} min, held out: {_in_words(card['metrics'])}", flush=True)
    return card


class _Watch:
    """Says how far a training is, looks at held-out scenes ten times, and saves what there is."""

    def __init__(self, name: str, recipe: Recipe, partial: Path) -> None:
        self.name, self.recipe, self.partial = name, recipe, partial
        self.exam = exam(recipe.source, WATCHED)
        self.began = self.told = self.saved = time.monotonic()
        self.looked = 0
        self.loss = math.nan

    def __call__(self, kept: nn.Module, images: int, loss: float) -> None:
        now = time.monotonic()
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
        if now - self.told > TELL_SECONDS:
            self.told = now
            rate = images / (now - self.began)
            left = (self.recipe.images - images) / rate / 60
            share = f"{images:,}/{self.recipe.images:,} images"
            print(f"{self.name}: {share}, loss {self.loss:.3f}, {rate:.0f}/s, {left:.1f} min left", flush=True)
        if images * 10 // self.recipe.images > self.looked and images < self.recipe.images:
            self.looked = images * 10 // self.recipe.images
            metrics = self.exam(kept)
            print(f"{self.name}: {images:,} images, held out: {_in_words(metrics)}", flush=True)
        if now - self.saved > SAVE_SECONDS:
            self.saved = now
            save(kept, self.partial)


def _in_words(metrics: dict[str, Any]) -> str:
    words = [f"{key} {value:.3f}" for key, value in metrics.items() if isinstance(value, float)]
    if "textured" in metrics:
        words.append(f"textured ({_in_words(metrics['textured'])})")
    return ", ".join(words)


def save(net: nn.Module, path: Path) -> None:
    """Write the weights as float16, whole or not at all."""
    from safetensors.torch import save as as_bytes

    state = {
        key: (value.half() if value.is_floating_point() else value).cpu().contiguous()
        for key, value in net.state_dict().items()
    }
    write_file(path, as_bytes(state))


def describe(name: str, recipe: Recipe, seed: int, minutes: float, busy: float, folder: Path) -> dict[str, Any]:
    """A model's card: what it is, what it was trained on, and what the saved file gets right on held-out scenes.

    `minutes` passed in training, `busy` of them the processor was at it: fewer on a machine that does other work too.
    """
    import ultralytics

    net = trained(name, folder)
    steps = math.ceil(recipe.images / recipe.batch)
    return {
        "name": name,
        "task": recipe.source.task,
        "classes": list(scenes.CLASSES),
        "data": {
            "kind": recipe.source.data,
            "side": scenes.sample(0, task=recipe.source.task).size,
            "seed": seed,
            "scenes": recipe.pool,
            "held_out_scenes": HELD_OUT,
        },
        "net": {"size": name.rpartition("-")[2], "parameters": _parameters(net)},
        "training": {
            "images": recipe.images,
            "epochs": round(recipe.images / recipe.pool, 2),
            "steps": steps,
            **{key: value for key, value in asdict(recipe).items() if key in ("batch", "rate", "decay", "turns")},
            "minutes": round(minutes, 1),
            "cpu_minutes": round(busy, 1),
            "threads": torch.get_num_threads(),
        },
        "metrics": exam(recipe.source, HELD_OUT)(net),
        "noise": NOISE.get(recipe.source.task),
        "margins": MARGINS.get(name, {}),
        "bytes": (folder / f"{name}.safetensors").stat().st_size,
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "ultralytics": ultralytics.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
    }


def _parameters(net: nn.Module) -> int:
    return sum(each.numel() for each in net.parameters())


def _commit() -> str | None:
    """The project's commit, where it is a checkout and git is there."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m models.demo.train", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the weights and the card")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and of the scenes")
    parser.add_argument("--images", type=int, help="how many pictures it sees")
    parser.add_argument("--quick", action="store_true", help="4,000 pictures: shows that it learns, and no more")
    parser.add_argument("--processes", type=int, default=1, help="how many draw the scenes")
    chosen = parser.parse_args(arguments)
    recipe = RECIPES[chosen.name]
    if chosen.quick:
        recipe = replace(recipe, images=4000, pool=2000)
    if chosen.images:
        recipe = replace(recipe, images=chosen.images)
    # Threads that wait for each other cost more than they bring at this size.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        train(chosen.name, recipe=recipe, seed=chosen.seed, out=chosen.out, processes=chosen.processes)
    except KeyboardInterrupt:
        raise SystemExit(f"{chosen.name}: stopped; no card and no final weights were written.") from None


if __name__ == "__main__":
    main()
