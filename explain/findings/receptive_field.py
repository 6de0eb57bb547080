"""Bound the receptive field of a layer's cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

_WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
_GLOBAL = (nn.MultiheadAttention, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)


def receptive_field(module: nn.Module, path: str) -> int | None:
    """Return the side in pixels of the model's input that a cell of the layer at `path` sees at most; None: all of it.

    All convolutions and poolings defined up to and in the layer count as if each followed the one before. With branches
    that is too much, never too little (Araujo et al. 2019, doi:10.23915/distill.00021).

        receptive_field(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)), "1")  # 5
    """
    field, jump = 1, 1
    for one in _until(module, path):
        if isinstance(one, _GLOBAL) or "attention" in type(one).__name__.lower():
            return None
        if isinstance(one, _WINDOWS):
            kernel, stride = _most(one.kernel_size), _most(one.stride)
            dilation = 1 if isinstance(one, nn.AvgPool2d) else _most(one.dilation)
            field += (kernel - 1) * dilation * jump
            jump *= stride
    return field


def _until(module: nn.Module, path: str) -> Iterator[nn.Module]:
    """Yield every module in the order of definition, up to the last one in `path`."""
    inside = False
    for name, one in module.named_modules():
        within = name == path or name.startswith(f"{path}.")
        if inside and not within:
            return
        inside = within
        yield one


def _most(sides: int | tuple[int, ...]) -> int:
    return sides if isinstance(sides, int) else max(sides)
