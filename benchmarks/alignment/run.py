"""Write where layers' cells look into TRUTH.md.

Centres are measured on some pictures and what a move gains on others. Nothing is timed, so as many processes of one
thread run as there are cores.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from benchmarks.alignment import centres, gains
from benchmarks.alignment.centres import Places
from benchmarks.alignment.gains import interval
from benchmarks.detectors.annotated import SUFFIXES, dataset
from benchmarks.report import Row, ends, grid, machine, where
from benchmarks.timing import CPU, SEED
from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.layers import find
from sightglass.explain.evidence.resident import RESIDENCY
from sightglass.explain.picture.image import Image
from sightglass.models.catalog import available, spec
from sightglass.models.demo import scenes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.bootstrap import Interval
    from sightglass.explain.evidence.resident import Resident

SCENES = ("demo-vit", "demo-cls-s", "demo-s")
LITE = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
DETECTORS = ("yolo11n", "yolo26n", "yolox_nano")
MODELS = (*DETECTORS, *SCENES, *LITE)
"""Those that take longest first."""
FIRST_SCENE = 900_000
LOOKED_AT, TESTED = 24, {"scenes": 120, "photographs": 40}
"""Pictures that centres are measured on, and others that gains are."""
WAYS = ("even", "arithmetic", "measured")
LEAST = 0.1
"""Cells that a centre must be off for its map to be moved."""
PACKAGES = ("torch", "ultralytics", "timm", "numpy")


def alignment(models: Sequence[str], folder: Path | None, most: int | None) -> Row:
    """Measure models; those of photographs need a folder with `images` and, for detectors, `labels` (YOLO's layout)."""
    wanted = [model for model in models or MODELS if models or available(spec(model))]
    if not folder:
        wanted = [model for model in wanted if model in SCENES]
    if not wanted:
        raise ModelProblem("Name a folder of photographs for these models: --dataset FOLDER.")
    result: Row = {"machine": machine(1, "cpu", PACKAGES)}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context, _single_thread) as pool:
        result["models"] = list(pool.map(partial(measured, most=most), wanted, repeat(folder)))
    if folder and all(model in wanted for model in LITE):
        result["agreement"] = _agreement([one for one in result["models"] if one["model"] in LITE], folder, most)
    return result


def _single_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def measured(model: str, folder: Path | None, most: int | None) -> Row:
    """Measure one model: a row for each layer, and one for each choice of layers."""
    resident = RESIDENCY.get(spec(model), CPU)
    adapter, chosen = resident.adapter, gains.choices(resident)
    layers = find(resident, tuple(dict.fromkeys(path for choice in chosen for path in choice.paths)))
    looked, tested = pictures(model, folder, most)
    tensors = [adapter.prepare(_pixels(resident, one), adapter.preprocessings[0]).tensor for one in looked]
    by_gradient = [centres.by_gradient(adapter, tensor, layers) for tensor in tensors]
    print(f"{model}: centres by gradient", file=sys.stderr, flush=True)
    # A detector of photographs has so many pixels that a dot on each takes longer than all else.
    by_dot = [] if model in DETECTORS else [centres.by_dot(adapter, tensor, layers) for tensor in tensors]
    print(f"{model}: centres by dot", file=sys.stderr, flush=True)
    implied = centres.by_arithmetic(adapter, tensors[0], layers)
    size = tensors[0].shape[-2:]
    with torch.no_grad(), centres.recorded(adapter, layers) as maps:
        adapter.run(tensors[0])
    rows = []
    for layer in layers:
        cells = maps[layer.path].shape[-2:]
        axes = range(2)
        rows.append(
            {
                "path": layer.path,
                "size": tuple(size),
                "cells": tuple(cells),
                "arithmetic": [implied[layer.path][i].offset(size[i], cells[i]) for i in axes],
                "stretch": implied[layer.path][1].step / (size[1] / cells[1]),
                "gradient": [interval([one[layer.path][i] for one in by_gradient]) for i in axes],
                "dot": [interval([one[layer.path][i, 0] for one in by_dot]) for i in axes] if by_dot else None,
                "dot stretch": interval([one[layer.path][:, 1].mean() for one in by_dot]) if by_dot else None,
            }
        )
    offsets = {"even": (), "arithmetic": _offsets(rows, "arithmetic"), "measured": _offsets(rows, "gradient")}
    found = [made for one in tested if (made := _gains(resident, one, chosen, offsets)) is not None]
    return {
        "model": model,
        "pictures": len(looked),
        "tested": len(found),
        "layers": rows,
        "choices": [_row(choice, found) for choice in chosen],
    }


def pictures(model: str, folder: Path | None, most: int | None) -> tuple[list[Any], list[Any]]:
    """Return the pictures that centres are measured on, and the others: numbers of scenes, photographs or files."""
    if model in SCENES:
        count = most or TESTED["scenes"]
        every: list[Any] = list(range(FIRST_SCENE, FIRST_SCENE + min(LOOKED_AT, count) + count))
    else:
        assert folder is not None
        every = dataset(folder)
        if model not in DETECTORS:
            listed = {one.path for one in every}
            files = sorted(path for path in (folder / "images").rglob("*") if path.suffix.lower() in SUFFIXES)
            # Those without boxes, which are a classifier's own, if there are any.
            every = [path for path in files if path not in listed] or files
        random.Random(SEED).shuffle(every)
    count = most or TESTED["scenes" if model in SCENES else "photographs"]
    first = min(LOOKED_AT, count)
    return every[:first], every[first : first + count]


def _pixels(resident: Resident, one: Any) -> Any:
    if isinstance(one, int):
        task = resident.adapter.spec.task
        return scenes.draw(scenes.sample(one, task=task, held_out=True)).pixels
    return Image.open(getattr(one, "path", one)).pixels


def _offsets(rows: Sequence[Row], by: str) -> tuple[tuple[str, float, float], ...]:
    """Return the cells by which to move each layer's map; a half at most, and none where nothing was measured."""
    found = []
    for row in rows:
        down, across = (value[0] if isinstance(value, tuple) else value for value in row[by])
        found.append((row["path"], *(float(np.clip(np.nan_to_num(value), -0.5, 0.5)) for value in (down, across))))
    return tuple(found)


def _gains(
    resident: Resident, one: Any, chosen: Sequence[gains.Choice], offsets: gains.Offsets
) -> gains.Figures | None:
    if isinstance(one, int):
        return gains.of_scene(resident, one, chosen, offsets)
    of = gains.of_annotated if resident.adapter.detects else gains.of_photograph
    return of(resident, one, chosen, offsets)


def _row(choice: gains.Choice, found: Sequence[gains.Figures]) -> Row:
    """Return what moving a choice's maps changes: a mean, and differences with intervals, by measure."""
    names = [name for name in ("hit", "energy", "deletion") if name in found[0][choice.name, "even"]]
    values = {(way, name): np.array([one[choice.name, way][name] for one in found]) for way in WAYS for name in names}
    return {
        "name": choice.name,
        "method": choice.method,
        "paths": choice.paths,
        "means": {name: {way: float(values[way, name].mean()) for way in WAYS} for name in names},
        "to_even": {
            way: {name: interval(values[way, name] - values["even", name]) for name in names} for way in WAYS[1:]
        },
    }


def moves(layer: Row, choice: Row) -> bool:
    """Return whether a layer's map should be moved: its centre and the gain on others are clear of zero.

    The gain is in energy, with hits not clearly worse, or in deletion; the centre is more than a tenth of a cell off.
    """
    off = all(low * high > 0 and abs(mean) > LEAST for mean, low, high in layer["gradient"])
    gained = choice["to_even"]["measured"]
    if "deletion" in gained:
        return off and round(gained["deletion"][2], 3) < 0
    return off and round(gained["energy"][1], 3) > 0 and gained["hit"][2] >= 0


def _agreement(rows: Sequence[Row], folder: Path, most: int | None) -> Row:
    last = {row["model"]: row["layers"][-1] for row in rows}
    even = last[LITE[0]]["dot stretch"][0]
    ways: dict[str, dict[str, tuple[Places, Places]]] = {
        "even": {},
        "arithmetic": {name: _places(one, one["arithmetic"], one["stretch"]) for name, one in last.items()},
        # A response is cut off at the picture's edges, which stretches an even grid too: Lite 0's tells by how much.
        "dot": {
            name: _places(one, [value[0] for value in one["dot"]], one["dot stretch"][0] / even)
            for name, one in last.items()
        },
    }
    found = gains.agreement(LITE, pictures(LITE[0], folder, most)[1], ways)
    return {
        " and ".join(pair): {
            "photographs": len(by["even"]),
            "ways": {way: np.mean(values, 0).tolist() for way, values in by.items()},
            "to_even": {
                way: [interval(one) for one in (np.array(by[way]) - np.array(by["even"])).T]
                for way in by
                if way != "even"
            },
        }
        for pair, by in found.items()
    }


def _places(row: Row, offset: Sequence[float], stretch: float) -> tuple[Places, Places]:
    made = []
    for pixels, cells, one in zip(row["size"], row["cells"], offset, strict=True):
        cell = pixels / cells
        made.append(Places(pixels / 2 + one * cell - stretch * cell * (cells - 1) / 2, stretch * cell))
    return made[0], made[1]


def markdown(result: Row) -> str:
    """Return the section of TRUTH.md."""
    parts = ["## Where a map is drawn", INTRODUCTION, where(result["machine"])]
    by_layer = [_centre(row, one) for row in result["models"] for one in row["layers"]]
    by_choice = [_gain(row, one) for row in result["models"] for one in row["choices"]]
    parts += ["Centres, in cells:", grid(CENTRES, by_layer), "What drawing there changes:", grid(GAINS, by_choice)]
    clear = [
        f"{row['model']}: {one['paths'][0]}"
        for row in result["models"]
        for one in row["choices"]
        if len(one["paths"]) == 1 and moves(_layer(row, one["paths"][0]), one)
    ]
    parts.append(f"Centre and gain both clear of zero, of single layers: {'; '.join(clear) or 'none'}.")
    if "agreement" in result:
        parts += [AGREEMENT, grid(ALIKE, [_alike(pair, one) for pair, one in result["agreement"].items()])]
    return "\n\n".join(parts) + "\n"


def _layer(row: Row, path: str) -> Row:
    found: Row = next(one for one in row["layers"] if one["path"] == path)
    return found


def _pair(values: Sequence[Interval] | None) -> str:
    return "" if values is None else ", ".join(f"{at:+.2f} [{low:+.2f}, {high:+.2f}]" for at, low, high in values)


def _centre(row: Row, one: Row) -> tuple[str, ...]:
    (h, w), stride = one["cells"], one["size"][1] / one["cells"][1]
    stretch = f"{one['stretch']:.2f}" + (f"; {ends(one['dot stretch'])}" if one["dot stretch"] else "")
    return (
        *(row["model"], one["path"], f"{h} x {w}", f"{stride:.1f}"),
        ", ".join(f"{value:+.2f}" for value in one["arithmetic"]),
        _pair(one["gradient"]),
        _pair(one["dot"]),
        stretch,
    )


def _gain(row: Row, one: Row) -> tuple[str, ...]:
    def change(way: str) -> str:
        return ", ".join(
            f"{name} {at:+.3f} [{low:+.3f}, {high:+.3f}]" for name, (at, low, high) in one["to_even"][way].items()
        )

    means = ", ".join(f"{name} {by['even']:.2f}" for name, by in one["means"].items())
    return row["model"], one["name"], str(row["tested"]), means, change("arithmetic"), change("measured")


def _alike(pair: str, one: Row) -> tuple[str, ...]:
    def change(way: str) -> str:
        return ", ".join(f"{at:+.3f} [{low:+.3f}, {high:+.3f}]" for at, low, high in one["to_even"][way])

    means = ", ".join(f"{value:.2f}" for value in one["ways"]["even"])
    return pair, str(one["photographs"]), means, change("arithmetic"), change("dot")


CENTRES = ("model", "layer", "cells", "stride", "arithmetic", "by gradient", "by a dot", "stretch")
GAINS = ("model", "maps at", "pictures", "on an even grid", "moved by arithmetic", "moved as measured")
ALIKE = ("models", "photographs", "on even grids", "moved by arithmetic", "moved to where the dot says")
INTRODUCTION = f"""\
Every library draws a layer's map on an even grid, as this one does but for `cell_offsets`: cell k of a row of n \
in the middle of its n-th \
part of the input. Strides and paddings imply another place: with stride s and padding 1 (s - 1) / 2 pixels up and \
to the left, with TensorFlow's padding down and to the right. Where cells look is measured by the centroid of the \
absolute gradient of the energy of the four middle cells, and by the change of the layer's output where a small dot \
is planted on the blurred picture. Each is the mean over {LOOKED_AT} pictures, in cells down and across (minus: up \
and left), with the 95 % interval of a bootstrap over pictures. Stretch: how far neighbouring cells' places are \
apart by how far they are drawn, by arithmetic; by the dot, which is above 1 on an even grid too, as responses end \
at the picture's edges.

What drawing there changes is measured on other pictures: on drawn scenes and annotated photographs hits and energy \
on the object or in its box, of classifiers on photographs the mean probability while the hottest tenths are blurred \
away (deletion, lower is better). Differences are paired. Maps are moved only in layers whose centre is off by more \
than {LEAST} cells in both directions, clear of zero, where moving by it is clear of zero too in energy (and hits no \
worse) or deletion: `cell_offsets` of a model names them. `python -m benchmarks alignment --dataset FOLDER` measures \
it; all figures here are of maps on even grids, and of the same moved."""
AGREEMENT = """\
Where a side is not a power of two times the cells, as 240 and 260 pixels of EfficientNet-Lite 1 and 2 are not (15 \
cells become 8), the grid is uneven: cells are 32 pixels apart and drawn 30 or 29 apart. What that does to the \
agreement of the three models' maps of one class, on photographs: rank correlation and overlap of the hottest \
fifths."""
