"""`models add`: look at a model's file, ask what it does not say, write its table into models.toml, and try it out."""

from __future__ import annotations

import os
import re
import sys
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli import options as cli
from cli.console import Teller
from cli.models_toml import alone, relative, text_of, with_table, written
from common.errors import ImageProblem, ModelProblem, Problem
from common.packaged import photographs
from common.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from explain.explanation import Explanation
    from explain.findings.diagnosis import Finding
    from explain.picture.image import Image
    from models.inspect import TableDraft, Unknown

Answer = TypeVar("Answer")
PROMPTS = ("a person", "a vehicle", "an animal")
"""What a model that is asked in words is tried with."""
WINDOWS = 49
"""Places that are hidden one after the other to try a model that only answers."""
MADE_UP = "made-up numbers"


def add(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The model's file, or its folder.")],
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="ID", help="What to call it \\[the file's name].", show_default=False),
    ] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            "--arch", metavar="NAME", help="Of torchvision or timm, or their_file.py:ClassName.", show_default=False
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels", metavar="FILE", help="Where its classes are named: .json or text.", show_default=False
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A key of the table, such as weights.preprocessing.size=64.",
            show_default=False,
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            "--image", metavar="PICTURE", help="What to try it on \\[a packaged photograph].", show_default=False
        ),
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Open it even where that runs code in it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take what is likely.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a model of the same name.")] = False,
    json: cli.Json = False,
) -> int:
    """Add a model of yours: look at its file, write its table into models.toml, and try it on one picture.

    The table goes into the file that SIGHTGLASS_MODELS names, else into ./models.toml; what else stands there stays. It
    is written only if the model loads. A class in a file of Python is your code: it runs.
    """
    from models.inspect import TRUST, inspect_model

    tell = Teller(json)
    asks = not (yes or json) and sys.stdin.isatty()
    path = Path(file).expanduser().absolute()
    given = {
        **({TRUST: "yes"} if trust else {}),
        **_settings(set_ or ()),
        **({"weights.labels": _there(labels)} if labels else {}),
    }
    with tell.at_work(f"Looking at {path.name}") as bar:
        bar(-1, path.name)
        draft = inspect_model(path, _arch(arch))
    if arch is None and (unknown := _wanted(draft, "arch")) is not None and asks:
        draft = _answered(unknown, lambda answer: inspect_model(path, _arch(answer)))
    elif arch is not None:
        given["arch"] = _arch(arch)
    tell.say(*draft.notes)
    id_ = _id(name or path.stem)
    if name is not None and id_ != name:
        tell.say(f"It is called {id_}: a name is of small letters, digits, dots, dashes and underscores.")
    to = (settings().models or Path("models.toml")).absolute()
    table = _filled(draft, given, asks=asks)
    text = text_of(id_, relative(table, to.parent))
    whole = with_table(to, id_, text, force=force)
    _free(id_, to, force=force)
    with _tried(to, whole, id_):
        tell.say("", text.strip(), "")
        proof = _said(*_proof(tell, id_, image))
    # The trial takes a while: what was written into the file meanwhile stays.
    with alone(to):
        written(to, with_table(to, id_, text, force=force))
    tell.say(f"{id_} is in {to}.")
    tell.result({"model": id_, "file": to, "table": text, "notes": draft.notes, "proof": proof})
    return 0


def _settings(texts: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """`KEY=VALUE`, the value as TOML has it, or else a word as it stands."""
    import tomllib

    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", key.strip()):
            raise ModelProblem(f"--set is {text!r}: it should be KEY=VALUE, such as weights.preprocessing.size=64.")
        try:
            found[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = value.strip()
    return found


def _there(file: str) -> str:
    path = Path(file).expanduser().absolute()
    if not path.is_file():
        raise ModelProblem(f"There is no file {path}: give the one that names the classes.")
    return str(path)


def _arch(arch: str | None) -> str:
    """A file of Python is meant from here, and stands in the table from where models.toml is."""
    file, colon, name = (arch or "").rpartition(":")
    return f"{Path(file).expanduser().absolute()}:{name}" if colon and file.endswith(".py") else arch or ""


_TAKEN: dict[str, Callable[[str], str]] = {"arch": _arch, "weights.labels": lambda file: _there(file) if file else ""}
"""What becomes of an answer that stands for a file; others are TOML."""


def _free(id_: str, to: Path, *, force: bool) -> None:
    """Raise ModelProblem where a model that is packaged has the name: unnoticed it would be another from then on."""
    from models import catalog

    if not force and any(id_ == spec.id for family in catalog.families(packaged=True).values() for spec in family):
        raise ModelProblem(
            f"There is a packaged model {id_}: give another name (--name my-{id_}), or --force to have yours in its "
            f"place wherever {to.name} is read."
        )


def _wanted(draft: TableDraft, key: str) -> Unknown | None:
    return next((unknown for unknown in draft.unknown if unknown.key == key), None)


def _filled(draft: TableDraft, given: dict[str, Any], *, asks: bool) -> dict[str, Any]:
    """The draft's table with what was given, asked or is likely; raises ModelProblem for what is still lacking."""
    table: dict[str, Any] = {
        "loader": draft.loader,
        **({"arch": draft.arch} if draft.arch else {}),
        **_copy(draft.table),
    }
    from models.inspect import TRUST

    answers = dict(given)
    lacking = []
    trusted = answers.pop(TRUST, "")
    if (unknown := _wanted(draft, TRUST)) is not None:
        said = trusted or (_ask(unknown) if asks else "")
        if not said.lower().startswith("y"):
            raise ModelProblem(f"{unknown.question} Say --trust if you do.")
    for unknown in draft.unknown:
        if unknown.key in answers or unknown.key == TRUST:
            continue
        take = _TAKEN.get(unknown.key, str)
        answer = _answered(unknown, take) if asks else take(unknown.default) if unknown.default else ""
        if answer:
            answers |= {unknown.key: answer} if unknown.key in _TAKEN else _settings([f"{unknown.key}={answer}"])
        elif unknown.needed:
            lacking.append(unknown)
    if lacking:
        first = lacking[0]
        option = (
            f"--{first.key.rpartition('.')[2]}" if first.key in ("arch", "weights.labels") else f"--set {first.key}="
        )
        hint = f" (what looks like it: {', '.join(first.choices[:5])})" if first.choices else ""
        raise ModelProblem(f"{first.question} Say it with {option}{hint}.")
    for key, value in answers.items():
        *above, last = key.split(".")
        place = table
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return table


def _copy(table: dict[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in table.items() if value != ""}


def _answered(unknown: Unknown, take: Callable[[str], Answer]) -> Answer:
    """What is taken from somebody's answer; one that is wrong is asked for again."""
    while True:
        try:
            return take(_ask(unknown))
        except Problem as problem:
            typer.echo(str(problem), err=True)


def _ask(unknown: Unknown) -> str:
    """Somebody's answer; one of the choices by its number too, and nothing where that is enough."""
    for number, choice in enumerate(unknown.choices, 1):
        typer.echo(f"  {number}  {choice}", err=True)
    default = unknown.default
    left_out = "" if default or unknown.needed else " (Enter leaves it out)"
    said: str = typer.prompt(
        f"{unknown.question}{left_out}",
        default=default or (None if unknown.needed else ""),
        show_default=bool(default),
        prompt_suffix=" ",
        err=True,
    )
    said = said.strip()
    return unknown.choices[int(said) - 1] if said.isdigit() and 0 < int(said) <= len(unknown.choices) else said


def _id(name: str) -> str:
    found = re.sub(r"[^\w.-]+", "-", name).strip("-.").lower()
    if not found:
        raise ModelProblem(f"{name!r} is no name for a model: give another with --name.")
    return found


@contextmanager
def _tried(to: Path, whole: str, id_: str) -> Iterator[None]:
    """The file as it would be, beside the real one, is the one that is read as long as this lasts."""
    draft = to.with_name(f".{to.name}.{uuid.uuid4().hex}")
    named = os.environ.get("SIGHTGLASS_MODELS")
    try:
        draft.write_text(whole, "utf-8")
        os.environ["SIGHTGLASS_MODELS"] = str(draft)
        from models import catalog

        wrong = catalog.faults()
        if id_ in wrong or id_ not in catalog.catalog():
            raise ModelProblem(wrong.get(id_, wrong.get("", "")).replace(draft.name, to.name))
        yield
    finally:
        os.environ.pop("SIGHTGLASS_MODELS", None)
        if named is not None:
            os.environ["SIGHTGLASS_MODELS"] = named
        draft.unlink(missing_ok=True)


def _proof(tell: Teller, id_: str, image: str | None) -> tuple[Explanation, Finding | None]:
    """The model on one picture; what it says is told. Raises what loading it raises."""
    from cli.image import report, woken
    from explain.export.result_folder import Look
    from explain.findings.preprocessing_check import suspect
    from explain.picture.image import Image

    with tell.at_work(f"Trying {id_}") as bar:
        explainer = woken(id_, "cpu", bar)
        # One that is asked in words, and was given no classes, is tried with some.
        asked = not explainer.labels and explainer.resident.adapter.takes_words
        words: dict[str, Any] = {"vocabulary": PROMPTS} if asked else {}
        adapter = explainer.resident.adapter
        if not explainer.resident.gradients:
            # As it is, this would take a thousand passes, and is only to show that it works.
            words |= {"method": "occlusion", "masks": WINDOWS}
        channels = adapter.channels
        if image is None and channels not in (1, 3):
            tell.say(f"It takes {channels} channels: tried on made-up numbers, whose answer means nothing.")
            picture = _made_up(channels, *(adapter.preprocessing.size if adapter.preprocessing else (224, 224)))
        else:
            picture = Image.open(image or _picture())
        explanation = explainer(picture, top_k=3, **words)
    report(tell, explanation, Look("inferno", 0.5))
    if asked:
        return explanation, None
    found = suspect(explainer.resident, [explanation.image, *_photographs(explanation.image.sha256)])
    if found is not None:
        tell.say(f"{found.level}: {found.text}")
    return explanation, found


def _made_up(channels: int, height: int, width: int) -> Image:
    import numpy as np

    from explain.picture.image import MAX_PIXELS, Image
    from explain.picture.planes import shown

    numbers = np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)
    # `Image.open` would take four channels for a picture with transparency.
    pixels, planes, notes = shown(numbers, MADE_UP, MAX_PIXELS)
    return Image(pixels, MADE_UP, notes, planes=planes)


def _picture() -> Path:
    """The first of the packaged photographs."""
    if (found := next(iter(photographs().values()), None)) is None:
        raise ImageProblem("There is no packaged photograph here: give a picture with --image.")
    return found


def _photographs(but: str) -> list[Image]:
    """The packaged photographs, but not the one with this sha256."""
    from explain.picture.image import Image

    return [image for path in photographs().values() if (image := Image.open(path)).sha256 != but]


def _said(explanation: Explanation, suspicion: Finding | None) -> dict[str, Any]:
    """The proof for a program."""
    return {
        "picture": explanation.image.name,
        "predictions": explanation.predictions,
        "maps": [
            {"label": heatmap.target.label, "layers": heatmap.layers, "method": heatmap.method, "state": heatmap.state}
            for heatmap in explanation.heatmaps
        ],
        "diagnosis": [*explanation.diagnosis, *([suspicion] if suspicion else [])],
    }
