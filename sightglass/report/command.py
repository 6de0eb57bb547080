"""The call in Python that makes a recipe's maps again, as `sightglass replay` does from the recipe's file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.common.errors import ModelProblem
from sightglass.explain.options import OFFERED
from sightglass.models import catalog

if TYPE_CHECKING:
    from sightglass.explain.recipe import Recipe


def line(recipe: Recipe) -> str:
    """Return the call, with all options that differ from their defaults.

    line(result.recipe)  # "Explainer('efficientnet-lite0')('bus.jpg', method='hirescam', …)"
    """
    options = {name: value for name, option in OFFERED.items() if (value := getattr(recipe, name)) != option.default}
    # The default part is the model's own.
    options |= {"part": recipe.part}
    if recipe.per == "picture":
        del options["targets"]
    arguments = ", ".join(f"{name}={value!r}" for name, value in options.items())
    try:
        catalog.spec(recipe.model)
    except ModelProblem:
        return f"Explainer(model)({recipe.picture_name!r}, {arguments})  # model: your {recipe.model}"
    return f"Explainer({recipe.model!r})({recipe.picture_name!r}, {arguments})"
