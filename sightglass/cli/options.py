"""Define the app, its verbs' registration and parsing, and their shared options."""

from __future__ import annotations

import dataclasses
import inspect
import mimetypes
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

import typer
from typer.core import TyperCommand

from sightglass.common import guide_words
from sightglass.common.errors import Problem
from sightglass.common.style import DEFAULTS
from sightglass.explain.methods import method as find_method
from sightglass.explain.options import BOXES as BOXES
from sightglass.explain.options import MODEL as MODEL
from sightglass.explain.options import OFFERED, OUTPUT, QUESTION
from sightglass.explain.rendering import style
from sightglass.report import offers

if TYPE_CHECKING:
    from sightglass.explain.explanation import Explanation
    from sightglass.models.spec import ModelSpec

PROGRAM = "sightglass"
"""Its one name, in help and docs; in a checkout `python -m sightglass` is the same."""
app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
DEFAULT_MODEL = "efficientnet-lite0"
ALL = "all"
"""Value of `explain --method` for a sheet of all quick methods."""
MAP, OUT = QUESTION.panel, OUTPUT
_PANELS: dict[str | None, str | None] = {MODEL: None, BOXES: MAP}
"""Small panels, and which they are part of in `--help`."""
RARE = "Rarely needed"
"""Panel of `--help` for what few need."""


def print_help(context: typer.Context) -> None:
    """Print help and exit with code 2 without a subcommand."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def option(usage: str, help: str, panel: str | None = None, **more: Any) -> Any:
    """Return a typer option; `usage` is its names and, unless it is a flag, its value: `--top-k -k N`."""
    names = [word for word in usage.split() if word.startswith("-")]
    metavar = " ".join(word for word in usage.split() if not word.startswith("-")) or None
    more = {"show_default": False, "rich_help_panel": _PANELS.get(panel, panel)} | more
    return typer.Option(*names, metavar=metavar, help=help.replace("[", "\\["), **more)


def field(usage: str, help: str, panel: str | None = None, *, verbs: str = "", default: Any = None, **more: Any) -> Any:
    """Return a dataclass field with a flag; `verbs`: the aliases of `explain` that have it, by default all."""
    metadata = {"flag": usage, "option": option(usage, help, panel, **more), "verbs": verbs.split()}
    return dataclasses.field(default=default, metadata=metadata)


Pictures = Annotated[
    list[str], typer.Argument(metavar="PICTURE", help="Image files, their folders, or names of examples.")
]
Picture = Annotated[str, typer.Argument(metavar="PICTURE", help="An image file, or the name of an example.")]
Json = Annotated[bool, option("--json", "Print only JSON on stdout.", OUT)]


class EngineOptions(dict[str, Any]):
    """The options of the engine that a verb was given, by their names in the library; unset ones are left out.

    A verb's function whose parameter has this type gets one flag for each option of the library that the verb offers.
    `targets` are texts: to a detector `"7"` is class 7, while the integer 7 would be its box 7.
    """


def check_box_flags(model: ModelSpec, engine_options: EngineOptions, like: str | None = None) -> None:
    """Raise ModelProblem for a flag of boxes of a model that draws none, if no guide, `like`, may have set it."""
    # Slow to import.
    from sightglass.explain.tasks import task_of

    if "confidence" in engine_options and like is None:
        task_of(model).check_box_options(model.id, "--score-thr")


MODEL_ID = "--model -m ID", f"Listed by `models list`, or a file [{DEFAULT_MODEL}].", MODEL
FOLDER = "--out -o FOLDER", "Output folder [one of the picture's name in explained/].", OUT
ALSO = "--also FORMATS", "Also svg and pdf, of the figure, or html, a report.", OUT


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    device: str = field("--device NAME", "auto, cpu, cuda, cuda:N or mps [auto].", MODEL, default="auto")


@dataclass(frozen=True, kw_only=True)
class ModelOptions(LoadOptions):
    model: str = field(*MODEL_ID, default=DEFAULT_MODEL)


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """How maps are drawn."""

    colormap: str = field(
        "--colormap NAME", "inferno, viridis, jet, turbo, ... [inferno].", OUT, default=DEFAULTS["colormap"]
    )
    alpha: float | None = field("--alpha 0..1", "Opacity of the colours over the picture.", RARE)
    like: str | None = field("--like NAME", f"A guide's defaults and colours: {', '.join(guide_words.guides())}.", RARE)
    mode: str | None = field("--mode overlay|blend", "blend colours cold places, too [overlay].", RARE)
    json: Json = False

    def style(self) -> style.Style:
        """Return how maps are drawn; raise Problem for what files are not drawn by."""
        if self.mode is not None:
            style.check_mode(self.mode, get_args(style.FileMode))
        return style.Style.parse(self.colormap, self.alpha, self.mode)


@dataclass(frozen=True, kw_only=True)
class OutputOptions(DrawOptions):
    out: Path | None = field(*FOLDER)


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    checks: bool = field("--checks", "Also test each map, in up to 100 passes.", MAP, default=False)


class _Verb(TyperCommand):
    """A verb, which takes the guides' options and layers with blanks between them, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        names = {name: param.opts for param in self.params for name in param.opts if name.startswith("-")}
        return super().parse_args(ctx, _join_layers(guide_words.translate(args, names)))


def _join_layers(args: Sequence[str]) -> list[str]:
    """Return the words with further layers after `--target-layers A` joined to it by commas."""
    joined, follows = list[str](), False
    for index, word in enumerate(args):
        if follows and _may_be_layer(word):
            joined[-1] += f",{word}"
            continue
        follows = list(args[index - 1 : index]) == ["--target-layers"] or word.startswith("--target-layers=")
        joined.append(word)
    return joined


def _may_be_layer(word: str) -> bool:
    """Return whether a word after a layer is another one, and no option and no picture."""
    if not re.fullmatch(r"\w[\w.\[\]-]*", word) or mimetypes.guess_type(word)[0] or os.path.exists(word):
        return False
    # Here, so that --help needs no torch.
    from sightglass.explain.picture.image import example_meant

    return example_meant(word) is None


def verb(
    app: typer.Typer, name: str, examples: str, help: str = "", *, panel: str | None = None
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a function as a verb, with its help and examples.

    A parameter annotated with a dataclass stands for its fields, each of them an option, and one annotated with
    `EngineOptions` for the engine's options that the verb has.
    """

    def register(function: Callable[..., int]) -> Callable[..., int]:
        call = _expand(function, name)
        paragraphs = inspect.cleandoc(help or function.__doc__ or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        below = "\b\n[bold]Examples[/]\n" + inspect.cleandoc(examples).replace("[", "\\[")
        app.command(name, cls=_Verb, help=text, epilog=below, rich_help_panel=panel)(call)
        return function

    return register


def _expand(function: Callable[..., int], verb: str) -> Callable[..., int]:
    """Return the function with typer's parameters."""
    parameters: list[tuple[str, Any, Any]] = []
    groups: dict[str, tuple[Any, list[str]]] = {}
    for name, hint in get_type_hints(function, include_extras=True).items():
        if hint is EngineOptions or is_dataclass(hint):
            added = _engine_flags(verb) if hint is EngineOptions else _own_flags(hint, verb)
            parameters += added
            groups[name] = _read_options if hint is EngineOptions else hint, [flag for flag, *_ in added]
        elif name != "return":
            parameters.append((name, hint, inspect.signature(function).parameters[name].default))

    def call(**values: Any) -> int:
        for name, (make, names) in groups.items():
            values[name] = make(**{name: values.pop(name) for name in names})
        return function(**values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    call.__name__, call.__module__ = function.__name__, function.__module__
    vars(call)["__signature__"] = inspect.Signature(
        [inspect.Parameter(name, keyword, default=default, annotation=kind) for name, kind, default in parameters]
    )
    return call


def _own_flags(options: Any, verb: str) -> list[tuple[str, Any, Any]]:
    """Return a dataclass's flags of a verb: (name, type, default)."""
    hints = get_type_hints(options, include_extras=True)
    flags: list[tuple[str, Any, Any]] = []
    for opt in fields(options):
        kind, about = hints[opt.name], opt.metadata
        if about:
            kind = Annotated[kind, about["option"]]
        if verb in (about.get("verbs") or (verb,)) or verb == "explain":
            flags.append((opt.name, kind, opt.default))
    return flags


def _engine_flags(verb: str) -> list[tuple[str, Any, Any]]:
    """Return the engine's flags: (name, type, default)."""
    flags: list[tuple[str, Any, Any]] = []
    for name, about in {"question": QUESTION, **OFFERED}.items():
        if about.is_for(verb):
            kind: Any = list[str] if about.kind is tuple else about.kind
            typed = option(about.flag, about.help, RARE if about.rare else about.panel)
            flags.append((name, Annotated[kind | None, typed], None))
    return flags


def _read_options(**values: Any) -> EngineOptions:
    """Return options in an Explainer's form; raise Problem for invalid ones."""
    options = EngineOptions({name: value for name, value in values.items() if value not in (None, [])})
    if "targets" in options:
        options["targets"] = tuple(dict.fromkeys(options["targets"]))
    for name in options.keys() & {"layers", "vocabulary"}:
        options[name] = tuple(word.strip() for text in options[name] for word in text.split(",") if word.strip())
    if options.get("method", ALL) != ALL:
        options["method"] = find_method(options["method"]).id
    if "examples" in options:
        options["examples"] = tuple(map(_read_example, options["examples"]))
    for name in options.keys() & OFFERED.keys():
        OFFERED[name].check(options[name], OFFERED[name].flag.split()[0])
    return options


def split_names(texts: Sequence[str] | None) -> list[str]:
    """Return the names of `--also`, each once; raise Problem for one that is not known."""
    names = [name.strip().lower() for text in texts or () for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in offers.ALSO]:
        raise Problem(f"--also does not know {unknown[0]}: use {', '.join(offers.ALSO)}.")
    return list(dict.fromkeys(names))


def extra_files(explanation: Explanation, formats: Sequence[str], look: style.Style) -> Iterator[tuple[str, bytes]]:
    """Yield the best map as the figures and reports of `--also`."""
    for format in (offers.ALSO[name] for name in formats if explanation.heatmaps):
        yield format.file, format.make(explanation, 0, dataclasses.asdict(look))


def _read_example(text: str) -> tuple[tuple[float, ...], str]:
    edges, _, name = text.partition("=")
    try:
        x0, y0, x1, y1 = map(float, edges.split(","))
    except ValueError:
        raise Problem(f"--example is {text}: give a box and a name, such as 50,400,240,900=coat.") from None
    return (x0, y0, x1, y1), name or "like the example"
