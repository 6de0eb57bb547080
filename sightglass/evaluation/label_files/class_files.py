"""Read the names of classes beside labels."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sightglass.common.errors import UnclearLabels
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import LabelFile, LabelFiles
from sightglass.evaluation.label_files.options import ask
from sightglass.models import labels as class_names

DATA = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "obj.names", "classes.json")
"""Files with the names of classes by index: of several in one place the first one counts."""


@dataclass(frozen=True)
class ClassFile:
    """A file that names classes."""

    title: str
    """What a sentence calls it."""
    names: Mapping[int, str]
    table: Any
    """What it holds: of a `data.yaml` with its other keys."""


def is_class_file(file: LabelFile) -> bool:
    """Return whether a file names classes and holds no labels."""
    return file.name in DATA or file.suffix == ".names"


def find_names(source: LabelFiles, files: Sequence[LabelFile], notes: Notes) -> ClassFile | None:
    """Return the file that names the classes, None without any.

    It is the first of the folder itself, of the two above, of those in it; in one place, the first of `DATA`. `files`:
    the folder's and the archive's own. Raises Problem where two of them disagree, and none was stated.
    """
    stated = notes.options.names
    found = [*_list_named(source, files)]
    if stated:
        found = [each for each in found if stated in (each.title, PurePosixPath(each.title).name)][:1]
    if stated and not found:
        raise UnclearLabels(f"{source.name} has no file {stated} with the names of its classes: give one that it has.")
    if not found:
        return None
    first, *others = found
    for other in others:
        _check_agreement(first, other)
    notes.names_file = first.title
    return first


def _check_agreement(first: ClassFile, other: ClassFile) -> None:
    """Raise Problem where two files give an index different names."""
    for index in sorted({*first.names} & {*other.names}):
        if first.names[index] != other.names[index]:
            values = f"{first.names[index]} in {first.title} and {other.names[index]} in {other.title}"
            raise UnclearLabels(
                f"Class {index} is {values}: say which file is right ({ask('names')}), or remove the other."
            )


def _list_named(source: LabelFiles, files: Sequence[LabelFile]) -> Iterator[ClassFile]:
    """Yield the files that name classes, those of the nearest place first."""
    own = sorted(files, key=_rank)
    known = {file.on_disk for file in own}
    above = [folder / name for folder in source.above for name in DATA]
    places = [
        *(file for file in own if len(file.path.parts) == 1),
        *(_file_at(path) for path in above if path.is_file() and path not in known),
        *(file for file in own if len(file.path.parts) > 1),
    ]
    for file in places:
        named = _read(file)
        if named is not None:
            yield named


def _rank(file: LabelFile) -> tuple[int, int, str]:
    order = DATA.index(file.name) if file.name in DATA else len(DATA)
    return len(file.path.parts), order, file.key


def _file_at(path: Path) -> LabelFile:
    return LabelFile(f"{path.parent.name}/{path.name}", path.read_bytes, path)


def _read(file: LabelFile) -> ClassFile | None:
    """Return the names in a file; None for a file without any."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        table = read_file(file)
        if names := class_names.by_index(table):
            return ClassFile(file.shown, names, table)
    return None


def read_file(file: LabelFile) -> Any:
    """Return what a file of names holds. Raises OSError, ValueError or RecursionError."""
    if file.on_disk is not None:
        return class_names.read_file(file.on_disk)
    with tempfile.TemporaryDirectory(prefix="sightglass-names-", ignore_cleanup_errors=True) as home:
        # Never under a name of the archive's.
        path = Path(home) / f"names{file.suffix}"
        path.write_bytes(file.read())
        return class_names.read_file(path)
