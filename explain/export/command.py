"""Write the command, or the call in Python, that reproduces a recipe's explanation."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from common.errors import ModelProblem
from common.legible import legible
from explain.options import RECIPE_OPTIONS
from explain.recipe import Recipe
from models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN = ["python", "-m", "explain"]
_FLAGS = {
    *("--model", "--method", "--target-layers", "--candidate", "--class", "--per", "--score-thr", "--iou", "--ratio"),
    *("--within", "--only", "--words", "--example", "--part", "--scale", "--preprocessing", "--top-k", "--topk"),
    *("--masks", "--device"),
}
"""All that `line` writes; each takes a value. Others write files where they are told to."""
_PLAIN = {name: field.default for name, field in Recipe.model_fields.items() if not field.is_required()}
_PLAIN |= {"top_k": 5, "scale": "own", "preprocessing": "trained", "confidence": 0.25, "iou": 0.7}


def line(recipe: Recipe) -> str:
    """Return the command, quoted for a shell; of a model that no catalogue names, the call in Python.

    It gives every option whose default depends on the model (method, layers, targets, device), and others only where
    they differ from the default.

        line(result.recipe)  # "python -m explain image bus.jpg --model efficientnet-lite0 --method hirescam ..."
    """
    if not _in_catalog(recipe.model):
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
    if not _in_catalog(recipe.model):
        return ""
    return shlex.join([*_BEGIN, "replay", file, "--picture", recipe.picture_name])


def made_here(text: str) -> bool:
    """Whether `line` could have written this, for a model of the catalogue here: others in a stranger's file are not
    shown, because they may write elsewhere, open a model's file, or do more in a shell or a terminal."""
    try:
        words = shlex.split(text)
    except ValueError:
        return False
    picture, flags, values = words[4:5], words[5::2], words[6::2]
    given = dict(zip(flags, values, strict=False))
    return (
        words[:3] == _BEGIN
        and words[3:4] in (["image"], ["detect"])
        and shlex.join(words) == text.strip() == legible(text, len(text))
        and not set("/\\") & set("".join(picture).removeprefix("./"))
        and len(flags) == len(values)
        and set(flags) <= _FLAGS
        and _in_catalog(given.get("--model", ""))
    )


def detects(recipe: Recipe) -> bool:
    """Whether the recipe's model is a detector; guessed from its options for an unknown model."""
    try:
        return catalog.spec(recipe.model).task == "detect"
    except ModelProblem:
        return recipe.per != "class"


def _in_catalog(model: str) -> bool:
    try:
        catalog.spec(model)
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
