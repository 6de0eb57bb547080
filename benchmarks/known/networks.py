"""Networks whose reason is known: with weights set by hand, cut apart, or trained on drawn pictures."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.known.architectures import ARCHITECTURES, Architecture
from benchmarks.known.contenders import Network
from benchmarks.timing import SEED
from benchmarks.truth.scenes import loaded

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[np.random.Generator], Any]

WEIGHTS = Path(__file__).with_name("weights.npz")
"""The trained networks' weights, float16. Without this file they are trained again, in half an hour."""
DIGEST = "ef62681d76212ca8"
"""Of that file: a digest's first digits."""
PICTURES, BATCH = 8192, 64
GLYPHS = (".#.#.#####.#.#.#####.#.#.", "#...##...#.###..#...#...#", "..#...###.##.##.###...#..")
"""Patterns of 5 x 5 cells that the networks with hand-set weights look for: the third changes next to nothing."""


def demo(path: str) -> Network:
    """Return the demo classifier of medium size, at a layer."""
    return Network(deepcopy(loaded("demo-cls-m").adapter.module).requires_grad_(True), path)


class OneBox(nn.Module):
    """A detector's class logits (B, K) at one of its candidates."""

    def __init__(self, adapter: Any, candidate: int) -> None:
        super().__init__()
        self.adapter, self.net, self.candidate = adapter, adapter.module, candidate

    def forward(self, picture: Tensor) -> Tensor:
        logits: Tensor = self.adapter.run(picture).logits[..., self.candidate]
        return logits


class Disconnected(nn.Module):
    """The demo classifier on each cell of a grid of two by two by itself; its head sees one cell alone."""

    def __init__(self, cell: int) -> None:
        super().__init__()
        self.net: Any = demo("layer4").module
        self.whole = nn.Identity()
        self.cell = divmod(cell, 2)

    def forward(self, picture: Tensor) -> Tensor:
        part = torch.cat([cell for row in picture.chunk(2, 2) for cell in row.chunk(2, 3)])
        for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
            part = getattr(self.net, name)(part)
        cells = part.chunk(4)
        joined = self.whole(torch.cat([torch.cat(cells[at : at + 2], 3) for at in (0, 2)], 2))
        row, column = self.cell
        logits: Tensor = self.net.fc(joined.chunk(2, 2)[row].chunk(2, 3)[column].mean((2, 3)))
        return logits


def matched(hidden: list[list[float]], bias: list[float], last: list[float]) -> Network:
    """Return a network that finds the `GLYPHS`, one channel each, and reads their maxima by hand-set weights.

    A channel is 1 where its pattern is, and 0 where none is. `hidden`: (h, 3), `bias` and `last`: (h,).
    """
    module = nn.Sequential(
        *(nn.Conv2d(1, 3, 5, padding=2), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten()),
        *(nn.Linear(3, len(bias)), nn.ReLU(), nn.Linear(len(bias), 2)),
    )
    cells = torch.tensor([[float(cell == "#") for cell in glyph] for glyph in GLYPHS]).reshape(3, 1, 5, 5)
    kernels = (2 * cells - 1) / cells.sum((1, 2, 3), keepdim=True) / 0.3
    values = (kernels, torch.full((3,), -0.7 / 0.3), torch.tensor(hidden), torch.tensor(bias))
    ends = torch.tensor([[0.0] * len(last), last]), torch.tensor([0.5, 0.0])
    module.load_state_dict(dict(zip(module.state_dict(), (*values, *ends), strict=True)))
    return Network(module.eval(), "1")


ZIGZAG = [0.0, 0.2, 0.4, 0.6, 0.8]
HANDMADE: dict[str, tuple[Network, tuple[int, ...], tuple[int, ...]]] = {
    "a pattern counts": (matched([[1, 0, 0]], [0], [1]), (0, 2), (0,)),
    "both must be there": (matched([[1, 1, 0]], [-0.8], [1]), (0, 1, 2), (0, 1)),
    "one silences the other": (matched([[1, 0, 0], [-4, 1, 0]], [0, 0], [1, 1]), (0, 1, 2), (0,)),
    "more of it adds nothing": (matched([[-2, 0, 0.1], [0, 0, 0.1]], [1, 1], [-1, 1]), (0, 2), (0,)),
    "a broken slope": (matched([[1, 0, 0]] * 5, [-at for at in ZIGZAG], [7, -12, 12, -12, 12]), (0, 2), (0,)),
}
"""By its rule a network, the patterns that are shown, and those that are the cause."""


def small(channels: int, side: int, classes: int) -> Network:
    """Return an untrained network for pictures (B, channels, side, side); large ones have XAI-TRIS's four stages."""
    torch.manual_seed(SEED)
    if side == 64:
        widths = pairwise((channels, 4, 8, 16, 32))
        stages = [(nn.Conv2d(*ends, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)) for ends in widths]
        layers = [layer for stage in stages for layer in stage]
        return Network(nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, classes)), "10")
    module = nn.Sequential(
        *(nn.Conv2d(channels, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2 if side > 8 else 1)),
        *(nn.Conv2d(12, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(4), nn.Flatten()),
        *(nn.Linear(256, 12), nn.ReLU(), nn.Linear(12, classes)),
    )
    return Network(module, "4")


def trained(name: str, draw: Draw, architecture: str = "") -> Network:
    """Return a small network as it is stored, or trained and stored; a draw begins with a picture and its class."""
    first = draw(np.random.default_rng(SEED))[0]
    plain = Architecture(lambda: small(first.shape[0], first.shape[1], 2 if len(first) == 1 else 4))
    how = ARCHITECTURES.get(architecture, plain)
    torch.manual_seed(SEED)
    network = how.build()
    module = network.module
    stored = dict(np.load(WEIGHTS)) if WEIGHTS.is_file() else {}
    if f"{name}/{next(iter(module.state_dict()))}" not in stored:
        train(module, draw, how)
        stored |= {f"{name}/{key}": values.numpy().astype(np.float16) for key, values in module.state_dict().items()}
        np.savez_compressed(WEIGHTS, **stored)
    state = {key: torch.from_numpy(stored[f"{name}/{key}"].astype(np.float32)) for key in module.state_dict()}
    module.load_state_dict(state)
    module.eval()
    return network


def train(module: nn.Module, draw: Draw, how: Architecture) -> None:
    """Train a network on drawn pictures."""
    rng, teacher = np.random.default_rng(SEED + 1), torch.optim.Adam(module.parameters(), how.rate)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(teacher, how.steps)
    drawn, classes = zip(*(draw(rng)[:2] for _ in range(PICTURES)), strict=True)
    pictures, labels = torch.from_numpy(np.stack(drawn)), torch.tensor(classes)
    for _ in range(how.steps):
        lot = torch.from_numpy(rng.integers(0, PICTURES, BATCH))
        teacher.zero_grad()
        nn.functional.cross_entropy(module(pictures[lot]), labels[lot]).backward()
        teacher.step()
        rate.step()


def digest() -> str:
    """Return the digest of the trained networks' stored weights; empty without any."""
    if not WEIGHTS.is_file():
        return ""
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:16]
