"""Read the names of classes beside labels."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
    on_disk: Path | None = None
    """None of a member of an archive."""
    beside: tuple[Any, ...] = ()
    """What each file of such a name holds, this one too, the nearest first."""

    def is_called(self, stated: str) -> bool:
        """Return whether a person may mean this file: by its name, by its title, or by its path."""
        path = PurePosixPath(stated)
        if path.as_posix() in (self.title, PurePosixPath(self.title).name):
            return True
        return self.on_disk is not None and self.on_disk.resolve() == Path(stated).expanduser().resolve()


def is_class_file(file: LabelFile) -> bool:
    """Return whether a file names classes and holds no labels."""
    return file.name in DATA or file.suffix == ".names"


def find_names(source: LabelFiles, files: Sequence[LabelFile], notes: Notes) -> ClassFile | None:
    """Return the file that names the classes, None without any.

    It is the first of the folder itself, of the two above, of those in it; in one place, the first of `DATA`. `files`:
    the folder's and the archive's own. Raises Problem where two of them disagree, and none was stated.
    """
    stated = notes.use("names")
    read = [*_list_named(source, files, notes)]
    found = [each for each in read if each.names]
    if stated:
        called = [each for each in found if each.is_called(stated)]
        # A title is of one file, and a name may be of several.
        found = [each for each in called if each.title == stated] or called
    if stated and not found:
        raise UnclearLabels(f"{source.name} has no file {stated} with the names of its classes: give one that it has.")
    if not found:
        return None
    first, *others = found
    for other in others:
        _check_agreement(first, other)
    notes.names_file = first.title
    return replace(first, beside=tuple(each.table for each in read))


def _check_agreement(first: ClassFile, other: ClassFile) -> None:
    """Raise Problem where two files give an index different names."""
    for index in sorted({*first.names} & {*other.names}):
        if first.names[index] != other.names[index]:
            values = f"{first.names[index]} in {first.title} and {other.names[index]} in {other.title}"
            raise UnclearLabels(
                f"Class {index} is {values}: say which file is right ({ask('names')}), or remove the other."
            )


def _list_named(source: LabelFiles, files: Sequence[LabelFile], notes: Notes) -> Iterator[ClassFile]:
    """Yield the files that may name classes, those of the nearest place first; note which cannot be read."""
    own = sorted(files, key=_rank)
    known = {file.on_disk for file in own}
    above = [folder / name for folder in source.above for name in DATA]
    places = [
        *(file for file in own if len(file.path.parts) == 1),
        *(_file_at(path) for path in above if path.is_file() and path not in known),
        *(file for file in own if len(file.path.parts) > 1),
    ]
    for file in places:
        try:
            yield _read(file)
        except (OSError, ValueError, RecursionError) as problem:
            why = f" ({problem})" if type(problem) is ValueError else ""
            notes.said.append(f"{file.shown} was not used, as no names of classes can be read of it{why}.")


def _rank(file: LabelFile) -> tuple[int, int, str]:
    order = DATA.index(file.name) if file.name in DATA else len(DATA)
    return len(file.path.parts), order, file.key


def _file_at(path: Path) -> LabelFile:
    return LabelFile(f"{path.parent.name}/{path.name}", path.read_bytes, path)


def _read(file: LabelFile) -> ClassFile:
    """Return the names in a file. Raises OSError, ValueError or RecursionError."""
    table = read_file(file)
    return ClassFile(file.shown, class_names.by_index(table), table, file.on_disk)


def read_file(file: LabelFile) -> Any:
    """Return what a file of names holds. Raises OSError, ValueError or RecursionError."""
    if file.on_disk is not None:
        return class_names.read_file(file.on_disk)
    with tempfile.TemporaryDirectory(prefix="sightglass-names-", ignore_cleanup_errors=True) as home:
        # Never under a name of the archive's.
        path = Path(home) / f"names{file.suffix}"
        path.write_bytes(file.read())
        return class_names.read_file(path)
