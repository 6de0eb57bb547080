"""Masks for RISE, D-RISE and occlusion."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from sightglass.models.geometry import Geometry

MAX_CELLS = 12
"""Cells of a mask along the picture's longer side. D-RISE has 16, whose maps are noisier still at 800 masks."""
MIN_CELL = 28
"""Minimum pixels of the model's input per cell: RISE's own 8 cells for 224 px, fewer for less."""
FINE = 4
"""Cells of the map per cell of a mask: between them it is bilinear anyway."""
SHOWN = 0.5
"""The share of cells that a mask shows."""


class PictureMasks(ABC):
    """A series of masks with values 0 (hidden) to 1 (shown)."""

    geometry: Geometry

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of masks."""

    @property
    @abstractmethod
    def resolution(self) -> tuple[int, int]:
        """Cells of the map down and across the picture."""

    @abstractmethod
    def _at(self, start: int, stop: int, down: Tensor, across: Tensor, device: torch.device) -> Tensor:
        """Return masks start..stop, (b, h, w), at the places `down` (h,) and `across` (w,) in pixels of the picture."""

    @property
    def cells(self) -> tuple[int, int]:
        """(h, w) of the map's grid over the whole input."""
        left, top, right, bottom = self.geometry.content
        (height, width), (down, across) = self.geometry.input, self.resolution
        fine = round(down * height / (bottom - top)), round(across * width / (right - left))
        return min(max(fine[0], 1), height), min(max(fine[1], 1), width)

    def full(self, start: int, stop: int, device: torch.device) -> Tensor:
        """Return masks start..stop, (b, h, w), over the pixels of the input that are picture (`Geometry.content`)."""
        left, top, right, bottom = self.geometry.content
        return self._at(start, stop, torch.arange(bottom - top) + 0.5, torch.arange(right - left) + 0.5, device)

    def coarse(self, start: int, stop: int) -> Tensor:
        """Return the same masks (b, h, w) at the centres of `cells`; cells of the bars read as the picture's edge."""
        left, top, right, bottom = self.geometry.content
        (height, width), (h, w) = self.geometry.input, self.cells
        down = ((torch.arange(h) + 0.5) * height / h - top).clamp(0, bottom - top)
        across = ((torch.arange(w) + 0.5) * width / w - left).clamp(0, right - left)
        return self._at(start, stop, down, across, torch.device("cpu"))


@dataclass(frozen=True, eq=False)
class Masks(PictureMasks):
    """Random masks over the picture's part of the model's input: low-resolution, grown bilinearly, each shifted."""

    grids: Tensor
    """(n, r, c) of 0 and 1, on the CPU."""
    shifts: Tensor
    """(n, 2) in cells, 0..1, down and right."""
    geometry: Geometry

    @classmethod
    def sample(cls, count: int, geometry: Geometry, seed: int = 0) -> Masks:
        """Draw masks; the same arguments always give the same masks."""
        left, top, right, bottom = geometry.content
        longer = max(right - left, bottom - top)
        cells = min(max(longer // MIN_CELL, 4), MAX_CELLS)
        # Two more than the picture has: one for the shift, and the far end of the last cell.
        rows, columns = (max(round(cells * side / longer), 1) + 2 for side in (bottom - top, right - left))
        generator = torch.Generator().manual_seed(seed)
        grids = (torch.rand(count, rows, columns, generator=generator) < SHOWN).float()
        return cls(grids, torch.rand(count, 2, generator=generator), geometry)

    def __len__(self) -> int:
        return len(self.grids)

    @property
    def resolution(self) -> tuple[int, int]:
        return FINE * (self.grids.shape[1] - 2), FINE * (self.grids.shape[2] - 2)

    def _at(self, start: int, stop: int, down: Tensor, across: Tensor, device: torch.device) -> Tensor:
        left, top, right, bottom = self.geometry.content
        grids, shifts = self.grids[start:stop].to(device), self.shifts[start:stop].to(device)
        rows = _hats(down.to(device) / (bottom - top), shifts[:, 0], grids.shape[1])
        columns = _hats(across.to(device) / (right - left), shifts[:, 1], grids.shape[2])
        return rows @ grids @ columns.transpose(1, 2)


def _hats(at: Tensor, shifts: Tensor, nodes: int) -> Tensor:
    """(b, p, nodes): what each node adds to places `at` (p,), 0..1 along a side that `nodes - 2` cells cover."""
    places = at * (nodes - 2) + shifts[:, None]  # (b, p)
    return (1 - (places[:, :, None] - torch.arange(nodes, device=at.device)).abs()).clamp_min(0)


@dataclass(frozen=True, eq=False)
class Windows(PictureMasks):
    """Square windows that overlap by half, one per mask; in random order, so that unfinished maps cover the picture."""

    rows: int
    columns: int
    order: Tensor
    """(rows * columns,)"""
    geometry: Geometry

    @classmethod
    def sample(cls, count: int, geometry: Geometry, seed: int = 0) -> Windows:
        """Lay out about `count` windows: at least one, and none smaller than two pixels."""
        left, top, right, bottom = geometry.content
        height, width = bottom - top, right - left
        a_pixel = math.sqrt(count / (height * width))
        rows, columns = (min(max(round(side * a_pixel), 1), side) for side in (height, width))
        generator = torch.Generator().manual_seed(seed)
        return cls(rows, columns, torch.randperm(rows * columns, generator=generator), geometry)

    def __len__(self) -> int:
        return len(self.order)

    @property
    def resolution(self) -> tuple[int, int]:
        """Two cells for each step from window to window."""
        return 2 * self.rows, 2 * self.columns

    def _at(self, start: int, stop: int, down: Tensor, across: Tensor, device: torch.device) -> Tensor:
        left, top, right, bottom = self.geometry.content
        chosen = self.order[start:stop]
        inside = (
            _near(down * self.rows / (bottom - top), chosen // self.columns)[:, :, None]
            & _near(across * self.columns / (right - left), chosen % self.columns)[:, None, :]
        )
        return (1 - inside.float()).to(device)


def _near(at: Tensor, window: Tensor) -> Tensor:
    """Return (b, p) bool: whether the places `at` (p,), in steps, lie in the windows, two steps wide each."""
    return (at[None] - (window[:, None] + 0.5)).abs() < 1


@dataclass(frozen=True, eq=False)
class MasksOfTwo(PictureMasks):
    """Masks of two pictures side by side, none of which reaches from one into the other.

    Random ones hide in both at once; windows hide in one at a time, in turn.
    """

    parts: tuple[PictureMasks, PictureMasks]
    geometry: Geometry
    in_turn: bool

    @classmethod
    def sample(cls, kind: type[Masks] | type[Windows], count: int, geometry: Geometry, seed: int = 0) -> MasksOfTwo:
        """Draw about `count` masks of a kind."""
        in_turn, own = kind is Windows, geometry.one_column()
        first, second = (kind.sample(max(count // 2, 1) if in_turn else count, own, seed + i) for i in (0, 1))
        return cls((first, second), geometry, in_turn)

    def __len__(self) -> int:
        return len(self.parts[0]) * (2 if self.in_turn else 1)

    @property
    def resolution(self) -> tuple[int, int]:
        down, across = self.parts[0].resolution
        return down, 2 * across

    def _at(self, start: int, stop: int, down: Tensor, across: Tensor, device: torch.device) -> Tensor:
        left, _, right, _ = self.geometry.content
        half, index = (right - left) / 2, torch.arange(start, stop)
        masks = []
        for place, (part, places) in enumerate(zip(self.parts, (across, across - half), strict=True)):
            there = places[(places >= 0) & (places < half)]
            if not self.in_turn:
                masks.append(part._at(start, stop, down, there, device))
                continue
            first = start // 2
            made = part._at(first, (stop + 1) // 2, down, there, device)[(index // 2 - first).to(device)]
            made[(index % 2 != place).to(device)] = 1
            masks.append(made)
        return torch.cat(masks, 2)
