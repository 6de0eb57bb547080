"""The engine: a picture and a model in, an explanation out."""

from typing import TYPE_CHECKING

from sightglass.common.lazy import defer_imports

if TYPE_CHECKING:
    from sightglass.common.errors import Problem as Problem
    from sightglass.explain.explainer import Explainer as Explainer
    from sightglass.explain.explainer import replay as replay
    from sightglass.explain.explanation import Explanation as Explanation
    from sightglass.explain.maps.heatmap import Heatmap as Heatmap
    from sightglass.explain.picture.image import Image as Image
    from sightglass.explain.recipe import Recipe as Recipe
    from sightglass.explain.rendering.marks import contact_sheet as contact_sheet
    from sightglass.explain.rendering.marks import overlay as overlay
    from sightglass.explain.rendering.style import colormaps as colormaps

defer_imports(
    __name__,
    {
        ".common.errors": ["Problem"],
        "explainer": ["Explainer", "replay"],
        "explanation": ["Explanation"],
        "maps.heatmap": ["Heatmap"],
        "picture.image": ["Image"],
        "recipe": ["Recipe"],
        "rendering.marks": ["contact_sheet", "overlay"],
        "rendering.style": ["colormaps"],
    },
)
