"""Read labels: COCO JSON, YOLO text, Pascal VOC, CSV, or a .zip.

Each picture is known by its file's name, with the folders that the labels give it. A line that cannot be used becomes
a `LabelProblem`; the others count.
"""

from __future__ import annotations

import contextlib
import csv
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem, packing
from sightglass.common.files.scratch import scratch_folder
from sightglass.explain.picture import archive
from sightglass.models import labels as class_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.models.geometry import Box

MAX_BYTES = 512 * 2**20
"""Of one file of labels."""
MAX_FILES, MAX_UNPACKED = 200_000, 256 * 2**20
"""Files of an archive of labels, and their bytes: a small one can unpack to a JSON that fills the memory."""
PACKED = (".txt", ".xml", ".yaml", ".yml", ".json", ".csv")
"""Endings of files that are unpacked from one."""
DATA = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt")
"""Files with the names of a YOLO folder's classes."""
COLUMNS = ("file", "x0", "y0", "x1", "y1", "label")
Size = tuple[int, int]
"""Width and height of a picture in pixels."""


@dataclass(frozen=True, slots=True)
class TrueBox:
    """One labelled object."""

    label: str
    box: Box
    """xyxy in pixels of the picture; of a YOLO file in 0..1 until `in_pixels`."""
    crowd: bool = False
    """Many objects in one box: COCO counts detections inside as neither right nor wrong."""
    relative: bool = False

    def in_pixels(self, size: Size) -> TrueBox:
        """Return the box in pixels of a picture of this size, cut at its edges."""
        wide, high = size if self.relative else (1, 1)
        x0, y0, x1, y1 = self.box
        left, top = max(0.0, x0 * wide), max(0.0, y0 * high)
        return TrueBox(self.label, (left, top, min(x1 * wide, size[0]), min(y1 * high, size[1])), self.crowd)


@dataclass(frozen=True, slots=True)
class LabelProblem:
    """A line, or an entry, of a file of labels that was left out."""

    file: str
    line: int
    """From 1; of JSON the entry's place in its list; 0 for the whole file."""
    reason: str

    @property
    def words(self) -> str:
        """`labels.csv, line 3: x1 is not above x0.`"""
        return f"{self.file}{f', line {self.line}' if self.line else ''}: {self.reason}."


@dataclass(frozen=True)
class GroundTruth:
    """The labelled boxes of pictures, or the class of each picture."""

    pictures: Mapping[str, tuple[TrueBox, ...]] = field(repr=False)
    """By file name; a picture without objects has none."""
    problems: tuple[LabelProblem, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By file name: the class of the whole picture."""
    masks: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """By file name: the classes of its pixels, as a PNG, or as JSON of COCO's shapes with their labels
    (`masks.decode`)."""
    mask_labels: tuple[str, ...] = ()
    """Of the masks: of PNGs in the order of their values, none where those are the indices of the model's classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in use, sorted."""
        boxes = {one.label for every in self.pictures.values() for one in every}
        return tuple(sorted(boxes | {*self.named.values(), *self.mask_labels}))

    def find(self, key: str) -> tuple[TrueBox, ...] | None:
        """Return the boxes of a picture by its path, or by its file's name where only one has it; None of no such."""
        place = self._find_place("pictures", key)
        return None if place is None else self.pictures[place]

    def find_class(self, key: str) -> str | None:
        """Return the class of a whole picture in the same way: of boxes the label that all have; None of no such."""
        if (place := self._find_place("named", key)) is not None:
            return self.named[place]
        labels = {one.label for one in self.find(key) or ()}
        return labels.pop() if len(labels) == 1 else None

    def find_mask(self, key: str) -> bytes | None:
        """Return the mask of a picture in the same way; None of no such."""
        place = self._find_place("masks", key)
        return None if place is None else self.masks[place]

    @cached_property
    def _places(self) -> Mapping[str, Mapping[str, str]]:
        return {kind: _list_places(getattr(self, kind)) for kind in ("pictures", "named", "masks")}

    def _find_place(self, kind: str, key: str) -> str | None:
        path, places = PurePosixPath(key), self._places[kind]
        # A YOLO file has its picture's name with another ending.
        names = (key, path.with_suffix("").as_posix(), path.name, path.stem)
        return next((places[name] for name in names if name in places), None)


@dataclass(frozen=True)
class RunLabels:
    """The labels of a run, under the names of its model's classes."""

    truth: GroundTruth
    named: Mapping[str, tuple[str, ...]] = field(repr=False)
    """The classes that each label means; none of one that is not counted. A label that no class fits is left out: its
    objects count as missed, and pictures that it names do not count."""

    @cached_property
    def unknown(self) -> tuple[str, ...]:
        """Labels for which the model has no class."""
        return tuple(label for label in self.truth.classes if label not in self.named)

    def find(self, key: str) -> tuple[TrueBox, ...] | None:
        """Return the boxes of a picture, as the labels give them but for their names; None without labels."""
        boxes = self.truth.find(key)
        if boxes is None:
            return None
        return tuple(renamed for one in boxes for renamed in self._rename(one))

    def find_classes(self, key: str) -> tuple[str, ...]:
        """Return the classes that are right for a whole picture; none without a label that counts."""
        label = self.truth.find_class(key)
        return () if label is None else self.named.get(label, ())

    def _rename(self, one: TrueBox) -> Iterator[TrueBox]:
        names = self.named.get(one.label, (one.label,))
        if names:
            yield replace(one, label=min(names))


def _list_places(keys: Collection[str]) -> Mapping[str, str]:
    """Return the picture of each path, and of each name that only one has."""
    names = Counter(PurePosixPath(key).name for key in keys)
    unique = {name: key for key in keys if names[name := PurePosixPath(key).name] == 1}
    return unique | {key: key for key in keys}


class _Reader:
    def __init__(self) -> None:
        self.pictures: defaultdict[str, list[TrueBox]] = defaultdict(list)
        self.problems: list[LabelProblem] = []
        self.named: dict[str, str] = {}

    def add(self, picture: str, file: Path, line: int, make: Callable[..., TrueBox], *given: Any) -> None:
        """Add the box that `make` returns of `given`, or say in one line why there is none."""
        try:
            found = make(*given)
            _check(found)
        except (ValueError, KeyError, TypeError, IndexError) as problem:
            reason = str(problem) if type(problem) is ValueError else "it is not as this format has it"
            self.problems.append(LabelProblem(file.name, line, reason))
            return
        self.pictures[picture].append(found)

    def name(self, picture: str, file: Path, line: int, label: str) -> None:
        """Take the class of a whole picture, or say in one line why not."""
        if not (label and picture):
            self.problems.append(LabelProblem(file.name, line, "it needs a file and a label"))
        elif self.named.setdefault(picture, label) != label:
            self.problems.append(LabelProblem(file.name, line, f"{picture} has another label above"))

    def done(self) -> GroundTruth:
        boxes = {key: tuple(every) for key, every in self.pictures.items()}
        return GroundTruth(boxes, tuple(self.problems), self.named)


def read(path: Path | str) -> GroundTruth:
    """Read labels: a COCO `.json`, a `.csv`, a folder of YOLO `.txt` or VOC `.xml` files, or a `.zip` of any of these.

    A `.csv` has the columns `file,x0,y0,x1,y1,label`, or `file,label` for classes of whole pictures.

    Raises Problem for a file that is none of these.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        found = _read_folder(path, list(path.rglob("*")), [path, path.parent, path.parent.parent])
    else:
        check_file(path, "labels", "give a COCO .json, a .csv, or a folder of .txt or .xml files")
        found = _read_archive(path) if path.suffix.lower() == ".zip" else _read_file(path)
    if not (any(found.pictures.values()) or found.named):
        first = f" {found.problems[0].words}" if found.problems else ""
        raise Problem(f"There are no labels in {path.name}.{first}")
    return found


def _read_file(path: Path) -> GroundTruth:
    if path.suffix.lower() == ".json":
        return _read_coco(path)
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    raise Problem(f"{path.name} has no readable labels: give a COCO .json, a .csv, a folder, or a .zip of it.")


def check_file(path: Path, what: str, wanted: str) -> None:
    """Raise Problem where there is no file of labels, or one that is too large."""
    if not path.is_file():
        raise Problem(f"There are no {what} at {path}: {wanted}.")
    if path.stat().st_size > MAX_BYTES:
        raise Problem(f"{path.name} has more than {MAX_BYTES >> 20} MB: split these labels.")


@contextlib.contextmanager
def unpack(path: Path, what: str, endings: tuple[str, ...] = PACKED) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a temporary folder with what an archive of labels holds, and its files."""
    with scratch_folder(what) as home:
        folder = Path(home) / file_stem(path.stem, otherwise=what)
        folder.mkdir()
        yield folder, archive.unpack_files(path, folder, endings, most=MAX_FILES, most_bytes=MAX_UNPACKED)


def _read_archive(path: Path) -> GroundTruth:
    with unpack(path, "labels") as (folder, files):
        # What explains a data set is no label.
        files = [one for one in files if not one.name.lower().startswith(("readme", "license"))]
        single = [one for one in files if one.suffix.lower() in (".json", ".csv")]
        data = [one.parent for one in files if one.name in DATA]
        kinds = {one.suffix.lower() for one in files if one.name not in DATA}
        if ".xml" in kinds or (".txt" in kinds and (data or not single)):
            return _read_folder(folder, files, sorted({folder, *data}, key=lambda one: len(one.parts)))
        if len(single) > 1:
            raise Problem(f"{path.name} holds {len(single)} files of labels: pack one .json or .csv.")
        if not single:
            raise Problem(f"{path.name} holds no labels: pack a COCO .json, a .csv, or .txt or .xml files.")
        return _read_file(single[0])


def read_coco_tables(path: Path) -> tuple[dict[Any, str], dict[Any, str], list[Any]]:
    """Return the pictures' and the classes' names of a COCO file by their ids, and its annotations; raise Problem."""
    try:
        table = json.loads(path.read_bytes())
        names = {one["id"]: str(one["file_name"]) for one in table["images"]}
        classes = {one["id"]: str(one["name"]) for one in table["categories"]}
        return names, classes, list(table["annotations"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise Problem(f"{path.name} is no COCO file: it needs images, categories and annotations.") from problem


def _read_coco(path: Path) -> GroundTruth:
    names, classes, every = read_coco_tables(path)
    reader = _Reader()
    for name in names.values():
        reader.pictures[name] = []

    def make(one: Any) -> TrueBox:
        if one["image_id"] not in names:
            raise ValueError("its picture is not among the images")
        if one["category_id"] not in classes:
            raise ValueError("its class is not among the categories")
        x, y, wide, high = map(float, one["bbox"])
        return TrueBox(classes[one["category_id"]], (x, y, x + wide, y + high), bool(one.get("iscrowd")))

    for place, one in enumerate(every, 1):
        number = one.get("image_id") if isinstance(one, dict) else None
        reader.add(names.get(number, "") if isinstance(number, int | str) else "", path, place, make, one)
    return reader.done()


def _read_csv(path: Path) -> GroundTruth:
    reader = _Reader()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # The first line has the columns.
            for line, row in enumerate(packing.read(file), 2):
                whole = not any(name in row for name in COLUMNS[1:5])
                if missing := [name for name in (("file", "label") if whole else COLUMNS) if name not in row]:
                    needed = f"{', '.join(COLUMNS)}, or of whole pictures file, label"
                    raise Problem(f"{path.name} has no column {missing[0]}: it needs {needed}.")
                picture = row["file"]
                if whole:
                    reader.name((picture or "").strip(), path, line, (row["label"] or "").strip())
                    continue
                reader.pictures[picture]
                # A row without a box is a picture without objects.
                if any(row[name] for name in COLUMNS[1:]):
                    reader.add(picture, path, line, _of_row, row)
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise Problem(f"{path.name} cannot be read: is it a CSV file in UTF-8?") from problem
    return reader.done()


def _of_row(row: Mapping[str, str]) -> TrueBox:
    return TrueBox((row["label"] or "").strip(), _box([row[name] or "" for name in COLUMNS[1:5]]))


def _read_folder(folder: Path, files: Sequence[Path], named_in: Sequence[Path]) -> GroundTruth:
    """Read the labels among the files of a folder; `named_in`: folders that may hold the names of YOLO's classes."""
    xml = sorted(file for file in files if file.suffix.lower() == ".xml")
    reader = _Reader()
    if xml:
        for file in xml:
            _read_voc(file, reader)
        return reader.done()
    names = _yolo_names(folder, named_in)
    for file in sorted(files):
        if file.name in DATA or file.suffix.lower() != ".txt":
            continue
        picture = file.with_suffix("").relative_to(folder).as_posix()
        reader.pictures[picture] = []
        for line, text in enumerate(_lines(file), 1):
            if text.strip():
                reader.add(picture, file, line, _of_yolo, text.split(), names)
    return reader.done()


def _yolo_names(folder: Path, named_in: Sequence[Path]) -> Sequence[str]:
    for place in named_in:
        for name in DATA:
            try:
                found = class_names.order(class_names.read_file(place / name))
            except (OSError, ValueError, RecursionError):
                continue
            if found:
                return found
    wanted = f"{DATA[0]} with the names of its classes"
    raise Problem(f"The folder {folder.name} has no {wanted}: put one into it or above it.")


def _of_yolo(parts: Sequence[str], names: Sequence[str]) -> TrueBox:
    index, *numbers = parts
    if not index.isdecimal() or int(index) >= len(names):
        raise ValueError(f"class {index[:20]} is not one of the {len(names)} that are named")
    values = _finite(numbers)
    if len(values) == 4:
        x, y, wide, high = values
        box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        # A polygon; its box is around it.
        box = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    else:
        raise ValueError("a box has four numbers after its class, a polygon six or more")
    if max(map(abs, box)) > 2:
        raise ValueError("its numbers are not parts of the picture from 0 to 1")
    return TrueBox(names[int(index)], box, relative=True)


def _read_voc(file: Path, reader: _Reader) -> None:
    from xml.etree import ElementTree

    try:
        text = file.read_bytes()
        # Entities can stand for billions of letters, and no label needs one.
        if len(text) > MAX_BYTES or b"<!ENTITY" in text:
            raise ValueError
        root = ElementTree.fromstring(text)
    except (OSError, ValueError, ElementTree.ParseError):
        reader.problems.append(LabelProblem(file.name, 0, "it is no XML of Pascal VOC"))
        return
    picture = root.findtext("filename") or file.stem
    reader.pictures[picture]
    for place, one in enumerate(root.iterfind("object"), 1):
        numbers = [one.findtext(f"bndbox/{name}") or "" for name in ("xmin", "ymin", "xmax", "ymax")]
        reader.add(picture, file, place, _of_voc, one.findtext("name") or "", numbers)


def _of_voc(name: str, numbers: Sequence[str]) -> TrueBox:
    # Its pixels are counted from 1, the last one included.
    x0, y0, x1, y1 = _box(numbers)
    return TrueBox(name.strip(), (x0 - 1, y0 - 1, x1, y1))


def _lines(file: Path) -> Iterator[str]:
    try:
        yield from file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError):
        # Nothing but a number is expected, so this is a problem of its first line.
        yield "\N{REPLACEMENT CHARACTER}"


def _finite(texts: Sequence[str]) -> list[float]:
    values = [float(text) if re.fullmatch(r"[-+.\deE]+", text.strip()) else math.nan for text in texts]
    if not all(map(math.isfinite, values)):
        raise ValueError("a coordinate is no number")
    return values


def _box(texts: Sequence[str]) -> Box:
    x0, y0, x1, y1 = _finite(texts)
    return x0, y0, x1, y1


def _check(one: TrueBox) -> None:
    if not one.label:
        raise ValueError("it has no label")
    x0, y0, x1, y1 = one.box
    if not (x1 > x0 and y1 > y0 and all(map(math.isfinite, one.box))):
        raise ValueError("its box has no area")
