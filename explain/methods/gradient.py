"""Methods that weigh activations by gradients: `a` is one layer's, `g` one target's at that layer; (h, w) comes out.

Where the gradient is 0 nothing is multiplied: a detection's is 0 nearly everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from explain.backward.gradient import Activation, Gradient


def _weighted(weights: Tensor, a: Activation) -> Tensor:
    """sum_c weights[c] * a[c, h, w]."""
    return torch.einsum("c,chw->hw", weights, a.values)


def gradcam(a: Activation, g: Gradient) -> Tensor:
    """w_c = mean over places of the gradient."""
    return _weighted(g.total() / (g.shape[0] * g.shape[1]), a)


def gradcam_plus_plus(a: Activation, g: Gradient) -> Tensor:
    """w_c = sum of alpha * relu(g), with alpha from powers of g (equation 19), so that small objects count too."""
    # alpha = g^2 / (2 g^2 + sum(a) g^3 + 1e-6), and where g is not positive its product with relu(g) is 0.
    positive = g.values.clamp_min(0)
    below = (positive * a.total[:, None, None]).add_(2).mul_(positive).mul_(positive).add_(1e-6)
    return _weighted(positive.pow_(3).div_(below).sum((1, 2)), a)


def hirescam(a: Activation, g: Gradient) -> Tensor:
    """sum_c g * a, place by place: faithful where only linear layers follow."""
    return g.placed(g.along(a))


def xgradcam(a: Activation, g: Gradient) -> Tensor:
    """w_c = sum of g * a / (sum of a)."""
    return _weighted((g.values * g.part(a.values)).sum((1, 2)) / (a.total + 1e-7), a)


def layercam(a: Activation, g: Gradient) -> Tensor:
    """sum_c relu(g) * a, place by place."""
    return g.placed(g.values.clamp_min(0).mul_(g.part(a.values)).sum(0))
