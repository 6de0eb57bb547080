"""Measure what a GPU does to time, memory and maps.

The same functions run on a CPU, which shows that they work; what they return there is no figure of a GPU.
"""

from __future__ import annotations

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.cases import FAST, SIZE, WEAK, ClassifierCase, maps_of, picture, raws_of
from benchmarks.peers import forward
from benchmarks.report import Row, attempt, goal, goals, grid, machine, page, section, times
from benchmarks.speed import GRADCAM, explainer_of
from benchmarks.timing import Contender, compare
from sightglass.explain.evidence import evidence
from sightglass.explain.evidence.determinism import exact
from sightglass.explain.evidence.loaded_model import device as find_device
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.models.catalog import available, spec
from sightglass.models.geometry import ModelInput
from sightglass.video.live import LiveExplainer, choose

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from sightglass.explain.explanation import Explanation

GOALS = {"maps": 1.2, "input": 7.0, "nvjpeg": 7.0, "pictures": 32 / 1500 * 1e3, "boxes": 2.5, "frame": 1e3 / 60}
"""Most milliseconds on an H100: all maps of a picture, device to device; the same from a JPEG to the host, by two
decoders; 32 pictures to the host; the raw maps of ten boxes after the pass; and a frame of a camera."""
COMPARED = ("efficientnet-lite0", "demo-cls-m", "demo-vit", "yolo11n", "yolox_nano")
"""Models whose maps are compared with the CPU's."""
PACKAGES = ("torch", "torchvision", "timm", "ultralytics", "numpy")
COUNT = {"classify": 5, "detect": 10}
CALLS, SETTLED = 1000, 20
"""Calls over which memory is watched, and those after which any increase counts as growth."""
THREADS, MIB = 4, 2**20


@dataclass(frozen=True)
class Sizes:
    """What is measured, and how much of it."""

    model: str = "resnet50"
    """A classifier, with random weights where it has no others: the time does not depend on them."""
    classes: int = 5
    rounds: int = 31
    batch: int = evidence.ON_GPU
    calls: int = CALLS


def run(options: argparse.Namespace) -> Row:
    """Measure everything; compare only models with local weights."""
    device, path = find_device(options.device), options.picture or picture()
    sizes = Sizes(rounds=options.rounds) if options.rounds else Sizes()
    models = options.models or [name for name in COMPARED if available(spec(name))]
    at = machine(torch.get_num_threads(), str(device), PACKAGES)
    if device.type == "cuda":
        at["processor"] = f"{torch.cuda.get_device_name(device)} beside {at['processor']}"
    whole = device.type == "cuda" and not options.models and not options.rounds
    return {"machine": at, "lines": figures(models, path, device, sizes), "complete": whole}


def figures(models: Sequence[str], path: Path, device: torch.device, sizes: Sizes) -> list[Row]:
    """Return a line for each part of the report, failures included."""

    def case() -> ClassifierCase:
        return ClassifierCase.build(sizes.model, path, device, sizes.classes)

    lines: dict[str, Callable[[], Row]] = {
        "Maps, device to device": lambda: maps(case(), sizes),
        "From the bytes of a JPEG to maps on the host": lambda: upload(case(), sizes),
        "A batch, beside the bare forward of the same batch": lambda: batch(case(), sizes),
    }
    if detector := next((name for name in models if spec(name).task == "detect"), None):
        lines["A frame of a camera, and ten boxes"] = lambda: frames(detector, path, device, sizes.rounds)
    lines |= {f"The CPU's maps: {name}": partial(same, name, path, device, sizes.calls) for name in models}
    return [attempt(title, call) for title, call in lines.items()]


def maps(case: ClassifierCase, sizes: Sizes) -> Row:
    """Time a picture's maps, from input tensor to maps on the device."""
    bare, tensor, count = case.module(), case.tensor, len(case.targets)

    def whole() -> Tensor:
        with exact(case.device):
            return forward(bare, tensor)

    def fresh() -> ModelInput:
        # A pass is not replayed for the very tensor that it had before.
        return replace(case.model_input, tensor=tensor.clone())

    def explained(model_input: ModelInput) -> Tensor:
        return maps_of(evidence.Evidence(case.loaded, model_input, case.layers), case.targets, [GRADCAM])[0]

    contenders = [
        Contender("bare", "bare forward, as its library runs it", lambda _: forward(bare, tensor)),
        Contender("exact", "bare forward in whole float32, as Sightglass runs it", lambda _: whole()),
        Contender("maps", f"Sightglass, {count} maps at input size", explained, fresh),
    ]
    lines = compare(contenders, sizes.rounds, case.device)
    if (gradcam := explained(fresh())).device != case.device:
        raise RuntimeError(f"The maps were on {gradcam.device}.")
    return {
        "how": f"{_about(case)} Input and maps stay on the device; CUDA events, from the first launch to the last "
        "kernel. Sightglass computes in whole float32 and replays its pass, the bare forward is as PyTorch's switches "
        "are by default, with TF32.",
        "lines": lines,
        "goals": [_goal(lines, "maps", f"{count} maps of {sizes.model}, device to device")],
    }


def _goal(lines: Sequence[Row], name: str, title: str) -> Row:
    taken = next(line["ms"] for line in lines if line["id"] == name)
    return goal(f"{title} (on an H100)", taken, GOALS[name])


def upload(case: ClassifierCase, sizes: Sizes) -> Row:
    """Time a file's bytes to maps on the host."""
    data, bare, tensor = case.path.read_bytes(), case.module(), case.tensor
    (explainer, chosen), count = explainer_of(case), len(case.targets)

    def by_nvjpeg() -> object:
        with patch.dict(os.environ, {"SIGHTGLASS_NVJPEG": "1"}):
            return explainer(data, **chosen)

    contenders = [
        Contender("bare", "bare forward of a prepared picture", lambda _: forward(bare, tensor)),
        Contender("nvjpeg", f"the next with SIGHTGLASS_NVJPEG=1, {count} maps", lambda _: by_nvjpeg(), EVIDENCE.clear),
        Contender(
            "input",
            f"Explainer(...)(bytes), {count} maps at input size",
            lambda _: explainer(data, **chosen),
            EVIDENCE.clear,
        ),
    ]
    lines = compare(contenders, sizes.rounds, case.device)
    return {
        "how": f"{_about(case)} {len(data) / 1e3:.0f} KB of JPEG are decoded on the CPU, or by nvJPEG, copied to the "
        "device, prepared and explained there, and the maps copied back. No evidence is kept from before.",
        "lines": lines,
        "goals": [_goal(lines, name, f"JPEG to maps, {name}") for name in ("input", "nvjpeg")],
    }


def batch(case: ClassifierCase, sizes: Sizes) -> Row:
    """Time a batch: bare, with maps, and from pixels to heatmaps."""
    adapter, first, bare = case.loaded.adapter, case.targets[0], case.module()
    pictures = [np.roll(case.image.pixels, 16 * number, 1) for number in range(sizes.batch)]
    prepared = [adapter.prepare(pixels, adapter.preprocessings[0]) for pixels in pictures]
    inputs = [replace(single, tensor=single.tensor.to(case.device)) for single in prepared]
    whole = torch.cat([single.tensor for single in inputs])
    explainer, chosen = explainer_of(case)

    def mapped() -> list[Tensor]:
        parts = evidence.run_pass(case.loaded, inputs, case.layers)
        evidence.backward(parts, [[first]] * len(parts))
        return [maps_of(part, [first], [GRADCAM])[0] for part in parts]

    def explained() -> object:
        return explainer(pictures, **chosen | {"targets": first.index})

    contenders = [
        Contender("bare", "bare forward, as its library runs it", lambda _: forward(bare, whole)),
        Contender("maps", "Sightglass, one map of each, device to device", lambda _: mapped()),
        Contender("pictures", "Explainer(...)(arrays), heatmaps on the host", lambda _: explained(), EVIDENCE.clear),
    ]
    lines = compare(contenders, sizes.rounds, case.device)
    return {
        "how": f"{_about(case)} {sizes.batch} different pictures, one class of each. Of large pictures `Explainer` "
        f"takes only as many in one pass as are {evidence.MAX_DECODED_BYTES // MIB} MB decoded.",
        "lines": lines,
        "goals": [_goal(lines, "pictures", f"{sizes.batch} pictures to heatmaps on the host")],
    }


def frames(model: str, path: Path, device: torch.device, rounds: int) -> Row:
    """Time a frame as the camera's page explains it, and the raw maps of ten boxes after a pass."""
    explainer, count = Explainer(model, device=str(device)), COUNT["detect"]
    live = LiveExplainer(choose(explainer, None, {"confidence": WEAK}))
    chosen, decoder = live.frames, live.frames.task.decoder
    data = to_jpeg(Image.open(path).thumbnail(SIZE))
    image, options = Image.open(data, name="frame"), chosen.options

    def fresh() -> evidence.Evidence:
        return explainer.fresh_evidence(explainer.loaded, image, options)[0]

    first = fresh()
    boxes = decoder.decode(first, options)[:count]
    options = replace(options, per="detection", targets=tuple(range(len(boxes))))
    targets, bare = decoder.resolve(options, boxes, first), explainer.loaded.adapter

    def passed() -> object:
        with exact(device), torch.no_grad():
            return bare.run(first.tensor)

    contenders = [
        Contender("bare", "forward pass alone, in whole float32", lambda _: passed()),
        Contender("boxes", f"raw maps of {len(boxes)} boxes", lambda e: raws_of(e, targets, [chosen.method]), fresh),
        Contender("frame", "JPEG to boxes and a map on the host", lambda _: live.explain(data)),
    ]
    lines = compare(contenders, rounds, device)
    return {
        "how": f"{model}, {chosen.method.name}, a frame of {image.width}x{image.height} pixels and "
        f"{len(data) / 1e3:.0f} KB, as the server explains it for the camera's page; the browser's share is not in it.",
        "lines": lines,
        "goals": [
            _goal(lines, "boxes", f"raw maps of {len(boxes)} boxes of {model}"),
            _goal(lines, "frame", f"a frame of {model}, 60 a second"),
        ],
    }


def same(model: str, path: Path, device: torch.device, calls: int) -> Row:
    """Compare maps across devices, runs and threads, and measure memory."""
    cpu, here = Explainer(model, device="cpu"), Explainer(model, device=str(device))
    # The strongest boxes, or the best classes.
    boxed: dict[str, Any] = {"per": "detection", "confidence": 0.1} if cpu.model.task == "detect" else {}
    options = {"top_k": COUNT[cpu.model.task]} | boxed
    options["targets"] = tuple(
        (target.anchors[0], target.index) if "per" in options else target.index
        for target in (heatmap.target for heatmap in _fresh(cpu, path, **options).heatmaps)
    )
    first = _fresh(here, path, **options)
    reference, again = _fresh(cpu, path, **options), _fresh(here, path, **options)
    ids = [method.id for method in FAST]
    by_method = [_gap(reference.with_method(id), first.with_method(id)) for id in ids]
    repeated = max(_gap(again.with_method(id), first.with_method(id)) for id in ids)
    with ThreadPoolExecutor(THREADS) as pool:
        # Each with another method, so that all run at once.
        threaded = list(pool.map(lambda id: _fresh(here, path, method=id, **options), ids * 2))
    threads = max(_gap(explanation, first.with_method(id)) for explanation, id in zip(threaded, ids * 2, strict=True))
    settled = 0
    for number in range(calls):
        _fresh(here, path, **options)
        if number == SETTLED:
            settled = allocated(device)
    growth = allocated(device) - settled
    cells = (*(f"{value:.0e}" if value else "0" for value in (*by_method, repeated, threads)), f"{growth / MIB:+.1f}")
    return {
        "how": "The largest difference to the CPU's maps by method; between two runs on the device; between one thread "
        f"and {THREADS}; and what the device's memory grew by, in MB over {calls} calls.",
        "table": grid((*(method.name for method in FAST), "again", "threads", "memory"), [cells]),
        "differences": dict(zip(ids, by_method, strict=True)),
        "again": repeated,
        "threads": threads,
        "growth": growth,
    }


def _fresh(explainer: Explainer, path: Any, **options: Any) -> Explanation:
    EVIDENCE.clear()
    return explainer(path, **options)


def _gap(first: Explanation, second: Explanation) -> float:
    """Return the largest difference of their maps of the same targets, 0..1."""
    pairs = zip(first.heatmaps, second.heatmaps, strict=True)
    return max(float(np.abs(a.at_input - b.at_input).max()) for a, b in pairs)


def allocated(device: torch.device) -> int:
    """Return a GPU's tensor bytes without evidence; 0 elsewhere."""
    EVIDENCE.clear()
    gc.collect()
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def _about(case: ClassifierCase) -> str:
    height, width = case.model_input.geometry.input
    return f"{case.loaded.adapter.spec.id}, {case.weights} weights, input {width}x{height}."


def _table(line: Row) -> list[str]:
    return [line["table"] if "table" in line else times(line["lines"], 2)]


def markdown(result: Row) -> str:
    tables = (part for line in result["lines"] for part in section(line, _table))
    return page("On a GPU", "gpu --device cuda", result["machine"], "## Goals", goals(result["lines"]), *tables)
