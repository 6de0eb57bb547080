"""Pictures per second with one map each, from a folder of JPEG files to files: against the bare model, against a loop.

Three contenders take turns on the same pictures. `ours` reads, decodes, explains, measures and writes. `bare` is the
model's forward pass alone, in batches, with all threads that torch takes: on tensors that are ready, and `prepared` on
pictures that lie decoded in memory. `loop` is how a folder is explained with pytorch-grad-cam: open, prepare, one map,
the picture under it saved.
"""

from __future__ import annotations

import gc
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image as Pillow

from benchmarks.classifiers.case import Case, picture
from benchmarks.photographs import PHOTOGRAPHS, photograph
from benchmarks.processes import megabytes
from benchmarks.report import FOLDER, load, machine, where
from explain import Explainer
from explain.batch import run
from explain.evidence.layers import as_map
from explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

MODELS = ("efficientnet-lite0", "resnet50")
SIZE = (500, 375)
"""What a photograph of ImageNet usually has."""
PICTURES = 160
ROUNDS = 3
MANY = 5000
BATCHES = (4, 8, 32)
"""Sizes that the bare model is given; the quicker one counts."""
GOALS = {"prepared": ("the bare passes on decoded pictures", 0.8), "loop": ("the loop", 5.0)}
OUT = FOLDER / "THROUGHPUT.md"


@dataclass(frozen=True)
class Took:
    """Seconds of one round: on the clock, and of all processors together."""

    wall: float
    cpu: float


def throughput(models: Sequence[str], rounds: int, many: int) -> dict[str, Any]:
    """Every model's table and the memory of a long run, as plain values."""
    with tempfile.TemporaryDirectory() as held:
        folder = written(Path(held, "pictures"), PICTURES)
        result: dict[str, Any] = {
            "machine": machine(torch.get_num_threads(), "cpu"),
            "rounds": rounds,
            "pictures": PICTURES,
            "models": [model_table(name, folder, Path(held, "out"), rounds) for name in models],
        }
        if many:
            result["memory"] = memory(folder, Path(held), many)
        result["machine"]["load_after"] = load()
    return result


def written(folder: Path, count: int) -> Path:
    """JPEG files, each a cut of its own of the benchmarks' photographs, in a folder for each photograph."""
    generator = np.random.default_rng(0)
    large = {name: photograph(name, (2 * SIZE[0], 2 * SIZE[1])) for name in PHOTOGRAPHS}
    for number in range(count):
        name = [*large][number % len(large)]
        scale = generator.uniform(1, 1.9)
        x, y = (int(generator.integers(0, int(side * (2 - scale) + 1))) for side in SIZE)
        cut = large[name].crop((x, y, x + int(SIZE[0] * scale), y + int(SIZE[1] * scale))).resize(SIZE)
        (folder / name).mkdir(parents=True, exist_ok=True)
        cut.save(folder / name / f"{number:05}.jpg", quality=90)
    return folder


def linked(folder: Path, crowd: Path, count: int) -> Path:
    """Fill `crowd` with `count` pictures: hard links to those of `folder`, in turn."""
    paths = sorted(folder.rglob("*.jpg"))
    for number in range(count):
        path = paths[number % len(paths)]
        (crowd / path.parent.name).mkdir(parents=True, exist_ok=True)
        os.link(path, crowd / path.parent.name / f"{number:05}.jpg")
    return crowd


def model_table(name: str, folder: Path, out: Path, rounds: int) -> dict[str, Any]:
    case = Case.build(name, picture(), torch.device("cpu"), 1)
    paths = sorted(folder.rglob("*.jpg"))
    explainer = Explainer(name, device="cpu", residency=case.residency)
    images = [Image.open(path) for path in paths]
    tensors = [case.resident.adapter.prepare(image.pixels, "trained").tensor for image in images]
    lines: dict[str, Callable[[], Any]] = {
        "ours": lambda: run(folder, explainer, out, resume=False),
        "prepared": lambda: prepared(case, images),
        "loop": grad_cam(case, paths, out.with_name("loop")),
    }
    lines |= {f"bare, {size}": partial(bare, case, tensors, size) for size in BATCHES}
    times: dict[str, list[Took]] = {line: [] for line in lines}
    for number in range(rounds + 1):
        for line, call in lines.items():
            shutil.rmtree(out, ignore_errors=True)
            gc.collect()
            took = timed(call)
            # The first round warms up.
            if number:
                times[line].append(took)
    best = min((line for line in lines if line.startswith("bare")), key=lambda line: _median(times[line], "wall"))
    kept = {"ours": times["ours"], "bare": times[best], "prepared": times["prepared"], "loop": times["loop"]}
    return {
        "model": name,
        "weights": case.weights,
        "batch": best.partition(", ")[2],
        **{line: {kind: len(paths) / _median(took, kind) for kind in ("wall", "cpu")} for line, took in kept.items()},
        "ratios": {
            line: {
                kind: statistics.median(
                    getattr(b, kind) / getattr(a, kind) for a, b in zip(kept["ours"], kept[line], strict=True)
                )
                for kind in ("wall", "cpu")
            }
            for line in ("bare", "prepared", "loop")
        },
    }


def timed(call: Callable[[], Any]) -> Took:
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


def _median(times: Sequence[Took], kind: str) -> float:
    return statistics.median(getattr(took, kind) for took in times)


def bare(case: Case, tensors: Sequence[Tensor], size: int) -> None:
    """Forward passes alone."""
    with torch.no_grad():
        for start in range(0, len(tensors), size):
            case.resident.adapter.run(case.resident.place(torch.cat([*tensors[start : start + size]])))


def prepared(case: Case, images: Sequence[Image], size: int = 4) -> None:
    """Resized, normalised and passed forward: a model cannot take a decoded picture as it is."""
    for start in range(0, len(images), size):
        adapter = case.resident.adapter
        bare(case, [adapter.prepare(image.pixels, "trained").tensor for image in images[start : start + size]], size)


def grad_cam(case: Case, paths: Sequence[Path], out: Path) -> Callable[[], None]:
    """As its users have it: one picture after the other, the map laid over it and saved."""
    from pytorch_grad_cam import GradCAM  # type: ignore[import-not-found, unused-ignore]
    from pytorch_grad_cam.utils.image import show_cam_on_image  # type: ignore[import-not-found, unused-ignore]

    module = case.module()
    reshape = None if case.layer.layout == "nchw" else lambda output: as_map(output, case.layer)
    cam = GradCAM(module, [module.get_submodule(case.layer.path)], reshape_transform=reshape)
    height, width = case.given.geometry.input
    out.mkdir(exist_ok=True)

    def loop() -> None:
        for path in paths:
            with Pillow.open(path) as opened:
                pixels = np.array(opened.convert("RGB"))
            values = cam(case.resident.adapter.prepare(pixels, "trained").tensor, None)[0]
            small = np.asarray(Pillow.fromarray(pixels).resize((width, height)), np.float32) / 255
            Pillow.fromarray(show_cam_on_image(small, values, use_rgb=True)).save(out / path.name)

    return loop


def memory(folder: Path, held: Path, many: int) -> dict[str, Any]:
    """A long run in a process of its own: the memory that it holds at each tenth of the way, in MB."""
    crowd = linked(folder, held / "crowd", many)
    code = "import sys; from benchmarks.batch.throughput import watched; watched(sys.argv[1], sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(crowd), str(held / "many")], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in done.stdout.splitlines()]
    return {"pictures": many, "held": {int(at): float(mb) for at, mb in rows[:-1]}, "seconds": float(rows[-1][1])}


def watched(source: str, out: str) -> None:
    """Run it and print, at each tenth of the pictures, how many are done and the memory held; then the seconds."""
    told = -1
    total = len(list(Path(source).rglob("*.jpg")))

    def progress(share: float, words: str) -> None:
        nonlocal told
        if int(share * 10) > told and words != "Writing the table":
            told = int(share * 10)
            print(round(share * total), megabytes("VmRSS"), flush=True)

    summary = run(source, "efficientnet-lite0", out, device="cpu", progress=progress)
    print(summary.done, megabytes("VmRSS"))
    print("seconds", summary.seconds)


def markdown(result: dict[str, Any]) -> str:
    """The report."""
    lines = [
        "# Pictures per second, from a folder to files",
        "",
        f"{result['pictures']} JPEG files of {SIZE[0]} x {SIZE[1]} pixels, one GradCAM map each at the model's default "
        f"layer; {result['rounds']} rounds in turns, medians. {where(result['machine'])}",
        "",
        "- **Sightglass**: read, decoded, explained, every statistic, the picture under its map as a JPEG, the raw "
        "map, the table.",
        "- **bare**: the model's forward pass alone, in batches, on tensors that are ready in memory, all threads.",
        "- **bare, prepared**: the same on pictures that lie decoded in memory: resized and normalised, then passed.",
        "- **loop**: pytorch-grad-cam picture by picture: open, prepare, map, overlay saved.",
        "",
        "Processor time is what the work itself takes; the clock also counts what else ran on the machine.",
        "",
        "| model | Sightglass /s | bare /s | of bare | of bare, prepared | loop /s | times the loop |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["models"]:
        ratios = row["ratios"]
        name = row["model"] + (" (untrained)" if row["weights"] == "random" else "")
        lines.append(
            f"| {name} | {row['ours']['wall']:.1f} | {row['bare']['wall']:.1f} | {_both(ratios['bare'])} "
            f"| {_both(ratios['prepared'])} | {row['loop']['wall']:.1f} | {_both(ratios['loop'])} |"
        )
    lines += ["", "Ratios on the clock; in brackets by processor time.", ""]
    for row in result["models"]:
        for line, (name, goal) in GOALS.items():
            ratio = row["ratios"][line]["wall"]
            met = "met" if ratio >= goal else "**not met**"
            lines.append(f"- {row['model']}, goal at least {goal} times {name}: {ratio:.2f}, {met}.")
    if "memory" in result:
        held = result["memory"]["held"]
        first = held[min(at for at in held if at >= result["memory"]["pictures"] // 10)]
        last = [*held.values()][-2]
        lines += [
            "",
            f"## Memory over {result['memory']['pictures']:,} pictures",
            "",
            "efficientnet-lite0, in a process of its own; MB held when so many were done:",
            "",
            "| " + " | ".join(f"{at:,}" for at in held) + " |",
            "|" + "---|" * len(held),
            "| " + " | ".join(f"{mb:.0f}" for mb in held.values()) + " |",
            "",
            f"From a tenth of the way to the last picture it grew by {last - first:.0f} MB; the last figure is "
            f"with the table written. {result['memory']['pictures'] / result['memory']['seconds']:.1f} pictures/s.",
        ]
    return "\n".join(lines) + "\n"


def _both(ratio: dict[str, float]) -> str:
    return f"{ratio['wall']:.2f} ({ratio['cpu']:.2f})"
