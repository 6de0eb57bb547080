"""`history list | show | export | delete`: saved explanations."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightglass import history
from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common.errors import Problem
from sightglass.common.files import atomic_write
from sightglass.explain import phrases
from sightglass.export import command, result_folder
from sightglass.history import export as history_export
from sightglass.history import pairs

if TYPE_CHECKING:
    from sightglass.history import History, Record, SavedMap, SearchResult

app = cli.group("Search, show, export and delete saved explanations.")
Ids = Annotated[list[str], typer.Argument(metavar="ID", help="Ids listed by `history list`.")]
COLUMNS = ("id", "saved (UTC)", "picture", "model", "method", "of", "tags")


@dataclass(frozen=True, kw_only=True)
class ListOptions:
    model: str | None = cli.field("--model -m ID", "Only this model.")
    method: str | None = cli.field("--method NAME", "Only this method.")
    label: str | None = cli.field("--class LABEL", "Only this class, by its full name.")
    tag: str | None = cli.field("--tag TAG", "Only this tag.")
    order: str = cli.field(
        "--order ORDER", "newest, oldest, surest, 'least sure' or largest.", show_default=True, default="newest"
    )
    limit: int = cli.field("--limit N", "Maximum number of records.", show_default=True, default=60)
    skip: int = cli.field("--skip N", "Records to skip before those.", show_default=True, default=0)
    folder: cli.HistoryFolder = None
    json: cli.Json = False


@cli.verb(
    app,
    "list",
    """
    sightglass history list
    sightglass history list number plate --tag checked
    sightglass history list --class minibus --order surest --json
    """,
)
def list_(
    options: ListOptions,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD", help="Words, or their beginnings, that must all occur.", show_default=False),
    ] = None,
) -> int:
    """List saved explanations, the newest first.

    Words are searched for in the headline, classes, note, marks, tags, name, model and method.
    """
    console, history = Console(options.json), _history(options.folder)
    found = history.search(
        text=" ".join(words or ()),
        model=options.model,
        method=options.method,
        label=options.label,
        tag=options.tag,
        order=options.order,  # type: ignore[arg-type]  # the search checks it
        limit=options.limit,
        offset=options.skip,
    )
    console.table(COLUMNS, [_row(record) for record in found.records])
    filtered = bool(words or options.model or options.method or options.label or options.tag)
    console.say(_summary(history, found, filtered=filtered))
    console.result({"total": found.total, "records": [history_export.describe(record) for record in found.records]})
    return 0


@cli.verb(app, "show", "sightglass history show 4173af9f48a1f96d")
def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="An id listed by `history list`.")],
    folder: cli.HistoryFolder = None,
    json: cli.Json = False,
) -> int:
    """Show one record: its headline, its maps in words, the note and the marks."""
    console, history = Console(json), _history(folder)
    record = history.get(id)
    damaged = record.damaged
    maps: tuple[SavedMap, ...] = ()
    try:
        maps = history.heatmaps(record)
    except Problem as problem:
        damaged = damaged or str(problem)
    again = command.line(record.recipe) if record.recipe else ""
    proof, seal = record.proof_of(record.index), record.seal_of(record.index)
    picture = f"{record.picture_name}, {phrases.plain_text(phrases.pixels(record.width, record.height))}"
    if (pair := record.pair) is not None:
        picture += f"; {pair.name}, {phrases.plain_text(phrases.pixels(pair.width, pair.height))}"
        again = pairs.command(record)
    console.say(phrases.plain_text(record.headline), *(phrases.plain_text(found.text) for found in record.findings))
    rows = [
        ("saved", f"{record.created:%Y-%m-%d %H:%M} UTC"),
        ("pictures" if record.pair else "picture", picture),
        ("model", record.model),
        ("method", f"{record.method}, {', '.join(record.layers)}"),
        ("note", record.note),
        ("tags", ", ".join(record.tags)),
        ("marks", phrases.plural(len(record.marks), "mark") if record.marks else ""),
        ("seal", seal.line if seal else ""),
        ("proof", phrases.plain_text(proof.sentence) if proof else ""),
        ("again", again),
    ]
    console.table(("", record.id), [row for row in rows if row[1]])
    console.table(
        ("map", "sure", "where it is"),
        [
            (
                m.label,
                phrases.plain_text(phrases.percent(m.score)) if m.score is not None else "",
                phrases.plain_text(m.looks),
            )
            for m in maps
        ],
        right=("sure",),
    )
    console.result(history_export.describe(record, maps))
    if damaged:
        console.warn(damaged)
    return 1 if damaged else 0


@cli.verb(
    app,
    "export",
    """
    sightglass history export 4173af9f48a1f96d --out kept
    sightglass history export 4173af9f48a1f96d 311ae023bc1e84ae --out history.zip
    """,
)
def export(
    ids: Ids,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A folder, or a file ending in .zip.")],
    folder: cli.HistoryFolder = None,
    json: cli.Json = False,
) -> int:
    """Write records to files: the picture, its maps as numbers, the overlay with its recipe, and record.json.

    Of two compared pictures: both of them, and what `similarity` writes.

    The overlay can be dropped onto the dashboard, or given to `replay`: it opens as the saved view.
    """
    console, history = Console(json), _history(folder)
    names: list[str] = []
    if out.suffix.lower() == ".zip":
        result_folder.check(out.parent)
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as draft, zipfile.ZipFile(draft, "w") as archive:
            for name, data in history.export(ids):
                archive.writestr(name, data)
                names.append(name)
    else:
        result_folder.check(out)
        names = result_folder.write(out, history.export(ids))
    console.files(out, names)
    console.result({"to": out, "files": names})
    return 0


@cli.verb(app, "delete", "sightglass history delete 4173af9f48a1f96d")
def delete(ids: Ids, folder: cli.HistoryFolder = None, json: cli.Json = False) -> int:
    """Delete records permanently. Data shared with other records stays."""
    console, history = Console(json), _history(folder)
    there = [history.get(id_).id for id_ in dict.fromkeys(ids)]
    freed = history.delete(there)
    console.say(f"{phrases.plural(len(there), 'record')} deleted, {phrases.megabytes(freed)} freed.")
    console.result({"deleted": there, "bytes": freed})
    return 0


def _history(folder: Path | None) -> History:
    return history.History(folder)


def _row(record: Record) -> tuple[str, ...]:
    sure = f", {phrases.percent(record.score)}" if record.score is not None else ""
    if record.pair and record.score is not None:
        sure = f", {record.score:.2f}"
    of = (
        f"{record.pair.name if record.pair else record.label or 'nothing found'}{sure}"
        if not record.damaged
        else "damaged"
    )
    when = f"{record.created:%Y-%m-%d %H:%M}"
    return record.id, when, record.picture_name, record.model, record.method, of, ", ".join(record.tags)


def _summary(history: History, found: SearchResult, *, filtered: bool) -> str:
    if not found.total:
        return "No saved explanation matches." if filtered else f"Nothing saved yet in {_near(history.folder)}."
    storage = history.storage()
    listed = f"{len(found.records)} of " if len(found.records) < found.total else ""
    used = f"{phrases.megabytes(storage.bytes)} of {phrases.megabytes(storage.limit)}"
    return f"{listed}{phrases.plural(found.total, 'record')}; {used} used in {_near(history.folder)}."


def _near(folder: Path | None) -> Path | None:
    """Return a folder relative to the current one, if it is below it."""
    here = Path.cwd()
    return folder.relative_to(here) if folder is not None and folder.is_relative_to(here) else folder
