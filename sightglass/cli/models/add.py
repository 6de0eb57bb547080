"""`models add`: inspect, try and register a model file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.pictures import load_explainer, open_picture, report
from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json
from sightglass.common.files.packing import photographs
from sightglass.common.settings import settings
from sightglass.explain import phrases
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering import style
from sightglass.explain.trust import preprocessing_check
from sightglass.models import catalog, inspect
from sightglass.models.adapters.tasks import ROWS, check_task
from sightglass.models.load import load
from sightglass.models.own import adding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.models.inspect import Toml, Unknown

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
        load(catalog.of_table(id_, table, to))
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
    """Explain one picture with the model; return it with findings, or nothing where no packaged picture fits."""
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
    others = [example for example in packaged if example.sha256 != picture.sha256]
    finding = None if prompted else preprocessing_check.suspect(explainer.resident, [picture, *others])
    findings = [] if finding is None else [finding]
    console.say(*(f"{finding.level}: {finding.text}" for finding in findings))
    return {
        "picture": picture.name,
        "predictions": explanation.predictions,
        "maps": [
            {"label": heatmap.target.label, "layers": heatmap.layers, "method": heatmap.method, "state": heatmap.state}
            for heatmap in explanation.heatmaps
        ],
        "diagnosis": [*explanation.diagnosis, *findings],
    }
