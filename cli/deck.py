"""`deck list | make | export | open`: the decks of slides on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options as cli
from cli.console import Console
from common.errors import Problem
from common.files import write_file
from explain.phrases import plural

if TYPE_CHECKING:
    from explain.deck.deck import Deck
    from explain.deck.decks import Decks

app = cli.group("List, make, export and open decks of slides.")


@cli.verb(app, "list", "python -m explain deck list")
def list_(folder: cli.HistoryFolder = None, json: cli.Json = False) -> int:
    """List the decks, the one that was changed last first, with their slides."""
    console, decks = Console(json), _decks(folder)
    found = decks.all()
    rows = [(one.id, f"{one.changed:%Y-%m-%d %H:%M}", one.title, f"{len(one.slides)}") for one in found]
    if found:
        console.table(("id", "changed (UTC)", "title", "slides"), rows, right=("slides",))
    else:
        console.say("No decks yet: make one of your views in the dashboard, or `python -m explain deck make lies`.")
    console.result({"decks": [_described(one) for one in found]})
    return 0


@cli.verb(app, "make", "python -m explain deck make lies")
def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="lies (what is a heat map?) or sizes (small to large).")],
    folder: cli.HistoryFolder = None,
    json: cli.Json = False,
) -> int:
    """Make one of the two ready decks with the packaged models: about half a minute.

    Every number in it is measured on this machine.
    """
    from common.suggestions import did_you_mean
    from explain.deck import ready

    if name not in ready.READY:
        raise Problem(f"There is no ready deck {name}: {did_you_mean(name, list(ready.READY), 'give lies or sizes.')}")
    console, decks = Console(json), _decks(folder)
    deck = ready.make(decks, name)
    console.say(f"{deck.title} {plural(len(deck.slides), 'slide')}, as {deck.id}.")
    console.result(_described(deck))
    return 0


@cli.verb(
    app,
    "export",
    """
    python -m explain deck export 4173af9f48a1f96d --out monday.sightglass
    python -m explain deck export 4173af9f48a1f96d --out monday.html
    python -m explain deck export 4173af9f48a1f96d --out monday.pptx
    """,
)
def export(
    id: Annotated[str, typer.Argument(metavar="ID", help="An id listed by `deck list`.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="A file ending in .sightglass, .html, .pptx or .pdf.")
    ],
    folder: cli.HistoryFolder = None,
    json: cli.Json = False,
) -> int:
    """Write a deck to a file: to open it elsewhere, to play it in any browser without a network, or to hand it out."""
    from explain.deck import archive
    from explain.export.deck_files import KINDS, made

    console, decks = Console(json), _decks(folder)
    kind = out.suffix.lower()
    if kind != archive.SUFFIX and kind not in KINDS:
        raise Problem(f"A deck's file ends in {archive.SUFFIX}, .html, .pptx or .pdf, not in {kind or 'nothing'}.")
    deck = decks.get(id)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, archive.of(decks, deck) if kind == archive.SUFFIX else made(decks, deck, kind))
    console.say(f"{out}: {deck.title}, {plural(len(deck.slides), 'slide')}.")
    console.result({"to": out, "id": deck.id})
    return 0


@cli.verb(app, "open", "python -m explain deck open monday.sightglass")
def open_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A deck that was exported as .sightglass.")],
    folder: cli.HistoryFolder = None,
    json: cli.Json = False,
) -> int:
    """Add a deck's file to the decks on this machine. Nothing in it is run."""
    from explain.deck import archive

    console, decks = Console(json), _decks(folder)
    try:
        with file.open("rb") as given:
            data = given.read(archive.MAX_BYTES + 1)
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror or error}.") from error
    deck = archive.put(decks, data)
    console.say(f"{deck.title}, {plural(len(deck.slides), 'slide')}, as {deck.id}.")
    console.result(_described(deck))
    return 0


def _described(deck: Deck) -> dict[str, object]:
    slides = [{"id": one.id, "kind": one.kind, "title": one.title, "sentence": one.sentence} for one in deck.slides]
    return {"id": deck.id, "title": deck.title, "changed": deck.changed.isoformat(), "slides": slides}


def _decks(folder: Path | None) -> Decks:
    from explain.history import History

    return History(folder).decks
