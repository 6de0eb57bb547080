"""`replay`: a recipe made again, and whether it gives the same maps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options as cli
from cli.console import Teller
from cli.image import report
from common.errors import ModelProblem

if TYPE_CHECKING:
    from explain.explanation import Explanation
    from explain.picture.image import Image
    from explain.recipe import Recipe

MOST = 64 * 2**20
"""Bytes of a file that are looked through for a recipe."""


def register(app: typer.Typer) -> None:
    cli.verb(
        app,
        "replay",
        """
        python -m explain replay explained/bus/recipe.json --picture bus.jpg
        python -m explain replay explained/bus/gradcam_prediction.png --picture bus.jpg
        python -m explain replay recipe.json --device cpu --out again --json
        """,
    )(replay)


def replay(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="recipe.json, or a PNG, JPG, SVG or PDF that carries its recipe.")
    ],
    picture: Annotated[
        str | None,
        typer.Option(
            "--picture",
            "-p",
            metavar="FILE",
            help="The picture that it is of \\[the one that a PNG or JPG carries, or a file of its name near by].",
            show_default=False,
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="NAME", help="Another device than the recipe's.", show_default=False),
    ] = None,
    out: cli.Out = None,
    colormap: cli.Colormap = "inferno",
    alpha: cli.Alpha = None,
    json: cli.Json = False,
) -> int:
    """The same maps again: the same picture, weights and choices, checked one by one.

    Where maps.npz lies beside the recipe the new maps are held against it, value for value; where they differ the exit
    code is 1. Files are written with --out only.
    """
    from explain.export import result_folder
    from explain.recipe import versions

    tell = Teller(json)
    look = result_folder.Look(colormap, 0.5 if alpha is None else alpha)
    known = read(recipe)
    found = picture or _carried(recipe) or _picture(recipe, known)
    if device is not None:
        known = known.model_copy(update={"device": device})
    with tell.at_work(f"Waking {known.model}"):
        from explain.explainer import replay as again

        explanation = again(known, found)
    now = versions()
    changed = {name: (was, now.get(name)) for name, was in known.versions.items() if now.get(name) != was}
    same, furthest = _held(recipe.parent, known, explanation)
    report(tell, explanation, look)
    for name, (was, is_now) in changed.items():
        tell.say(f"note: {name} was {was}, is {is_now or 'not here'}.")
    if same is not None:
        tell.say("The maps are those that were kept, bit for bit." if same else f"The maps differ, by {furthest:.2g}.")
    else:
        tell.say(f"No {result_folder.MAPS} of this recipe lies beside it: the maps were made, and held against none.")
    names: list[str] = []
    said: dict[str, Any] = result_folder.summary(explanation, look)
    said |= {"same": same, "largest_difference": furthest, "changed_versions": changed}
    if out is not None:
        made = result_folder.of_picture(explanation, look)
        if explanation.model.task == "detect":
            made = result_folder.of_boxes(explanation, look, everything=False)
        names = result_folder.write(out, result_folder.with_summary(made, said))
        tell.written(out, names)
    tell.result(said | {"folder": out, "files": names})
    return 1 if same is False else 0


def read(path: Path) -> Recipe:
    """The recipe in a file of its own, or in one that carries it; raises ModelProblem where there is none."""
    import json

    from explain.export import embedded_recipe
    from explain.recipe import Recipe

    found = None
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST else b""
        if path.suffix.lower() == ".json":
            held = json.loads(data)
            # A summary holds its recipe among other things.
            found = Recipe.model_validate_json(json.dumps(held.get("recipe", held)))
        else:
            found = embedded_recipe.read(data)
    except (OSError, ValueError, AttributeError, RecursionError):
        pass
    if found is None:
        raise ModelProblem(f"{path} is not a recipe: give the recipe.json that an explanation was saved with.")
    return found


def _carried(path: Path) -> Image | None:
    """The picture that a PNG or JPG carries beside its recipe."""
    from explain.export import embedded_recipe

    found = embedded_recipe.contents(path.read_bytes()) if path.suffix.lower() != ".json" else None
    return embedded_recipe.original(found) if found is not None else None


def _picture(path: Path, recipe: Recipe) -> str:
    """A file of the picture's name, here or near the recipe."""
    for folder in (Path(), path.parent, *list(path.absolute().parents)[1:3]):
        if (folder / recipe.picture_name).is_file():
            return str(folder / recipe.picture_name)
    raise ModelProblem(f"Where is the picture? Name it: --picture {recipe.picture_name}.")


def _held(folder: Path, recipe: Recipe, explanation: Explanation) -> tuple[bool | None, float | None]:
    """Whether the maps that were kept are these, and how far they are apart at most; None where none of this recipe
    were kept."""
    import numpy as np

    from explain.export import result_folder

    now = result_folder.arrays(explanation)
    try:
        # Another explanation may have been written over the one that the file is of.
        if _asked(read(folder / result_folder.RECIPE)) != _asked(recipe):
            return None, None
        with np.load(folder / result_folder.MAPS, allow_pickle=False) as held:
            if set(held.files) != set(now) or any(held[name].shape != values.shape for name, values in now.items()):
                return None, None
            apart = max((float(abs(held[name] - values).max(initial=0)) for name, values in now.items()), default=0.0)
            return all(np.array_equal(held[name], values, equal_nan=True) for name, values in now.items()), apart
    except (OSError, ValueError, KeyError, ModelProblem):
        return None, None


def _asked(recipe: Recipe) -> dict[str, Any]:
    """What was asked for, wherever it is made."""
    return recipe.model_dump(exclude={"versions", "device", "picture_name"})
