"""Define the options that several verbs share, and expand dataclasses of options into command-line parameters."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from common.errors import ModelProblem, Problem
from explain.methods import METHODS
from explain.methods import method as find_method

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.explainer import Explainer
    from explain.export.result_folder import MapColours

MODULE = "python -m explain"
PROGRAM = "sightglass" if Path(sys.argv[0]).stem == "sightglass" else MODULE
"""What the user typed to start this process: help shows it."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def as_called(text: str) -> str:
    """Return a text of the help with this process's own name in its examples."""
    return text.replace(MODULE, PROGRAM)


def group(help: str) -> typer.Typer:
    """Return a group of verbs; without a verb, it prints its help and exits with code 2."""
    made = typer.Typer(help=help)

    @made.callback(invoke_without_command=True)
    def without_verb(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())
            raise typer.Exit(2)

    return made


MODEL, MAP, BOXES, OUT = "Model", "What the map shows", "Boxes", "Output"


def option(usage: str, help: str, panel: str | None = None, **more: Any) -> Any:
    """Return a typer option; `usage` is its names and, unless it is a flag, its value: `--top-k -k N`."""
    names = [word for word in usage.split() if word.startswith("-")]
    metavar = " ".join(word for word in usage.split() if not word.startswith("-")) or None
    shown: dict[str, Any] = {"show_default": False} | more
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=panel, **shown)


def field(usage: str, help: str, panel: str | None = None, *, default: Any = None, **more: Any) -> Any:
    """Return a dataclass field that `verb` turns into that option."""
    return dataclasses.field(default=default, metadata={"option": option(usage, help, panel, **more)})


Pictures = Annotated[
    list[str], typer.Argument(metavar="PICTURE", help="Image files: JPEG, PNG, WebP, HEIC, AVIF, TIFF and similar.")
]
Picture = Annotated[
    str, typer.Argument(metavar="PICTURE", help="An image file: JPEG, PNG, WebP, HEIC, AVIF, TIFF or similar.")
]
Model = Annotated[
    str, option("--model -m ID", "A model listed by `models list`, or its file \\[efficientnet-lite0].", MODEL)
]
Words = Annotated[
    str | None, option("--words 'A, B'", "What a CLIP, YOLO-World or YOLOE model should look for, as a list.", MODEL)
]
Question = Annotated[
    str | None,
    option(
        "--question -q where|why",
        "Where is it, or why this class rather than another: sets part, method and layers together.",
        MAP,
    ),
]
Method = Annotated[str | None, option("--method NAME", f"{', '.join(METHODS)} \\[the model's default].", MAP)]
Layers = Annotated[
    list[str] | None,
    option(
        "--target-layers PATH,PATH",
        "Layers at which to take the map, averaged if several. `models layers ID` lists them.",
        MAP,
    ),
]
Classes = Annotated[
    list[str] | None,
    option("--class -c NAME|INDEX", "Explain this class instead of the best ones; may be repeated.", MAP),
]
TopK = Annotated[int | None, option("--top-k --topk -k N", "Number of best predictions that get a map \\[5].", MAP)]
Scale = Annotated[
    str | None,
    option("--scale own|shared", "Scale each map to its own maximum or to the maximum of all maps \\[own].", MAP),
]
Masks = Annotated[int | None, option("--masks N", "Number of masks for D-RISE \\[800; 1000 for a classifier].", MAP)]
Head = Annotated[
    int | None, option("--head N", "With --method attention: one head, counted from 0 \\[mean of all].", MAP)
]
ScoreThr = Annotated[float | None, option("--score-thr 0..1", "Hide boxes with a lower score \\[0.25].", BOXES)]
HistoryFolder = Annotated[
    Path | None, option("--folder FOLDER", "Folder of the history \\[SIGHTGLASS_HISTORY, or your data folder].")
]
Json = Annotated[bool, option("--json", "Print only JSON on stdout.", OUT)]
Out = Annotated[
    Path | None,
    option("--out -o FOLDER", "Output folder; several pictures get a subfolder each \\[explained/<picture>].", OUT),
]
ExtraFormats = Annotated[
    list[str] | None,
    option(
        "--also svg,pdf,html,report,gif,mp4",
        "Also write the figure as SVG or PDF, an offline HTML report, a PDF report, or an animation over the layers.",
        OUT,
    ),
]


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """How the model is loaded and fed, for every verb that runs one."""

    preprocessing: str | None = field(
        "--preprocessing NAME",
        "How the picture is fitted: trained, crop, squash, letterbox, half \\[trained]. It can change the prediction.",
        MODEL,
    )
    device: str = field("--device NAME", "auto, cpu, cuda, cuda:N or mps \\[auto].", MODEL, default="auto")


@dataclass(frozen=True, kw_only=True)
class ModelOptions(LoadOptions):
    model: Model = "efficientnet-lite0"
    words: Words = None


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    question: Question = None
    method: Method = None
    target_layers: Layers = None
    part: str | None = field(
        "--part NAME",
        "What to explain: class, contrast; for a box also box, left, top, ..., objectness, mask, all \\[class].",
        MAP,
    )


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written, and how it is drawn."""

    colormap: str = field("--colormap NAME", "inferno, viridis, jet, turbo, ... \\[inferno].", OUT, default="inferno")
    alpha: float | None = field("--alpha 0..1", "Opacity of the colours over the picture.", OUT)
    out: Out = None
    json: Json = False

    def colours(self, alpha: float = 0.5) -> MapColours:
        """Return how maps are drawn; `alpha` applies where none was given."""
        from explain.export.result_folder import MapColours

        return MapColours(self.colormap, alpha if self.alpha is None else self.alpha)


def verb(app: typer.Typer, name: str, examples: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a function as a verb of `app`: its docstring is the help text, and the examples are shown below it.

    A parameter annotated with a dataclass stands for all of its fields, each of them an option.
    """

    def register(function: Callable[..., int]) -> Callable[..., int]:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        below = "[bold]Examples[/]\n\n\b\n" + as_called(inspect.cleandoc(examples)).replace("[", "\\[")
        app.command(name, help=text, epilog=below)(_expanded(function))
        return function

    return register


def _expanded(function: Callable[..., int]) -> Callable[..., int]:
    """Return the function with the fields of its dataclasses as parameters, which is what typer reads."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for name, hint in get_type_hints(function, include_extras=True).items():
        if name == "return":
            continue
        if not is_dataclass(hint):
            default = inspect.signature(function).parameters[name].default
            parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
            continue
        groups[name], hints = hint, get_type_hints(hint, include_extras=True)
        for declared in fields(hint):
            kind = hints[declared.name]
            if "option" in declared.metadata:
                kind = Annotated[kind, declared.metadata["option"]]
            parameters.append(
                inspect.Parameter(
                    declared.name, inspect.Parameter.KEYWORD_ONLY, default=declared.default, annotation=kind
                )
            )

    def call(**values: Any) -> int:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        return function(**values)

    call.__name__, call.__module__ = function.__name__, function.__module__
    vars(call)["__signature__"] = inspect.Signature(parameters)
    return call


_SAME_NAME = ("question", "method", "part", "per", "ratio", "top_k", "scale", "masks", "head", "iou", "preprocessing")
_OTHER_NAMES = {"target_layers": "layers", "score_thr": "confidence", "words": "vocabulary", "of": "of"}
_ENGINE_NAMES = {name: name for name in _SAME_NAME} | _OTHER_NAMES
"""Fields of option dataclasses that the engine takes, and its names for them."""


def engine_options(options: Any, **more: Any) -> dict[str, Any]:
    """Return keyword arguments for an Explainer from a dataclass of options and from `more`, without unset ones."""
    given = {
        _ENGINE_NAMES[field.name]: getattr(options, field.name)
        for field in fields(options)
        if field.name in _ENGINE_NAMES
    } | more
    if given.get("layers"):
        given["layers"] = tuple(name.strip() for text in given["layers"] for name in text.split(",") if name.strip())
    if given.get("method"):
        given["method"] = find_method(given["method"]).id
    for flag, name in {"--score-thr": "confidence", "--iou": "iou"}.items():
        if (share := given.get(name)) is not None and not 0 <= share <= 1:
            raise Problem(f"{flag} is {share:g}: it goes from 0 to 1.")
    if (share := given.get("ratio")) is not None and not 0 < share <= 1:
        raise Problem(f"--ratio is {share:g}: give a share of the candidates that is over 0 and at most 1.")
    return {name: value for name, value in given.items() if value not in (None, (), [])}


def box_number(box: int) -> int:
    """Return the number of a box, counted from 1; raise Problem for a smaller one."""
    if box < 1:
        raise Problem(f"--box is {box}: boxes are counted from 1, the surest first.")
    return box


def check_options(explainer: Explainer, options: dict[str, Any]) -> None:
    """Raise ModelProblem for options that this model cannot honour for any picture."""
    from explain.questions import settings

    if options.get("layers") and not explainer.resident.gradients:
        raise ModelProblem(f"{explainer.model.id} exposes no internals and so no layers: leave --target-layers out.")
    if options.get("question"):
        settings(explainer.resident, options["question"])


def class_targets(options: Any, explainer: Explainer) -> dict[str, Any]:
    """Return the classes named by --class as targets, if any; for an open vocabulary, by name."""
    if not options.class_:
        return {}
    named = tuple(options.class_) if options.words else class_indices(options.class_, explainer.labels)
    return {"targets": named}


def class_indices(names: Sequence[str] | None, labels: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of classes given by name or index; a label that is a number counts as a label.

    Raises ModelProblem with a suggestion.
    """
    from models.labels import class_index

    lowered = {label.lower() for label in labels}

    def read(text: str) -> int | str:
        return int(text) if text.lstrip("-").isdigit() and text.lower() not in lowered else text

    return tuple(dict.fromkeys(class_index(read(name), labels) for name in names or ()))
