"""Methods that weigh activations by gradients. `a` is (1, C, h, w), `g` is (k, C, h, w), the result (k, h, w)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def _weighted(weights: Tensor, a: Tensor) -> Tensor:
    """sum_c weights[k, c] * a[c, h, w]."""
    channels, height, width = a.shape[1:]
    return (weights @ a.reshape(channels, height * width)).reshape(-1, height, width)


def gradcam(a: Tensor, g: Tensor) -> Tensor:
    """w_c = mean over places of the gradient."""
    return _weighted(g.mean((2, 3)), a)


def gradcam_plus_plus(a: Tensor, g: Tensor) -> Tensor:
    """w_c = sum of alpha * relu(g), with alpha from powers of g (equation 19), so that small objects count too."""
    squared = g * g
    alpha = squared / (2 * squared + a.sum((2, 3), keepdim=True) * squared * g + 1e-6)
    return _weighted((alpha.where(g != 0, 0) * g.clamp_min(0)).sum((2, 3)), a)


def hirescam(a: Tensor, g: Tensor) -> Tensor:
    """sum_c g * a, place by place: faithful where only linear layers follow."""
    return torch.einsum("kchw,chw->khw", g, a[0])


def xgradcam(a: Tensor, g: Tensor) -> Tensor:
    """w_c = sum of g * a / (sum of a)."""
    return _weighted((g * (a / (a.sum((2, 3), keepdim=True) + 1e-7))).sum((2, 3)), a)


def layercam(a: Tensor, g: Tensor) -> Tensor:
    """sum_c relu(g) * a, place by place."""
    return torch.einsum("kchw,chw->khw", g.clamp_min(0), a[0])
