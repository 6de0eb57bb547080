"""`models list | layers | add | remove`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console, load_explainer
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import Json
from sightglass.common.left_out import describe_left_out
from sightglass.common.settings import settings
from sightglass.explain import phrases
from sightglass.explain.evidence import layers as evidence_layers
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering import style
from sightglass.explain.tasks import describe_score
from sightglass.models import catalog
from sightglass.models import load as loading
from sightglass.models.adapters.tasks import check_task
from sightglass.models.own import adding, store
from sightglass.models.spec import ROWS, TASKS
from sightglass.report import results

if TYPE_CHECKING:
    from sightglass.explain import Explainer

app = typer.Typer(
    help="List models, their weights and layers, and add your own.",
    callback=cli.print_help,
    invoke_without_command=True,
)
COLUMNS = ("id", "family", "size", "task", "here", "download", "licence")
"""Columns of the table of models; in JSON `download` is `download_mb`, a number."""


@cli.verb(app, "list", "sightglass models list yolo --here")
def list_(
    search: Annotated[str, typer.Argument(metavar="[WORD]", help="Part of an id or family name.")] = "",
    task: Annotated[str | None, cli.option(f"--task {'|'.join(TASKS)}", "Only models for this task.")] = None,
    here: Annotated[bool, cli.option("--here", "Only models whose weights are on this machine.")] = False,
    json: cli.Json = False,
) -> int:
    """List the models of the catalogue: family, size, licence, and whether the weights are on this machine.

    Where they are not, the first use downloads them: `download` says about how large the file is.
    """
    if task is not None and task not in TASKS:
        raise Problem(f"--task is {task}: use {', '.join(TASKS[:-1])} or {TASKS[-1]}.")
    console = Console(json)
    matching: list[Json] = []
    cells = []
    for spec in catalog.catalog().values():
        if task not in (None, spec.task) or search.lower() not in f"{spec.id} {spec.family}".lower():
            continue
        if (available := catalog.available(spec)) or not here:
            known = {name: getattr(spec, name) for name in COLUMNS[:4]}
            matching.append({**known, "here": available, "download_mb": spec.megabytes, "licence": spec.licence})
            size = "" if available else phrases.download(spec.megabytes)
            cells.append([*map(str, known.values()), "yes" if available else "", size, spec.licence])
    console.table(COLUMNS, cells, right=("download",))
    if not matching:
        console.say("No model matches: leave out a word or --here.")
    if wrong := " ".join(dict.fromkeys(catalog.faults().values())):
        console.warn(wrong)
    console.result({"models": matching})
    return 0


@cli.verb(app, "layers", "sightglass models layers demo-s --all")
def layers(
    model: Annotated[str, typer.Argument(metavar="ID", help="A model listed by `models list`, or timm/<name>.")],
    every: Annotated[bool, cli.option("--all", "Also layers nested in others.")] = False,
    json: cli.Json = False,
) -> int:
    """List the layers of a model at which a map can be taken, in order of execution, and its named presets."""
    console = Console(json)
    with console.progress(f"Loading {model}") as progress:
        loaded = load_explainer(model, "cpu", progress).loaded
        presets, default = evidence_layers.presets(loaded), loaded.default_layers
        listed = loaded.layers if every else evidence_layers.outer_layers(loaded)
    rows, cells = [], []
    for layer in listed:
        (channels, height, width), chosen = layer.shape, layer.path in default
        rows.append({"path": layer.path, "shape": layer.shape, "layout": layer.layout, "default": chosen})
        cells.append((layer.path, str(channels), f"{height} × {width}", "default" * chosen))
    columns = ("path", "channels", "rows × columns", "")
    console.table(columns, cells, right=columns[1:3])
    console.say(*(f"{name}: {', '.join(paths)}" for name, paths in presets.items()))
    if not rows:
        console.say(f"{model} exposes no internals and so no layers.")
    console.result({"model": model, "layers": rows, "default": default, "presets": presets})
    return 0


@cli.verb(app, "remove", "sightglass models remove leaf")
def remove(
    model: Annotated[str, typer.Argument(metavar="ID", help="A model of your own.")], json: cli.Json = False
) -> int:
    """Remove a model of your own: its table, and its files if it was dropped into the dashboard; others stay."""
    console, to = Console(json), (settings().models or Path("models.toml")).absolute()
    if model in adding.tables(to):
        adding.remove(to, model)
    else:
        store.remove(model)
    console.say(f"{model} is removed.")
    console.result({"model": model})
    return 0


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    name: str | None = cli.field("--name ID", "Id of the model [the file's name].")
    arch: str | None = cli.field("--arch NAME", "A name of torchvision or timm, or your_file.py:ClassName.")
    labels: str | None = cli.field("--labels FILE", "File with the names of its classes: .json or text.")
    task: str | None = cli.field("--task NAME", f"{', '.join(ROWS)} [found out].")
    set_: list[str] | None = cli.field("--set KEY=VALUE", "Set a key, as in weights.preprocessing.size=64.")
    image: str | None = cli.field("--image PICTURE", "Picture to try it on [none].")
    trust: bool = cli.field("--trust", "Open the file even if that runs code in it.", default=False)
    force: bool = cli.field("--force", "Overwrite a model of the same name.", default=False)
    json: cli.Json = False


@cli.verb(
    app,
    "add",
    """
    sightglass models add leaf.pth --image leaf.jpg
    sightglass models add leaf.ckpt --arch nets.py:PlantNet --labels class_to_idx.json
    sightglass models add sketch.h5 --name sketch --set weights.preprocessing.size=28
    """,
)
def add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The model's file, or its folder.")], options: AddOptions
) -> int:
    """Add your own model: inspect its file, write its table into models.toml, and try it on a picture with --image.

    The table goes into the file named by SIGHTGLASS_MODELS, or else ./models.toml; everything else in it stays. It is
    written only if the model loads. A class in a Python file is your code: it runs.
    """
    console, path, arch = Console(options.json), catalog.model_file(file), _absolute(options.arch)
    answers = _read_answers(arch, options)
    picture = None if options.image is None else console.open_picture(options.image)
    with console.progress(f"Inspecting {path.name}"):
        draft = loading.inspect_model(path, arch)
    console.say(*draft.notes, *_say_unused(path))
    id_ = adding.make_id(options.name or catalog.name_of(path))
    if options.name is not None and id_ != options.name:
        console.say(f"It is called {id_}: a name consists of small letters, digits, dots, dashes and underscores.")
    to = (settings().models or Path("models.toml")).absolute()
    table = adding.relative(_fill_table(draft, answers), to.parent)
    packaged = (model.id for family in catalog.families(packaged=True).values() for model in family)
    if id_ in packaged and not options.force:
        raise ModelProblem(
            f"There is a packaged model {id_}: give another name (--name my-{id_}), or --force to replace it "
            f"wherever {to.name} is read."
        )
    text = adding.text_of(id_, table)
    adding.with_table(to, id_, table, force=options.force)  # reports a table of that name before loading
    console.say("", text.strip(), "")
    with console.progress(f"Loading {id_}"):
        loading.load(catalog.of_table(id_, table, to))
    adding.write(to, id_, table, force=options.force)
    trial = {} if picture is None else _try(console, id_, picture)
    console.say(f"{id_} is in {to}.")
    console.result({"model": id_, "file": to, "table": text, "notes": draft.notes, "proof": trial})
    return 0


def _say_unused(model: Path) -> list[str]:
    """Return which files of a model's folder are not used, as a sentence, or nothing."""
    files = sorted(file for file in model.rglob("*") if file.is_file()) if model.is_dir() else []
    unused = store.name_unused([file.relative_to(model).as_posix() for file in files])
    return [describe_left_out(unused)] if unused else []


def _read_answers(arch: str, options: AddOptions) -> loading.Toml:
    """Return the values of a model's table that the options state, by key."""
    return {
        **({loading.TRUST: "yes"} if options.trust else {}),
        **_parse_settings(options.set_ or ()),
        **({"task": check_task(options.task)} if options.task else {}),
        **({"weights.labels": str(Path(options.labels).expanduser().absolute())} if options.labels else {}),
        **({"arch": arch} if arch else {}),
    }


def _fill_table(draft: loading.TableDraft, answers: loading.Toml) -> loading.Toml:
    """Return the table of an inspected model with these answers; raise ModelProblem for an open question."""
    table, open_questions = adding.fill(draft, answers)
    for unknown in open_questions:
        if unknown.key == loading.TRUST:
            raise ModelProblem(f"{unknown.question} Add --trust if you do.")
        option = f"--{unknown.key.rpartition('.')[2]}" if unknown.key in adding.TEXTS else f"--set {unknown.key}="
        hint = f" (similar: {', '.join(unknown.choices[:5])})" if unknown.choices else ""
        raise ModelProblem(f"{unknown.question} Answer with {option}{hint}.")
    return table


def _parse_settings(texts: Sequence[str]) -> loading.Toml:
    """Parse `KEY=VALUE` texts; a value of invalid TOML is a string."""
    values: loading.Toml = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key.strip()):
            raise ModelProblem(f"--set is {text!r}: it should be KEY=VALUE, such as weights.preprocessing.size=64.")
        values[key.strip()] = adding.parse_value(value)
    return values


def _absolute(arch: str | None) -> str:
    """Return an architecture, with the path of a Python file made absolute."""
    file, colon, name = (arch or "").rpartition(":")
    return f"{Path(file).expanduser().absolute()}:{name}" if colon and file.endswith(".py") else arch or ""


def _say_sizes(explainer: "Explainer", picture: Image) -> list[str]:
    """Return the answers for other sizes of the picture, where no table states one and they differ."""
    from sightglass.explain.trust.preprocessing_check import read_sizes

    spec = explainer.model
    readings = () if spec.preprocessing.sides else read_sizes(explainer.loaded, picture)
    if len({reading.label for reading in readings}) < 2:
        return []
    own, *others = readings
    rows = [f"{each.preprocessing}: {each.label} {describe_score(each.score, spec, each.label)}" for each in others]
    option = "--set weights.preprocessing.size=128"
    return [
        "",
        f"Its answer changes with the size of the pictures, which no table states. {own.words}: {own.label}. Others:",
        *rows,
        f"Add it again with --force {option}, say, to choose the size of its training.",
    ]


def _try(console: Console, id_: str, picture: Image) -> Json:
    """Explain a picture with the model; return the result."""
    with console.progress(f"Trying {id_}") as progress:
        explainer = load_explainer(id_, "cpu", progress)
        # A model with an open vocabulary and no classes is tried with some words.
        prompted = not explainer.labels and explainer.loaded.adapter.takes_words
        options: dict[str, Any] = {"vocabulary": ("a person", "a vehicle", "an animal")} if prompted else {}
        explanation = explainer(picture, top_k=3, **options)
    console.report(explanation, style.VIEWER_STYLE)
    console.say(*_say_sizes(explainer, picture))
    return results.Explained.build(explanation).to_dict()
