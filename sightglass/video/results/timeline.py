"""Write and read a clip's timeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json, atomic_write, csv_cells, jsonable
from sightglass.video.draw import COLUMNS
from sightglass.video.results.moments import Moment
from sightglass.video.results.summary import CLIP, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sightglass.video.results.moments import Row

CSV, JSON = "timeline.csv", "timeline.json"


def save_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write some rows as lines of JSON, whole or not at all."""
    with atomic_write(path) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(jsonable(row)) + "\n" for row in rows)


def read_rows(paths: Iterable[Path]) -> Iterator[Row]:
    """Yield the rows of several files in turn."""
    for path in paths:
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def write(folder: Path, rows: Callable[[], Iterable[Row]], facts: Mapping[str, Any]) -> None:
    """Write `timeline.csv` and `timeline.json` (the facts, then the rows under `rows`), one row in memory at a time."""
    with atomic_write(folder / CSV) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        csv_cells.write(file, COLUMNS, rows())
    with atomic_write(folder / JSON) as draft, draft.open("w", encoding="utf-8") as file:
        head = json.dumps(jsonable(facts), indent=1)
        file.write(head[: head.rindex("}")].rstrip() + ',\n "rows": [')
        for number, row in enumerate(rows()):
            file.write((",\n  " if number else "\n  ") + json.dumps(row))
        file.write("\n ]\n}\n")


def read_facts(folder: Path) -> Json:
    """Return what a finished run was made with; raise ModelProblem where its result cannot be read."""
    facts: Json = _read(folder)["run"]
    return facts


def read_result(folder: Path) -> Summary:
    """Return the result of a finished run; raise ModelProblem where it cannot be read."""
    found = _read(folder)
    moments = tuple(Moment(**one) for one in found["moments"])
    numbers = (found["frames"], found["looked"], found["skipped"])
    return Summary(folder, *numbers, 0.0, resumed=True, moments=moments, notes=tuple(found["notes"]))


def _read(folder: Path) -> Json:
    try:
        found: Json = json.loads((folder / JSON).read_text("utf-8"))
        there = all((folder / name).is_file() for name in (CLIP, CSV))
        if not there or not {"run", "moments", "frames", "looked", "skipped", "notes"} <= {*found}:
            raise ValueError
    except (OSError, ValueError) as error:
        raise ModelProblem(f"The result in {folder.name} cannot be read: explain the clip again.") from error
    return found
