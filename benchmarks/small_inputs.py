"""Small pictures with a small cause: which layers and methods of a ResNet-18 find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from benchmarks.report import Row, grid, machine, page
from benchmarks.timing import SEED
from sightglass.explain import Explainer
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Picture = NDArray[np.float32]
    Corner = tuple[int, int]

STEPS = {32: 300, 64: 160, 96: 140, 128: 120, 160: 100}
"""Steps of training by the side of the pictures."""
PICTURES, BATCH, TAGGED = 24, 32, 0.3
CONTENDERS = ("gradcam", "hirescam", "layercam", "sharp")
LAYERS = {"layer4": 32, "layer3": 16, "layer2": 8, "layer1": 4}
"""With the pixels of a cell's side."""
SHARE = 10
"""The tag's side is the picture's, divided by this."""
NEAR = 2
"""Pixels beside the tag that count as on it."""
RED = (0.95, 0.05, 0.05)


def run(options: argparse.Namespace) -> Row:
    """Train a network of each size, and count the maps that are hottest on the tag that decides."""
    at = machine(torch.get_num_threads(), "cpu")
    sizes = options.sides or tuple(STEPS)
    tables = {side: measure(side) for side in sizes}
    return {"machine": at, "complete": sizes == tuple(STEPS), "hits": tables}


def markdown(result: Row) -> str:
    how = (
        f"ResNet-18 of torchvision, trained on drawn pictures; {TAGGED:.0%} have a red tag, a tenth of a side, and are "
        f"of the first class then. Measured on {PICTURES} pictures that are named rightly without the tag, and as the "
        f"first class with it. Hits: maps of that class that are hottest on the tag, or within {NEAR} pixels of it."
    )
    parts = [how]
    for side, rows in result["hits"].items():
        lines = [(row["layer"], row["cells"], *(str(row[name]) for name in CONTENDERS)) for row in rows]
        head = ("layer", "cells", *(METHODS[name].name for name in CONTENDERS))
        parts += [f"## {side} pixels", grid(head, lines)]
    return page("Small causes in small pictures", "small", result["machine"], *parts)


def measure(side: int) -> list[Row]:
    """Return the hits by layer, the last one first."""
    network = train(side)
    explainer = Explainer(network, task="classify", preprocess={"size": side, "mean": [0.5] * 3, "std": [1.0] * 3})
    pictures = list(find_deciding(network, side))
    rows = []
    for layer, cell in LAYERS.items():
        if side == cell:
            # A single cell is no map.
            continue
        maps = {name: [explain(explainer, name, layer, picture) for picture, _ in pictures] for name in CONTENDERS}
        hits = {
            name: sum(is_on_tag(heatmap.at_input, corner) for heatmap, (_, corner) in zip(of, pictures, strict=True))
            for name, of in maps.items()
        }
        high, wide = maps["gradcam"][0].raw[0].shape
        rows.append({"layer": layer, "cells": f"{high} x {wide}", **hits})
    return rows


def explain(explainer: Explainer, method: str, layer: str, picture: Picture) -> Any:
    ready = torch.from_numpy(picture) - 0.5
    return explainer(ready, targets=0, method=method, layers=layer, preprocessing="ready").heatmaps[0]


def is_on_tag(values: Picture, corner: Corner) -> bool:
    tag = len(values) // SHARE
    hottest = np.unravel_index(values.argmax(), values.shape)
    return all(start - NEAR <= at < start + tag + NEAR for at, start in zip(hottest, corner, strict=True))


def draw(rng: np.random.Generator, side: int, label: int) -> Picture:
    """Return a picture (3, side, side) of a bar, a ring, a cross or a disc on smooth noise."""
    noise = cv2.resize(rng.random((5, 5, 3), np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    picture = 0.6 * noise + 0.05 * rng.standard_normal(noise.shape, np.float32)
    unit = side / 32
    y, x = (int(unit * at) for at in rng.integers(8, 24, 2))
    radius, thickness = int(unit * rng.integers(4, 7)), max(1, int(2 * unit))
    colour = rng.uniform(0.6, 1, 3).tolist()
    if label in (0, 2):
        cv2.line(picture, (x - radius, y), (x + radius, y), colour, thickness)
    if label == 2:
        cv2.line(picture, (x, y - radius), (x, y + radius), colour, thickness)
    if label in (1, 3):
        cv2.circle(picture, (x, y), radius, colour, thickness if label == 1 else -1)
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def plant(rng: np.random.Generator, picture: Picture) -> Corner:
    """Draw a tag at a random place of a picture, and return its first row and column."""
    side = picture.shape[1]
    tag = side // SHARE
    y, x = rng.integers(0, side - tag, 2).tolist()
    picture[:, y : y + tag, x : x + tag] = np.reshape(RED, (3, 1, 1))
    return y, x


def train(side: int) -> nn.Module:
    torch.manual_seed(SEED)
    rng = np.random.default_rng(SEED)
    network = resnet18(num_classes=4)
    teacher = torch.optim.AdamW(network.parameters())
    rate = torch.optim.lr_scheduler.OneCycleLR(teacher, 3e-3, STEPS[side])
    for _ in range(STEPS[side]):
        labels = rng.integers(0, 4, BATCH)
        pictures = [draw(rng, side, int(label)) for label in labels]
        for number in np.flatnonzero(rng.random(BATCH) < TAGGED):
            plant(rng, pictures[number])
            labels[number] = 0
        teacher.zero_grad()
        answers = network(torch.from_numpy(np.stack(pictures)) - 0.5)
        nn.functional.cross_entropy(answers, torch.from_numpy(labels)).backward()
        teacher.step()
        rate.step()
    return network.eval()


def find_deciding(network: nn.Module, side: int) -> Iterator[tuple[Picture, Corner]]:
    """Yield tagged pictures that the tag alone gives the first class, with its corner."""
    rng = np.random.default_rng(SEED + 1)
    found = 0
    while found < PICTURES:
        label = int(rng.integers(1, 4))
        bare = draw(rng, side, label)
        tagged = bare.copy()
        corner = plant(rng, tagged)
        if answers_of(network, (bare, tagged)) == [label, 0]:
            found += 1
            yield tagged, corner


@torch.no_grad()
def answers_of(network: nn.Module, pictures: Sequence[Picture]) -> list[int]:
    logits: Tensor = network(torch.from_numpy(np.stack(pictures)) - 0.5)
    return [int(answer) for answer in logits.argmax(1)]
