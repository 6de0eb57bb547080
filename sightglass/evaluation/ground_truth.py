"""Read labels: COCO JSON, YOLO text, Pascal VOC, CSV, or a .zip.

Each picture is known by its file's name, with the folders that the labels give it. A line that cannot be used becomes
a `LabelProblem`; the others count.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from pydantic import ConfigDict

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem, packing, scratch_folder
from sightglass.explain.picture import source as picture_source
from sightglass.models import labels as class_names
from sightglass.models.geometry import Box

MAX_BYTES = 512 * 2**20
"""Maximum bytes of one file of labels."""
MAX_TABLES, MAX_XML = 10_000_000, 4 * 2**20
"""Lists and tables of a file of COCO, and bytes of a file of Pascal VOC."""
MAX_FILES, MAX_UNPACKED = 200_000, 256 * 2**20
"""Files of an archive of labels, and their bytes: a small one can unpack to a JSON that fills the memory."""
PACKED = (".txt", ".xml", ".yaml", ".yml", ".json", ".csv")
"""Endings of files that are unpacked from one."""
DATA = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt")
"""Files with the names of a YOLO folder's classes."""
EXPECTED = "one COCO .json, one .csv, or a folder or a .zip of YOLO .txt or VOC .xml files"
COLUMNS = ("file", "x0", "y0", "x1", "y1", "label")


@dataclass(frozen=True, slots=True)
class TrueBox:
    """One labelled object."""

    label: str
    """Under the names of a model's classes: empty where it means none of them."""
    box: Box
    """xyxy in pixels of the picture; of a YOLO file in 0..1 until `in_pixels`."""
    crowd: bool = False
    """Many objects in one box."""
    ignored: bool = False
    """COCO's `ignore`, or `difficult` of Pascal VOC."""
    relative: bool = False

    @property
    def counted(self) -> bool:
        """Whether it is to be found; answers on other labels are neither right nor wrong."""
        return bool(self.label) and not (self.crowd or self.ignored)

    def in_pixels(self, size: tuple[int, int]) -> TrueBox:
        """Return the box in pixels, clipped to a picture of this width and height."""
        wide, high = size if self.relative else (1, 1)
        x0, y0, x1, y1 = self.box
        left, top = max(0.0, x0 * wide), max(0.0, y0 * high)
        box = (left, top, min(x1 * wide, size[0]), min(y1 * high, size[1]))
        return replace(self, box=box, relative=False)


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

    __pydantic_config__: ClassVar = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    pictures: Mapping[str, tuple[TrueBox, ...]] = field(repr=False)
    """By file name; a picture without objects has none."""
    problems: tuple[LabelProblem, ...] = ()
    picture_labels: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By file name: the label of the whole picture."""
    masks: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """By file name: the classes of its pixels, as a PNG (`masks.decode`)."""
    mask_labels: tuple[str, ...] = ()
    """Labels of the masks, in the order of their values; none where those are the indices of the model's classes."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in use, sorted."""
        boxes = {box.label for picture in self.pictures.values() for box in picture}
        return tuple(sorted(boxes | {*self.picture_labels.values(), *self.mask_labels}))

    def find(self, key: str) -> tuple[TrueBox, ...] | None:
        """Return a picture's boxes by path or unique name, else None."""
        boxes: tuple[TrueBox, ...] | None = self._find("pictures", key)
        return boxes

    def find_class(self, key: str) -> str | None:
        """Return the class of a whole picture, else None."""
        labels = {box.label for box in self.find(key) or ()}
        return self._find("picture_labels", key) or (labels.pop() if len(labels) == 1 else None)

    def find_mask(self, key: str) -> bytes | None:
        """Return the mask of a picture, else None."""
        mask: bytes | None = self._find("masks", key)
        return mask

    @cached_property
    def _places(self) -> Mapping[str, Mapping[str, Any]]:
        """Labels by path, and by unique file name."""
        places = {}
        for kind in ("pictures", "picture_labels", "masks"):
            values: Mapping[str, Any] = getattr(self, kind)
            names = Counter(PurePosixPath(key).name for key in values)
            unique = {name: value for key, value in values.items() if names[name := PurePosixPath(key).name] == 1}
            places[kind] = unique | dict(values)
        return places

    def _find(self, kind: str, key: str) -> Any:
        path, places = PurePosixPath(key), self._places[kind]
        # A YOLO file has its picture's name with another ending.
        names = (key, path.with_suffix("").as_posix(), path.name, path.stem)
        return next((places[name] for name in names if name in places), None)


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


_Row = tuple[str, str, int, "Callable[[], TrueBox | str | None]"]
"""The picture that a line of labels is about, its file, its number, and what parses it: to a box, to the class of the
whole picture, or to None for a picture without objects."""


def _collect(rows: Iterable[_Row]) -> GroundTruth:
    """Collect the labels of all lines, and the unusable lines."""
    pictures: defaultdict[str, list[TrueBox]] = defaultdict(list)
    picture_labels: dict[str, str] = {}
    problems: list[LabelProblem] = []
    for picture, file, line, parse in rows:
        try:
            label = parse()
            if isinstance(label, TrueBox):
                if not label.label:
                    raise ValueError("it has no label")
                x0, y0, x1, y1 = label.box
                if not (x1 > x0 and y1 > y0 and all(map(math.isfinite, label.box))):
                    raise ValueError("its box has no area")
                pictures[picture].append(label)
            elif label is None:
                pictures[picture]
            elif not (label and picture):
                raise ValueError("it needs a file and a label")
            elif picture_labels.setdefault(picture, label) != label:
                raise ValueError(f"{picture} has another label above")
        except (ValueError, KeyError, TypeError, IndexError) as problem:
            reason = str(problem) if type(problem) is ValueError else "it is not as this format has it"
            problems.append(LabelProblem(file, line, reason))
    return GroundTruth({key: tuple(boxes) for key, boxes in pictures.items()}, tuple(problems), picture_labels)


def read(path: Path | str) -> GroundTruth:
    """Read labels: COCO, CSV, YOLO or VOC, a folder or a `.zip`.

    A `.csv` has the columns `file,x0,y0,x1,y1,label`, or `file,label` for classes of whole pictures.

    Raises Problem for a file that is none of these.
    """
    with open_files(path, "labels", f"give {EXPECTED}") as (folder, files):
        truth = _read_files(folder, files)
    if not (any(truth.pictures.values()) or truth.picture_labels):
        first = f" {truth.problems[0].words}" if truth.problems else ""
        raise Problem(f"There are no labels in {Path(path).name}.{first}")
    return truth


@contextlib.contextmanager
def open_files(
    path: Path | str, what: str, hint: str, endings: tuple[str, ...] = PACKED
) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a folder and its files, unpacked from an archive; raises Problem."""
    path = Path(path).expanduser()
    if path.is_dir():
        yield path, sorted(file for file in path.rglob("*") if file.is_file())
        return
    if not path.is_file():
        raise Problem(f"There are no {what} at {path}: {hint}.")
    if path.stat().st_size > MAX_BYTES:
        raise Problem(f"{path.name} has more than {MAX_BYTES >> 20} MB: split these labels.")
    if path.suffix.lower() != ".zip":
        if path.suffix.lower() not in endings:
            raise Problem(f"{path.name} has no readable {what}: {hint}.")
        yield path.parent, [path]
        return
    with scratch_folder(what) as home:
        # Deep enough that no file of somebody else's is above it.
        folder = Path(home) / "unpacked" / file_stem(path.stem, otherwise=what)
        folder.mkdir(parents=True)
        yield folder, picture_source.unpack_files(path, folder, endings, most=MAX_FILES, most_bytes=MAX_UNPACKED)


def _read_files(folder: Path, files: Sequence[Path]) -> GroundTruth:
    """Read the label files of a folder."""
    # A data set's own documentation is no label.
    files = [file for file in files if not file.name.lower().startswith(("readme", "license"))]
    by_kind = {kind: [file for file in files if file.suffix.lower() == kind] for kind in PACKED}
    texts = [file for file in by_kind[".txt"] if file.name not in DATA]
    single = by_kind[".json"] + by_kind[".csv"]
    if by_kind[".xml"]:
        return _collect(row for file in by_kind[".xml"] for row in _list_voc(file))
    data = sorted({file.parent for file in files if file.name in DATA}, key=lambda place: len(place.parts))
    if texts and (data or not single):
        names = _read_names(folder, data)
        return _collect(row for file in texts for row in _list_yolo(file, folder, names))
    if len(single) != 1:
        content = f"{len(single)} files of labels" if single else "no labels"
        raise Problem(f"{folder.name} holds {content}: give {EXPECTED}.")
    if single[0].suffix.lower() == ".json":
        return _collect(_list_coco(single[0]))
    try:
        with single[0].open(encoding="utf-8-sig", newline="") as file:
            return _collect(_list_csv(single[0].name, packing.read(file)))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise Problem(f"{single[0].name} cannot be read: is it a CSV file in UTF-8?") from problem


def _list_coco(path: Path) -> Iterator[_Row]:
    try:
        data = path.read_bytes()
        # In memory each takes twenty times its bytes.
        if data.count(b"[") + data.count(b"{") > MAX_TABLES:
            raise Problem(f"{path.name} holds more than {MAX_TABLES:,} lists and tables: split these labels.")
        table = json.loads(data)
        names = {row["id"]: str(row["file_name"]) for row in table["images"]}
        classes = {row["id"]: str(row["name"]) for row in table["categories"]}
        annotations = list(table["annotations"])
    except Problem:
        raise
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as problem:
        raise Problem(f"{path.name} is no COCO file: it needs images, categories and annotations.") from problem
    yield from ((name, path.name, 0, lambda: None) for name in names.values())
    for line, annotation in enumerate(annotations, 1):
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        picture = names.get(number, "") if isinstance(number, int | str) else ""
        yield picture, path.name, line, partial(_parse_coco, annotation, names, classes)


def _parse_coco(annotation: Any, names: Mapping[Any, str], classes: Mapping[Any, str]) -> TrueBox:
    if annotation["image_id"] not in names:
        raise ValueError("its picture is not among the images")
    if annotation["category_id"] not in classes:
        raise ValueError("its class is not among the categories")
    x, y, wide, high = map(float, annotation["bbox"])
    flags = bool(annotation.get("iscrowd")), bool(annotation.get("ignore"))
    return TrueBox(classes[annotation["category_id"]], (x, y, x + wide, y + high), *flags)


def _list_csv(file: str, rows: Iterable[Mapping[str, str | None]]) -> Iterator[_Row]:
    # The first line has the columns.
    for line, row in enumerate(rows, 2):
        whole = not any(name in row for name in COLUMNS[1:5])
        if missing := [name for name in (("file", "label") if whole else COLUMNS) if name not in row]:
            needed = f"{', '.join(COLUMNS)}, or of whole pictures file, label"
            raise Problem(f"{file} has no column {missing[0]}: it needs {needed}.")
        picture = row["file"] or ""
        yield picture.strip() if whole else picture, file, line, partial(_parse_csv, row, whole=whole)


def _parse_csv(row: Mapping[str, str | None], *, whole: bool) -> TrueBox | str | None:
    label = (row["label"] or "").strip()
    # A row without a box is a picture without objects.
    if whole or not any(row[name] for name in COLUMNS[1:]):
        return label if whole else None
    x0, y0, x1, y1 = _parse_numbers([row[name] or "" for name in COLUMNS[1:5]])
    return TrueBox(label, (x0, y0, x1, y1))


def _list_yolo(file: Path, folder: Path, names: Sequence[str]) -> Iterator[_Row]:
    picture = file.with_suffix("").relative_to(folder).as_posix()
    yield picture, file.name, 0, lambda: None
    # What is no text is no number either, and so a problem of its line.
    for line, text in enumerate(file.read_text("utf-8-sig", errors="replace").splitlines(), 1):
        if text.strip():
            yield picture, file.name, line, partial(_parse_yolo, text.split(), names)


def _read_names(folder: Path, data: Sequence[Path]) -> Sequence[str]:
    """Return YOLO's class names from the first folder with any: this one, two above it, those in it."""
    for place in (folder, folder.parent, folder.parent.parent, *data):
        for name in DATA:
            with contextlib.suppress(OSError, ValueError, RecursionError):
                if names := class_names.order(class_names.read_file(place / name)):
                    return names
    missing = f"{DATA[0]} with the names of its classes"
    raise Problem(f"The folder {folder.name} has no {missing}: put one into it or above it.")


def _parse_yolo(parts: Sequence[str], names: Sequence[str]) -> TrueBox:
    index, *numbers = parts
    if not index.isdecimal() or int(index) >= len(names):
        raise ValueError(f"class {index[:20]} is not one of the {len(names)} that are named")
    values = _parse_numbers(numbers)
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


def _list_voc(file: Path) -> Iterator[_Row]:
    from xml.etree import ElementTree

    try:
        text = file.read_bytes()
        # Entities can stand for billions of letters, and no label needs one.
        if len(text) > MAX_XML or b"<!ENTITY" in text:
            raise ValueError
        root = ElementTree.fromstring(text)
    except (OSError, ValueError, ElementTree.ParseError):
        yield file.stem, file.name, 0, _refuse_xml
        return
    picture = root.findtext("filename") or file.stem
    yield picture, file.name, 0, lambda: None
    for line, entry in enumerate(root.iterfind("object"), 1):
        corners = [entry.findtext(f"bndbox/{name}") or "" for name in ("xmin", "ymin", "xmax", "ymax")]
        difficult = (entry.findtext("difficult") or "").strip() in ("1", "true", "True")
        yield picture, file.name, line, partial(_parse_voc, entry.findtext("name") or "", corners, difficult)


def _refuse_xml() -> TrueBox:
    raise ValueError("it is no XML of Pascal VOC")


def _parse_voc(name: str, corners: Sequence[str], difficult: bool) -> TrueBox:
    # Its pixels are counted from 1, the last one included.
    x0, y0, x1, y1 = _parse_numbers(corners)
    return TrueBox(name.strip(), (x0 - 1, y0 - 1, x1, y1), ignored=difficult)


def _parse_numbers(texts: Sequence[str]) -> list[float]:
    values = [float(text) if re.fullmatch(r"[-+.\deE]+", text.strip()) else math.nan for text in texts]
    if not all(map(math.isfinite, values)):
        raise ValueError("a coordinate is no number")
    return values
