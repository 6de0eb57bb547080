"""`models list | show | layers | add | remove`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.models import add
from sightglass.cli.pictures import load_explainer
from sightglass.common.errors import Problem
from sightglass.common.settings import settings
from sightglass.explain import questions
from sightglass.explain.evidence import layers as evidence_layers
from sightglass.explain.phrases import download
from sightglass.models import catalog
from sightglass.models.checkpoints import weights
from sightglass.models.own import adding, store
from sightglass.models.spec import TASKS

if TYPE_CHECKING:
    from sightglass.common.files import Json
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
        choices = evidence_layers.layer_choices(explainer.resident, every=every)
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
        return "" if row["here"] else download(row["download_mb"])
    return _text(row[column])


def _first_use(spec: ModelSpec) -> str:
    if weights.offline() or not weights.downloadable(spec):
        return "says which file to put where"
    return ", ".join(filter(None, ("downloads them", download(spec.megabytes))))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


cli.verb(
    app,
    "add",
    """
    sightglass models add leaf.pth --image leaf.jpg
    sightglass models add leaf.ckpt --arch nets.py:PlantCNN --labels class_to_idx.json
    sightglass models add sketch.h5 --name sketch --set weights.preprocessing.size=64
    """,
)(add.add)
