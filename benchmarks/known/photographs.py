"""Put four photographs in a grid: the cause of a class is the one of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
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
FEW_CROPS = 12
"""Squares that are drawn from each photograph of a folder, which has many."""
CELLS = 4
TRIES = 20
"""Grids that are drawn for each that is taken, at most."""
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


def find(name: str) -> Path:
    """Return the file of a package's photograph."""
    path = find_file(*FILES[name])
    if path is None:
        raise ImageProblem(f"The package of the photograph {name} is not installed: install requirements.txt.")
    return path


@torch.no_grad()
def crops(adapter: Any, path: Path, rng: np.random.Generator, count: int = CROPS) -> list[Crop]:
    """Return random squares of a photograph, of `count` those that the classifier is sure of."""
    found = []
    with Pillow.open(path) as file:
        picture = file.convert("RGB")
    for _ in range(count):
        side = int(min(picture.size) * rng.uniform(SMALLEST, 1))
        x, y = (int(rng.integers(0, length - side + 1)) for length in picture.size)
        part = picture.resize((SIDE, SIDE), Pillow.Resampling.BICUBIC, (x, y, x + side, y + side))
        # Of the classifier's own size, so that nothing is resized once more.
        tensor = adapter.prepare(np.tile(np.asarray(part), (2, 2, 1)), "squash").tensor[..., :SIDE, :SIDE]
        score, target = adapter.module(tensor).softmax(1).max(1)
        if score >= SURE:
            found.append(Crop(tensor, int(target)))
    return found


def open_network() -> tuple[Any, Network]:
    """Return the classifier's adapter, and its network with gradients."""
    adapter = deepcopy(loaded(CLASSIFIER).adapter)
    adapter.module.requires_grad_(True)
    (layer,) = loaded(CLASSIFIER).default_layers
    return adapter, Network(adapter.module, layer)


def photographs(count: int) -> Iterator[Item]:
    """Yield grids of four photographs, of which one's class is explained."""
    (adapter, network), done, rng = open_network(), 0, np.random.default_rng(SEED + 2)
    known = {name: crops(adapter, find(name), rng) for names in IN_HALF.values() for name in names}
    while done < count:
        names, place = IN_HALF[half_of(PROTOCOL, done)], int(rng.integers(CELLS))
        own = names[done // 2 % len(names)]
        shown = rng.permutation([name for name in names if name != own])[: CELLS - 1].tolist()
        shown.insert(place, own)
        cells = [known[name][int(rng.integers(len(known[name])))] for name in shown]
        item = item_of(network, cells, place)
        if item is not None:
            done += 1
            yield item


def grids_of(files: Sequence[Path], count: int) -> Iterator[Item]:
    """Yield up to `count` grids of four of these files, of which one's class is explained.

    A file of which the classifier is sure of no square is left out.
    """
    adapter, network = open_network()
    rng = np.random.default_rng(SEED + 3)
    squares = [crops(adapter, path, rng, FEW_CROPS) for path in files]
    usable = [of for of in squares if of]
    done = 0
    for _ in range(TRIES * count if len(usable) >= CELLS else 0):
        chosen = rng.permutation(len(usable))[:CELLS]
        cells = [usable[number][int(rng.integers(len(usable[number])))] for number in chosen]
        item = item_of(network, cells, int(rng.integers(CELLS)))
        if item is not None:
            done += 1
            yield item
        if done == count:
            return


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
