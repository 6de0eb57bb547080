"""Write the command, or the call in Python, that reproduces a recipe's explanation."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from common.errors import ModelProblem
from explain.options import RECIPE_OPTIONS
from explain.recipe import Recipe
from models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN = ["python", "-m", "explain"]
_PLAIN = {name: field.default for name, field in Recipe.model_fields.items() if not field.is_required()}
_PLAIN |= {"top_k": 5, "scale": "own", "preprocessing": "trained", "confidence": 0.25, "iou": 0.7}


def line(recipe: Recipe) -> str:
    """Return the command, quoted for a shell; of a model that no catalogue names, the call in Python.

    It gives every option whose default depends on the model (method, layers, targets, device), and others only where
    they differ from the default.

        line(result.recipe)  # "python -m explain image bus.jpg --model efficientnet-lite0 --method hirescam ..."
    """
    if not _in_catalog(recipe):
        return _call(recipe)
    name = recipe.picture_name
    words = ["image", f"./{name}" if name.startswith("-") else name]
    if detects(recipe):
        words[0] = "detect"
    flags = [*_always(recipe), *_detector(recipe), *_changed(recipe)]
    return shlex.join([*_BEGIN, *words, *(word for pair in flags for word in pair)])


def replay(recipe: Recipe, file: str = "recipe.json") -> str:
    """Return the command that replays a recipe from its file, or from any file that it is embedded in, and checks the
    picture and the weights; empty for a model that no catalogue names, which it could not load."""
    if not _in_catalog(recipe):
        return ""
    return shlex.join([*_BEGIN, "replay", file, "--picture", recipe.picture_name])


def made_here(text: str) -> bool:
    """Whether a line is such a command and nothing more to a shell: others in a stranger's file are not shown."""
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    return words[:3] == _BEGIN and words[3:4] in (["image"], ["detect"]) and shlex.join(words) == text.strip()


def detects(recipe: Recipe) -> bool:
    """Whether the recipe's model is a detector; guessed from its options for an unknown model."""
    try:
        return catalog.spec(recipe.model).task == "detect"
    except ModelProblem:
        return recipe.per != "class"


def _in_catalog(recipe: Recipe) -> bool:
    try:
        catalog.spec(recipe.model)
    except ModelProblem:
        return False
    return True


def _call(recipe: Recipe) -> str:
    """Return the call for a model that was in memory, or that was named by its file."""
    given: dict[str, object] = {"method": recipe.method, "layers": list(recipe.layers)}
    if recipe.per != "picture":
        given["targets"] = list(recipe.targets)
    names = (*RECIPE_OPTIONS, "masks")
    given |= {name: value for name in names if (value := getattr(recipe, name)) != _PLAIN.get(name)}
    arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"Explainer(model)({recipe.picture_name!r}, {arguments})  # model: your {recipe.model}"


def _always(recipe: Recipe) -> Iterator[tuple[str, str]]:
    yield "--model", recipe.model
    yield "--method", recipe.method
    if recipe.layers:
        yield "--target-layers", ",".join(recipe.layers)
    for target in recipe.targets if recipe.per != "picture" else ():
        if isinstance(target, tuple):
            yield "--candidate", ",".join(map(str, target))
        else:
            yield "--class", str(target)


def _detector(recipe: Recipe) -> Iterator[tuple[str, str]]:
    if not detects(recipe):
        return
    yield "--per", recipe.per
    yield from _differing(
        recipe, {"--score-thr": "confidence", "--iou": "iou", "--ratio": "ratio", "--within": "within"}
    )
    for only in recipe.classes:
        yield "--only", str(only)
    if recipe.vocabulary:
        yield "--words", ", ".join(recipe.vocabulary)
    for box, name in recipe.examples:
        yield "--example", f"{','.join(f'{edge:g}' for edge in box)}={name}"


def _changed(recipe: Recipe) -> Iterator[tuple[str, str]]:
    top_k = "--topk" if detects(recipe) else "--top-k"
    options = {"--part": "part", "--scale": "scale", "--preprocessing": "preprocessing", top_k: "top_k"}
    yield from _differing(recipe, options)
    if recipe.masks is not None:
        yield "--masks", str(recipe.masks)
    yield "--device", recipe.device


def _differing(recipe: Recipe, options: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield those options, given with their fields, that are not at their defaults."""
    for option, field in options.items():
        if (value := getattr(recipe, field)) != _PLAIN[field]:
            yield option, str(value)
