"""Enlarge maps from a layer's grid to the model's input."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from sightglass.models.geometry import Geometry


def upsample(raw: Tensor, geometry: Geometry, path: str) -> Tensor:
    """Upsample maps (k, h, w) of the layer at `path` to the model's input, (k, height, width)."""
    (h, w), (height, width), (down, across) = raw.shape[-2:], geometry.input, geometry.cell_offset(path)
    if not (down or across):
        return F.interpolate(raw[None], (height, width), mode="bilinear", align_corners=False)[0]
    return bilinear(h, height, raw.device, down) @ raw @ bilinear(w, width, raw.device, across).T


@lru_cache(maxsize=64)
def bilinear(cells: int, pixels: int, device: torch.device, offset: float = 0.0) -> Tensor:
    """Return the bilinear (pixels, cells) matrix of a row, `offset` cells further on.

    Beyond the ends every pixel has the value of the last cell.
    """
    if offset:
        at = ((torch.arange(pixels) + 0.5) * cells / pixels - 0.5 - offset).clamp(0, cells - 1)
        return (1 - (at[:, None] - torch.arange(cells)).abs()).clamp_min(0).to(device)
    unit = torch.eye(cells, device=device)[None]  # (1, cells, cells)
    return F.interpolate(unit, pixels, mode="linear", align_corners=False)[0].T.contiguous()
