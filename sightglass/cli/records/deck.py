"""`deck list | make | export | open`: decks of slides."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightglass import history
from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common.errors import Problem, did_you_mean
from sightglass.common.files import write_file
from sightglass.deck import archive
from sightglass.deck import decks as deck_decks
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from sightglass.deck.decks import Decks
    from sightglass.deck.scene import Deck

app = cli.group("List, make, export and open decks of slides.")


@cli.verb(app, "list", "sightglass deck list")
def list_(folder: cli.HistoryFolder = None, json: cli.Json = False) -> int:
    """List the decks, the one that was changed last first, with their slides."""
    console, decks = Console(json), _decks(folder)
    found = decks.all()
    rows = [(one.id, f"{one.changed:%Y-%m-%d %H:%M}", one.title, f"{len(one.slides)}") for one in found]
    if found:
        console.table(("id", "changed (UTC)", "title", "slides"), rows, right=("slides",))
    else:
        console.say("No decks yet: make one of your views in the dashboard, or `sightglass deck make lies`.")
    console.result({"decks": [_describe(one) for one in found]})
    return 0


@cli.verb(app, "make", "sightglass deck make lies")
def make(
    name: Annotated[str, typer.Argument(metavar="NAME", help="lies (what is a heat map?) or sizes (small to large).")],
    folder: cli.HistoryFolder = None,
    json: cli.Json = False,
) -> int:
    """Add one of the two packaged decks to yours."""
    if name not in archive.READY:
        known = did_you_mean(name, list(archive.READY), "give lies or sizes.")
        raise Problem(f"There is no ready deck {name}: {known}")
    console, decks = Console(json), _decks(folder)
    deck = archive.put_ready(decks, name)
    console.say(f"{deck.title} {plural(len(deck.slides), 'slide')}, as {deck.id}.")
    console.result(_describe(deck))
    return 0


@cli.verb(
    app,
    "export",
    """
    sightglass deck export "Board meeting" --out monday.sightglass
    sightglass deck export "Board meeting" --out monday.html
    sightglass deck export 4173af9f48a1f96d --out monday.pptx
    """,
)
def export(
    deck: Annotated[str, typer.Argument(metavar="DECK", help="A title or an id listed by `deck list`.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="A file ending in .sightglass, .html, .pptx or .pdf.")
    ],
    folder: cli.HistoryFolder = None,
    json: cli.Json = False,
) -> int:
    """Write a deck to a file: to open it elsewhere, to play it in any browser without a network, or to hand it out."""
    console, decks = Console(json), _decks(folder)
    kind = out.suffix.lower()
    if kind != archive.SUFFIX and kind not in deck_decks.FILE_KINDS:
        raise Problem(f"A deck's file ends in {archive.SUFFIX}, .html, .pptx or .pdf, not in {kind or 'nothing'}.")
    found = decks.find(deck)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_file(out, archive.of(decks, found) if kind == archive.SUFFIX else decks.file(found, kind))
    console.say(f"{out}: {found.title}, {plural(len(found.slides), 'slide')}.")
    console.result({"to": out, "id": found.id})
    return 0


@cli.verb(app, "open", "sightglass deck open monday.sightglass")
def open_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A deck that was exported as .sightglass.")],
    folder: cli.HistoryFolder = None,
    json: cli.Json = False,
) -> int:
    """Add a deck's file to the decks on this machine. Nothing in it is run."""
    console, decks = Console(json), _decks(folder)
    try:
        with file.open("rb") as given:
            data = given.read(archive.MAX_BYTES + 1)
    except OSError as error:
        raise Problem(f"{file} cannot be read: {error.strerror or error}.") from error
    deck = archive.put(decks, data)
    console.say(f"{deck.title}, {plural(len(deck.slides), 'slide')}, as {deck.id}.")
    console.result(_describe(deck))
    return 0


def _describe(deck: Deck) -> dict[str, object]:
    slides = [{"id": one.id, "kind": one.kind, "title": one.title, "sentence": one.sentence} for one in deck.slides]
    return {"id": deck.id, "title": deck.title, "changed": deck.changed.isoformat(), "slides": slides}


def _decks(folder: Path | None) -> Decks:
    decks: Decks = history.History(folder).decks
    return decks
