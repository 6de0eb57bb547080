"""Grad-CAM's family: one formula per method.

Notation: A_c is channel c of one layer's activations, g_c the gradient of the target's score with respect to it, both
(h, w). Every method takes an Activation `a` (C, h, w) and a Gradient `g` (C, h', w' in a window, 0 elsewhere), and
returns one signed float map (h, w), neither clipped nor scaled. Where the gradient is 0 nothing is multiplied: a
detection's is 0 nearly everywhere.

>>> from sightglass import Explainer
>>> Explainer()("bus.jpg", top_k=1, method="layercam").heatmaps[0].raw[0].shape
(7, 7)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from sightglass.explain.backward.gradient import projection

if TYPE_CHECKING:
    from torch import Tensor

    from sightglass.explain.backward.gradient import Activation, Gradient


def _weigh(weights: Tensor, a: Activation) -> Tensor:
    """Return sum_c weights[c] * A_c, (h, w)."""
    return torch.einsum("c,chw->hw", weights, a.values)


def gradcam(a: Activation, g: Gradient) -> Tensor:
    """Return GradCAM's map: sum_c w_c A_c with w_c = mean over all places of g_c.

    Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391, equation 1; without its ReLU.
    """
    return _weigh(g.total() / (g.shape[0] * g.shape[1]), a)


def gradcam_plus_plus(a: Activation, g: Gradient) -> Tensor:
    """Return GradCAM++'s map: sum_c w_c A_c with w_c = sum over places of alpha_c relu(g_c); small objects count too.

    alpha_c = g_c^2 / (2 g_c^2 + sum(A_c) g_c^3 + 1e-6). Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063,
    equation 19.
    """
    # Where g is not positive its product with relu(g) is 0.
    positive = g.values.clamp_min(0)
    below = (positive * a.total[:, None, None]).add_(2).mul_(positive).mul_(positive).add_(1e-6)
    return _weigh(positive.pow_(3).div_(below).sum((1, 2)), a)


def hirescam(a: Activation, g: Gradient) -> Tensor:
    """Return HiResCAM's map: sum_c g_c A_c, place by place; faithful where only linear layers follow.

    Draelos & Carin 2020, https://arxiv.org/abs/2011.08891.
    """
    return g.placed(g.along(a))


def xgradcam(a: Activation, g: Gradient) -> Tensor:
    """Return XGradCAM's map: sum_c w_c A_c with w_c = sum(g_c A_c) / (sum(A_c) + 1e-7).

    Fu et al. 2020, https://arxiv.org/abs/2008.02312.
    """
    return _weigh((g.values * g.part(a.values)).sum((1, 2)) / (a.total + 1e-7), a)


def layercam(a: Activation, g: Gradient) -> Tensor:
    """Return LayerCAM's map: sum_c relu(g_c) A_c, place by place; good in early layers.

    Jiang et al. 2021, https://doi.org/10.1109/TIP.2021.3089943.
    """
    return g.placed(g.values.clamp_min(0).mul_(g.part(a.values)).sum(0))


def eigencam(a: Activation, g: Gradient) -> Tensor:
    """Return EigenCAM's map: the activations A (h * w, C), centred, times their first right singular vector.

    The same for every target; `g` is not read. Muhammad & Yeasin 2020, https://arxiv.org/abs/2008.00299.
    """
    return a.first_component


def eigengradcam(a: Activation, g: Gradient) -> Tensor:
    """Return EigenGradCAM's map: EigenCAM's projection of g * A instead of A (pytorch-grad-cam)."""
    inside, outside = projection(g.values * g.part(a.values), g.shape[0] * g.shape[1])
    return g.placed(inside, outside)
