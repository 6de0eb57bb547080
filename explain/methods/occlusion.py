"""Occlusion: hide one window of the picture after another and measure how much the score falls.

Needs neither layers nor gradients nor random numbers, so it explains any model. The raw value of a place is the mean of
f - f_i over the windows i that hide it, with the score f of the whole picture and f_i with window i hidden. Its unit is
that of the score, 0..1; positive values speak for the target. Zeiler & Fergus 2014, https://arxiv.org/abs/1311.2901.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from explain.methods.masks import PictureMasks

if TYPE_CHECKING:
    from torch import Tensor

    from models.geometry import Geometry

COUNT = 196
"""Default number of windows: 14 by 14 over a square picture, each a seventh of its side wide."""


@dataclass(frozen=True, eq=False)
class Windows(PictureMasks):
    """Square windows that overlap by half, one per mask; in random order, so that unfinished maps cover the picture."""

    rows: int
    columns: int
    order: Tensor
    """(rows * columns,)"""
    geometry: Geometry

    @classmethod
    def over(cls, geometry: Geometry, count: int, seed: int = 0) -> Windows:
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
