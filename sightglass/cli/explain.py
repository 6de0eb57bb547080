"""`explain`, and its aliases `image`, `class`, `detect` and `segment`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from sightglass.cli import options as cli
from sightglass.cli.console import Console, load_explainer
from sightglass.common.errors import AnswerProblem, ImageProblem, ModelProblem, OutOfMemory, Problem
from sightglass.explain import phrases
from sightglass.explain.options import OFFERED
from sightglass.explain.picture.source import find
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.detect import find_missed
from sightglass.explain.trust import checks
from sightglass.models import catalog
from sightglass.models.checkpoints import weights
from sightglass.report import result_folder, results

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sightglass.common.files import Json
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation

MODELS = {"detect": "", "segment": "demo-seg"}
"""Default models of verbs; "": the first detector on this machine."""


@dataclass(frozen=True, kw_only=True)
class ExplainOptions(cli.OutputOptions, cli.CheckOptions, cli.LoadOptions):
    model: str | None = cli.field("--model -m ID", "Listed by `models list`, or a file [by the verb].", cli.MODEL)
    labels: Path | None = cli.field("--labels FILE", "Class names of a model's file.", cli.RARE)
    objects: list[str] | None = cli.field(
        "--object MASK|X,Y,X,Y", "The object: how much evidence is outside?", cli.RARE, verbs="image"
    )
    npy: bool = cli.field(
        "--npy", "Also write each map as a .npy.", cli.OUT, verbs="image class segment", default=False
    )
    save_all: bool = cli.field(
        "--save-all", "Also write an image and a .npy of each box.", cli.OUT, verbs="detect", default=False
    )
    no_boxes: bool = cli.field("--no-boxes", "Draw the maps without boxes.", cli.RARE, verbs="detect", default=False)
    box_color: str = cli.field(
        "--box-color NAME",
        "Colour of boxes: white, green, '#00ff00', ... [white].",
        cli.RARE,
        verbs="detect",
        default="white",
    )
    also: list[str] | None = cli.field(*cli.ALSO, verbs="image detect segment")


VERBS = {
    "explain": (
        """Show what a model predicts for a picture, and where it looked for each answer.

    Each picture's folder gets the maps, and recipe.json, from which `replay` makes exactly the same maps.""",
        "sightglass explain *.jpg --question why --top-k 3 --out out",
    ),
    "image": (
        "Explain the best predictions for a picture.",
        "sightglass image bus.jpg --method layercam --top-k 3 --npy",
    ),
    "class": (
        """Explain a class of your choice: its rank among all classes, its score and its map.

    The folder gets class_analysis_<class>.json and gradcam_class_<class>.png of each class.""",
        "sightglass class bus.jpg --class 874 --class minibus --question why",
    ),
    "detect": (
        "Explain boxes, by default of the first detector on this machine.",
        "sightglass detect scene-3.png -m demo-s --class gear --save-all",
    ),
    "segment": (
        "Explain the class of pixels, by default of demo-seg.",
        "sightglass segment scene-3.png --per region --at 120,80 --against star",
    ),
}
"""Help and example of each verb; all but the first are aliases of it."""


def _register(verb: str) -> None:
    def explain(pictures: cli.Pictures, engine_options: cli.EngineOptions, options: ExplainOptions) -> int:
        return _explain(verb, pictures, engine_options, options)

    help, example = VERBS[verb]
    alias = verb != "explain"
    examples = example if alias else "\n".join(example for _, example in VERBS.values())
    cli.verb(cli.app, verb, examples, help, panel="Aliases" if alias else None)(explain)


for _verb in VERBS:
    _register(_verb)


def _explain(verb: str, pictures: list[str], engine_options: cli.EngineOptions, options: ExplainOptions) -> int:
    """Explain pictures into their folders, and return the exit code."""
    if verb == "class" and "targets" not in engine_options:
        raise ModelProblem("Which class? Name it: --class cat, or its index: --class 281.")
    if options.objects and len(pictures) > 1:
        raise Problem("--object is of one picture: explain the others without it.")
    console, formats = Console(options.json), cli.split_names(options.also)
    pictures, model = _split_model(pictures, options.model, console)
    # The first detector that is here takes a while to find.
    name = model or MODELS.get(verb, cli.DEFAULT_MODEL) or catalog.detector()
    with console.progress(f"Loading {name}") as progress:
        explainer = load_explainer(name, options.device, progress, engine_options, labels=options.labels)
    task = task_of(explainer.model)
    verb = task.verb if verb == "explain" else verb
    task.check_verb(verb, name)
    _check_flags(verb, f"{explainer.model.id} {task.gives}", engine_options, options)
    style = replace(options.style(), boxes=options.box_color)
    if by_all := verb == "image" and engine_options.get("method") == cli.ALL:
        del engine_options["method"]
    if verb == "detect":
        engine_options.setdefault("per", "detection")
    objects = [_parse_object(text) for text in options.objects or ()]

    def summarise(explanation: Explanation) -> tuple[Json, Iterator[result_folder.File]]:
        explanation = explanation.with_object(*objects)
        console.report(explanation, style)
        values = results.Explained.build(explanation, style).to_dict()
        if verb == "detect":
            values["missing"] = _report_missed(console, explanation, engine_options)
        else:
            console.say(*explanation.task.wording.list_answers(explanation))
        if verb == "class":
            indices = range(len(explanation.heatmaps))
            files = (result_folder.class_files(explanation, i, style, values, npy=options.npy) for i in indices)
            return values, chain.from_iterable(files)
        sheet = result_folder.method_files(explanation, style) if by_all and explanation.heatmaps else ()
        extra = cli.extra_files(explanation, formats, style)
        if verb == "detect":
            drawn = result_folder.box_files(explanation, style, everything=options.save_all, boxes=not options.no_boxes)
        else:
            drawn = result_folder.picture_files(explanation, style, npy=options.npy)
        return values, result_folder.with_summary(chain(drawn, sheet, extra), values)

    return _write_folders(console, explainer, pictures, options, engine_options, summarise)


def _split_model(arguments: list[str], model: str | None, console: Console) -> tuple[list[str], str | None]:
    """Return the pictures, and the model that is named among them: `CONFIG CHECKPOINT PICTURE`."""
    configurations = [name for name in arguments if name.lower().endswith(catalog.CONFIGURATIONS)]
    files = [name for name in arguments if name.lower().endswith(weights.SUFFIXES)]
    pictures: list[str] = []
    for name in arguments:
        if name not in (*configurations, *files):
            pictures += _list_pictures(name)
    models = [*files, *filter(None, [model])] or configurations
    if len(models) > 1:
        raise Problem(f"{models[0]} and {models[1]} are two models: give pictures, and one model with -m.")
    if not pictures:
        raise Problem("There is no picture: give pictures, and one model with -m.")
    if configurations and models != configurations:
        console.warn(f"{configurations[0]} is not read: the network is told from the weights.")
    return pictures, models[0] if models else None


def _list_pictures(name: str) -> list[str]:
    """Return the paths of a folder's pictures, or the name of anything else."""
    if not os.path.isdir(name):
        return [name]
    return [os.path.join(name, item.key) for item in find(name)]


def _check_flags(verb: str, what: str, engine_options: cli.EngineOptions, options: ExplainOptions) -> None:
    """Raise ModelProblem for a flag of other kinds of models."""
    flags = [OFFERED[name].flag for name in engine_options if name in OFFERED and not OFFERED[name].is_for(verb)]
    for option in fields(options):
        verbs = option.metadata.get("verbs")
        if verbs and verb not in verbs and getattr(options, option.name) != option.default:
            flags.append(option.metadata["flag"])
    if flags:
        named = f"--like {options.like}, which sets {flags[0].split()[0]}," if options.like else flags[0].split()[0]
        raise ModelProblem(f"{what}: leave {named} out.")


def _parse_object(text: str) -> str | tuple[float, ...]:
    """Return the path of a mask, or the edges of a rectangle."""
    edges = text.split(",")
    return tuple(map(float, edges)) if all(re.fullmatch(r"-?\d+(\.\d*)?", edge) for edge in edges) else text


def _report_missed(console: Console, explanation: Explanation, engine_options: cli.EngineOptions) -> list[Json]:
    """Print how many boxes have no map, and why a class has no box; return the reasons."""
    without = len(explanation.predictions) - len(explanation.heatmaps)
    if engine_options["per"] == "detection" and without > 0 and not engine_options.keys() & {"classes", "targets"}:
        console.say(f"{phrases.plural(without, 'more box')} without a map: --top-k N makes N maps.")
    missing = []
    for box in find_missed(explanation, engine_options.get("targets", ())):
        candidate, sentence = box.candidate, phrases.plain_text(box.words)
        console.say(sentence)
        about = {name: getattr(candidate, name) for name in ("anchor", "index", "label", "score", "box")}
        missing.append({"words": sentence, **about, "why": box.reason.kind})
    return missing


def _write_folders(
    console: Console,
    explainer: Explainer,
    pictures: list[str],
    options: ExplainOptions,
    engine_options: cli.EngineOptions,
    summarise: Callable[[Explanation], tuple[Json, Iterator[result_folder.File]]],
) -> int:
    """Explain every picture into its folder; return the exit code. A picture that fails is reported and skipped.

    `summarise`: from an explanation to its summary for JSON, and its files.
    """
    summaries: list[Json] = []
    failed: list[dict[str, str]] = []
    # A picture's folder is called as it, without its own folders.
    names = ["stdin" if name == "-" else name.replace("\\", "/").rsplit("/", 1)[-1] for name in pictures]
    folders = result_folder.choose_folders(names, options.out)
    with console.progress("Explaining") as bar:
        for number, (picture, folder) in enumerate(zip(pictures, folders, strict=True)):

            def update(part: float, text: str, picture: str = picture, number: int = number) -> None:
                bar((number + part) / len(pictures), f"{picture}: {text}")

            try:
                explanation = explainer(console.open_picture(picture), progress=update, **engine_options)
                if options.checks:
                    checks.check_maps(explanation, progress=update)
                summary, files = summarise(explanation)
                if (other := result_folder.find_other(folder, explanation.image)) is not None:
                    console.warn(f"{folder} has files of {other}: those of the same name are replaced.")
                written = result_folder.write(folder, files)
            except (AnswerProblem, ImageProblem, OutOfMemory, MemoryError) as error:
                sentence = str(error) or f"{picture} does not fit in memory; give a smaller picture."
                sentence = f"{names[number]}: {sentence}" if isinstance(error, AnswerProblem) else sentence
                console.warn(sentence)
                failed.append({"picture": picture, "error": sentence})
                continue
            console.files(folder, written)
            summaries.append(summary | {"folder": folder, "files": written})
    console.result({"results": summaries, "failed": failed})
    return 1 if failed else 0
