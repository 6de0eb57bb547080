"""Sort files of labels by their formats, and read the first format that they have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightglass.common.errors import Problem
from sightglass.common.legible import visible
from sightglass.evaluation.label_files.class_files import read_names
from sightglass.evaluation.label_files.opening import DATA, EXPECTED, JSON, decode
from sightglass.evaluation.label_files.rows import Row
from sightglass.evaluation.label_files.tables import read_table
from sightglass.evaluation.label_files.values import to_number
from sightglass.evaluation.label_files.voc import list_voc
from sightglass.evaluation.label_files.yolo import list_yolo
from sightglass.explain.picture.source import PICTURES

Files = Iterable[tuple[str, Iterable[Row]]]
"""The name of each file of labels, and its rows."""
TABLES = (".txt", ".csv", ".tsv", *JSON)


@dataclass(frozen=True)
class _Found:
    """The files of labels by what is in them."""

    documentation: list[Path]
    data: list[Path]
    """The folders of files with the names of classes, the outermost first."""
    documents: list[Path]
    boxes: list[Path]
    tables: list[Path]
    others: list[Path]


def _sort_files(files: Sequence[Path]) -> _Found:
    found = _Found([], [], [], [], [], [])
    folders = set[Path]()
    for file in files:
        suffix = file.suffix.lower()
        if file.name.lower().startswith(("readme", "license")):
            # A data set's own documentation is no label.
            found.documentation.append(file)
        elif file.name in DATA:
            folders.add(file.parent)
        elif suffix == ".xml":
            found.documents.append(file)
        elif suffix == ".txt" and not _is_table(file):
            found.boxes.append(file)
        else:
            (found.tables if suffix in TABLES else found.others).append(file)
    found.data.extend(sorted(folders, key=lambda place: len(place.parts)))
    return found


def read_files(folder: Path, files: Sequence[Path], left_out: dict[str, str]) -> tuple[str, Files]:
    """Return how the first format that these files have is read, and the rows of its files.

    `left_out` receives files of others. Raises Problem.
    """

    def leave_out(others: Iterable[Path], reason: str) -> None:
        left_out.update({visible(file.relative_to(folder).as_posix()): reason for file in others})

    found = _sort_files(files)
    leave_out(found.documentation, "documentation")
    leave_out(found.others, "no labels")
    if found.documents:
        leave_out([*found.boxes, *found.tables], "beside Pascal VOC")
        return "Pascal VOC", ((file.name, list_voc(file)) for file in found.documents)
    if found.boxes and (found.data or not found.tables):
        leave_out(found.tables, "beside YOLO")
        names = read_names(folder, found.data)
        boxes = ((file.name, list_yolo(file, folder, names)) for file in found.boxes)
        return f"YOLO: {len(names)} classes", boxes
    if len(found.tables) != 1:
        content = f"{len(found.tables)} files of labels" if found.tables else "no labels"
        raise Problem(f"{folder.name} holds {content}: give {EXPECTED}.")
    leave_out(found.boxes, "beside a table")
    (table,) = found.tables
    reading, rows = read_table(table, read_names(folder, found.data) if found.data else {})
    return f"{table.name}: {reading}", [(table.name, rows)]


def _is_table(file: Path) -> bool:
    """Return whether a .txt has files and labels, by its first line, and not YOLO's boxes."""
    with file.open("rb") as stream:
        text, _ = decode(stream.read(4096), file.name)
    parts = next((line.lower().split() for line in text.splitlines() if line.strip()), [])
    if any(ending in part for part in parts for ending in PICTURES):
        return True
    numbers = [to_number(part) is not None for part in parts]
    return len(parts) == 2 or (bool(parts) and not all(numbers) and (len(parts) < 4 or not numbers[-1]))
