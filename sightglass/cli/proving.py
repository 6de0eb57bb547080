"""`prove`: hide and keep what a map shows; `which`: compare maps by that; `replay`: make a recipe's maps again."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console, load_explainer
from sightglass.common.errors import AnswerProblem, ModelProblem, Problem
from sightglass.common.files import Json, read_npz
from sightglass.common.work.progress import Progress
from sightglass.explain import explainer, phrases
from sightglass.explain import recipe as explain_recipe
from sightglass.explain.methods import choice
from sightglass.explain.picture import image as images
from sightglass.explain.rendering import style
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.detect import find_missed
from sightglass.explain.trust import proof as measures
from sightglass.report import embedded_recipe, result_folder, results

if TYPE_CHECKING:
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.picture.image import Image
    from sightglass.explain.recipe import Recipe

FILLINGS = ("blur", "mean")


@dataclass(frozen=True, kw_only=True)
class AnswerOptions(cli.ModelOptions):
    """Which answer a map is of."""

    class_: str | None = cli.field("--class --target -c NAME", "The map of this class, not of the best.", cli.MAP)
    map: int | None = cli.field("--map N", "The map of answer or box N, counted from 1.", cli.MAP, min=1)
    json: cli.Json = False


@dataclass(frozen=True, kw_only=True)
class ProveOptions(AnswerOptions):
    steps: int = cli.field("--steps N", "Shares that are hidden and kept, 2 to 100 [20].", cli.OUT, default=20)
    filling: list[str] | None = cli.field("--filling NAME", "What hides: blur, mean or linear [blur, mean].", cli.OUT)
    also: list[str] | None = cli.field(*cli.ALSO)
    out: Path | None = cli.field(*cli.FOLDER)


@cli.verb(
    cli.app,
    "prove",
    """
    sightglass prove bus.jpg --class trolleybus --question why
    sightglass prove bus.jpg -m yolo11n --map 2 --steps 10 --also html
    """,
)
def prove(picture: cli.Picture, engine_options: cli.EngineOptions, options: ProveOptions) -> int:
    """Test a map by hiding or keeping what it shows, in comparison with uninformed maps.

    The folder gets proof.png with the curves, and proof.json, from which `replay` makes exactly the same curves.
    """
    console, formats = Console(options.json), cli.split_names(options.also)
    with console.progress(f"Loading {options.model}") as progress:
        image = console.open_picture(picture)
        (folder,) = result_folder.choose_folders([image.name], options.out)
        explanation = _explain(image, engine_options, options, progress)
        proof = explanation.prove(fillings=options.filling or FILLINGS, progress=progress, steps=options.steps)
        extra = cli.extra_files(explanation, formats, style.VIEWER_STYLE)
        names = result_folder.write(folder, chain(result_folder.proof_files(explanation, 0, proof), extra))
    heatmap = explanation.heatmaps[0]
    console.say(
        f"{image.name}: {explanation.model.id}, the map of {heatmap.target.label}", phrases.plain_text(proof.sentence)
    )
    console.table(measures.COLUMNS, measures.rows(proof), right=measures.COLUMNS[1:])
    summary = results.ProofResult.build(explanation, 0, proof).to_dict()
    console.say(*map(phrases.plain_text, measures.lines(proof)))
    return console.finish(folder, names, summary)


def _explain(
    image: Image,
    engine_options: cli.EngineOptions,
    options: AnswerOptions,
    progress: Progress,
    labels: Path | None = None,
) -> Explanation:
    """Return an explanation with the map of one answer.

    `labels`: a file of class names.
    """
    if options.map is not None and options.class_ is not None:
        raise Problem("--map is one answer, and --class one class: leave one of them out.")
    explainer = load_explainer(options.model, options.device, progress, engine_options, labels=labels)
    task = task_of(explainer.model)
    arguments = engine_options | {"top_k": 1} | task.decoder.options_of()
    cli.check_box_flags(explainer.model, engine_options)
    if options.class_ is not None:
        arguments["targets"] = (options.class_,)
    elif options.map is not None and options.map > 1:
        answers = explainer(image, maps=False, **arguments | {"top_k": options.map}).predictions
        if options.map > len(answers):
            found = f"{explainer.model.id} gives {len(answers)} here{task.hint}"
            raise ModelProblem(f"There is no answer {options.map}: {found}.")
        answer = answers[options.map - 1]
        arguments |= task.decoder.options_of(answer.index, answer.anchor)
    return explainer(image, progress=progress, **arguments)


@dataclass(frozen=True, kw_only=True)
class WhichOptions(AnswerOptions):
    labels: Path | None = cli.field("--labels FILE", "Class names of a model's file.", cli.RARE)


@cli.verb(
    cli.app,
    "which",
    """
    sightglass which bus.jpg --class trolleybus
    sightglass which scene-3.png -m demo-s --map 2 --json
    """,
)
def which(picture: cli.Picture, engine_options: cli.EngineOptions, options: WhichOptions) -> int:
    """Compare the maps of several methods on a picture, by hiding and keeping what each shows.

    They are those that the method Tested mixes. No file is written.
    """
    console = Console(options.json)
    with console.progress(f"Loading {options.model}") as progress:
        image = console.open_picture(picture)
        asked = cli.EngineOptions(engine_options | {"method": "tested"})
        explanation = _explain(image, asked, options, progress, options.labels)
    if not explanation.heatmaps:
        raise AnswerProblem(_describe_no_map(explanation))
    summary = results.WhichResult.build(explanation, 0)
    console.say(f"{image.name}: {explanation.model.id}, maps of {summary.target}", phrases.plain_text(summary.sentence))
    rows = choice.rows(explanation.heatmaps[0].candidates)
    console.table(choice.COLUMNS, rows, right=choice.COLUMNS[1:])
    if rows:
        console.say(phrases.plain_text(choice.describe_columns(explanation.task)))
    console.result(summary.to_dict())
    return 0


def _describe_no_map(explanation: Explanation) -> str:
    """Return why there is no map to compare."""
    is_detector = explanation.task.explains("detection")
    missed = find_missed(explanation, explanation.options.targets) if is_detector else []
    if missed:
        why = missed[0].words.removesuffix(".")
        return f"{why}, so there is no map to compare: take a lower --score-thr, or another class."
    return f"{explanation.model.id} gives no answer here, so there is no map to compare: take another picture."


MAX_BYTES = 64 * 2**20
"""Size of a file in which a recipe is looked for."""


@dataclass(frozen=True, kw_only=True)
class ReplayOptions(cli.DrawOptions):
    picture: str | None = cli.field("--picture -p FILE", "The picture [the embedded one, or a file of its name].")
    device: str | None = cli.field("--device NAME", "A device other than the recipe's.")
    out: Path | None = cli.field("--out -o FOLDER", "Folder for the maps [they are compared only].", cli.OUT)


@cli.verb(
    cli.app,
    "replay",
    """
    sightglass replay explained/bus/recipe.json --picture bus.jpg
    sightglass replay recipe.json --device cpu --out again --json
    """,
)
def replay(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="recipe.json, or a PNG or JPG that carries one.")],
    options: ReplayOptions,
) -> int:
    """Make the same maps again: the same picture, weights and options, all checked.

    The maps are compared value by value with those beside the recipe; if they differ, the exit code is 1. Files are
    written only with --out.
    """
    console, look = Console(options.json), options.style()
    contents = read(recipe)
    picture = console.open_picture(options.picture) if options.picture else _find_picture(recipe, contents)
    saved = contents.recipe
    if options.device is not None:
        saved = saved.model_copy(update={"device": options.device})
    with console.progress(f"Loading {saved.model}"):
        explanation = explainer.replay(saved, picture)
    now = explain_recipe.versions()
    changed = {name: (before, now.get(name)) for name, before in saved.versions.items() if now.get(name) != before}
    console.report(explanation, look)
    for name, (before, installed) in changed.items():
        console.say(f"note: {name} was {before}, is {installed or 'not installed'}.")
    difference = _compare_maps(recipe.parent, saved, explanation)
    if (same := None if difference is None else not difference) is None:
        console.say(f"There is no {result_folder.MAPS} of this recipe beside it, so the new maps were not compared.")
    else:
        console.say("The maps match the saved ones bit for bit." if same else f"The maps differ, by {difference:.2g}.")
    summary: Json = results.Explained.build(explanation, look).to_dict()
    summary |= {"same": same, "largest_difference": difference, "changed_versions": changed}
    names: list[str] = []
    if options.out is not None:
        files = result_folder.result_files(explanation, look, everything=False)
        names = result_folder.write(options.out, result_folder.with_summary(files, summary))
        console.files(options.out, names)
    console.result(summary | {"folder": options.out, "files": names})
    return int(same is False)


def read(path: Path) -> embedded_recipe.Contents:
    """Read the recipe of a file, and the picture in it; raise ModelProblem without a recipe."""
    contents = None
    with contextlib.suppress(OSError):
        contents = embedded_recipe.contents(path.read_bytes() if path.stat().st_size <= MAX_BYTES else b"")
    if contents is None:
        fault = "is not a recipe" if path.exists() else "is not there"
        raise ModelProblem(f"{path} {fault}: give the recipe.json that an explanation was saved with.")
    return contents


def _find_picture(path: Path, contents: embedded_recipe.Contents) -> Any:
    """Return a recipe's picture: in its file, here, near it, or an example. Raises ModelProblem."""
    if original := embedded_recipe.original(contents):
        return original
    name = contents.recipe.picture_name
    folders = (Path(), path.parent, *list(path.absolute().parents)[1:3])
    local = [str(folder / name) for folder in folders if (folder / name).is_file()]
    if not local and images.example_meant(name) is None:
        raise ModelProblem(f"Where is the picture? Name it: --picture {name}.")
    return local[0] if local else name


def _compare_maps(folder: Path, recipe: Recipe, explanation: Explanation) -> float | None:
    """Return the largest difference from the saved maps; None without comparable ones."""
    machine = {"versions", "device", "picture_name", "prove", "checks"}
    # Their names are those of classes, which may be others by now.
    now = [*result_folder.arrays(explanation).values()]
    with contextlib.suppress(OSError, ValueError, KeyError, ModelProblem):
        before, saved = read(folder / result_folder.RECIPE).recipe, [*read_npz(folder / result_folder.MAPS).values()]
        # Another explanation may have overwritten the recipe's.
        same = before.model_dump(exclude=machine) == recipe.model_dump(exclude=machine)
        if same and [maps.shape for maps in now] == [maps.shape for maps in saved]:
            pairs = [*zip(now, saved, strict=True)]
            if all(np.array_equal(*pair, equal_nan=True) for pair in pairs):
                return 0.0
            return max(float(abs(one - other).max(initial=0)) for one, other in pairs)
    return None
