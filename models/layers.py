"""Layers that maps are taken at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Section = Literal["backbone", "neck", "head"]
Layout = Literal["nchw", "nhwc", "ncwh", "tokens", "rows", "sequence"]
"""`nhwc`: Swin; `ncwh`: turned; of tokens `tokens` (B, N, C), `rows` (B, C, N) and `sequence` (N, B, C)."""
AXES: dict[str, tuple[int, int]] = {
    "nchw": (0, 1),
    "nhwc": (0, 3),
    "ncwh": (0, 1),
    "tokens": (0, 2),
    "rows": (0, 1),
    "sequence": (1, 2),
}
"""Axes of pictures and of channels in each layout; the others are places."""
Cover = tuple[tuple[float, float], tuple[float, float]]
"""Scale and offset, down and across, from a place in the input to one in a grid, both in shares of the side."""
WHOLE: Cover = ((1.0, 0.0), (1.0, 0.0))
"""A grid over the whole input."""
Frame = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Of a picture that is turned or sheared: from a place in it to x and y in the input, each from -1 to 1 over the side.

x is the first row's product with (x, y, 1), y the second row's, as `torch.nn.functional.affine_grid` takes them.
"""


@dataclass(frozen=True, slots=True)
class Layer:
    """A module by dotted path, with a (C, h, w) map as output."""

    path: str
    shape: tuple[int, int, int]
    """(C, h, w) for the model's own input size."""
    layout: Layout = "nchw"
    extras: tuple[int, ...] = ()
    """Numbers of the tokens that are no cells (CLS, registers); negative ones count from the end."""
    cover: Cover = WHOLE
    """Where the grid lies in the input."""
    views: tuple[Cover, ...] = ()
    """Where those of several pictures lie that forward makes of one, in the order of their batch; empty of one."""
    frame: Frame | None = None
    """Where a turned picture of the input lies, in which `cover` says where the grid is; None: in the input itself."""
    by_call: bool = False
    """Whether its `views` are those of its calls in a pass, and not of a batch."""
    frames: tuple[Frame | None, ...] = ()
    """The `frame` of each of the views; empty where none has one."""
    view: int = -1
    """Which of `views` it is; -1: all."""
    keeps_cells: bool = False
    """Whether its maps are drawn where its cells lie (`Geometry.covers`), as convolutions without padding leave out the
    input's ends; others are first spread over the input."""
    tail_bytes: int = field(default=0, compare=False)
    """What the modules after it return, for the model's own input size: about what a graph from here on keeps."""
    read_by: str = field(default="", compare=False)
    """Path of the attention that reads tokens as they are here; later each goes its own way."""

    @property
    def key(self) -> tuple[str, int]:
        """What tells its output from others in a pass."""
        return self.path, self.view


@dataclass(frozen=True, slots=True)
class ModelStage:
    """One top-level step of a model that is a layer."""

    path: str
    kind: str
    """Name of the module's type."""
    stride: float
    """Pixels of the input that a cell of it is, along its height."""
    part: Section


def cells_of(count: int, extras: tuple[int, ...]) -> list[int]:
    """Return which of so many tokens are cells, by row."""
    outside = {extra % count for extra in extras}
    return [number for number in range(count) if number not in outside]


def has_axes(output: Tensor, layout: Layout) -> bool:
    """Return whether an output has all axes of a layout; other calls of a module may return other ones."""
    return output.ndim > max(AXES[layout])


def channels_first(output: Tensor, layout: Layout) -> Tensor:
    """Return a layer's output as (B, C, h, w), or as (B, C, N) where it has tokens."""
    moved = output.movedim(AXES[layout], (0, 1))
    return moved.mT if layout == "ncwh" else moved


def spread(maps: Tensor, cover: Cover) -> Tensor:
    """Return a layer's maps (..., h, w) on an even grid over the whole input, 0 where the layer has no cell."""
    if cover == WHOLE:
        return maps
    for axis, (scale, offset) in zip((-2, -1), cover, strict=True):
        cells = maps.shape[axis]
        count = max(1, round(cells * abs(scale)))
        at = ((np.arange(count) + 0.5) / count * scale + offset) * cells - 0.5
        shares = np.maximum(0, 1 - np.abs(at.clip(0, cells - 1) - np.arange(cells)[:, None]))
        shares[:, (at < -0.75) | (at > cells - 0.25)] = 0
        maps = (maps.float().movedim(axis, -1) @ maps.new_tensor(shares).float()).movedim(-1, axis)
    return maps


def straighten(maps: Tensor, frame: Frame) -> Tensor:
    """Return maps (..., h, w) over a turned picture on an even grid over the input.

    They are 0 outside of the turned picture, and cells about as large as the maps' own.
    """
    from torch.nn.functional import affine_grid, grid_sample

    back = np.linalg.inv(np.array([*frame, (0, 0, 1)]))[:2]
    stacked = maps.float().reshape(1, -1, *maps.shape[-2:])
    # As many of a turned picture's sides as one of the input's is long.
    across, down = np.hypot(back[0], back[1])[:2]
    size = [math.ceil(side * max(1.0, length)) for side, length in zip(maps.shape[-2:], (down, across), strict=True)]
    grid = affine_grid(stacked.new_tensor(back[None]), [1, 1, *size], align_corners=False)
    return grid_sample(stacked, grid, align_corners=False).reshape(*maps.shape[:-2], *size)


def add_resized(maps: Sequence[Tensor]) -> Tensor:
    """Return the sum of maps (k, h, w), of the size of the largest."""
    if len(maps) == 1:
        return maps[0]
    from torch.nn.functional import interpolate

    size = max(each.shape[-2] for each in maps), max(each.shape[-1] for each in maps)
    resized = [each if each.shape[-2:] == size else interpolate(each[None], size, mode="bilinear")[0] for each in maps]
    return sum(resized[1:], resized[0])


def section_of(path: str) -> Section:
    """Guess a layer's part from its path."""
    lowered = path.lower()
    if any(word in lowered for word in ("neck", "fpn")):
        return "neck"
    return "head" if any(word in lowered for word in ("head", "decoder", "classifier")) else "backbone"


def name_presets(
    layers: Sequence[Layer], neck: Iterable[str], backbone: Iterable[str], side: int, *, scales: bool = True
) -> dict[str, tuple[str, ...]]:
    """Return a detector's usual choices of target layers among `layers`.

    `neck`, `backbone`: paths of the maps that the head reads, and of the backbone's steps, in order; `side`: the
    input's in pixels; `scales`: whether each map of the neck is a choice.
    """
    known = {layer.path: f"P{round(math.log2(side / layer.shape[1]))}" for layer in layers}
    maps, steps = ([path for path in paths if path in known] for paths in (neck, backbone))
    presets = {"all neck outputs": tuple(maps), "backbone end": tuple(steps[-1:])}
    if scales:
        presets |= {f"neck {known[path]}": (path,) for path in maps}
    presets["backbone P3"] = tuple([path for path in steps if known[path] == "P3"][-1:])
    return {name: paths for name, paths in presets.items() if paths}
