"""Make the maps of a recipe again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import ModelProblem
from explain.explainer import Explainer
from explain.options import RECIPE_OPTIONS
from explain.picture.image import Image
from explain.recipe import Recipe
from models import catalog

if TYPE_CHECKING:
    import threading

    from explain.explanation import Explanation
    from explain.faithfulness.proof import Proof
    from explain.progress import Progress


def replay(recipe: Recipe | str | Path, source: Any) -> Explanation:
    """Repeat the explanation of a recipe, given as a Recipe or as its file: the same map, bit for bit on one machine.

    Raises ModelProblem where the file is no recipe, where its model is a file that is none of yours, and where picture
    or weights differ.

    >>> from explain import Explainer, replay
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
    # Opening some files runs what they hold, and the recipe may be a stranger's.
    if catalog.is_file(recipe.model):
        raise ModelProblem(
            f"This recipe names a file, {recipe.model}, which only your own models may do: add it with "
            "`python -m explain models add` if you trust it."
        )
    explainer = Explainer(recipe.model, device=recipe.device)
    image = Image.open(source)
    if image.sha256 != recipe.picture_sha256:
        raise ModelProblem(f"{image.name} is not the picture of this recipe: give it {recipe.picture_name}.")
    if explainer.resident.adapter.weights_sha256 != recipe.weights_sha256:
        raise ModelProblem(f"The weights of {recipe.model} are not those of this recipe: put the same file in place.")
    targets = recipe.targets if recipe.per != "picture" else ()
    return explainer(
        image,
        method=recipe.method,
        layers=recipe.layers,
        targets=targets,
        masks=recipe.masks,
        **{name: getattr(recipe, name) for name in RECIPE_OPTIONS},
    )


def replay_proof(
    recipe: Recipe,
    explanation: Explanation,
    *,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Proof | None:
    """Repeat the proof of a recipe on the explanation that `replay` made of it; None for a recipe without one."""
    if recipe.prove is None:
        return None
    given = recipe.prove
    return explanation.prove(given.index, steps=given.steps, fillings=given.fillings, progress=progress, cancel=cancel)
