"""Measure batch throughput in pictures per second, from JPEG files to files.

The contenders take turns on the same pictures. `ours` reads, decodes, explains, measures and writes. `bare` is the
model's forward pass alone, in batches, with all threads that torch takes: on tensors that are ready, and `prepared` on
decoded pictures in memory. `loop` is how a folder is explained with pytorch-grad-cam: open, prepare, one map, the
picture under it saved.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image as Pillow

from benchmarks.cases import ClassifierCase, picture
from benchmarks.peers import reshape
from benchmarks.pictures import SIZE, link_many, write_cuts
from benchmarks.processes import fresh, megabytes
from benchmarks.report import Row, grid, machine, page
from benchmarks.timing import CPU, in_rounds
from sightglass.batch import run as run_batch
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from torch import Tensor

MODELS = ("efficientnet-lite0", "resnet50")
PICTURES = 160
ROUNDS = 3
MANY = 5000
BATCHES = (4, 8, 32)
"""Batch sizes of the bare model; the fastest counts."""
GOALS = {"prepared": ("the bare passes on decoded pictures", 0.8), "loop": ("the loop", 5.0)}
KINDS = ("wall", "cpu")
Timing = dict[str, float]
"""Seconds of one round by `KINDS`: on the clock, and of all processors together."""


def run(options: argparse.Namespace) -> Row:
    rounds, models = options.rounds or ROUNDS, options.models or MODELS
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_cuts(Path(scratch, "pictures"), PICTURES)
        result: Row = {
            "machine": machine(torch.get_num_threads(), "cpu"),
            "rounds": rounds,
            "pictures": PICTURES,
            "models": [model_table(name, folder, Path(scratch, "out"), rounds) for name in models],
        }
        if options.many:
            result["memory"] = memory(folder, Path(scratch), options.many)
    return result | {"complete": options.many >= MANY and rounds >= ROUNDS and not options.models}


def model_table(name: str, folder: Path, out: Path, rounds: int) -> Row:
    case = ClassifierCase.build(name, picture(), CPU, 1)
    paths = sorted(folder.rglob("*.jpg"))
    explainer = Explainer(name, device="cpu", model_cache=case.model_cache)
    images = [Image.open(path) for path in paths]
    tensors = [case.loaded.adapter.prepare(image.pixels, "trained").tensor for image in images]
    lines: dict[str, Callable[[], Any]] = {
        "ours": lambda: run_batch(folder, explainer, out, resume=False),
        "prepared": lambda: prepared(case, images),
        "loop": grad_cam(case, paths, out.with_name("loop")),
    }
    lines |= {f"bare, {size}": partial(bare, case, tensors, size) for size in BATCHES}

    def once(call: Callable[[], Any]) -> Timing:
        shutil.rmtree(out, ignore_errors=True)
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

    times = in_rounds({line: partial(once, call) for line, call in lines.items()}, rounds, warm_up=1)
    best = min((line for line in lines if line.startswith("bare")), key=lambda line: _median(times[line], "wall"))
    times["bare"] = times[best]
    peers = ("bare", "prepared", "loop")
    pairs = {line: list(zip(times[line], times["ours"], strict=True)) for line in peers}
    return {
        "model": name,
        "weights": case.weights,
        "batch": best.partition(", ")[2],
        **{line: {kind: len(paths) / _median(times[line], kind) for kind in KINDS} for line in ("ours", *peers)},
        "ratios": {
            line: {kind: statistics.median(theirs[kind] / ours[kind] for theirs, ours in both) for kind in KINDS}
            for line, both in pairs.items()
        },
    }


def _median(times: Sequence[Timing], kind: str) -> float:
    return statistics.median(took[kind] for took in times)


def bare(case: ClassifierCase, tensors: Sequence[Tensor], size: int) -> None:
    """Pass prepared pictures through the model."""
    with torch.no_grad():
        for start in range(0, len(tensors), size):
            case.loaded.adapter.run(case.loaded.move_input(torch.cat([*tensors[start : start + size]])))


def prepared(case: ClassifierCase, images: Sequence[Image], size: int = 4) -> None:
    """Resize and normalise decoded pictures, and pass them through the model."""
    for start in range(0, len(images), size):
        adapter = case.loaded.adapter
        bare(case, [adapter.prepare(image.pixels, "trained").tensor for image in images[start : start + size]], size)


def grad_cam(case: ClassifierCase, paths: Sequence[Path], out: Path) -> Callable[[], None]:
    """Return the usual loop: explain, draw and save each picture."""
    from pytorch_grad_cam import GradCAM  # type: ignore[import-not-found, unused-ignore]
    from pytorch_grad_cam.utils.image import show_cam_on_image  # type: ignore[import-not-found, unused-ignore]

    module = case.module()
    cam = GradCAM(module, [module.get_submodule(case.layer.path)], reshape_transform=reshape(case))
    height, width = case.model_input.geometry.input
    out.mkdir(exist_ok=True)

    def loop() -> None:
        for path in paths:
            with Pillow.open(path) as opened:
                pixels = np.array(opened.convert("RGB"))
            values = cam(case.loaded.adapter.prepare(pixels, "trained").tensor, None)[0]
            small = np.asarray(Pillow.fromarray(pixels).resize((width, height)), np.float32) / 255
            Pillow.fromarray(show_cam_on_image(small, values, use_rgb=True)).save(out / path.name)

    return loop


def memory(folder: Path, scratch: Path, many: int) -> Row:
    """Return a long run's MB at each tenth of its pictures."""
    by_count, seconds = fresh(watched, link_many(folder, scratch / "crowd", many), scratch / "many")
    return {"pictures": many, "by_count": by_count, "seconds": seconds}


def watched(source: Path, out: Path) -> tuple[dict[int, float], float]:
    """Explain a folder; return memory at each tenth, and seconds."""
    by_count: dict[int, float] = {}
    total = len(list(source.rglob("*.jpg")))

    def progress(share: float, words: str) -> None:
        if int(share * 10) >= len(by_count) and words != "Writing the table":
            by_count[round(share * total)] = megabytes()

    summary = run_batch(source, "efficientnet-lite0", out, device="cpu", progress=progress)
    return by_count | {summary.done: megabytes()}, summary.seconds


HEAD = ("model", "Sightglass /s", "bare /s", "of bare", "of bare, prepared", "loop /s", "times the loop")


def markdown(result: Row) -> str:
    rows, goals = [], []
    for row in result["models"]:
        ratios = {line: f"{ratio['wall']:.2f} ({ratio['cpu']:.2f})" for line, ratio in row["ratios"].items()}
        rates = {line: f"{row[line]['wall']:.1f}" for line in ("ours", "bare", "loop")}
        name = row["model"] + (" (untrained)" if row["weights"] == "random" else "")
        cells = (rates["ours"], rates["bare"], ratios["bare"], ratios["prepared"], rates["loop"], ratios["loop"])
        rows.append((name, *cells))
        for line, (peer, goal) in GOALS.items():
            ratio = row["ratios"][line]["wall"]
            met = "met" if ratio >= goal else "**not met**"
            goals.append(f"- {row['model']}, goal at least {goal} times {peer}: {ratio:.2f}, {met}.")
    parts = [
        f"{result['pictures']} JPEG files of {SIZE[0]} x {SIZE[1]} pixels, one GradCAM map each at the model's default "
        f"layer; {result['rounds']} rounds in turns, medians.",
        "- **Sightglass**: read, decoded, explained, every statistic, the picture under its map as a JPEG, the raw "
        "map, the table.\n"
        "- **bare**: the model's forward pass alone, in batches, on tensors that are ready in memory, all threads.\n"
        "- **bare, prepared**: the same on decoded pictures in memory: resized and normalised, then passed.\n"
        "- **loop**: pytorch-grad-cam picture by picture: open, prepare, map, overlay saved.",
        "Processor time is what the work itself takes; the clock also counts what else ran on the machine.",
        grid(HEAD, rows),
        "Ratios on the clock; in brackets by processor time.",
        "\n".join(goals),
        *(_memory(**result["memory"]) if "memory" in result else ()),
    ]
    return page("Pictures per second, from a folder to files", "throughput", result["machine"], *parts)


def _memory(pictures: int, by_count: dict[int, float], seconds: float) -> tuple[str, ...]:
    growth = [*by_count.values()][-2] - by_count[min(at for at in by_count if at >= pictures // 10)]
    return (
        f"## Memory over {pictures:,} pictures",
        "efficientnet-lite0, in a process of its own; MB held when so many were done:",
        grid(tuple(f"{at:,}" for at in by_count), [tuple(f"{mb:.0f}" for mb in by_count.values())]),
        f"From a tenth of the way to the last picture it grew by {growth:.0f} MB; the last figure is with the table "
        f"written. {pictures / seconds:.1f} pictures/s.",
    )
