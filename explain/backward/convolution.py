"""Compute a convolution's input gradient within a window.

A window's size depends on the detection's place, and oneDNN compiles a convolution for every new size in 0.2 to 0.6
ms, several times the work itself. A window's gradient is therefore computed by matrix products, and a whole map's by
oneDNN, as a convolution with the flipped kernel in 0.5 to 0.9 of the time of oneDNN's own backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F
from torch.utils.weak import WeakTensorKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping, Sequence

    from torch import Tensor

CELLS = 128
"""Minimum number of cells at which oneDNN pays for its setup, in which it reorders the weights,"""
PRODUCTS = 3_000_000
"""and minimum number of multiplications: above both it is twice as fast as a matrix product, below slower."""
LARGE = 30_000_000
"""Multiplications from which oneDNN, a third faster once compiled, pays for compiling within two boxes."""
MAX_DEPTHWISE = 9
"""Maximum taps of a depthwise kernel for which a loop over its taps beats oneDNN."""
MAX_GATHERED = 49
"""Maximum taps of any kernel for which gathering the neighbourhood of an output pays."""


def pointwise_gradient(gradient: Tensor, weight: Tensor, *, whole: bool) -> Tensor:
    """Return (1, C, h, w) from (1, K, h, w) and weights (K, C, 1, 1).

    The algorithm depends on sizes alone, so that the bits depend on nothing else.
    """
    cells = gradient.shape[2] * gradient.shape[3]
    if whole and cells >= CELLS and cells * weight.numel() >= PRODUCTS and _suits(gradient):
        return torch.mkldnn_convolution(gradient, weight.transpose(0, 1), None, [0, 0], [1, 1], [1, 1], 1)
    # In memory order: (cells, outputs) by (outputs, inputs).
    rows = gradient.permute(0, 2, 3, 1)
    return (rows.reshape(cells, -1) @ weight.flatten(1)).view(*rows.shape[:3], -1).permute(0, 3, 1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """The backward pass of one convolution over windows, with its weights laid out for it."""

    weight: Tensor
    """Strided: (K, kh, kw, C); not strided: (C, kh, kw, K), flipped; depthwise: (kh, kw, C)."""
    size: tuple[int, int]
    stride: tuple[int, int]

    @classmethod
    def of(cls, weight: Tensor, stride: Sequence[int], dilation: Sequence[int], groups: int) -> Kernel | None:
        """Lay out (K, C / groups, kh, kw), or None if PyTorch is better."""
        height, width = weight.shape[2:]
        if weight.device.type != "cpu" or set(dilation) != {1} or height * width > MAX_GATHERED:
            return None
        depthwise = groups == len(weight) and weight.shape[1] == 1 and height * width <= MAX_DEPTHWISE
        if depthwise and set(stride) == {1}:
            laid = weight[:, 0].permute(1, 2, 0)
        elif groups > 1:
            return None
        else:
            laid = weight.permute(1, 2, 3, 0).flip(1, 2) if set(stride) == {1} else weight.permute(0, 2, 3, 1)
        return cls(_without_base(laid.contiguous()), (height, width), (stride[0], stride[1]))

    def convolves(self, padding: Sequence[int]) -> bool:
        """Return whether `convolved` supports this padding."""
        return self.stride == (1, 1) and padding[0] < self.size[0] and padding[1] < self.size[1]

    def convolved(self, gradient: Tensor, padding: Sequence[int]) -> Tensor:
        """Return the inputs' gradient (1, C, h', w') without `padding`, by one convolution."""
        around = (self.size[0] - 1 - padding[0], self.size[1] - 1 - padding[1])
        if self.weight.ndim == 3:
            depthwise = self.weight.flip(0, 1).permute(2, 0, 1)[:, None]
            return F.conv2d(gradient, depthwise, None, 1, around, 1, len(depthwise))
        return F.conv2d(gradient, self.weight.permute(0, 3, 1, 2), None, 1, around)

    def gradient(self, gradient: Tensor) -> Tensor:
        """Return the inputs' gradient (1, C, h', w') of a window, padding included."""
        rows = gradient[0].permute(1, 2, 0)
        if self.weight.ndim == 3:
            out = _each_channel(rows, self.weight)
        elif self.stride == (1, 1):
            out = _gather(rows, self.weight)
        else:
            out = _spread(rows, self.weight, self.stride)
        return out.permute(2, 0, 1)[None]


def _without_base(tensor: Tensor) -> Tensor:
    """Return the same memory without a reference to the tensor it is a view of.

    A view of channels-last weights in `_KERNELS` would otherwise keep them, and itself, alive.
    """
    if tensor._base is None:
        return tensor
    bare = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    return bare.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride())


_KERNELS: MutableMapping[Tensor, dict[tuple[object, ...], Kernel | None]] = WeakTensorKeyDictionary()
"""By weight tensor; freed together with it."""


def kernel(weight: Tensor, inputs: slice, stride: Sequence[int], dilation: Sequence[int], groups: int) -> Kernel | None:
    """Return `Kernel.of` some input channels of a convolution, laid out once for all pictures."""
    state = weight.data_ptr(), 0 if weight.is_inference() else weight._version
    key = (state, inputs.start, inputs.stop, *stride, *dilation, groups)
    cached = _KERNELS.get(weight, {})
    if key not in cached:
        # Kernels of weights that have changed are dropped.
        current = {old: laid_out for old, laid_out in cached.items() if old[0] == state}
        cached = _KERNELS[weight] = current | {key: Kernel.of(weight[:, inputs], stride, dilation, groups)}
    return cached[key]


def nbytes(weights: Iterable[Tensor]) -> int:
    """Return the bytes of all kernels laid out for these weights."""
    return sum(k.weight.nbytes for weight in weights for k in _KERNELS.get(weight, {}).values() if k is not None)


def _gather(gradient: Tensor, weight: Tensor) -> Tensor:
    """Gather (h, w, K) by (C, kh, kw, K) to (h', w', C) in one product."""
    (height, width, channels), (tall, wide) = gradient.shape, weight.shape[1:3]
    out = height + tall - 1, width + wide - 1
    padded = F.pad(gradient, (0, 0, wide - 1, wide - 1, tall - 1, tall - 1)).contiguous()
    row = padded.stride(0)
    around = padded.as_strided((*out, tall, wide * channels), (row, channels, row, 1))
    matrix = weight.flatten(1)
    return (around.reshape(-1, matrix.shape[1]) @ matrix.T).view(*out, -1)


def _spread(gradient: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
    """Scatter (h, w, K) by (K, kh, kw, C) to (h', w', C) in one product."""
    (height, width, channels), (tall, wide, inputs), (down, right) = gradient.shape, weight.shape[1:], stride
    products = (gradient.reshape(-1, channels) @ weight.flatten(1)).view(height, width, tall, wide, inputs)
    out = gradient.new_zeros((height - 1) * down + tall, (width - 1) * right + wide, inputs)
    for y in range(tall):
        for x in range(wide):
            out[y : y + height * down : down, x : x + width * right : right].add_(products[:, :, y, x])
    return out


def _each_channel(gradient: Tensor, weight: Tensor) -> Tensor:
    """(h', w', C) from (h, w, C) and (kh, kw, C)."""
    # The operation is symmetric: loop over the smaller one.
    if gradient[..., 0].numel() < weight[..., 0].numel():
        gradient, weight = weight, gradient
    (height, width, channels), (tall, wide) = gradient.shape, weight.shape[:2]
    out = gradient.new_zeros(height + tall - 1, width + wide - 1, channels)
    for y in range(tall):
        for x in range(wide):
            out[y : y + height, x : x + width].addcmul_(gradient, weight[y, x])
    return out


def _suits(gradient: Tensor) -> bool:
    return gradient.device.type == "cpu" and gradient.dtype == torch.float32 and _one_dnn()


@cache
def _one_dnn() -> bool:
    """Return whether this build of PyTorch has oneDNN, and its convolution gives the right numbers."""
    values, weight = torch.linspace(-2, 2, 18).reshape(1, 2, 3, 3), torch.linspace(-1, 1, 6).reshape(2, 3, 1, 1)
    try:
        result = torch.mkldnn_convolution(values, weight.transpose(0, 1), None, [0, 0], [1, 1], [1, 1], 1)
    except (RuntimeError, AttributeError):
        return False
    return torch.allclose(result, torch.einsum("bkhw,kc->bchw", values, weight[:, :, 0, 0]), atol=1e-5)
