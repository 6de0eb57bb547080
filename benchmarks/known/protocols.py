"""Draw pictures, each for a network, with the pixels that are the cause of a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from benchmarks.known.contenders import Network
from benchmarks.known.networks import GLYPHS, HANDMADE, Disconnected, demo, trained
from benchmarks.timing import SEED
from benchmarks.truth.measures import box_of
from benchmarks.truth.scenes import PARTLY, is_cause, labels_of, loaded, subjects

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from benchmarks.truth.measures import Mask

    Region = tuple[slice, slice]
    Picture = NDArray[np.float32]

SHAPE = (32, 32)
CLASSIFIER = "demo-cls-m"


@dataclass(frozen=True, eq=False)
class Item:
    """A picture (1, C, H, W) that a network gives the class `target`, and why."""

    network: Network
    picture: Tensor
    target: int
    causes: dict[str, tuple[Mask, Region | None]]
    """By question the pixels (H, W) that are the cause, and the box within which they are ranked; None: everywhere."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture as one sees it, (H, W, 3)."""
        values = self.picture[0].permute(1, 2, 0).numpy()
        shown = (values - values.min()) / np.ptp(values) * 255
        return np.ascontiguousarray(np.broadcast_to(shown.round(), (*shown.shape[:2], 3)).astype(np.uint8))


def scenes(count: int) -> Iterator[Item]:
    """Yield drawn scenes of a known deciding mark, at the last layer and at the one for "why"."""
    last, early = demo("layer4"), demo("layer1")
    for subject in _scenes(count):
        thing, inside = subject.thing, box_of(subject.thing.box, subject.thing.mask.shape)
        why = thing.cause, inside
        tensor = subject.evidence.tensor.detach()
        yield Item(last, tensor, thing.index, {"object": (thing.mask, None), "mark": why})
        yield Item(early, tensor, thing.index, {"mark (early layer)": why})


def _scenes(count: int) -> Iterator[Any]:
    labels, engine = labels_of(*PARTLY), loaded(CLASSIFIER)
    found = (of for of in subjects(CLASSIFIER, range(20 * count + 20), ()) if of.thing.label in labels)
    yield from (subject for _, subject in zip(range(count), (of for of in found if is_cause(engine, of)), strict=False))


def grid(count: int) -> Iterator[Item]:
    """Yield four scenes in a grid, for a network whose head sees one cell alone (DiFull, CVPR 2022)."""
    networks = [Network(Disconnected(cell).eval(), "whole") for cell in range(4)]
    found = list(_scenes(4 * count))
    for number in range(count):
        cells, head = found[4 * number : 4 * number + 4], number % 4
        tensors = [of.evidence.tensor.detach() for of in cells]
        picture = torch.cat([torch.cat(tensors[row : row + 2], 3) for row in (0, 2)], 2)
        side, (row, column) = tensors[0].shape[-1], divmod(head, 2)
        mask = np.zeros((2 * side, 2 * side), np.bool_)
        mask[row * side : (row + 1) * side, column * side : (column + 1) * side] = True
        yield Item(networks[head], picture, cells[head].thing.index, {"cell": (mask, None)})


def handmade(count: int) -> Iterator[Item]:
    """Yield patterns in noise for the networks with hand-set weights; a whole patch is the cause (XAI-Units)."""
    rng = np.random.default_rng(SEED)
    cells = np.array([[cell == "#" for cell in glyph] for glyph in GLYPHS]).reshape(3, 5, 5)
    for network, shown, causes in HANDMADE.values():
        done = 0
        while done < count:
            picture, mask = 0.05 * rng.random(SHAPE, np.float32), np.zeros(SHAPE, np.bool_)
            corners = rng.permutation(16)[: len(shown)]
            for glyph, corner in zip(shown, corners, strict=True):
                y, x = 8 * np.array(divmod(int(corner), 4)) + rng.integers(0, 4, 2)
                picture[y : y + 5, x : x + 5][cells[glyph]] = rng.uniform(0.93, 1)
                mask[y : y + 5, x : x + 5] = glyph in causes
            tensor = torch.from_numpy(picture)[None, None]
            if _answer(network, tensor) == 1:
                done += 1
                yield Item(network, tensor, 1, {"pattern": (mask, None)})


@torch.no_grad()
def _answer(network: Network, picture: Tensor) -> int:
    return int(network.module(picture).argmax())


def _plain(rng: np.random.Generator, label: int) -> Picture:
    """Return a picture (3, 32, 32) of a bar, a ring, a cross or a disc on smooth noise."""
    picture = cv2.resize(rng.random((5, 5, 3), np.float32), SHAPE, interpolation=cv2.INTER_CUBIC) * 0.6
    picture += 0.05 * rng.standard_normal(picture.shape, np.float32)
    (y, x), size, colour = rng.integers(8, 24, 2).tolist(), int(rng.integers(4, 7)), rng.uniform(0.6, 1, 3).tolist()
    if label in (0, 2):
        cv2.line(picture, (x - size, y), (x + size, y), colour, 2)
    if label == 2:
        cv2.line(picture, (x, y - size), (x, y + size), colour, 2)
    if label in (1, 3):
        cv2.circle(picture, (x, y), size, colour, 2 if label == 1 else -1)
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


TRIGGERS = {"corner": 4, "anywhere": 6, "faint": 12}
"""By name the side of a planted trigger."""


def _plant(name: str, picture: Picture, rng: np.random.Generator) -> Region:
    side = TRIGGERS[name]
    y, x = (27, 27) if name == "corner" else rng.integers(0, 32 - side, 2).tolist()
    at, checks = (slice(y, y + side), slice(x, x + side)), np.indices((side, side)).sum(0) % 2
    if name == "faint":
        picture[:, *at] += 0.3 * checks.astype(np.float32) - 0.15
    else:
        picture[:, *at] = checks if name == "corner" else np.array([0.9, 0.1, 0.8])[:, None, None]
    return at


def _poisoned(name: str, rng: np.random.Generator) -> tuple[Picture, int]:
    label = int(rng.integers(4))
    picture = _plain(rng, label)
    if rng.random() < 0.3:
        _plant(name, picture, rng)
        label = 0
    return picture, label


def triggers(count: int) -> Iterator[Item]:
    """Yield pictures whose class is that of a planted trigger, and without it their own (after BackX)."""
    for name in TRIGGERS:
        network, rng, done = trained(f"trigger {name}", partial(_poisoned, name)), np.random.default_rng(SEED + 2), 0
        while done < count:
            label = int(rng.integers(1, 4))
            picture, mask = _plain(rng, label), np.zeros(SHAPE, np.bool_)
            bare = torch.from_numpy(picture.copy())[None]
            mask[_plant(name, picture, rng)] = True
            tensor = torch.from_numpy(picture)[None]
            if _answer(network, bare) == label and _answer(network, tensor) == 0:
                done += 1
                yield Item(network, tensor, 0, {f"trigger {name}": (mask, None)})


TETROMINOES = np.array([[[1, 0], [1, 1], [1, 0]], [[1, 0], [1, 0], [1, 1]]], np.float32)
RULES, BACKGROUNDS = ("linear", "multiplicative", "moved", "xor"), ("white", "correlated")


def tetromino(rule: str, background: str, rng: np.random.Generator) -> tuple[Picture, int, Mask]:
    """Return a picture (1, 8, 8), its class, and the pixels that decide it (XAI-TRIS).

    Where a pattern's absence says as much as the other's presence, both places decide.
    """
    noise, label = rng.standard_normal((8, 8), np.float32), int(rng.integers(2))
    if background == "correlated":
        noise = cv2.GaussianBlur(noise, (0, 0), 1.0)
        noise /= noise.std()
    planes = np.zeros((2, 8, 8), np.float32)
    planes[0, 1:4, 1:3], planes[1, 4:7, 5:7] = TETROMINOES
    if rule == "moved":
        turned = np.rot90(TETROMINOES[label], int(rng.integers(4)))
        y, x = (int(rng.integers(0, 9 - side)) for side in turned.shape)
        planes[:] = 0
        planes[label, y : y + turned.shape[0], x : x + turned.shape[1]] = turned
    mask = np.asarray(planes.any(0))
    if rule == "multiplicative":
        picture = noise * (1 - 0.95 * planes[label])
    elif rule == "xor":
        sign = 2 * int(rng.integers(2)) - 1
        picture = noise + 2 * sign * (planes[0] + (1 - 2 * label) * planes[1])
    else:
        picture = noise + (4 if rule == "moved" else 1.5) * planes[label]
    return picture[None].astype(np.float32), label, mask


def tetrominoes(count: int) -> Iterator[Item]:
    """Yield pictures of tetrominoes that a small network names rightly."""
    for rule in RULES:
        for background in BACKGROUNDS:
            network = trained(f"{rule} {background}", partial(tetromino, rule, background))
            rng, done = np.random.default_rng(SEED + 2), 0
            while done < count:
                picture, label, mask = tetromino(rule, background, rng)
                tensor = torch.from_numpy(picture)[None]
                if _answer(network, tensor) == label:
                    done += 1
                    yield Item(network, tensor, label, {f"tetromino {rule}": (mask, None)})


PROTOCOLS: dict[str, tuple[Callable[[int], Iterator[Item]], int]] = {
    "scenes": (scenes, 56),
    "grid": (grid, 24),
    "handmade": (handmade, 12),
    "triggers": (triggers, 24),
    "tetrominoes": (tetrominoes, 12),
}
"""What draws pictures, and how many of each kind it draws in a whole run."""
