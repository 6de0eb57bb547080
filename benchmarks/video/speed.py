"""Measure video speed in frames per second beside bare passes.

`ours` decodes, explains, smooths, draws, labels, encodes and writes the timeline. `bare` is the forward pass alone, on
tensors that are ready, and `prepared` on decoded frames in memory, which it resizes: both at the fastest of some batch
sizes, with as many threads. All take turns on the same frames. What a frame costs beside the model is measured stage by
stage, in processor time.
"""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import torch

from benchmarks.case import picture
from benchmarks.processes import fresh, megabytes
from benchmarks.report import FOLDER, Row, attempt, goal, goals, grid, machine, where
from benchmarks.timing import in_rounds
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.video import Settings, draw, run, smooth, track
from sightglass.video.clips import write
from sightglass.video.clips.clip import Clip
from sightglass.video.looking import Looking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

OUT = FOLDER / "LIVE.md"
MODELS = {"efficientnet-lite0": 0.8, "yolo11n": 0.8}
"""Speed that is the goal, as a share of the bare forward passes of the same frames."""
SIZE, RATE, FRAMES = (640, 480), 25, 100
ROUNDS = 3
BATCHES = {"classify": (1, 4, 8), "detect": (1, 4)}
LONG, GROWTH_MB = 4000, 40.0
"""Frames of the clip over which memory is watched, and how much the process may grow over its second half."""
Took = dict[str, float]


def video(models: Sequence[str], rounds: int) -> Row:
    """Measure each model, and memory over a long clip."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        clip = written(Path(folder, "clip.mp4"), FRAMES, SIZE)
        for model in models or MODELS:
            lines.append(attempt(model, partial(_model, model, clip, Path(folder, "out"), rounds)))
        if not models:
            lines.append(attempt("memory", partial(_memory, Path(folder))))
    at = machine(torch.get_num_threads(), "cpu", ("torch", "timm", "ultralytics", "av", "numpy"))
    return {"machine": at, "rounds": rounds, "lines": lines}


def written(path: Path, frames: int, size: tuple[int, int]) -> Path:
    """Write a clip in which the camera moves over a photograph."""
    large = cv2.resize(Image.open(picture()).pixels, (round(size[0] * 1.5), round(size[1] * 1.5)))
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("libx264", rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for i in range(frames):
            x, y = (
                round(side * (0.25 + 0.25 * np.sin(i / 40 + turn))) for side, turn in zip(size, (0, 1), strict=True)
            )
            part = np.ascontiguousarray(large[y : y + size[1], x : x + size[0]])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
        file.mux(stream.encode())
    return path


def _model(name: str, clip: Path, out: Path, rounds: int) -> Row:
    explainer = Explainer(name, device="cpu")
    adapter = explainer.resident.adapter
    frames = [frame.pixels for frame in Clip(clip).frames()]
    tensors = [adapter.prepare(pixels, "trained").tensor for pixels in frames]
    number = count()

    def ours() -> None:
        run(clip, explainer, out / str(next(number)), settings=Settings(objects=1))

    lines: dict[str, Callable[[], None]] = {"ours": ours}
    for size in BATCHES[explainer.model.task]:
        lines[f"bare, {size}"] = partial(_bare, adapter, tensors, size)
        lines[f"prepared, {size}"] = partial(_prepared, adapter, frames, size)

    def once(call: Callable[[], None]) -> Took:
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

    times = in_rounds({line: partial(once, call) for line, call in lines.items()}, rounds, warm_up=1)
    shutil.rmtree(out, ignore_errors=True)
    rows: Row = {"ours": {kind: _median(times["ours"], kind) for kind in ("wall", "cpu")}}
    for line in ("bare", "prepared"):
        best = min((one for one in times if one.startswith(f"{line},")), key=lambda one: _median(times[one], "wall"))
        rows[line] = {kind: _median(times[best], kind) for kind in ("wall", "cpu")}
    share = {
        line: {kind: rows[line][kind] / rows["ours"][kind] for kind in ("wall", "cpu")} for line in ("bare", "prepared")
    }
    named = goal(f"{name}, to the bare forward", share["bare"]["wall"], MODELS.get(name, 0.8), "x", least=True)
    return {"rows": rows, "share": share, "goals": [named], "stages": _stages(explainer, clip, out)}


def _stages(explainer: Explainer, clip: Path, out: Path) -> dict[str, float]:
    """Return what a frame costs in each stage, ms of processor time: the least of some tries."""
    source, settings = Clip(clip), Settings(objects=1)
    frames, adapter = list(source.frames()), explainer.resident.adapter
    looking = Looking(explainer, {}, settings)
    with contextlib.closing(looking):
        groups = [frames[i : i + looking.batch] for i in range(0, len(frames), looking.batch)]
        records = list(smooth.smooth_maps((one for group in groups for one in looking(group)), settings.smooth))
        geometry = looking.geometry(frames[0].pixels)
        painter = draw.Painter(geometry, SIZE, settings, looking.method.id, looking.paths)

        def drawn() -> list[NDArray[np.uint8]]:
            made, trails = [], track.Trails()
            for frame, record in zip(frames, records, strict=True):
                maps = painter.maps(record)
                trails.add(record.seconds, record.shown)
                made.append(painter.paint(frame.pixels, record, maps, trails.find(record.seconds, record.shown)))
                for one in maps:
                    draw.row(record, one, one.seen)
            return made

        pictures = [(frame.pts, pixels) for frame, pixels in zip(frames, drawn(), strict=True)]
        out.mkdir(parents=True, exist_ok=True)
        stages: dict[str, Callable[[], object]] = {
            "decode": lambda: list(source.frames()),
            "resize": lambda: [adapter.prepare(frame.pixels, "trained") for frame in frames],
            "resize, model and map": lambda: [looking(group) for group in groups],
            "draw and measure": drawn,
            "encode": lambda: write.part(out / "part.nut", pictures, source.about.time_base, source.about.rate),
        }
        took = {name: min(_processor(stage) for _ in range(ROUNDS)) for name, stage in stages.items()}
    shutil.rmtree(out)
    return took


def _processor(stage: Callable[[], object]) -> float:
    began = time.process_time()
    stage()
    return 1e3 * (time.process_time() - began) / FRAMES


def _median(times: Sequence[Took], kind: str) -> float:
    return 1e3 * statistics.median(one[kind] for one in times) / FRAMES


def _bare(adapter: Any, tensors: Sequence[Tensor], size: int) -> None:
    with torch.no_grad():
        for start in range(0, len(tensors), size):
            adapter.run(torch.cat([*tensors[start : start + size]]))


def _prepared(adapter: Any, frames: Sequence[NDArray[np.uint8]], size: int) -> None:
    for start in range(0, len(frames), size):
        _bare(adapter, [adapter.prepare(one, "trained").tensor for one in frames[start : start + size]], size)


def _memory(folder: Path) -> Row:
    clip = written(folder / "long.mp4", LONG, (160, 120))
    held: list[float] = fresh(_watched, clip, folder / "long")
    growth = max(held[5:]) - held[4]
    what = f"memory over the second half of {LONG:,} frames"
    return {"held": held, "goals": [goal(what, growth, GROWTH_MB, "MB")]}


def _watched(clip: Path, out: Path) -> list[float]:
    """Return the MB of the process at each tenth of a long clip, in a process of its own."""
    held: list[float] = []

    def progress(share: float, _words: str) -> None:
        if int(share * 10) > len(held):
            held.append(megabytes("VmRSS"))

    run(clip, "demo-cls-s", out, device="cpu", progress=progress)
    return [*held, megabytes("VmRSS")]


def markdown(result: Row) -> str:
    """Return the section of LIVE.md."""
    rows = [
        (
            line["title"],
            *(f"{line['rows'][one]['wall']:.1f}" for one in ("ours", "bare", "prepared")),
            *(f"{line['share'][one]['wall']:.2f} ({line['share'][one]['cpu']:.2f})" for one in ("bare", "prepared")),
        )
        for line in result["lines"]
        if "rows" in line
    ]
    parts = [
        "# Video",
        "Written by `python -m benchmarks video`; do not edit by hand.",
        where(result["machine"]),
        f"A clip of {FRAMES} frames of {SIZE[0]}x{SIZE[1]}, decoded, explained, smoothed, drawn, labelled, encoded and "
        f"written with its timeline; of a detector the map of one object. {result['rounds']} rounds in turns, medians. "
        "*Bare* is the forward pass alone on tensors that are ready, *prepared* on decoded frames, each at its fastest "
        "batch size. In brackets by processor time instead of the clock: a run works on several cores at once.",
        goals(result["lines"]),
        grid(("model", "Sightglass ms a frame", "bare", "prepared", "of bare", "of prepared"), rows),
        *_floor(result["lines"]),
    ]
    for line in result["lines"]:
        if "held" in line:
            held = ", ".join(f"{one:.0f}" for one in line["held"])
            parts.append(f"Memory of the process at each tenth of a clip of {LONG:,} frames of 160x120, MB: {held}.")
    return "\n\n".join(parts) + "\n"


def _floor(lines: Sequence[Row]) -> list[str]:
    """Return what a frame costs in each stage, and the speed that this leaves within reach."""
    measured = [line for line in lines if "stages" in line]
    if not measured:
        return []
    names = list(measured[0]["stages"])
    table = [(line["title"], *(f"{line['stages'][name]:.1f}" for name in names)) for line in measured]
    said = []
    for line in measured:
        took, bare = line["stages"], line["rows"]["bare"]["cpu"]
        beside = sum(took[name] for name in ("decode", "resize", "draw and measure", "encode"))
        whole = 2 * took["decode"] + took["resize, model and map"] + took["draw and measure"] + took["encode"]
        said.append(
            f"{line['title']}: to decode, resize, draw and encode a frame once takes {beside:.1f} ms of a core, and "
            f"the bare pass {bare:.1f} ms. With every core at work all the time, the stages as measured come to "
            f"{bare / whole:.2f}x. If an explanation cost no more than its pass, 0.80x would leave {bare / 4:.1f} ms "
            "for all the rest."
        )
    words = "Processor time a frame, ms, stage by stage; a run decodes each frame twice, to look and to draw."
    return [words, grid(("model", *names), table), *said]
