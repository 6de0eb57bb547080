"""`training`: report on a training that was watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightglass.callbacks import film, sentences, watched
from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common.files import write_file
from sightglass.explain.phrases import percent, plural

NONE = "–"


@cli.verb(
    cli.app,
    "training",
    """
    sightglass training batches/training-stamps-2026-11-24-101500-000000
    sightglass training watched --out film
    """,
)
def report_training(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a `sightglass.callbacks.Watcher`.")],
    out: Annotated[
        Path | None, cli.option("--out -o FOLDER", "Also write a film, a sheet and the numbers here.", cli.OUT)
    ] = None,
    json: cli.Json = False,
) -> int:
    """Say what a network looked at after each epoch of its training, and write that as a film.

    The folder gets film.mp4, film.gif, sheet.png (a row for each picture, a column for each epoch) and epochs.csv.
    """
    console = Console(json)
    found = watched.read(run)
    console.say(f"{found.training.name}: {plural(len(found.epochs), 'epoch')} watched.")
    console.say(*sentences.describe_run(found), *filter(None, [sentences.describe_cost(found)]))
    for problem in found.problems:
        console.warn(f"An epoch could not be watched: {problem}")
    inside = dict(sentences.measure_inside(found))
    rows = [
        (
            str(epoch.number),
            sentences.describe_answer(epoch.answers[0]),
            percent(inside[epoch.number]) if epoch.number in inside else NONE,
        )
        for epoch in found.epochs
    ]
    first = found.training.pictures[0].name
    console.table(("epoch", first, f"inside {found.training.place}"), rows, right=("epoch",))
    files: list[str] = []
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        with console.progress("Drawing the film"):
            made = {
                "film.mp4": film.make_film(found, "mp4"),
                "film.gif": film.make_film(found, "gif"),
                "sheet.png": film.draw_sheet(found),
                "epochs.csv": film.write_table(found).encode(),
            }
        for name, data in made.items():
            write_file(out / name, data)
        files = [*made]
        console.files(out, files)
    console.result({"training": found.training, "epochs": found.epochs, "problems": found.problems, "files": files})
    return 0
