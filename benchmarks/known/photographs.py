"""Put four photographs in a grid: the cause of a class is the one of it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image as Pillow

from benchmarks.known.contenders import Network
from benchmarks.known.halves import half_of
from benchmarks.known.items import Item
from benchmarks.known.scenes import cell_mask, in_grid
from benchmarks.timing import SEED
from benchmarks.truth.scenes import loaded
from sightglass.common.errors import ImageProblem
from sightglass.common.packaged import PHOTOGRAPHS, find_file

if TYPE_CHECKING:
    from torch import Tensor

CLASSIFIER = "efficientnet-lite0"
PROTOCOL = "photographs"
FILES = PHOTOGRAPHS | {
    "museum": ("libreyolo", "assets/guggenheim-bilbao.jpg"),
    "jump": ("libreyolo", "assets/parkour.jpg"),
    "officer": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
"""The package and the path of each photograph."""
IN_HALF = {
    "development": ("coffee", "bus", "china", "jump", "officer"),
    "test": ("cameraman", "zidane", "flower", "museum"),
}
"""No photograph is in both halves."""
SIDE = 112
"""Of a cell, half of the classifier's input."""
CROPS = 80
"""Squares that are drawn from each photograph."""
SMALLEST = 0.4
"""Of a photograph's short side, the least side of a crop."""
SURE = 0.5
"""The least score of the class of a crop."""
SEEN = 10
"""Answers of a grid among which the explained class is; without its cell it is not among them."""
MANY = (("pytorch-grad-cam", "ScoreCAM"), ("pytorch-grad-cam", "AblationCAM"), ("torch-cam", "ScoreCAM"))
"""Methods of a pass for each of the layer's 1280 channels: they take minutes a picture."""


@dataclass(frozen=True, eq=False)
class Crop:
    """A square of a photograph, (1, 3, SIDE, SIDE), and what the classifier calls it."""

    tensor: Tensor
    target: int


def opened(name: str) -> Pillow.Image:
    path = find_file(*FILES[name])
    if path is None:
        raise ImageProblem(f"The package of the photograph {name} is not installed: install requirements.txt.")
    with Pillow.open(path) as file:
        return file.convert("RGB")


@torch.no_grad()
def crops(adapter: Any, name: str, rng: np.random.Generator) -> list[Crop]:
    """Return random squares of a photograph that the classifier is sure of."""
    picture, found = opened(name), []
    for _ in range(CROPS):
        side = int(min(picture.size) * rng.uniform(SMALLEST, 1))
        x, y = (int(rng.integers(0, length - side + 1)) for length in picture.size)
        part = picture.resize((SIDE, SIDE), Pillow.Resampling.BICUBIC, (x, y, x + side, y + side))
        # Of the classifier's own size, so that nothing is resized once more.
        tensor = adapter.prepare(np.tile(np.asarray(part), (2, 2, 1)), "squash").tensor[..., :SIDE, :SIDE]
        score, target = adapter.module(tensor).softmax(1).max(1)
        if score >= SURE:
            found.append(Crop(tensor, int(target)))
    return found


def photographs(count: int) -> Iterator[Item]:
    """Yield grids of four photographs, of which one's class is explained."""
    adapter, done, rng = deepcopy(loaded(CLASSIFIER).adapter), 0, np.random.default_rng(SEED + 2)
    adapter.module.requires_grad_(True)
    (layer,) = loaded(CLASSIFIER).default_layers
    network = Network(adapter.module, layer)
    known = {name: crops(adapter, name, rng) for names in IN_HALF.values() for name in names}
    while done < count:
        names, place = IN_HALF[half_of(PROTOCOL, done)], int(rng.integers(4))
        own = names[done // 2 % len(names)]
        shown = rng.permutation([name for name in names if name != own])[:3].tolist()
        shown.insert(place, own)
        cells = [known[name][int(rng.integers(len(known[name])))] for name in shown]
        item = item_of(network, cells, place)
        if item is not None:
            done += 1
            yield item


@torch.no_grad()
def item_of(network: Network, cells: list[Crop], place: int) -> Item | None:
    """Return a grid if the class of a cell is answered because of it.

    The grid has it among its best answers, the cell without the others as its best, the others without it not at all.
    """
    target = cells[place].target
    if len({cell.target for cell in cells}) < len(cells):
        return None
    picture, mask = in_grid([cell.tensor for cell in cells]), cell_mask(place, SIDE)
    inside = torch.from_numpy(mask)
    # 0 is the mean colour of the classifier's pictures.
    variants = torch.cat([picture, torch.where(inside, picture, 0), torch.where(inside, 0, picture)])
    whole, alone, without = network.module(variants).topk(SEEN).indices.tolist()
    if target not in whole or target != alone[0] or target in without:
        return None
    return Item(network, picture, target, {"photograph": (mask, None)}, without=MANY)
