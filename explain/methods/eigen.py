"""Methods that project a layer's channels on their first principal component; as in `gradient`, (h, w) is returned.

>>> from explain import Explainer
>>> Explainer()("bus.jpg", top_k=1, method="eigencam").heatmaps[0].raw[0].shape
(7, 7)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from explain.backward.principal import projection

if TYPE_CHECKING:
    from torch import Tensor

    from explain.backward.gradient import Activation, Gradient


def eigencam(a: Activation, g: Gradient) -> Tensor:
    """Return EigenCAM's map: the activations A (h * w, C), centred, times their first right singular vector.

    The same for every target; `g` is not read. Muhammad & Yeasin 2020, https://arxiv.org/abs/2008.00299.
    """
    return a.first_component


def eigengradcam(a: Activation, g: Gradient) -> Tensor:
    """Return EigenGradCAM's map: EigenCAM's projection of g * A instead of A (pytorch-grad-cam)."""
    inside, outside = projection(g.values * g.part(a.values), g.shape[0] * g.shape[1])
    return g.placed(inside, outside)
