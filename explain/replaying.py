"""Make the maps of a recipe again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sightglass.common.errors import ModelProblem
from sightglass.explain.explainer import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.options import OFFERED
from sightglass.explain.picture.image import Image
from sightglass.explain.recipe import Recipe
from sightglass.models import catalog


def replay(recipe: Recipe | str | Path, source: Any) -> Explanation:
    """Repeat the explanation of a Recipe, or of its file, on its picture.

    Raises ModelProblem for a file without a recipe, for another person's model file, and if picture or weights differ.

    >>> from sightglass import Explainer, replay
    >>> replay(Explainer()("bus.jpg", top_k=1).recipe, "bus.jpg")
    Explanation('bus.jpg', 'efficientnet-lite0': minibus 0.62; 1 heatmaps)
    """
    if not isinstance(recipe, Recipe):
        try:
            recipe = Recipe.model_validate_json(Path(recipe).read_text("utf-8"))
        except (OSError, ValueError, TypeError) as error:
            raise ModelProblem(
                f"{recipe} is not a recipe: give the recipe.json that an explanation was saved with."
            ) from error
    # Opening some files runs their code, and recipes may come from strangers.
    if catalog.is_file(recipe.model):
        raise ModelProblem(
            f"The recipe's model is a file, {recipe.model}: if you trust it, add it to your models with `sightglass "
            "models add`."
        )
    recipe.check_repeatable()
    explainer = Explainer(recipe.model, device=recipe.device)
    image = Image.open(source)
    if image.sha256 != recipe.picture_sha256:
        raise ModelProblem(f"{image.name} is not the picture of this recipe: give it {recipe.picture_name}.")
    if explainer.loaded.digest() != recipe.weights_sha256:
        raise ModelProblem(f"The weights of {recipe.model} are not those of this recipe: put the same file in place.")
    options = {name: getattr(recipe, name) for name in OFFERED}
    return explainer(image, **options | {"targets": recipe.targets if recipe.per != "picture" else ()})
