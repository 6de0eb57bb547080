"""The command or Python call that reproduces a recipe."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.explain.options import OFFERED
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.embed import EMBEDDING
from sightglass.models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.explain.recipe import Recipe
    from sightglass.models.geometry import Box

_PROGRAM = "sightglass"
_ALWAYS = ("method", "layers", "targets", "per")
"""Options whose default depends on the model or the verb."""


def line(recipe: Recipe) -> str:
    """Return the command, quoted for a shell; the call in Python for a model that no catalogue names, and for a
    vocabulary that no command can give.

    It gives every option whose default depends on the model (method, layers, targets, device), and others only where
    they differ from the default.

        line(result.recipe)  # "sightglass image bus.jpg --model efficientnet-lite0 --method hirescam ..."
    """
    if not _in_catalog(recipe.model):
        return _call(recipe, "model")
    labels = *recipe.vocabulary, *(name for _, name in recipe.examples)
    # A flag takes a number for an index, and a comma for the end of a word.
    if any(not label or label.isdigit() or "," in label for label in labels):
        return _call(recipe, repr(recipe.model))
    verb, name = task_of(catalog.spec(recipe.model)).verb, recipe.picture_name
    flags = [("--model", recipe.model), *_flags(recipe, verb), ("--device", recipe.device)]
    picture = f"./{name}" if name.startswith("-") else name
    return shlex.join([_PROGRAM, verb, picture, *(word for pair in flags for word in pair)])


def replay(recipe: Recipe, file: str = "recipe.json") -> str:
    """Return the command that replays a recipe from its file, or from any file that it is embedded in, and checks the
    picture and the weights; empty for a model that no catalogue names, which it could not load."""
    if not _in_catalog(recipe.model):
        return ""
    return shlex.join([_PROGRAM, "replay", file, "--picture", recipe.picture_name])


def _in_catalog(model: str) -> bool:
    try:
        catalog.spec(model)
    except ModelProblem:
        return False
    return True


def _call(recipe: Recipe, model: str) -> str:
    """Return the call in Python; `model` is its model expression."""
    options = {name: value for name, option in OFFERED.items() if (value := getattr(recipe, name)) != option.default}
    # The default part is the model's own.
    options |= {"part": recipe.part}
    if recipe.per == "picture":
        del options["targets"]
    arguments = ", ".join(f"{name}={value!r}" for name, value in options.items())
    call = f"Explainer({model})({recipe.picture_name!r}, {arguments})"
    return f"{call}  # model: your {recipe.model}" if model == "model" else call


def _flags(recipe: Recipe, verb: str) -> Iterator[tuple[str, str]]:
    """Yield the flags of a recipe's options, each with its value."""
    plain = {name: option.default for name, option in OFFERED.items()}
    spec = catalog.spec(recipe.model)
    # Boxes are asked for one by one.
    plain |= {"part": spec.first_part, "per": None if task_of(spec).has_boxes else "class"}
    for name in sorted(OFFERED, key=lambda name: name not in _ALWAYS):
        option, value = OFFERED[name], getattr(recipe, name)
        if name == "targets":
            yield from _targets(recipe)
        elif value == plain[name] or verb not in option.verbs.split():
            continue
        elif option.kind is not tuple or option.separator:
            yield option.flag.split()[0], _joined(value, option.separator)
        else:
            yield from ((option.flag.split()[0], _text(item)) for item in value)


def _joined(value: Any, separator: str) -> str:
    """Return a value in its flag's form, joined by the separator."""
    if not separator:
        return str(value)
    # A number to its last digit.
    return separator.join(item if isinstance(item, str) else repr(item).removesuffix(".0") for item in value)


def _targets(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for target in recipe.targets if recipe.per != "picture" else ():
        if isinstance(target, tuple):
            yield "--candidate", ",".join(map(str, target))
        elif target != EMBEDDING:
            yield "--class", str(target)


def _text(value: int | str | tuple[Box, str]) -> str:
    """Return a class or an example in its flag's form."""
    return f"{_joined(value[0], ',')}={value[1]}" if isinstance(value, tuple) else str(value)
