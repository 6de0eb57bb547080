"""`evidence`: write what a labelled run shows as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common.errors import Problem
from sightglass.pack import contents, files

if TYPE_CHECKING:
    from sightglass.pack.document import Pack

LISTED = 10
"""Differences that are printed."""
Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished `batch` with --labels.")]


@cli.verb(
    cli.app,
    "evidence",
    """
    sightglass evidence explained/photos --out pack
    sightglass evidence explained/photos --check pack
    """,
)
def write_evidence(
    run: Run,
    out: Annotated[Path | None, cli.option("--out -o FOLDER", "Where the files go \\[RUN/pack].", cli.OUT)] = None,
    check: Annotated[
        Path | None, cli.option("--check PACK", "Measure every number of an earlier pack again instead.", cli.OUT)
    ] = None,
    json: cli.Json = False,
) -> int:
    """Write a pack of evidence: accuracy with intervals, errors, slices, where it looked, limits; as slides, PDF, one
    page, JSON and CSV. Sections name what they contribute to in the AI Act's documentation.
    """
    console = Console(json)
    if check is not None and out is not None:
        raise Problem("Use --out or --check, not both: one writes a pack, the other compares it.")
    with console.progress("Measuring"):
        pack = contents.build(run)
    return _compare(console, check, pack) if check is not None else _write(console, out or run / "pack", pack)


def _write(console: Console, out: Path, pack: Pack) -> int:
    written = files.write(out, pack)
    console.say(f"{pack.title}: {len(written)} files in {out}.")
    console.result({"title": pack.title, "folder": str(out), "files": written})
    return 0


def _compare(console: Console, folder: Path, pack: Pack) -> int:
    """Compare a pack with the same numbers made again; return 1 where any differs."""
    differing = files.compare_again(folder, pack)
    numbers, tables = (sum(1 for _ in every) for every in (pack.numbers(), pack.tables()))
    for sentence in differing[:LISTED]:
        console.warn(sentence)
    if differing:
        console.say(f"{len(differing)} numbers or tables differ.")
    else:
        console.say(f"All {numbers} numbers and {tables} tables were made again, and are the same.")
    console.result({"same": not differing, "differences": differing})
    return 1 if differing else 0
