"""`models list | show | layers | add | remove`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import load_explainer, open_picture, report
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files.packing import photographs
from sightglass.common.settings import settings
from sightglass.explain import phrases, questions
from sightglass.explain.evidence import layers as evidence_layers
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering import style
from sightglass.models import catalog, inspect
from sightglass.models import load as loading
from sightglass.models.adapters.tasks import ROWS, check_task
from sightglass.models.checkpoints import weights
from sightglass.models.own import adding, store
from sightglass.models.spec import TASKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.models.inspect import Toml, Unknown
    from sightglass.models.spec import ModelSpec

app = typer.Typer(
    help="List models, their weights and layers, and add your own.",
    callback=cli.print_help,
    invoke_without_command=True,
)
COLUMNS = ("id", "family", "size", "task", "here", "download", "licence")
"""Of the table of models; in JSON `download` is `download_mb`, a number."""
Name = Annotated[str, typer.Argument(metavar="ID", help="A model listed by `models list`, or timm/<name>.")]


@cli.verb(
    app,
    "list",
    """
    sightglass models list
    sightglass models list yolo --here
    sightglass models list --task detect --json
    """,
)
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
    matching = [
        _row(spec, catalog.available(spec))
        for spec in catalog.catalog().values()
        if task in (None, spec.task) and search.lower() in f"{spec.id} {spec.family}".lower()
    ]
    matching = [row for row in matching if row["here"] or not here]
    console.table(COLUMNS, [[_cell(row, name) for name in COLUMNS] for row in matching], right=("download",))
    if not matching:
        console.say("No model matches: leave out a word or --here.")
    if (wrong := catalog.problem()) is not None:
        console.warn(wrong)
    console.result({"models": matching})
    return 0


@cli.verb(app, "show", "sightglass models show efficientnet-lite0 --labels")
def show(
    model: Name,
    labels: Annotated[bool, cli.option("--labels", "Also list its classes, by index.")] = False,
    json: cli.Json = False,
) -> int:
    """Show all that is known of one model; it is loaded if its weights are on this machine."""
    console = Console(json)
    spec = catalog.spec(model)
    here = catalog.available(spec)
    known: Json = _row(spec, here) | {
        "architecture": spec.arch,
        "source": spec.source,
        "method": spec.method,
        "outputs": tuple(map(adding.line_of, spec.weights.outputs)),
        "weights": weights.find(spec),
    }
    if here:
        with console.progress(f"Loading {model}") as progress:
            explainer = load_explainer(model, "cpu", progress)
            resident, adapter = explainer.resident, explainer.resident.adapter
            known |= {
                "parameters": resident.parameters,
                "classes": len(explainer.labels),
                "target_layers": explainer.default_layers,
                "input": (resident.probed if explainer.layers else None),
                "preprocessings": adapter.preprocessings,
                "parts": adapter.parts,
                "questions": ("where", "why") if questions.answers_why(resident) else (),
                "weights_sha256": adapter.weights_sha256,
            }
            if labels:
                known["labels"] = explainer.labels
    texts = {
        name: value
        for name, value in known.items()
        if name not in ("labels", "download_mb") and value not in (None, "", ())
    }
    texts["weights"] = getattr(known["weights"], "name", "")
    console.table(("", model), [(name.replace("_", " "), _text(value)) for name, value in texts.items()])
    if labels and here:
        console.table(("index", "class"), [(str(i), name) for i, name in enumerate(known["labels"])], right=("index",))
    if not here:
        console.say(f"Its weights are not on this machine: the first use {_first_use(spec)}.")
    console.result(known)
    return 0


@cli.verb(
    app,
    "layers",
    """
    sightglass models layers efficientnet-lite0
    sightglass models layers yolo11n --all
    sightglass models layers resnet50 --json
    """,
)
def layers(
    model: Name,
    every: Annotated[bool, cli.option("--all", "Also layers nested in others.")] = False,
    json: cli.Json = False,
) -> int:
    """List the layers of a model at which a map can be taken, in order of execution, and its named presets."""
    console = Console(json)
    with console.progress(f"Loading {model}") as progress:
        explainer = load_explainer(model, "cpu", progress)
        choices = evidence_layers.layer_choices(explainer.resident, inner=every)
    listed, default, presets = choices.layers, choices.default, choices.presets
    rows, cells = [], []
    for layer in listed:
        (channels, height, width), chosen = layer.shape, layer.path in default
        rows.append({"path": layer.path, "shape": layer.shape, "layout": layer.layout, "default": chosen})
        cells.append((layer.path, str(channels), f"{height} × {width}", "default" * chosen))
    columns = ("path", "channels", "rows × columns", "")
    console.table(columns, cells, right=columns[1:3])
    for name, paths in presets.items():
        console.say(f"{name}: {', '.join(paths)}")
    if not listed:
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


def _row(spec: ModelSpec, here: bool) -> Json:
    known = {name: getattr(spec, name) for name in ("id", "family", "size", "task")}
    return known | {"here": here, "download_mb": spec.megabytes, "licence": spec.licence}


def _cell(row: Json, column: str) -> str:
    if column == "download":
        return "" if row["here"] else phrases.download(row["download_mb"])
    return _text(row[column])


def _first_use(spec: ModelSpec) -> str:
    if weights.offline() or not weights.downloadable(spec):
        return "says which file to put where"
    return ", ".join(filter(None, ("downloads them", phrases.download(spec.megabytes))))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


WINDOWS = 49
"""Number of places to occlude when trying a model that exposes no internals."""


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    name: str | None = cli.field("--name ID", "Id of the model [the file's name].")
    arch: str | None = cli.field("--arch NAME", "A name of torchvision or timm, or your_file.py:ClassName.")
    labels: str | None = cli.field("--labels FILE", "File with the names of its classes: .json or text.")
    task: str | None = cli.field("--task NAME", f"{', '.join(ROWS)} [found out].")
    set_: list[str] | None = cli.field("--set KEY=VALUE", "Set a key, as in weights.preprocessing.size=64.")
    image: str | None = cli.field("--image PICTURE", "Picture to try it on [a packaged photograph].")
    trust: bool = cli.field("--trust", "Open the file even if that runs code in it.", default=False)
    force: bool = cli.field("--force", "Overwrite a model of the same name.", default=False)
    json: cli.Json = False


@cli.verb(
    app,
    "add",
    """
    sightglass models add leaf.pth --image leaf.jpg
    sightglass models add leaf.ckpt --arch nets.py:PlantCNN --labels class_to_idx.json
    sightglass models add sketch.h5 --name sketch --set weights.preprocessing.size=64
    """,
)
def add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The model's file, or its folder.")], options: AddOptions
) -> int:
    """Add your own model: inspect its file, write its table into models.toml, and try it on one picture.

    The table goes into the file named by SIGHTGLASS_MODELS, or else ./models.toml; everything else in it stays. It is
    written only if the model loads. A class in a Python file is your code: it runs.
    """
    console, path, arch = Console(options.json), catalog.model_file(file), _absolute(options.arch)
    answers = {
        **({inspect.TRUST: "yes"} if options.trust else {}),
        **_settings(options.set_ or ()),
        **({"task": check_task(options.task)} if options.task else {}),
        **({"weights.labels": _existing(options.labels)} if options.labels else {}),
        **({"arch": arch} if arch else {}),
    }
    picture = None if options.image is None else open_picture(options.image, console)
    with console.progress(f"Inspecting {path.name}"):
        draft = inspect.inspect_model(path, arch)
    console.say(*draft.notes)
    id_ = adding.make_id(options.name or path.stem)
    if options.name is not None and id_ != options.name:
        console.say(f"It is called {id_}: a name consists of small letters, digits, dots, dashes and underscores.")
    to = (settings().models or Path("models.toml")).absolute()
    table, open_questions = adding.fill(draft, answers)
    if open_questions:
        raise ModelProblem(_ask(open_questions[0]))
    table = adding.relative(table, to.parent)
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
    trial = _try(console, id_, picture)
    console.say(f"{id_} is in {to}.")
    console.result({"model": id_, "file": to, "table": text, "notes": draft.notes, "proof": trial})
    return 0


def _ask(unknown: Unknown) -> str:
    """Return the question about a missing setting, with its option."""
    if unknown.key == inspect.TRUST:
        return f"{unknown.question} Add --trust if you do."
    option = f"--{unknown.key.rpartition('.')[2]}" if adding.is_text(unknown.key) else f"--set {unknown.key}="
    hint = f" (similar: {', '.join(unknown.choices[:5])})" if unknown.choices else ""
    return f"{unknown.question} Answer with {option}{hint}."


def _settings(texts: Sequence[str]) -> Toml:
    """Parse `KEY=VALUE` texts; a value of invalid TOML is a string."""
    values: Toml = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key.strip()):
            raise ModelProblem(f"--set is {text!r}: it should be KEY=VALUE, such as weights.preprocessing.size=64.")
        values[key.strip()] = adding.parse_value(value)
    return values


def _existing(file: str) -> str:
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise ModelProblem(f"There is no file {path}: give the one with the names of the classes.")
    return str(path)


def _absolute(arch: str | None) -> str:
    """Return an architecture, with the path of a Python file made absolute."""
    file, colon, name = (arch or "").rpartition(":")
    return f"{Path(file).expanduser().absolute()}:{name}" if colon and file.endswith(".py") else arch or ""


def _try(console: Console, id_: str, picture: Image | None) -> Json:
    """Explain one picture with the model; return it with its findings, or nothing where no packaged picture fits."""
    with console.progress(f"Trying {id_}") as progress:
        explainer = load_explainer(id_, "cpu", progress)
        adapter, packaged = explainer.resident.adapter, [Image.open(path) for path in photographs().values()]
        if picture is None and (adapter.channels not in (1, 3) or not packaged):
            takes = phrases.plural(adapter.channels, "channel")
            console.say(f"It takes {takes}: it loads, and no packaged picture fits; give one with --image to try it.")
            return {}
        # A model with an open vocabulary and no classes is tried with some words.
        prompted = not explainer.labels and adapter.takes_words
        options: dict[str, Any] = {"vocabulary": ("a person", "a vehicle", "an animal")} if prompted else {}
        if not explainer.resident.gradients:
            # The default takes a thousand passes; this only has to show that the model works.
            options |= {"method": "occlusion", "masks": WINDOWS}
        picture = picture or packaged[0]
        explanation = explainer(picture, top_k=3, **options)
    report(console, explanation, style.VIEWER_STYLE)
    return {
        "picture": picture.name,
        "predictions": explanation.predictions,
        "maps": [
            {"label": heatmap.target.label, "layers": heatmap.layers, "method": heatmap.method, "state": heatmap.state}
            for heatmap in explanation.heatmaps
        ],
        "diagnosis": explanation.diagnosis,
    }
