"""All kinds of pictures whose cause is known, and their two halves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from benchmarks.known.drawn import drawn, pairs
from benchmarks.known.halves import half_of
from benchmarks.known.items import Item
from benchmarks.known.patterns import handmade, parts, tetrominoes, triggers
from benchmarks.known.photographs import photographs
from benchmarks.known.scenes import boxes, boxes_in_grids, grid, scenes

PROTOCOLS: dict[str, tuple[Callable[[int], Iterator[Item]], int]] = {
    "scenes": (scenes, 56),
    "boxes": (boxes, 28),
    "grid": (grid, 24),
    "handmade": (handmade, 12),
    "parts": (parts, 40),
    "triggers": (triggers, 24),
    "tetrominoes": (partial(tetrominoes, 1), 12),
    "large tetrominoes": (partial(tetrominoes, 8), 12),
    "photographs": (photographs, 32),
    "boxes in grids": (boxes_in_grids, 16),
    "tokens": (partial(drawn, "token"), 16),
    "two objects": (pairs, 8),
    "backgrounds": (partial(drawn, "background"), 16),
    "regions": (partial(drawn, "region"), 16),
}
"""What draws pictures, and how many of each kind it draws in a whole run; an even number, for the halves."""


@dataclass(frozen=True)
class Numbered:
    """An item, its place in its protocol, from 1, and its picture's half."""

    item: Item
    place: int
    half: str


def numbered(protocol: str, count: int) -> Iterator[Numbered]:
    """Yield a protocol's items.

    Those of one picture, which follow each other, are in one half.
    """
    picture, before = -1, torch.empty(0)
    for place, item in enumerate(PROTOCOLS[protocol][0](count), 1):
        if not torch.equal(item.picture, before):
            picture += 1
            before = item.picture
        yield Numbered(item, place, half_of(protocol, picture))
