"""Read joints from heat maps: each peak's place and height."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sightglass.models import labels
from sightglass.models.spec import OutputTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.models.spec import ModelSpec

NUMBERS = ("x", "y", "peak")
"""What is read from each map: a place in pixels of the input, and the map's largest value."""
SHARPNESS = 25.0
"""How many times a map, scaled to a peak of 1, is multiplied before the softmax whose mean place is taken: of a
Gaussian a cell one deviation away then counts less than a ten-thousandth of the peak."""


def read_peaks(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (B, 3 K) from heat maps (B, K, h, w): of each its peak's x and y, by a sharp softmax, and its height.

    `size`: (h, w) of the input, in whose pixels x and y are. Differentiable.
    """
    flat = maps.flatten(2)
    peak = flat.amax(2)
    scale = peak.detach().abs().clamp_min(torch.finfo(flat.dtype).tiny)[..., None]
    share = (SHARPNESS * flat / scale).softmax(2).view_as(maps)
    rows, columns = ((torch.arange(count).to(maps) + 0.5) / count for count in maps.shape[2:])
    x = (share.sum(2) * columns).sum(2) * size[1]
    y = (share.sum(3) * rows).sum(2) * size[0]
    return torch.stack((x, y, peak), 2).flatten(1)


def name_peaks(spec: ModelSpec, count: int, found: Sequence[str] = ()) -> ModelSpec:
    """Return the row with a name and a unit for each number of `count` heat maps, by the names of the joints.

    `found`: names in the file. Names of all numbers, three a map, stay as they are.
    """
    names = labels.own(spec) or tuple(found) or tuple(f"joint {place}" for place in range(count))
    if len(names) != count:
        return spec
    every = tuple(
        OutputTable(f"{name} {number}", None if number == "peak" else "px") for name in names for number in NUMBERS
    )
    return spec.with_weights(labels=None, outputs=every)
