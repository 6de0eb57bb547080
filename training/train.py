"""Train a demo model on drawn scenes.

It is meant for one thread: two trainings side by side are faster than one on two threads. The steps, the reports and
the card serve the trainings of demo-clip and demo-reid too.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import subprocess
import time
from copy import deepcopy
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import nn

from sightglass.common.files import write_file
from sightglass.models.families.demo.nets import WEIGHTS, build, trained
from training.demo import scenes
from training.evaluation import as_tensor, exam, normalised
from training.pool import MARGINS, NAMES, NOISE, RECIPES, Pool, Recipe, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    Loss = Callable[[Any, Pool], Tensor]

WATCHED, HELD_OUT = 300, 1000
"""Numbers of held-out scenes for the measurements during training, and for the card."""
SAVE_SECONDS, PRINT_SECONDS = 120, 20


def batch_of(pool: Pool, rows: NDArray[np.int64], ways: NDArray[np.int64]) -> Pool:
    """Return rows of a pool, each in one of 8 orientations."""
    pairs = list(zip(rows.tolist(), ways.tolist(), strict=True))
    return Pool(
        np.stack([turned(pool.pixels[row], way) for row, way in pairs]),
        tuple(turned_boxes(pool.boxes[row], way) for row, way in pairs),
        tuple(pool.classes[row] for row in rows),
    )


def turned(pixels: NDArray[np.uint8], way: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) in one of 8 orientations, `way`."""
    return np.rot90(pixels[:, ::-1] if way >= 4 else pixels, way % 4)


def turned_boxes(boxes: NDArray[np.float32], way: int) -> NDArray[np.float32]:
    """Return boxes (n, 4), xyxy shares, moved as by `turned`."""
    left, top, right, bottom = boxes.T
    if way >= 4:
        left, right = 1 - right, 1 - left
    for _ in range(way % 4):
        left, top, right, bottom = top, 1 - right, bottom, 1 - left
    return np.stack([left, top, right, bottom], 1)


def classification_loss(logits: Tensor, batch: Pool) -> Tensor:
    """Return the cross-entropy of a batch."""
    return nn.functional.cross_entropy(logits.float(), torch.from_numpy(batch.labels()))


def detection_loss(net: Any) -> Loss:
    """Return Ultralytics' own loss, per picture."""
    from ultralytics.cfg import get_cfg

    net.args = get_cfg()
    criterion = net.init_criterion()

    def loss(outputs: dict[str, Any], batch: Pool) -> Tensor:
        boxes = torch.from_numpy(np.concatenate(batch.boxes))
        counts = torch.tensor([len(each) for each in batch.boxes])
        sides = boxes[:, 2:] - boxes[:, :2]
        truth = {
            "batch_idx": torch.arange(len(counts)).repeat_interleave(counts).float(),
            "cls": torch.from_numpy(np.concatenate(batch.classes)).float()[:, None],
            "bboxes": torch.cat([boxes[:, :2] + sides / 2, sides], 1),
        }
        outputs = {key: value.float() if key in ("boxes", "scores") else value for key, value in outputs.items()}
        total: Tensor = criterion(outputs, truth)[0]
        return total.sum() / len(counts)

    return loss


def fit(
    net: nn.Module,
    pool: Pool,
    recipe: Recipe,
    seed: int,
    watch: Callable[[nn.Module, int, float], None] = lambda *_: None,
) -> nn.Module:
    """Train `net` on a pool and return its averaged weights.

    `watch` is called after each step with that average, the number of images so far and the loss.
    """
    steps = math.ceil(recipe.images / recipe.batch)
    generator = np.random.default_rng(seed)
    detects = recipe.source.task == "detect"
    loss_of = detection_loss(net) if detects else classification_loss
    learner = Learner(net, recipe.decay)
    half = bfloat16_helps()
    for step, rows in zip(range(steps), shuffled(len(pool), recipe.batch, generator), strict=False):
        ways = generator.integers(0, 8 if recipe.turns else 1, len(rows))
        batch = batch_of(pool, rows, ways)
        pixels = as_tensor(batch.pixels)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            outputs = net(pixels if detects else normalised(pixels))
        loss = loss_of(outputs, batch)
        learner.step(loss, recipe.rate * cosine(step, steps))
        watch(learner.average, min((step + 1) * recipe.batch, recipe.images), loss.item())
    return learner.average


def shuffled(count: int, size: int, generator: np.random.Generator) -> Any:
    """Yield rows in random order for each pass, `size` at once."""
    while True:
        order = generator.permutation(count)
        yield from (order[start : start + size] for start in range(0, count - size + 1, size))


def cosine(step: int, steps: int) -> float:
    """Return the learning rate's share: a warm-up, then a cosine."""
    warm = min(150, steps // 5 + 1)
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))) / 2


class Learner:
    """A network in training with AdamW, and the moving average of its weights, which is what is saved."""

    def __init__(
        self,
        net: nn.Module,
        weight_decay: float,
        *,
        beta: float = 0.99,
        max_norm: float = 10,
        horizon: float = 0.998,
        besides: Sequence[nn.Parameter] = (),
    ) -> None:
        """`max_norm` of the gradients; `horizon`: decay of the average in the end; `besides`: weights not averaged."""
        self._net, self._max_norm, self._horizon, self._steps = net, max_norm, horizon, 0
        net.train().to(memory_format=torch.channels_last)
        self.average = deepcopy(net).eval().requires_grad_(False)
        self._parameters = [*(each for each in net.parameters() if each.requires_grad), *besides]
        # No decay of biases and norms.
        groups = [
            {"params": [each for each in self._parameters if each.ndim > 1], "weight_decay": weight_decay},
            {"params": [each for each in self._parameters if each.ndim <= 1], "weight_decay": 0.0},
        ]
        self._optimiser = torch.optim.AdamW(groups, betas=(0.9, beta), fused=True)

    def step(self, loss: Tensor, rate: float) -> None:
        """Move the weights against the loss's gradients, and the average towards them."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad()
        _back(loss)
        nn.utils.clip_grad_norm_(self._parameters, self._max_norm)
        self._optimiser.step()
        decay = min(self._horizon, (1 + self._steps) / (20 + self._steps))
        old, new = self.average.state_dict(), self._net.state_dict()
        floats = [key for key, value in old.items() if value.is_floating_point()]
        torch._foreach_lerp_([old[key] for key in floats], [new[key].detach() for key in floats], 1 - decay)
        self._steps += 1


def _back(loss: Tensor) -> None:
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


def train(
    name: str, *, recipe: Recipe | None = None, seed: int = 0, out: Path = WEIGHTS, processes: int = 1
) -> dict[str, Any]:
    """Train a demo model, write weights and card, and return the card.

    Weights are also written every two minutes as `NAME.partial.safetensors`, which the end takes away: a training
    that is stopped leaves a whole file and no card.
    """
    recipe = recipe or RECIPES[name]
    out.mkdir(parents=True, exist_ok=True)
    print(f"{name}: drawing {recipe.pool:,} scenes", flush=True)
    pool = fill(recipe.source, recipe.pool, seed=seed, processes=processes)
    torch.manual_seed(seed)
    net = build(name)
    watch = Watch(out / f"{name}.safetensors", recipe.images, exam=exam(recipe.source, WATCHED))
    watch.save(fit(net, pool, recipe, seed, watch))
    saved = trained(name, out)
    task = recipe.source.task
    data = {"kind": recipe.source.data, "side": scenes.sample(0, task=task).size, "held_out_scenes": HELD_OUT}
    return watch.card(
        saved,
        task=task,
        classes=list(scenes.CLASSES),
        data={**data, "seed": seed, "scenes": recipe.pool},
        training=settings_of(recipe),
        metrics=exam(recipe.source, HELD_OUT)(saved),
        noise=NOISE.get(task),
        margins=MARGINS.get(name, {}),
    )


def settings_of(recipe: Any) -> dict[str, Any]:
    """Return the card's entry on a recipe."""
    steps = math.ceil(recipe.images / recipe.batch)
    chosen = {key: value for key, value in asdict(recipe).items() if key not in ("source", "pool")}
    return {**chosen, "epochs": round(recipe.images / recipe.pool, 2), "steps": steps}


class Watch:
    """Report how far a training is, measure it ten times, save its weights, and write its card."""

    def __init__(
        self,
        path: Path,
        total: int,
        *,
        unit: str = "images",
        partial: bool = True,
        exam: Callable[[nn.Module], dict[str, Any]] | None = None,
    ) -> None:
        """`path` of the weights; `partial`: save them on the way too; `exam` measures them on held-out scenes."""
        self.path, self.total, self.unit, self.exam = path, total, unit, exam
        self.name, self.partial = path.stem, path.with_suffix(".partial.safetensors")
        self.began = self.printed = time.monotonic()
        self.saved = self.began if partial else math.inf
        self.busy = time.process_time()
        self.measured = 0
        self.loss = math.nan

    def __call__(self, net: nn.Module, done: int, loss: float, note: Callable[[], str] = str) -> None:
        """Record the average `net` after `done` of `total`; `note`: printed."""
        now = time.monotonic()
        self.loss = loss if math.isnan(self.loss) else 0.98 * self.loss + 0.02 * loss
        if now - self.printed > PRINT_SECONDS:
            self.printed = now
            rate = done / (now - self.began)
            left = f"{rate:.0f}/s, {(self.total - done) / rate / 60:.1f} min left"
            share = f"{done:,}/{self.total:,} {self.unit}"
            print(f"{self.name}: {share}, loss {self.loss:.3f}, {left}{note()}", flush=True)
        if self.exam and done * 10 // self.total > self.measured and done < self.total:
            self.measured = done * 10 // self.total
            print(f"{self.name}: {done:,} {self.unit}, held out: {_in_words(self.exam(net))}", flush=True)
        if now - self.saved > SAVE_SECONDS:
            self.saved = now
            save(net, self.partial)

    def save(self, net: nn.Module) -> None:
        """Save the final weights, and remember how long the training took.

        `minutes` passed; `cpu_minutes` are fewer on a machine that does other work too.
        """
        minutes, busy = (time.monotonic() - self.began) / 60, (time.process_time() - self.busy) / 60
        self.took = {"minutes": round(minutes, 1), "cpu_minutes": round(busy, 1), "threads": torch.get_num_threads()}
        save(net, self.path)
        self.partial.unlink(missing_ok=True)

    def card(self, module: nn.Module, *, training: dict[str, Any], **sections: Any) -> dict[str, Any]:
        """Write and return the card: `sections`, `training` and the saved file."""
        about = {"size": self.name.rpartition("-")[2], "parameters": sum(each.numel() for each in module.parameters())}
        card = {
            "name": self.name,
            **sections,
            "net": about | sections.get("net", {}),
            "training": training | self.took,
            "bytes": self.path.stat().st_size,
            "commit": _commit(),
            "versions": {
                "python": platform.python_version(),
                **{library: version(library) for library in ("torch", "ultralytics", "numpy")},
                "opencv": cv2.__version__,
            },
        }
        write_file(self.path.with_suffix(".json"), json.dumps(card, indent=2).encode() + b"\n")
        print(f"{self.name}: {self.took['minutes']} min, held out: {_in_words(card['metrics'])}", flush=True)
        return card


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


def _commit() -> str | None:
    """Return the project's commit; None outside of a checkout or without git."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def parser(module: str, purpose: str | None) -> argparse.ArgumentParser:
    """Return the common options of all trainings."""
    arguments = argparse.ArgumentParser(prog=f"python -m training.{module}", description=purpose)
    arguments.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the weights and the card")
    arguments.add_argument("--seed", type=int, default=0, help="seed of the weights and of the pictures")
    return arguments


def run(module: str, purpose: str | None, recipe: Any, train: Callable[..., dict[str, Any]]) -> None:
    """Run a training's command with its recipe and number of images."""
    options = parser(module, purpose)
    options.add_argument("--images", type=int, default=recipe.images, help="how many pictures it sees")
    options.add_argument("--processes", type=int, default=1, help="how many draw the scenes")
    chosen = options.parse_args()
    single_thread()
    train(replace(recipe, images=chosen.images), seed=chosen.seed, out=chosen.out, processes=chosen.processes)


def single_thread() -> None:
    """Use one thread: at this size more cost time."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser("train", __doc__)
    options.add_argument("name", choices=NAMES)
    options.add_argument("--images", type=int, help="how many pictures it sees")
    options.add_argument("--quick", action="store_true", help="4,000 pictures: shows that it learns, and no more")
    options.add_argument("--processes", type=int, default=1, help="how many draw the scenes")
    chosen = options.parse_args(arguments)
    recipe = RECIPES[chosen.name]
    if chosen.quick:
        recipe = replace(recipe, images=4000, pool=2000)
    if chosen.images:
        recipe = replace(recipe, images=chosen.images)
    single_thread()
    try:
        train(chosen.name, recipe=recipe, seed=chosen.seed, out=chosen.out, processes=chosen.processes)
    except KeyboardInterrupt:
        raise SystemExit(f"{chosen.name}: stopped; no card and no final weights were written.") from None


if __name__ == "__main__":
    main()
