"""Sightglass, the engine: a picture and a model in, an honest explanation out.

    from explain import Explainer
    result = Explainer("efficientnet-lite0")("bus.jpg", top_k=3)

Importing this package is free; torch comes in with the first Explainer.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from common.errors import Problem as Problem
    from explain.explainer import Explainer as Explainer
    from explain.explanation import Explanation as Explanation
    from explain.maps.heatmap import Heatmap as Heatmap
    from explain.picture.image import Image as Image
    from explain.recipe import Recipe as Recipe
    from explain.replaying import replay as replay

_HOMES = {
    "Explainer": "explain.explainer",
    "replay": "explain.replaying",
    "Explanation": "explain.explanation",
    "Heatmap": "explain.maps.heatmap",
    "Image": "explain.picture.image",
    "Recipe": "explain.recipe",
    "Problem": "common.errors",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'explain' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
