"""Read labels: tables, JSON, COCO, YOLO text, Pascal VOC, or a .zip.

Each picture is known by its file's name, with the folders that the labels give it. A line that cannot be used becomes
a `LabelProblem`; the others count.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ConfigDict

from sightglass.common.errors import Problem, TooManyLabels
from sightglass.common.names import compose
from sightglass.evaluation.label_files import parts
from sightglass.evaluation.label_files.formats import read_files
from sightglass.evaluation.label_files.notes import Notes, ReadAs, count_reasons
from sightglass.evaluation.label_files.opening import EXPECTED, find_folder, open_files
from sightglass.evaluation.label_files.options import LabelOptions
from sightglass.evaluation.label_files.rows import (
    FOLDER_BESIDE,
    INDEX,
    OTHER_FORM,
    LabelError,
    LabelProblem,
    Row,
    TrueBox,
)
from sightglass.evaluation.matching import (
    LabelledFiles,
    Matches,
    find_other_part,
    is_in_other_folder,
    is_part,
    name_parent,
    spell_path,
)

MAX_ROWS = 5_000_000
"""Lines of all files of labels: a box takes about 500 bytes of memory."""


@dataclass(frozen=True)
class GroundTruth:
    """The labelled boxes of pictures, or the class of each picture."""

    __pydantic_config__: ClassVar = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    pictures: Mapping[str, tuple[TrueBox, ...]] = field(repr=False)
    """By file name; a picture without objects has none."""
    problems: tuple[LabelProblem, ...] = ()
    picture_labels: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By file name: the label of the whole picture."""
    masks: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """By file name: the classes of its pixels, as a PNG (`masks.decode`)."""
    mask_labels: tuple[str, ...] = ()
    """Labels of the masks, in the order of their values: empty for a value that names none; none where the values are
    the indices of the model's classes."""
    left_out: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Files of a folder or an archive that say nothing of the labels, but for pictures, with the reasons."""
    reading: str = ""
    """What the labels were read as: `labels.csv: filename → file, class → label; separated by tabs`."""

    read_as: ReadAs = field(default_factory=ReadAs, repr=False)
    """How they were read, for a person to check."""
    matches: Matches | None = field(default=None, repr=False)
    """The labelled file of each picture of a run; None until its pictures are known (`among`)."""
    unclear: tuple[str, ...] = ()
    """Labelled files that count for none of these pictures, as several are called so, or several labels."""
    folder: str = ""
    """The path of the folder that these pictures are in; empty where it is not known."""
    own_folder: str = ""
    """The path of the folder that the labels are in; empty where it is not known."""
    beside: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By file name: the folder that is stated beside it. It counts where a picture is in a folder of this name."""

    @cached_property
    def indexed(self) -> bool:
        """Whether all labels of a file are numbers, which may be indices of classes."""
        classes = self.classes if self.reading else ()
        return bool(classes) and all(INDEX.fullmatch(name) for name in classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in use, sorted."""
        boxes = {box.label for picture in self.pictures.values() for box in picture}
        return tuple(sorted(boxes | {*self.picture_labels.values(), *self.mask_labels} - {""}))

    def find(self, key: str) -> tuple[TrueBox, ...] | None:
        """Return a picture's boxes, else None."""
        return self.pictures.get(self.find_file(key))

    def find_class(self, key: str) -> str | None:
        """Return the class of a whole picture, else None."""
        labels = {box.label for box in self.find(key) or ()}
        return self.picture_labels.get(self.find_file(key)) or (labels.pop() if len(labels) == 1 else None)

    def find_mask(self, key: str) -> bytes | None:
        """Return the mask of a picture, else None."""
        return self.masks.get(self.find_file(key))

    @property
    def files(self) -> tuple[str, ...]:
        """The labelled files."""
        return tuple({**self.pictures, **self.picture_labels, **self.masks})

    def among(self, pictures: Collection[str], folder: str = "") -> Self:
        """Return the labels matched to these pictures, each to one at most.

        `folder`: the path of the folder that they are in, where it is known (`source.folder_of`). They stay as they
        are where more pictures are known already.
        """
        if self.matches is not None and self.matches.keys() >= {*pictures}:
            return self
        folder = folder or self.folder
        parents = {name_parent(picture, folder) for picture in pictures}
        named = self._name_with_folders(parents)
        matches, unclear = LabelledFiles(named).match(pictures, folder)
        matches = {picture: named.get(name, "") for picture, name in matches.items()}
        return replace(self, matches=matches, unclear=tuple(named[name] for name in unclear), folder=folder)

    def _name_with_folders(self, parents: Collection[str]) -> dict[str, str]:
        """Return the labelled files by their names, with the folders beside these if pictures are in such folders."""
        named = dict(zip(self.files, self.files, strict=True))
        for file, beside in self.beside.items():
            longer = f"{beside}/{file}"
            if name_parent("file", beside) in parents and longer not in named:
                del named[file]
                named[longer] = file
        return named

    def list_other_folders(self) -> list[str]:
        """Return the folders that are stated beside the names of matched files, which none of the pictures is in."""
        found = {
            self.beside[file]
            for picture, file in (self.matches or {}).items()
            if file in self.beside and is_in_other_folder(picture, self.folder, self.beside[file])
        }
        return sorted(found)

    def find_other_part(self) -> tuple[str, str] | None:
        """Return the folders of labels and of a picture matched to them by its name alone, of two parts of a data set.

        None without such a picture.
        """
        if not (self.own_folder and self.folder):
            return None
        matched = ((picture, file) for picture, file in (self.matches or {}).items() if file)
        # A path that states its part was matched by it.
        folders = {picture.rpartition("/")[0] for picture, file in matched if not any(map(is_part, file.split("/")))}
        found = (find_other_part(self.own_folder, f"{self.folder}/{folder}") for folder in sorted(folders))
        return next(filter(None, found), None)

    def find_missing(self, pictures: Collection[str]) -> list[str]:
        """Return the labelled files that are none of these pictures."""
        among = self.among(pictures)
        found = {*(among.matches or {}).values(), *among.unclear}
        return [key for key in self.files if key not in found]

    @property
    def shown_folder(self) -> str:
        """The end of the path of the pictures' folder."""
        return "/".join(self.folder.strip("/").split("/")[-2:])

    @cached_property
    def _labelled(self) -> LabelledFiles:
        return LabelledFiles(self.files)

    def find_file(self, picture: str) -> str:
        """Return the labelled file that is a picture; empty without one."""
        return self._labelled.find(picture) if self.matches is None else self.matches.get(picture, "")


@dataclass(frozen=True)
class RunLabels:
    """A run's labels as its model's classes; others are not counted."""

    truth: GroundTruth
    classes_by_label: Mapping[str, tuple[str, ...]] = field(repr=False)
    """The classes that each label means; empty for a label that is not counted."""

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Counted labels without a class of the model."""
        return tuple(label for label in self.truth.classes if label not in self.classes_by_label)

    def find(self, key: str) -> tuple[TrueBox, ...] | None:
        """Return a picture's boxes by class, empty where they have none; None without labels."""
        boxes = self.truth.find(key)
        if boxes is None:
            return None
        return tuple(replace(box, label=min(self.classes_by_label.get(box.label) or ("",))) for box in boxes)

    def digest(self, key: str) -> str | None:
        """Return a digest of what a picture's boxes or mask mean; None without either."""
        content: Any = self.find(key)
        if (mask := self.truth.find_mask(key)) is not None:
            content = mask, self.truth.mask_labels, sorted(self.classes_by_label.items())
        return None if content is None else hashlib.sha256(repr(content).encode()).hexdigest()[:16]


_Key = tuple[str, str, str]
"""The folder of a file of labels, empty of a single one, the picture that a line of it is about, and the folder that
the line states beside its name."""


@dataclass(frozen=True)
class _Collected:
    """Labels by what they say they are of."""

    boxes: defaultdict[_Key, list[TrueBox]] = field(default_factory=lambda: defaultdict(list))
    picture_labels: dict[_Key, str] = field(default_factory=dict)
    begun: set[_Key] = field(default_factory=set)
    repeated: set[_Key] = field(default_factory=set)
    """Names that several pictures of one file, or of one folder, have."""
    contradicted: set[_Key] = field(default_factory=set)
    """Pictures with several labels of the whole picture."""

    def add(self, key: _Key, label: TrueBox | str | None, *, is_new: bool) -> None:
        """Add a label; `is_new`: it begins a picture. Raises LabelError."""
        _, picture, _ = key
        name = label.label if isinstance(label, TrueBox) else label
        if not picture or name == "":
            raise LabelError("it needs a file and a label")
        if is_new and key in self.begun:
            self.repeated.add(key)
            raise LabelError(f"{picture} is the name of several pictures")
        if is_new:
            self.begun.add(key)
        if isinstance(label, TrueBox):
            _check_box(label)
            composed = compose(label.label)
            self.boxes[key].append(label if composed == label.label else replace(label, label=composed))
        elif label is None:
            self.boxes[key]
        elif (known := self.picture_labels.setdefault(key, compose(label))) != compose(label):
            self.contradicted.add(key)
            raise LabelError(f"{picture} has two labels, {known} and {label}, and counts for none")

    def finish(self, problems: Iterable[LabelProblem]) -> GroundTruth:
        """Return the labels by picture; a name in several folders gets its folder."""
        keys = dict.fromkeys(chain(self.boxes, self.picture_labels))
        names = {key: name for key, name in _name_apart(keys).items() if key not in self.repeated}
        # A folder may already be in the name that one of them gives.
        twice = {name for name, count in Counter(names.values()).items() if count > 1}
        several = (LabelProblem(name, 0, "it is the name of several pictures") for name in sorted(twice))
        names = {key: name for key, name in names.items() if name not in twice}
        # A class of the whole picture does not say that nothing else is in it.
        classified = {key for key in self.picture_labels if not self.boxes.get(key)}
        counted = names.keys() - classified
        boxes = {names[key]: tuple(found) for key, found in self.boxes.items() if key in counted}
        clear = names.keys() - self.contradicted
        labels = {names[key]: label for key, label in self.picture_labels.items() if key in clear}
        return GroundTruth(boxes, (*problems, *several), labels, beside=_list_beside(names))


def _list_beside(names: Mapping[_Key, str]) -> dict[str, str]:
    """Return the folders that are stated beside pictures, of those whose names do not have them."""
    return {name: folder for (_, _, folder), name in names.items() if folder and not name.startswith(f"{folder}/")}


def _name_apart(keys: Iterable[_Key]) -> dict[_Key, str]:
    """Return what pictures are called beside each other."""
    same = defaultdict[str, list[_Key]](list)
    for key in keys:
        same[key[1]].append(key)
    return {key: _name(key, several) for several in same.values() for key in several}


def _name(key: _Key, same: Sequence[_Key]) -> str:
    """Return what a picture is called beside others of its name: with the folder that tells them apart."""
    folder, picture, beside = key
    if len(same) == 1:
        is_of_part = "/" not in picture and any(map(is_part, folder.split("/")))
        return f"{folder}/{picture}" if is_of_part else picture
    stated = {each[2] for each in same}
    prefix = beside if len(stated) == len(same) and "" not in stated else folder
    return f"{prefix}/{picture}".removeprefix("/")


def _check_box(label: TrueBox) -> None:
    """Raise LabelError for a box that is none."""
    x0, y0, x1, y1 = label.box
    if not (x1 > x0 and y1 > y0):
        raise LabelError("its box has no area")
    if label.relative and max(map(abs, label.box)) > 2:
        raise LabelError("its numbers are not parts of the picture from 0 to 1")


def _collect(files: Iterable[tuple[str, Iterable[Row]]]) -> GroundTruth:
    """Collect the labels of all lines, and the unusable ones; files have their folders in their names."""
    collected = _Collected()
    problems: list[LabelProblem] = []
    for file, (path, line, parse) in _bound(files):
        beside, _, name = path.rpartition(FOLDER_BESIDE)
        where = file.rpartition("/")[0], spell_path(name), spell_path(beside)
        try:
            label = parse()
            collected.add(where, label, is_new=line == 0 and label is None)
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as problem:
            reason = str(problem) if isinstance(problem, LabelError) else OTHER_FORM
            problems.append(LabelProblem(file, line, reason))
    return collected.finish(problems)


def _bound(files: Iterable[tuple[str, Iterable[Row]]]) -> Iterator[tuple[str, Row]]:
    """Yield the lines of all files; raise TooManyLabels for too many."""
    lines = ((file, row) for file, rows in files for row in rows)
    yield from islice(lines, MAX_ROWS)
    if next(lines, None) is not None:
        raise TooManyLabels(f"These labels have more than {MAX_ROWS:,} lines: give them in several parts.")


def read(path: Path | str, options: LabelOptions | None = None) -> GroundTruth:
    """Read labels of any format (`label_files.formats`): a file, a folder or a `.zip`.

    `options`: what a person states where the files leave it open. Raises Problem for what is none of these.
    """
    left_out: dict[str, str] = {}
    notes = Notes(options or LabelOptions())
    with open_files(path, "labels", f"give {EXPECTED}", left_out) as files:
        try:
            truth = _collect(read_files(files, notes, left_out))
        except OSError as problem:
            raise Problem(f"{Path(path).name} cannot be read ({problem.strerror}): is it yours?") from problem
    pictures, problems = parts.mark(Path(path).name, truth.pictures, notes)
    truth = replace(truth, pictures=pictures, problems=(*truth.problems, *problems))
    if not (any(truth.pictures.values()) or truth.picture_labels):
        first = f" {truth.problems[0].words}" if truth.problems else ""
        raise Problem(f"There are no labels in {Path(path).name}.{first}")
    summary = ReadAs(
        notes.format,
        pictures=len(truth.files),
        boxes=sum(map(len, truth.pictures.values())),
        classes=len(truth.classes),
        table=notes.table,
        names_file=notes.names_file,
        choices=notes.list_choices(),
        unusable=count_reasons(truth.problems),
        left_out=left_out,
        options=notes.options,
    )
    own_folder = find_folder(path)
    return replace(truth, left_out=left_out, reading=notes.reading, read_as=summary, own_folder=own_folder)
