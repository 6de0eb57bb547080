"""Measure the time of detector maps beside a bare pass.

One map and ten, beside a pass of the model's own library.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks import peers
from benchmarks.cases import FAST, DetectorCase, maps_of, picture, raws_of
from benchmarks.report import Row, attempt, goal, goals, machine, page, section, times
from benchmarks.timing import Contender, compare
from sightglass.common.settings import settings
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import plural
from sightglass.models.adapter import Target

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from torch import Tensor


MODELS = ("yolo11n", "yolo11n-seg", "yolox_nano")
PACKAGES = ("torch", "ultralytics", "libreyolo", "grad-cam", "numpy")
COUNT, RATIO = 10, 0.02
"""Boxes that are explained, and the share of the candidates that a map of the whole picture is of."""
ROUNDS, SLOW = 11, 7
"""Rounds, and those of the contenders that take seconds."""
HIRESCAM = (METHODS["hirescam"],)
FIRST_BOX, FURTHER_BOX = 1.25, 0.15
"""What a class map may cost, in bare passes: with one box, and for each further one."""


def run(options: argparse.Namespace) -> Row:
    """Measure each model on each picture and report failures."""
    at, rounds = machine(torch.get_num_threads(), "cpu", PACKAGES), options.rounds or ROUNDS
    lines = [
        attempt(f"{model}, {path.name}", partial(speed, model, path, rounds))
        for model in options.models or MODELS
        for path in pictures()
    ]
    return {"machine": at, "lines": lines, "complete": not options.models and rounds >= ROUNDS}


def pictures() -> list[Path]:
    """Return the bus and, if local, a crowded table of COCO."""
    table = [folder / "images" / "coco_000000000142.jpg" for folder in settings().weights]
    return [picture(), *(path for path in table if path.is_file())][:2]


def picture_map(case: DetectorCase) -> Tensor:
    """Return one map of the strongest candidates of all."""
    evidence = case.evidence()
    target = Target(None, "the whole picture", case.adapter.strongest(evidence.outputs, RATIO))
    return maps_of(evidence, [target], HIRESCAM)[0]


def sightglass(case: DetectorCase) -> Iterator[Contender]:
    count, boxes = len(case.targets), case.targets

    yield Contender("class", "Sightglass, one class map", lambda _: case.maps(HIRESCAM, [case.group]))
    yield Contender("whole", f"Sightglass, one map of the whole picture (ratio {RATIO})", lambda _: picture_map(case))
    yield Contender("ten", f"Sightglass, maps of {count} boxes", lambda _: case.maps(HIRESCAM))
    yield Contender("pass", "of it the model pass that keeps a graph", lambda _: case.evidence())
    yield Contender("maps", "of it the maps", lambda evidence: maps_of(evidence, boxes, HIRESCAM), case.evidence)
    yield Contender("raws", f"seven methods, {count} boxes, raw maps", lambda _: raws_of(case.evidence(), boxes, FAST))


def speed(model: str, path: Path, rounds: int) -> Row:
    case = DetectorCase.build(model, path, COUNT)
    quick = [*peers.bare_detector(case), *sightglass(case)]
    rows = compare(quick, rounds)
    slow = [*(line for line in quick if line.id in ("bare", "ten")), *peers.hires_cam(case)]
    long = compare(slow, SLOW, warm_up=1)
    rows += long[2:]
    ratio, milliseconds = ({line["id"]: line[key] for line in rows} for key in ("ratio", "ms"))
    ours, theirs = case.maps(HIRESCAM)[0].numpy(), np.stack(slow[2].call(None))
    left, top, right, bottom = case.model_input.geometry.content
    bars = case.model_input.geometry.content != (0, 0, *case.model_input.geometry.input[::-1])
    difference = np.abs(ours - theirs)[:, top:bottom, left:right].max((1, 2))
    faster, frozen = (row["ms"] / long[1]["ms"] for row in long[2:])
    count, boxes = len(case.targets), len(case.group.anchors)
    limit = FIRST_BOX + FURTHER_BOX * (boxes - 1)
    goals = (
        (f"one class map, {plural(boxes, 'box')}, to a bare pass", ratio["class"], limit),
        ("one map of the whole picture, to a bare pass", ratio["whole"], 1.25),
        (f"{count} boxes, to a bare pass", ratio["ten"], 2.5),
        (f"faster than pytorch-grad-cam, {count} boxes", faster, 12),
        ("seven methods for one, raw maps, time", ratio["raws"] / ratio["ten"], 1.1),
    )
    return {
        "how": _how(case),
        "rows": rows,
        "difference": difference.tolist(),
        "facts": [
            f"To a bare pass of Sightglass's own: one class map {ratio['class'] / ratio['ours']:.2f}x, "
            f"{count} boxes {ratio['ten'] / ratio['ours']:.2f}x.",
            f"A further box costs about {milliseconds['maps'] / count:.1f} ms.",
            f"With its weights frozen for it, which spares pytorch-grad-cam their gradients, {frozen:.2f}x faster.",
            "Largest difference to pytorch-grad-cam's maps, a box each: "
            f"{', '.join(f'{error:.0e}' for error in difference)}"
            + (". Its scale counts what is on the letterbox's bars, ours does not." if bars else "."),
        ],
        "goals": [
            goal(f"{model}, {path.name}: {text}", result, limit, "x", least=text.startswith("faster"))
            for text, result, limit in goals
        ],
    }


def _how(case: DetectorCase) -> str:
    height, width = case.model_input.geometry.input
    targets = ", ".join(f"{box.label} {scale}" for box, scale in zip(case.targets, case.scales, strict=True))
    return (
        f"Trained weights; input {width}x{height}, layers "
        f"{', '.join(f'`{layer.path}`' for layer in case.layers)}, HiResCAM. Boxes and their scales: {targets}."
    )


def markdown(result: Row) -> str:
    parts = [
        "All contenders of a table run in one process on the same prepared picture, once a round each, in another "
        f"order every round; those that take seconds in {SLOW} rounds of their own, with the bare pass among them. "
        "The ratio is to the median pass of the model as its own library runs it, under inference mode. "
        "Threads as torch takes them. A class map is the sum of its boxes' maps, each brought to the same peak, so "
        f"each box costs one walk back: the goal is {FIRST_BOX}x with one box and {FURTHER_BOX}x for each further one.",
        "## Goals",
        goals(result["lines"]),
        *(part for line in result["lines"] for part in section(line, lambda line: [times(line["rows"])])),
    ]
    return page("Detectors: speed", "detect", result["machine"], *parts)
