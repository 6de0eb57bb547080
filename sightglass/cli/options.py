"""Options of several verbs, as dataclasses."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.style import DEFAULTS
from sightglass.explain import questions
from sightglass.explain.methods import METHODS
from sightglass.explain.methods import method as find_method
from sightglass.explain.options import BOXES as BOXES
from sightglass.explain.options import MODEL as MODEL
from sightglass.explain.options import OFFERED, QUESTION, SOME_METHODS, Options
from sightglass.explain.rendering import style
from sightglass.models import labels as models_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.explainer import Explainer
    from sightglass.explain.rendering.style import Style

PROGRAM = "sightglass"
"""Its one name, in help and docs; in a checkout `python -m sightglass` is the same."""

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def group(help: str) -> typer.Typer:
    """Return a group of verbs; without a verb, it prints its help and exits with code 2."""
    made = typer.Typer(help=help)

    @made.callback(invoke_without_command=True)
    def without_verb(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            typer.echo(context.get_help())
            raise typer.Exit(2)

    return made


ALL = "all"
"""Of `image --method`: a sheet of all quick methods."""
MAP, OUT = QUESTION.panel, OFFERED["within"].panel
PANELS = (None, MODEL, MAP, BOXES)
"""The first ones of `--help`, in their order."""


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
HistoryFolder = Annotated[
    Path | None, option("--folder FOLDER", "Folder of the history \\[SIGHTGLASS_HISTORY, or your data folder].")
]
Colormap = Annotated[
    str, option("--colormap NAME", f"inferno, viridis, jet, turbo, ... \\[{DEFAULTS['colormap']}].", OUT)
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


class EngineOptions(dict[str, Any]):
    """The options of the engine that a verb was given, by their names in the library; unset ones are left out.

    A parameter with this annotation stands for the flags of all options that are declared for the verb. Classes are
    as they were typed: only the model knows them.
    """


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    device: str = field("--device NAME", "auto, cpu, cuda, cuda:N or mps \\[auto].", MODEL, default="auto")


@dataclass(frozen=True, kw_only=True)
class ModelOptions(LoadOptions):
    model: Model = "efficientnet-lite0"


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What is written, and how it is drawn."""

    colormap: Colormap = DEFAULTS["colormap"]
    alpha: float | None = field("--alpha 0..1", "Opacity of the colours over the picture.", OUT)
    out: Out = None
    json: Json = False

    def style(self, *, even: bool = True) -> Style:
        """Return how maps are drawn; `even`: equally opaque everywhere, and not clear where they are cold."""
        return style.Style.parse(self.colormap, self.alpha, even=even)


@dataclass(frozen=True, kw_only=True)
class SealOptions:
    seal: bool = field(
        "--seal",
        "Also test each map: does it depend on the model, matter to the answer, hold still? About 60 passes a map.",
        MAP,
        default=False,
    )


def verb(app: typer.Typer, name: str, examples: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a function as a verb of `app`: its docstring is the help text, and the examples are shown below it.

    A parameter annotated with a dataclass stands for all of its fields, each of them an option, and one annotated with
    `EngineOptions` for the engine's options that the verb has.
    """

    def register(function: Callable[..., int]) -> Callable[..., int]:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        below = "[bold]Examples[/]\n\n\b\n" + inspect.cleandoc(examples).replace("[", "\\[")
        app.command(name, help=text, epilog=below)(_expand(function, name))
        return function

    return register


def _expand(function: Callable[..., int], verb: str) -> Callable[..., int]:
    """Return the function with a parameter for each flag, which is what typer reads."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[Callable[..., Any], list[str]]] = {}

    def add(name: str, kind: Any, default: Any) -> None:
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind))

    for name, hint in get_type_hints(function, include_extras=True).items():
        if hint is EngineOptions:
            flags = _engine_flags(verb)
            groups[name] = _read_options, [*flags]
            for option_name, kind in flags.items():
                add(option_name, kind, None)
        elif isinstance(hint, type) and is_dataclass(hint):
            groups[name], hints = (hint, [one.name for one in fields(hint)]), get_type_hints(hint, include_extras=True)
            for one in fields(hint):
                kind = hints[one.name]
                add(one.name, Annotated[kind, one.metadata["option"]] if one.metadata else kind, one.default)
        elif hint is typer.Context:
            add(name, hint, inspect.Parameter.empty)
        elif name != "return":
            add(name, hint, inspect.signature(function).parameters[name].default)

    def call(**values: Any) -> int:
        for name, (make, names) in groups.items():
            values[name] = make(**{name: values.pop(name) for name in names})
        return function(**values)

    def panel(one: inspect.Parameter) -> int:
        if one.annotation is typer.Context:
            return 0
        name = one.annotation.__metadata__[0].rich_help_panel
        return PANELS.index(name) if name in PANELS else len(PANELS)

    call.__name__, call.__module__ = function.__name__, function.__module__
    vars(call)["__signature__"] = inspect.Signature(sorted(parameters, key=panel))
    return call


def _engine_flags(verb: str) -> dict[str, Any]:
    """Return the types of a verb's parameters for options of the engine, by the options' names."""
    found: dict[str, Any] = {}
    for name, about in {"question": QUESTION, **OFFERED}.items():
        if verb in about.verbs.split():
            help = about.help.replace(SOME_METHODS, ", ".join(METHODS)).replace("[", "\\[")
            kind: Any = list[str] if about.kind is tuple else about.kind
            found[name] = Annotated[kind | None, option(about.flag, help, about.panel)]
    return found


def _read_options(**given: Any) -> EngineOptions:
    """Return options as an Explainer takes them; raise Problem for one that it would refuse by another name."""
    found = EngineOptions({name: value for name, value in given.items() if value not in (None, [])})
    for name in found.keys() & {"layers", "vocabulary"}:
        found[name] = tuple(word.strip() for text in found[name] for word in text.split(",") if word.strip())
    if found.get("method", ALL) != ALL:
        found["method"] = find_method(found["method"]).id
    if "examples" in found:
        found["examples"] = tuple(map(_read_example, found["examples"]))
    for name in found.keys() & {"confidence", "iou"}:
        if not OFFERED[name].allows(found[name]):
            raise Problem(f"{OFFERED[name].flag.split()[0]} is {found[name]:g}: {OFFERED[name].wrong}.")
    if not 0 < (share := found.get("ratio", 1)) <= 1:
        raise Problem(f"--ratio is {share:g}: give a share of the candidates that is over 0 and at most 1.")
    return found


def _read_example(text: str) -> tuple[tuple[float, ...], str]:
    place, _, name = text.partition("=")
    try:
        x0, y0, x1, y1 = map(float, place.split(","))
    except ValueError:
        raise Problem(f"--example is {text}: give a box and a name, such as 50,400,240,900=coat.") from None
    return (x0, y0, x1, y1), name or "like the example"


def box_number(box: int) -> int:
    """Return the number of a box, counted from 1; raise Problem for a smaller one."""
    if box < 1:
        raise Problem(f"--box is {box}: boxes are counted from 1, the surest first.")
    return box


def check_options(explainer: Explainer, options: dict[str, Any]) -> None:
    """Raise ModelProblem for options that this model cannot honour for any picture."""
    if options.get("layers") and not explainer.resident.gradients:
        raise ModelProblem(f"{explainer.model.id} exposes no internals and so no layers: leave --target-layers out.")
    if options.get("question"):
        questions.settings(explainer.resident, options["question"])


def known_labels(asked: EngineOptions, explainer: Explainer) -> Sequence[str]:
    """Return the labels of the model's classes, or of its given examples or words."""
    given = Options.parse({name: asked[name] for name in ("vocabulary", "examples") if name in asked})
    if given.examples:
        return tuple(dict.fromkeys(name.strip() for _, name in given.examples))
    return explainer.with_vocabulary(explainer.resident, given, None).adapter.labels


def read_candidate(text: str, labels: Sequence[str]) -> tuple[int, int]:
    """Return the number and the class of a candidate, or of a pixel in a region: `7211,dog`."""
    anchor, _, name = text.partition(",")
    if not (anchor.strip().isdecimal() and name.strip()):
        raise Problem(f"--candidate is {text}: give its number and its class, such as 7211,dog.")
    return int(anchor), class_indices([name.strip()], labels)[0]


def with_classes(asked: EngineOptions, explainer: Explainer) -> dict[str, Any]:
    """Return the options with the classes to explain by index; raise ModelProblem for one that there is not."""
    if "targets" not in asked:
        return asked
    return asked | {"targets": class_indices(asked["targets"], known_labels(asked, explainer))}


def read_class(text: str, labels: Sequence[str]) -> int | str:
    """Return a class that was typed: an index, or a label; a label that is a number counts as a label."""
    is_label = text.lower() in {label.lower() for label in labels}
    return int(text) if text.lstrip("-").isdigit() and not is_label else text


def class_indices(names: Sequence[str] | None, labels: Sequence[str]) -> tuple[int, ...]:
    """Return the indices of classes given by name or index; raise ModelProblem with a suggestion."""
    return tuple(dict.fromkeys(models_labels.class_index(read_class(name, labels), labels) for name in names or ()))
