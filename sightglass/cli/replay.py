"""`replay`: make a recipe's maps again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import open_picture, report
from sightglass.common.errors import ModelProblem
from sightglass.explain import phrases, replaying
from sightglass.explain import recipe as explain_recipe
from sightglass.explain.picture import image
from sightglass.export import embedded_recipe, result_folder
from sightglass.export.proof import files as proof_files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sightglass.common.files import Json
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.recipe import Recipe
    from sightglass.explain.trust.checks import Checks
    from sightglass.explain.trust.proof import Proof

MAX_BYTES = 64 * 2**20
"""Size of a file in which a recipe is looked for."""


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(cli.OutputOptions):
    picture: str | None = cli.field("--picture -p FILE", "The picture [the embedded one, or a file of its name].")
    device: str | None = cli.field("--device NAME", "A device other than the recipe's.")


@cli.verb(
    cli.app,
    "replay",
    """
    sightglass replay explained/bus/recipe.json --picture bus.jpg
    sightglass replay recipe.json --device cpu --out again --json
    """,
)
def replay(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="recipe.json, or a PNG, JPG, SVG or PDF with an embedded recipe.")
    ],
    options: ReplayOptions,
) -> int:
    """Make the same maps again: the same picture, weights and options, all checked.

    The maps, proof and seals of the recipe are compared value by value with those beside it; if they differ, the exit
    code is 1. Files are written only with --out.
    """
    console, style = Console(options.json), options.style()
    known = read(recipe)
    if options.picture is not None:
        picture: Image | str | tuple[str, ...] = open_picture(options.picture, console)
    else:
        carried = embedded_recipe.contents(recipe.read_bytes()) if recipe.suffix.lower() != ".json" else None
        embedded = None if carried is None else embedded_recipe.original(carried)
        picture = embedded or _find_pictures(recipe, known)
    if options.device is not None:
        known = known.model_copy(update={"device": options.device})
    with console.progress(f"Loading {known.model}") as progress:
        explanation = replaying.replay(known, picture)
        proof = replaying.replay_proof(known, explanation, progress=progress)
        seals = replaying.replay_checks(known, explanation, progress=progress)
    now = explain_recipe.versions()
    changed = {name: (before, now.get(name)) for name, before in known.versions.items() if now.get(name) != before}
    same, difference = _compare(recipe.parent, known, explanation)
    report(console, explanation, style)
    for name, (before, installed) in changed.items():
        console.say(f"note: {name} was {before}, is {installed or 'not installed'}.")
    if known.prepared not in (None, prepared := explanation.recipe.prepared):
        console.say(f"note: pictures were prepared {known.prepared}, and now {prepared}.")
    if same is not None:
        console.say("The maps match the saved ones bit for bit." if same else f"The maps differ, by {difference:.2g}.")
    else:
        console.say(f"There is no {result_folder.MAPS} of this recipe beside it, so the new maps were not compared.")
    proved = None if proof is None else _report_proof(console, recipe.parent, known, proof)
    sealed = _report_checks(console, known, seals)
    names: list[str] = []
    summary: Json = result_folder.summary(explanation, style)
    summary |= {"same": same, "largest_difference": difference, "changed_versions": changed}
    if proof is not None:
        summary |= {"recipe": known, "proof": proof.summary(), "same_proof": proved}
    if sealed is not None:
        summary |= {"same_seals": sealed}
    if options.out is not None:
        files = (
            result_folder.of_boxes(explanation, style, everything=False)
            if explanation.task.has_boxes
            else result_folder.of_picture(explanation, style)
        )
        names = result_folder.write(options.out, result_folder.with_summary(files, summary))
        console.files(options.out, names)
    console.result(summary | {"folder": options.out, "files": names})
    return 1 if same is False or proved is False or sealed is False else 0


def _report_proof(console: Console, folder: Path, recipe: Recipe, proof: Proof) -> bool | None:
    """Print a proof; return whether its curves equal the saved ones."""
    console.say(phrases.plain_text(proof.sentence))
    try:
        saved = json.loads((folder / proof_files.PROOF).read_text("utf-8"))
        theirs = read(folder / proof_files.PROOF)
        if (_request(theirs), theirs.prove) != (_request(recipe), recipe.prove):
            return None
        same = bool(saved["curves"] == json.loads(json.dumps(proof.summary()["curves"])))
    except (OSError, ValueError, KeyError, TypeError, ModelProblem):
        return None
    console.say("The curves match the saved ones bit for bit." if same else "The curves differ from the saved ones.")
    return same


def _report_checks(console: Console, recipe: Recipe, seals: Mapping[int, Checks]) -> bool | None:
    """Print the new checks; return whether they equal the saved ones."""
    same = True
    for saved in recipe.seals:
        again = seals.get(saved.index)
        console.say("The map is empty now, so it has no seal." if again is None else f"{again.label}: {again.line}")
        equal = replaying.is_same_check(saved, again)
        console.say("The seal matches the saved one bit for bit." if equal else "The seal differs from the saved one.")
        same = same and equal
    return same if recipe.seals else None


def read(path: Path) -> Recipe:
    """Read the recipe of a file; raise ModelProblem without one."""
    recipe = None
    try:
        data = path.read_bytes() if path.stat().st_size <= MAX_BYTES else b""
        if path.suffix.lower() == ".json":
            document = json.loads(data)
            # A summary contains its recipe.
            recipe = explain_recipe.Recipe.model_validate_json(json.dumps(document.get("recipe", document)))
        else:
            recipe = embedded_recipe.read(data)
    except (OSError, ValueError, AttributeError, RecursionError):
        pass
    if recipe is None:
        raise ModelProblem(f"{path} is not a recipe: give the recipe.json that an explanation was saved with.")
    return recipe


def _find_pictures(path: Path, recipe: Recipe) -> str | tuple[str, ...]:
    """Return a recipe's picture, or its two; raise ModelProblem."""
    name = recipe.picture_name
    names = image.split_name(name)
    return _find_picture(path, name) if names is None else tuple(_find_picture(path, part) for part in names)


def _find_picture(path: Path, name: str) -> str:
    """Return a picture by name: here, near the recipe, or an example.

    Raises ModelProblem where there is none.
    """
    for folder in (Path(), path.parent, *list(path.absolute().parents)[1:3]):
        if (folder / name).is_file():
            return str(folder / name)
    if image.example_meant(name) is not None:
        return name
    raise ModelProblem(f"Where is the picture? Name it: --picture {name}.")


def _compare(folder: Path, recipe: Recipe, explanation: Explanation) -> tuple[bool | None, float | None]:
    """Return whether the saved maps are equal, and their largest difference."""
    now = result_folder.arrays(explanation)
    try:
        # Another explanation may have overwritten the recipe's.
        if _request(read(folder / result_folder.RECIPE)) != _request(recipe):
            return None, None
        with np.load(folder / result_folder.MAPS, allow_pickle=False) as saved:
            if set(saved.files) != set(now) or any(saved[name].shape != values.shape for name, values in now.items()):
                return None, None
            apart = max((float(abs(saved[name] - values).max(initial=0)) for name, values in now.items()), default=0.0)
            return all(np.array_equal(saved[name], values, equal_nan=True) for name, values in now.items()), apart
    except (OSError, ValueError, KeyError, ModelProblem):
        return None, None


def _request(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe without machine-dependent fields."""
    return recipe.model_dump(exclude={"versions", "device", "picture_name", "prove", "seals"})
