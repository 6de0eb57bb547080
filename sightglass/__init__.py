"""Explain vision models: library, command line, HTTP API and dashboard.

    from sightglass import Explainer
    result = Explainer("efficientnet-lite0")("cameraman.jpg", top_k=3)

Importing this package is free; torch comes in with the first Explainer.
"""

from typing import TYPE_CHECKING

from sightglass.common.lazy import defer_imports
from sightglass.common.packaged import CHECKOUT, LINKED

if TYPE_CHECKING:
    from sightglass.common.errors import Problem as Problem
    from sightglass.explain import Explainer as Explainer
    from sightglass.explain import Explanation as Explanation
    from sightglass.explain import Heatmap as Heatmap
    from sightglass.explain import Image as Image
    from sightglass.explain import Recipe as Recipe
    from sightglass.explain import colormaps as colormaps
    from sightglass.explain import contact_sheet as contact_sheet
    from sightglass.explain import overlay as overlay
    from sightglass.explain import replay as replay

__version__ = "1.0.0"

_CLASSES = ("Explainer", "Explanation", "Heatmap", "Image", "Problem", "Recipe")
_NAMES = (*_CLASSES, "colormaps", "contact_sheet", "overlay", "replay")
defer_imports(__name__, {"explain": _NAMES})

if not LINKED:
    # `sightglass.explain` is the folder beside this one.
    __path__.append(str(CHECKOUT))
