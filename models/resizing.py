"""Resize pictures on a GPU, to the bytes that Pillow gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from sightglass.models.geometry import ModelInput
from sightglass.models.preprocess import FULL, GREY, MAX_RESIZED, READY, Preprocessing, bars_around, normalise, plan_fit

BITS = 22
"""Binary digits after the point of Pillow's weights, which are whole numbers (src/libImaging/Resample.c)."""
FILTERS: dict[str, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "bilinear": (1.0, lambda x: (1 - x).clip(0)),
    "bicubic": (
        2.0,
        lambda x: np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((x - 5) * x + 8) * x * -0.5 + 2, 0)),
    ),
}
"""Reach in pixels of the smaller picture, and weight by distance."""
_ORDERS: dict[tuple[object, ...], bool] = {}
"""Whether Pillow resizes across first, by sizes and filter: it chooses, and its versions choose differently."""
MAX_ORDERS = 256
COPIED = 8
"""Pictures that are copied at once."""
CHUNK = 8
"""Pictures that are resized at once, in numbers of eight bytes."""


def fit_on_device(
    pictures: Sequence[NDArray[np.uint8]], preprocessing: Preprocessing, way: str, device: torch.device
) -> list[ModelInput]:
    """Return the inputs of pictures prepared on a device, to the same bits; none where only the CPU can.

    The pictures are RGB bytes (H, W, 3) of one size.
    """
    first, like = pictures[0], {(pixels.shape, pixels.dtype.name) for pixels in pictures}
    if way == READY or len(like) > 1 or first.dtype != np.uint8 or preprocessing.channels != 3:
        return []
    geometry, ((top, bottom), (left, right)), window = plan_fit(first.shape[:2], preprocessing, way)
    sides = (bottom - top, right - left)
    high, wide = (round(side * scale) for side, scale in zip(sides, geometry.scale, strict=True))
    large = high * wide > MAX_RESIZED * math.prod(last - begin for begin, last in window)
    if large or not preprocessing.antialias or preprocessing.interpolation not in FILTERS:
        return []
    # One copy, from memory that the GPU reads by itself.
    staged = torch.empty((len(pictures), *first.shape), dtype=torch.uint8, pin_memory=device.type == "cuda")
    if len(pictures) == 1:
        np.copyto(staged[0].numpy(), first)
    else:
        with ThreadPoolExecutor(COPIED) as pool:
            list(pool.map(np.copyto, staged.numpy(), pictures))
    planes = staged.to(device, non_blocking=True)[:, top:bottom, left:right].permute(0, 3, 1, 2)
    rows, columns = (
        _weights(side, count, span, preprocessing.interpolation, device)
        for side, count, span in zip(sides, (high, wide), window, strict=True)
    )

    def resized(some: Tensor, across_first: bool) -> Tensor:
        # Whole numbers below 2 ** 53 are exact in any order.
        if across_first:
            return _rounded(rows @ _rounded(some.double() @ columns.T))
        return _rounded(_rounded(rows @ some.double()) @ columns.T)

    key = (sides, high, wide, preprocessing.interpolation)
    if (across_first := _ORDERS.get(key)) is None:
        how = Pillow.Resampling[preprocessing.interpolation.upper()]
        whole = np.asarray(Pillow.fromarray(first[top:bottom, left:right]).resize((wide, high), how))
        seen = whole[slice(*window[0]), slice(*window[1])].transpose(2, 0, 1).astype(np.float64)
        expected = torch.from_numpy(seen).to(device)
        fitting = [order for order in (True, False) if torch.equal(resized(planes[:1], order)[0], expected)]
        if not fitting:
            return []
        across_first = fitting[0]
        if len(fitting) == 1 and len(_ORDERS) < MAX_ORDERS:
            _ORDERS[key] = across_first
    small = torch.cat([resized(some, across_first) for some in torch.split(planes, CHUNK)])
    if small.shape[2:] != preprocessing.size:
        canvas = small.new_full((len(small), 3, *preprocessing.size), GREY)
        canvas[(slice(None), slice(None), *bars_around(geometry, small.shape[2:]))] = small
        small = canvas
    small = small.flip(1) if preprocessing.channels_order == "bgr" else small
    table = _table(preprocessing, device).expand(len(small), 3, 256)
    tensor = table.gather(2, small.flatten(2).long()).view(small.shape)
    return [ModelInput(each, geometry) for each in torch.split(tensor, 1)]


def _rounded(sums: Tensor) -> Tensor:
    return sums.add_(1 << (BITS - 1)).div_(1 << BITS).floor_().clamp_(0, 255)


@lru_cache(maxsize=32)
def _weights(side: int, scaled: int, span: tuple[int, int], interpolation: str, device: torch.device) -> Tensor:
    """Return the weights (n, side), whole numbers, by which `span` of a row resized to `scaled` pixels is made."""
    reach, weight = FILTERS[interpolation]
    scale = side / scaled
    stretched = max(scale, 1.0)
    matrix = np.zeros((span[1] - span[0], side))
    for row, place in zip(matrix, range(*span), strict=True):
        centre = (place + 0.5) * scale
        first = max(int(centre - reach * stretched + 0.5), 0)
        last = min(int(centre + reach * stretched + 0.5), side)
        near = weight(np.abs((np.arange(first, last) - centre + 0.5) * (1.0 / stretched)))
        # As whole numbers, rounded half away from 0.
        shares = near * (1.0 / math.fsum(near)) * (1 << BITS)
        row[first:last] = np.trunc(shares + np.copysign(0.5, shares))
    return torch.from_numpy(matrix).to(device)


@lru_cache(maxsize=32)
def _table(preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Return the input's number (3, 256) for each byte, by channel of the input."""
    levels = torch.arange(256, dtype=torch.uint8).expand(3, 1, 256)
    return normalise(levels, preprocessing, FULL["uint8"])[:, 0].to(device)
