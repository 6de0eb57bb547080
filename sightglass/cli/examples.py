"""`examples`: copy the bundled pictures into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common.errors import ImageProblem, Problem
from sightglass.common.files import write_file


@cli.verb(
    cli.app,
    "examples",
    """
    sightglass examples
    sightglass examples pictures/
    sightglass examples --json
    """,
)
def examples(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to put them.", show_default=True)] = Path(
        "examples"
    ),
    force: Annotated[bool, cli.option("--force", "Replace files of these names.", cli.OUT)] = False,
    json: cli.Json = False,
) -> int:
    """Copy the pictures that come with Sightglass into a folder, and list them.

    Every verb takes their names without this, too, as in `image bus.jpg`. A file that is there already stays unless
    --force is given.
    """
    console = Console(json)
    found = _contents(console)
    taken = [name for name, data in found.items() if (folder / name).exists() and not _is_same(folder / name, data)]
    if taken and not force:
        raise Problem(
            f"{folder} has another {taken[0]}: add --force to replace it, or name another folder."
            if len(taken) == 1
            else f"{folder} has other files of {len(taken)} of these names: add --force, or name another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in found.items():
        write_file(folder / name, data)
    console.say(*(str(folder / name) for name in found))
    console.result({"folder": folder, "files": list(found)})
    return 0


def _contents(console: Console) -> dict[str, bytes]:
    """Return the bytes of every example's file by its name on the command line; a missing package is reported."""
    from sightglass.explain.picture.image import to_png
    from sightglass.models.demo.showcase import EXAMPLES, example_source

    found = {}
    for example in EXAMPLES:
        try:
            source, name = example_source(example)
        except ImageProblem as problem:
            console.warn(str(problem))
            continue
        found[name.replace(" ", "-")] = source.read_bytes() if isinstance(source, Path) else to_png(source)
    return found


def _is_same(path: Path, data: bytes) -> bool:
    return path.is_file() and path.read_bytes() == data
