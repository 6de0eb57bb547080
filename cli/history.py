"""`history list | show | export | delete`: what was kept on this machine, on the dashboard or by the library."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options as cli
from cli.console import Teller
from common.errors import Problem
from common.files import atomic_write

if TYPE_CHECKING:
    from explain.history import History, Record, SavedMap, SearchResult

app = typer.Typer(help="What was kept: found again by words, shown, written to files, deleted.")
Ids = Annotated[list[str], typer.Argument(metavar="ID", help="Records, by the ids of `history list`.")]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="FOLDER",
        help="Where the history lies \\[SIGHTGLASS_HISTORY, or a folder of yours].",
        show_default=False,
    ),
]
COLUMNS = ("id", "kept (UTC)", "picture", "model", "method", "of", "tags")
NOTE = 60
"""Letters of a note in a line."""


@app.callback(invoke_without_command=True)
def history(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def list_(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="WORD", help="Words, or their beginnings, that must all occur.", show_default=False),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="ID", help="Only of this model.", show_default=False)
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="NAME", help="Only by this method.", show_default=False)
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--class", metavar="LABEL", help="The class it is of, by its whole name.", show_default=False),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="TAG", help="Only with this tag.", show_default=False)
    ] = None,
    order: Annotated[
        str, typer.Option("--order", metavar="ORDER", help="newest, oldest, surest, 'least sure' or largest.")
    ] = "newest",
    most: Annotated[int, typer.Option("--limit", metavar="N", help="Records that are listed, at most.")] = 60,
    skip: Annotated[int, typer.Option("--skip", metavar="N", help="Records that are left out before them.")] = 0,
    folder: Folder = None,
    json: cli.Json = False,
) -> int:
    """What is kept, the newest first.

    Words are looked for in the sentence over the picture, its classes, note, marks, tags, name, model and method.
    """
    tell, kept = Teller(json), _history(folder)
    found = kept.search(
        text=" ".join(words or ()),
        model=model,
        method=method,
        label=label,
        tag=tag,
        order=order,  # type: ignore[arg-type]  # whatever it is, it is checked there
        limit=most,
        offset=skip,
    )
    tell.table(COLUMNS, [_row(record) for record in found.records])
    tell.say(_summary(kept, found, asked=bool(words or model or method or label or tag)))
    from explain.history.export import described

    tell.result({"total": found.total, "records": [described(record) for record in found.records]})
    return 0


def show(
    id: Annotated[str, typer.Argument(metavar="ID", help="A record, by its id of `history list`.")],
    folder: Folder = None,
    json: cli.Json = False,
) -> int:
    """All that is known of one record: what was said of the picture, its maps in words, the note and the marks."""
    from explain.export import command
    from explain.export.result_folder import read
    from explain.history.export import described
    from explain.phrases import percent, pixels, plural

    tell, kept = Teller(json), _history(folder)
    record = kept.get(id)
    damaged = record.damaged
    maps: tuple[SavedMap, ...] = ()
    try:
        maps = kept.heatmaps(record)
    except Problem as problem:
        damaged = damaged or str(problem)
    tell.say(read(record.headline), *(read(found.text) for found in record.findings))
    rows = [
        ("kept", f"{record.created:%Y-%m-%d %H:%M} UTC"),
        ("picture", f"{record.picture_name}, {read(pixels(record.width, record.height))}"),
        ("model", record.model),
        ("method", f"{record.method}, {', '.join(record.layers)}"),
        ("note", record.note),
        ("tags", ", ".join(record.tags)),
        ("marks", plural(len(record.marks), "mark") if record.marks else ""),
        ("again", command.line(record.recipe) if record.recipe else ""),
    ]
    tell.table(("", record.id), [row for row in rows if row[1]])
    tell.table(
        ("map", "sure", "where it is"),
        [(m.label, read(percent(m.score)) if m.score is not None else "", read(m.looks)) for m in maps],
        right=("sure",),
    )
    tell.result(described(record, maps))
    if damaged:
        tell.complain(damaged)
    return 1 if damaged else 0


def export(
    ids: Ids,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="A folder, or a file that ends in .zip.")],
    folder: Folder = None,
    json: cli.Json = False,
) -> int:
    """Records as files: the picture, its maps as numbers, the overlay with the recipe in it, and record.json.

    The overlay can be dropped onto the dashboard, or given to `replay`: it opens as the view that was kept.
    """
    import zipfile

    from explain.export import result_folder

    tell, kept = Teller(json), _history(folder)
    names: list[str] = []
    if out.suffix.lower() == ".zip":
        result_folder.check(out.parent)
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as draft, zipfile.ZipFile(draft, "w") as archive:
            for name, data in kept.export(ids):
                archive.writestr(name, data)
                names.append(name)
    else:
        result_folder.check(out)
        names = result_folder.write(out, kept.export(ids))
    tell.written(out, names)
    tell.result({"to": out, "files": names})
    return 0


def delete(ids: Ids, folder: Folder = None, json: cli.Json = False) -> int:
    """Delete records for good. What other records share with them stays."""
    from explain.phrases import megabytes, plural

    tell, kept = Teller(json), _history(folder)
    there = [kept.get(id_).id for id_ in dict.fromkeys(ids)]
    freed = kept.delete(there)
    tell.say(f"{plural(len(there), 'record')} deleted, {megabytes(freed)} freed.")
    tell.result({"deleted": there, "bytes": freed})
    return 0


def _history(folder: Path | None) -> History:
    from explain.history import History

    return History(folder)


def _row(record: Record) -> tuple[str, ...]:
    from explain.phrases import percent

    sure = f", {percent(record.score)}" if record.score is not None else ""
    of = f"{record.label or 'nothing found'}{sure}" if not record.damaged else "damaged"
    when = f"{record.created:%Y-%m-%d %H:%M}"
    return record.id, when, record.picture_name, record.model, record.method, of, ", ".join(record.tags)


def _summary(kept: History, found: SearchResult, *, asked: bool) -> str:
    from explain.phrases import megabytes, plural

    if not found.total:
        return "Nothing that was kept is like that." if asked else f"Nothing is kept yet in {_near(kept.folder)}."
    storage = kept.storage()
    listed = f"{len(found.records)} of " if len(found.records) < found.total else ""
    room = f"{megabytes(storage.bytes)} of {megabytes(storage.limit)}"
    return f"{listed}{plural(found.total, 'record')}; {room} are taken in {_near(kept.folder)}."


def _near(folder: Path | None) -> Path | None:
    """A folder as seen from here, where it is below."""
    here = Path.cwd()
    return folder.relative_to(here) if folder is not None and folder.is_relative_to(here) else folder


cli.verb(
    app,
    "list",
    """
    python -m explain history list
    python -m explain history list number plate --tag checked
    python -m explain history list --class minibus --order surest --json
    """,
)(list_)
cli.verb(app, "show", "python -m explain history show 4173af9f48a1f96d")(show)
cli.verb(
    app,
    "export",
    """
    python -m explain history export 4173af9f48a1f96d --out kept
    python -m explain history export 4173af9f48a1f96d 311ae023bc1e84ae --out kept.zip
    """,
)(export)
cli.verb(app, "delete", "python -m explain history delete 4173af9f48a1f96d")(delete)
