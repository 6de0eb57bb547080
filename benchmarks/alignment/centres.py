"""Locate receptive fields: by arithmetic, by gradients, by a planted dot."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from sightglass.explain.evidence.layers import as_map
from sightglass.explain.proof.filling import blur

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.models.adapter import Adapter
    from sightglass.models.layers import Layer

    Floats = NDArray[np.float64]

WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
DOTS = 3
"""Places of the dot along each side of the picture's middle half."""
RADIUS = 0.03
"""Of the dot, by the picture's side."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where a row of cells looks: the centre of the first, and from one to the next, in pixel edges of the input."""

    first: float
    step: float

    @classmethod
    def even(cls, pixels: int, cells: int) -> Places:
        """Return where maps are drawn."""
        return cls(pixels / cells / 2, pixels / cells)

    def through(self, before: float, pad: float, stride: int) -> Places:
        """Return the places after a window whose centre is `before` pixels behind its first, on a padded row."""
        return Places(self.first + (before - pad) * self.step, self.step * stride)

    def offset(self, pixels: int, cells: int) -> float:
        """Return by how many even cells the middle of the row looks beside where it is drawn."""
        return (self.first + self.step * (cells - 1) / 2 - pixels / 2) / (pixels / cells)


def by_arithmetic(adapter: Adapter, tensor: Tensor, layers: Sequence[Layer]) -> dict[str, tuple[Places, Places]]:
    """Return the places of each layer's rows and columns that strides and paddings imply.

    A grid has the places of the first window that makes one of its size: branches of a network agree on them.
    """
    size = (tensor.shape[-2], tensor.shape[-1])
    known = {size: (Places(0.5, 1.0), Places(0.5, 1.0))}

    def follow(window: Any, given: tuple[Tensor, ...], made: Tensor) -> None:
        before, after = ((one.shape[-2], one.shape[-1]) for one in (given[0], made))
        if after not in known and after != (1, 1):
            start = known.get(before) or tuple(Places.even(size[i], before[i]) for i in (0, 1))
            known[after] = _through(window, start)

    handles = [one.register_forward_hook(follow) for one in adapter.module.modules() if isinstance(one, WINDOWS)]
    try:
        with torch.no_grad(), recorded(adapter, layers) as maps:
            adapter.run(tensor)
    finally:
        for handle in handles:
            handle.remove()
    return {path: known[one.shape[-2], one.shape[-1]] for path, one in maps.items()}


def _through(window: Any, start: Sequence[Places]) -> tuple[Places, Places]:
    found = []
    for axis, places in enumerate(start):
        kernel, stride, pad, dilation = (
            value if isinstance(value, int) else value[axis]
            for value in (window.kernel_size, window.stride, window.padding, getattr(window, "dilation", 1))
        )
        middle = (kernel - 1) / 2
        if isinstance(window, nn.Conv2d):
            # Rows of zeros before a kernel's own are no part of it: padding that is not even is made of them.
            used = np.flatnonzero(window.weight.detach().abs().sum((0, 1, 3 - axis)).cpu().numpy())
            middle = (used[0] + used[-1]) / 2 if len(used) else middle
        found.append(places.through(middle * dilation, pad, stride))
    return found[0], found[1]


@contextmanager
def recorded(adapter: Adapter, layers: Sequence[Layer]) -> Iterator[dict[str, Tensor]]:
    """Collect what layers return, (B, C, h, w), while the adapter runs."""
    found: dict[str, Tensor] = {}

    def keep(layer: Layer) -> Any:
        return lambda _module, _given, made: found.__setitem__(layer.path, as_map(made, layer))

    handles = [adapter.module.get_submodule(layer.path).register_forward_hook(keep(layer)) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def by_gradient(adapter: Adapter, tensor: Tensor, layers: Sequence[Layer]) -> dict[str, Floats]:
    """Return by how many cells down and across the cells amid a picture look beside where they are drawn, by layer.

    A cell looks at the centroid of the absolute gradient of its energy (Luo et al. 2016, arXiv:1701.04128).
    """
    given = tensor.clone().requires_grad_()
    with torch.enable_grad(), recorded(adapter, layers) as maps:
        adapter.run(given)
    height, width = tensor.shape[-2:]
    found = {}
    for path, one in maps.items():
        h, w = one.shape[-2:]
        offsets = []
        # Two by two around the middle: the picture's edges cut their fields evenly.
        for y, x in product({h // 2 - 1, h - h // 2}, {w // 2 - 1, w - w // 2}):
            (slope,) = torch.autograd.grad(one[0, :, y, x].square().sum(), given, retain_graph=True)
            weight = slope[0].abs().sum(0)
            if weight.sum() > 0:
                across, down = centroid(weight)
                offsets.append((down * h / height - y - 0.5, across * w / width - x - 0.5))
        found[path] = np.mean(offsets, 0) if offsets else np.full(2, np.nan)
    return found


def centroid(weight: Tensor) -> tuple[float, float]:
    """Return the x and y of the centroid of weights (h, w), in cell edges."""
    values = weight.detach().cpu().numpy().astype(np.float64)
    total = values.sum()
    x, y = (float(values.sum(axis) @ (np.arange(values.shape[1 - axis]) + 0.5) / total) for axis in (0, 1))
    return x, y


def by_dot(adapter: Adapter, tensor: Tensor, layers: Sequence[Layer]) -> dict[str, Floats]:
    """Return where the cells look by a dot planted on the blurred picture, by layer: (offset, stretch) by axis, (2, 2).

    The offset is in cells, in the middle of the picture; the stretch is how far the places of neighbouring cells are
    apart, by how far they are drawn. The response to a dot is the change of the activations' energy.
    """
    plain = blur(tensor)
    height, width = tensor.shape[-2:]
    low, high = tensor.amin(), tensor.amax()
    ys, xs = (np.linspace(0.25, 0.75, DOTS) * side for side in (height, width))
    rows, columns = torch.arange(height)[:, None] + 0.5, torch.arange(width) + 0.5
    dots = list(product(ys, xs))
    pictures = [plain]
    for y, x in dots:
        inside = (rows - y) ** 2 + (columns - x) ** 2 <= (RADIUS * min(height, width)) ** 2
        tone = plain[0, :, int(y), int(x)].mean()
        pictures.append(torch.where(inside, high if high - tone > tone - low else low, plain))
    parts: dict[str, list[Tensor]] = {}
    with torch.no_grad(), recorded(adapter, layers) as maps:
        # One at a time: some models take no batch.
        for one in pictures:
            adapter.run(one)
            for path, made in maps.items():
                parts.setdefault(path, []).append(made[0].clone())
    return {path: _fit(made, dots, (height, width)) for path, made in parts.items()}


def _fit(made: Sequence[Tensor], dots: Sequence[tuple[float, float]], size: tuple[int, int]) -> Floats:
    base, *others = made
    grid = base.shape[-2:]
    drawn = np.array([centroid((one - base).square().sum(0))[::-1] for one in others])
    found = []
    for axis in (0, 1):
        cell = size[axis] / grid[axis]
        true = np.array([dot[axis] for dot in dots])
        slope = np.polyfit(true, drawn[:, axis] * cell, 1)[0]
        found.append((float(np.mean(true - drawn[:, axis] * cell)) / cell, 1 / slope))
    return np.array(found)
