"""Resize pictures on a GPU, to the bytes that Pillow gives."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import Tensor

from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.preprocess import (
    FULL,
    MAX_RESIZED,
    READY,
    Preprocessing,
    bar_tones,
    bars_around,
    normalise,
    plan_fit,
)

BITS = 22
"""Binary digits after the point of Pillow's weights, which are whole numbers (src/libImaging/Resample.c)."""


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((x - 5) * x + 8) * x * -0.5 + 2, 0))


FILTERS: dict[str, tuple[float, Callable[[NDArray[np.float64]], NDArray[np.float64]]]] = {
    "bilinear": (1.0, lambda x: (1 - x).clip(0)),
    "bicubic": (2.0, _bicubic),
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
    first = pictures[0]
    kinds = {(pixels.shape, pixels.dtype.name) for pixels in pictures}
    if way == READY or len(kinds) > 1 or first.dtype != np.uint8 or preprocessing.channels != 3:
        return []
    geometry, part, window = plan_fit(first.shape[:2], preprocessing, way)
    sides = (part[0][1] - part[0][0], part[1][1] - part[1][0])
    scaled = (round(sides[0] * geometry.scale[0]), round(sides[1] * geometry.scale[1]))
    large = math.prod(scaled) > MAX_RESIZED * math.prod(end - begin for begin, end in window)
    if large or not preprocessing.antialias or preprocessing.interpolation not in FILTERS:
        return []
    planes = _to_device(pictures, device)[:, slice(*part[0]), slice(*part[1])].permute(0, 3, 1, 2)
    rows, columns = (
        _weights(side, count, span, preprocessing.interpolation, device)
        for side, count, span in zip(sides, scaled, window, strict=True)
    )
    key = (sides, scaled, preprocessing.interpolation)
    across_first = _ORDERS.get(key)
    if across_first is None:
        whole = first[slice(*part[0]), slice(*part[1])]
        how = Pillow.Resampling[preprocessing.interpolation.upper()]
        resized = np.asarray(Pillow.fromarray(whole).resize(scaled[::-1], how))
        expected = resized[slice(*window[0]), slice(*window[1])]
        orders = _orders_of(expected, planes[:1], rows, columns)
        if not orders:
            return []
        across_first = orders[0]
        if len(orders) == 1 and len(_ORDERS) < MAX_ORDERS:
            _ORDERS[key] = across_first
    small = torch.cat([_resize(chunk, rows, columns, across_first) for chunk in torch.split(planes, CHUNK)])
    if small.shape[2:] != preprocessing.size:
        small = _put_between_bars(small, preprocessing, way, geometry)
    if preprocessing.channels_order == "bgr":
        small = small.flip(1)
    table = _table(preprocessing, device).expand(len(small), 3, 256)
    tensor = table.gather(2, small.flatten(2).long()).view(small.shape)
    return [ModelInput(picture, geometry) for picture in torch.split(tensor, 1)]


def _to_device(pictures: Sequence[NDArray[np.uint8]], device: torch.device) -> Tensor:
    """Return pictures (H, W, 3) as one tensor (B, H, W, 3), copied once, from memory that a GPU reads by itself."""
    staged = torch.empty((len(pictures), *pictures[0].shape), dtype=torch.uint8, pin_memory=device.type == "cuda")
    if len(pictures) == 1:
        np.copyto(staged[0].numpy(), pictures[0])
    else:
        with ThreadPoolExecutor(COPIED) as pool:
            list(pool.map(np.copyto, staged.numpy(), pictures))
    return staged.to(device, non_blocking=True)


def _orders_of(expected: NDArray[np.uint8], planes: Tensor, rows: Tensor, columns: Tensor) -> list[bool]:
    """Return the orders of resizing, across first or not, that give expected pixels."""
    target = torch.from_numpy(expected.transpose(2, 0, 1).astype(np.float64)).to(planes.device)
    return [order for order in (True, False) if torch.equal(_resize(planes, rows, columns, order)[0], target)]


def _put_between_bars(small: Tensor, preprocessing: Preprocessing, way: str, geometry: Geometry) -> Tensor:
    canvas = small.new_empty((len(small), 3, *preprocessing.size))
    canvas[:] = small.new_tensor(bar_tones(preprocessing, way)).view(3, 1, 1)
    canvas[(slice(None), slice(None), *bars_around(geometry, small.shape[2:]))] = small
    return canvas


def _resize(planes: Tensor, rows: Tensor, columns: Tensor, across_first: bool) -> Tensor:
    """Return planes (B, 3, H, W) resized by weights (h, H) and (w, W), rounded after each of both steps as Pillow's."""
    # Whole numbers below 2 ** 53 are exact in any order.
    if across_first:
        return _rounded(rows @ _rounded(planes.double() @ columns.T))
    return _rounded(_rounded(rows @ planes.double()) @ columns.T)


def _rounded(sums: Tensor) -> Tensor:
    """Return sums of bytes and weights as bytes again, in place."""
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
