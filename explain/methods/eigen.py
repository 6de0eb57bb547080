"""Methods that project on the first principal component: `a` is one layer's, `g` one target's; (h, w) comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explain.backward.principal import projection

if TYPE_CHECKING:
    from torch import Tensor

    from explain.backward.gradient import Activation, Gradient


def eigencam(a: Activation, g: Gradient) -> Tensor:
    """The activations' own first component, whatever the target."""
    return a.first_component


def eigengradcam(a: Activation, g: Gradient) -> Tensor:
    """The first component of gradient times activation."""
    inside, outside = projection(g.values * g.part(a.values), g.shape[0] * g.shape[1])
    return g.placed(inside, outside)
