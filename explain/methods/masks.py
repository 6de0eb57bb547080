"""Masks over the part of a model's input that is picture, at full resolution and on the grid of the map."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from models.geometry import Geometry


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
