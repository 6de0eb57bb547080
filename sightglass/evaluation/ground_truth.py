"""Read labels: tables, JSON, COCO, YOLO text, Pascal VOC, or a .zip.

Each picture is known by its file's name, with the folders that the labels give it. A line that cannot be used becomes
a `LabelProblem`; the others count.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from os.path import splitext
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem
from sightglass.evaluation import label_table
from sightglass.evaluation.label_table import LabelError, parse_numbers
from sightglass.explain.picture import source as picture_source
from sightglass.models import labels as class_names
from sightglass.models.geometry import Box

MAX_BYTES = 512 * 2**20
"""Maximum bytes of one file of labels."""
MAX_TABLES, MAX_XML = 10_000_000, 4 * 2**20
"""Lists and tables of a file of COCO, and bytes of a file of Pascal VOC."""
MAX_FILES, MAX_UNPACKED = 200_000, 256 * 2**20
"""Files of an archive of labels, and their bytes: a small one can unpack to a JSON that fills the memory."""
JSON = (".json", ".jsonl", ".ndjson")
PACKED = (".txt", ".xml", ".yaml", ".yml", *JSON, ".csv", ".tsv")
"""Endings of files that are unpacked from one."""
DATA = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "classes.json")
"""Files with the names of classes by index."""
EXPECTED = "one table with file and label, one COCO .json, or a folder or a .zip of YOLO .txt or VOC .xml files"
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
    reading: str = ""
    """What the labels were read as: `labels.csv: filename → file, class → label; separated by tabs`."""

    @cached_property
    def indexed(self) -> bool:
        """Whether all labels of a file are numbers, which may be indices of classes."""
        classes = self.classes if self.reading else ()
        return bool(classes) and all(re.fullmatch(r"\d+(\.0+)?", name) for name in classes)

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

    @property
    def files(self) -> tuple[str, ...]:
        """The labelled files."""
        return tuple({**self.pictures, **self.picture_labels, **self.masks})

    def find_missing(self, pictures: Sequence[str]) -> list[str]:
        """Return the labelled files that are none of these pictures."""
        found = {_match_name(names, picture) for names in self._names.values() for picture in pictures}
        return [key for key in self.files if key not in found]

    @cached_property
    def _names(self) -> Mapping[str, Mapping[str, str]]:
        """Labelled files by their name, with up to two of its folders, as far as only one has it."""
        names = {}
        for kind in ("pictures", "picture_labels", "masks"):
            keys: Iterable[str] = getattr(self, kind)
            counts = Counter(name for key in keys for name in _list_names(key))
            unique = {name: key for key in keys for name in _list_names(key) if counts[name] == 1}
            names[kind] = unique | {key: key for key in keys}
        return names

    def _find(self, kind: str, picture: str) -> Any:
        return getattr(self, kind).get(_match_name(self._names[kind], picture))


def _list_names(path: str) -> list[str]:
    """Return a path in lower case with two folders, with one, and with none."""
    parts = path.casefold().split("/")
    return ["/".join(parts[-count:]) for count in range(min(3, len(parts)), 0, -1)]


def _match_name(names: Mapping[str, str], picture: str) -> str | None:
    """Return the labelled file that is a picture."""
    # A YOLO file has its picture's name with another ending.
    tried = (name for path in (picture, *_list_names(picture)) for name in (path, splitext(path)[0]))
    return next((names[name] for name in tried if name in names), None) if names else None


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
    for path, file, line, parse in rows:
        # Of another machine: with its drive, its root and its separators.
        picture = re.sub(r"^([A-Za-z]:)?(\.?/)+", "", path.strip().replace("\\", "/"))
        try:
            label = parse()
            if isinstance(label, TrueBox):
                if not (label.label and picture):
                    raise LabelError("it needs a file and a label")
                x0, y0, x1, y1 = label.box
                if not (x1 > x0 and y1 > y0):
                    raise LabelError("its box has no area")
                if label.relative and max(map(abs, label.box)) > 2:
                    raise LabelError("its numbers are not parts of the picture from 0 to 1")
                pictures[picture].append(label)
            elif label is None:
                pictures[picture]
            elif not (label and picture):
                raise LabelError("it needs a file and a label")
            elif picture_labels.setdefault(picture, label) != label:
                raise LabelError(f"{picture} has another label above")
        except (ValueError, KeyError, TypeError, IndexError) as problem:
            reason = str(problem) if isinstance(problem, LabelError) else "it is not as this format has it"
            problems.append(LabelProblem(file, line, reason))
    return GroundTruth({key: tuple(boxes) for key, boxes in pictures.items()}, tuple(problems), picture_labels)


def read(path: Path | str) -> GroundTruth:
    """Read labels: a table, JSON, COCO, YOLO or VOC, a folder or a `.zip`.

    A table has a file and a label in each row, and the corners of a box or not; its separator, encoding and columns are
    found (`label_table`).

    Raises Problem for a file that is none of these.
    """
    with open_files(path, "labels", f"give {EXPECTED}") as (folder, files):
        try:
            truth = _read_files(folder, files)
        except OSError as problem:
            raise Problem(f"{Path(path).name} cannot be read ({problem.strerror}): is it yours?") from problem
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
    if path.suffix.lower() != ".zip":
        if path.stat().st_size > MAX_BYTES:
            raise Problem(f"{path.name} has more than {MAX_BYTES >> 20} MB: split these labels.")
        if path.suffix.lower() not in endings:
            raise Problem(f"{path.name} has no readable {what}: {hint}.")
        yield path.parent, [path]
        return
    with tempfile.TemporaryDirectory(prefix=f"sightglass-{what}-", ignore_cleanup_errors=True) as home:
        # Deep enough that no file of somebody else's is above it.
        folder = Path(home) / "unpacked" / file_stem(path.stem, otherwise=what)
        folder.mkdir(parents=True)
        yield folder, picture_source.unpack_files(path, folder, endings, most=MAX_FILES, most_bytes=MAX_UNPACKED)


def _read_files(folder: Path, files: Sequence[Path]) -> GroundTruth:
    """Read the label files of a folder."""
    # A data set's own documentation is no label.
    files = [file for file in files if not file.name.lower().startswith(("readme", "license"))]
    data = sorted({file.parent for file in files if file.name in DATA}, key=lambda place: len(place.parts))
    files = [file for file in files if file.name not in DATA and file.suffix.lower() in PACKED]
    if documents := [file for file in files if file.suffix.lower() == ".xml"]:
        truth = _collect(row for file in documents for row in _list_voc(file))
        return replace(truth, reading="Pascal VOC")
    boxes = [file for file in files if file.suffix.lower() == ".txt" and not _is_table(file)]
    tables = [file for file in files if file.suffix.lower() in (".txt", ".csv", ".tsv", *JSON) and file not in boxes]
    if boxes and (data or not tables):
        names = _read_names(folder, data)
        truth = _collect(row for file in boxes for row in _list_yolo(file, folder, names))
        return replace(truth, reading=f"YOLO: {len(names)} classes")
    if len(tables) != 1:
        content = f"{len(tables)} files of labels" if tables else "no labels"
        raise Problem(f"{folder.name} holds {content}: give {EXPECTED}.")
    reading, rows = _list_rows(tables[0], _read_names(folder, data) if data else {})
    return replace(_collect(rows), reading=f"{tables[0].name}: {reading}")


def _is_table(file: Path) -> bool:
    """Return whether a .txt has files and labels, by its first line, and not YOLO's boxes."""
    with file.open("rb") as stream:
        text, _ = label_table.decode(stream.read(4096), file.name)
    parts = next((line.lower().split() for line in text.splitlines() if line.strip()), [])
    if any(ending in part for part in parts for ending in picture_source.PICTURES):
        return True
    numbers = [label_table.to_number(part) is not None for part in parts]
    return len(parts) == 2 or (bool(parts) and not all(numbers) and (len(parts) < 4 or not numbers[-1]))


def _list_rows(path: Path, names: Mapping[int, str]) -> tuple[str, Iterator[_Row]]:
    """Return how a table or a file of JSON is read, and its rows; `names`: of indices."""
    if path.suffix.lower() in JSON:
        content = _read_json(path)
        if isinstance(content, dict):
            return "COCO", _list_coco(path.name, content)
        reading, relative, entries = label_table.read_objects(path.name, content)
    else:
        reading, relative, entries = label_table.read_text(path.name, path.read_bytes())

    def parse(read_entry: Callable[[], tuple[str, Box | None]]) -> TrueBox | str | None:
        label, box = read_entry()
        if names and re.fullmatch(r"\d+(\.0+)?", label):
            label = names.get(int(float(label)), label)
        return (label or None) if box is None else TrueBox(label, box, relative=relative)

    return reading, ((picture, path.name, line, partial(parse, entry)) for picture, line, entry in entries)


def _read_json(path: Path) -> dict[str, Any] | list[tuple[int, Any]]:
    """Return a COCO table; or the numbered values of a list, of lines, or of `{file: label}`."""
    data = path.read_bytes()
    # In memory each takes twenty times its bytes.
    if data.count(b"[") + data.count(b"{") > MAX_TABLES:
        raise Problem(f"{path.name} holds more than {MAX_TABLES:,} lists and tables: split these labels.")
    text, _ = label_table.decode(data, path.name)
    try:
        content = json.loads(text)
    except RecursionError as problem:
        raise Problem(f"{path.name} is no JSON of labels: it is nested too deeply.") from problem
    except ValueError:
        rows = [(line, _parse_line(row)) for line, row in enumerate(text.splitlines(), 1) if row.strip()]
    else:
        if isinstance(content, dict) and {"images", "annotations"} & {*content}:
            return content
        if isinstance(content, dict):
            content = [{"file": file, "label": label} for file, label in content.items()]
        rows = [*enumerate(content if isinstance(content, list) else (), 1)]
    if not any(isinstance(row, dict) for _, row in rows):
        expected = "COCO with images, categories and annotations, objects with file and label, or {file: label}"
        raise Problem(f"{path.name} is no JSON of labels: give {expected}.")
    return rows


def _parse_line(line: str) -> Any:
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(line)


def _list_coco(file: str, content: Mapping[str, Any]) -> Iterator[_Row]:
    try:
        names = {row["id"]: str(row["file_name"]) for row in content["images"] if "file_name" in row}
        classes = {row["id"]: str(row["name"]) for row in content["categories"] if "name" in row}
        annotations = list(content["annotations"])
    except (KeyError, TypeError) as problem:
        raise Problem(f"{file} is no COCO file: it needs images, categories and annotations.") from problem
    yield from ((name, file, 0, lambda: None) for name in names.values())
    for line, annotation in enumerate(annotations, 1):
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        picture = names.get(number, "") if isinstance(number, int | str) else ""
        yield picture, file, line, partial(_parse_coco, annotation, names, classes)


def _parse_coco(annotation: Any, names: Mapping[Any, str], classes: Mapping[Any, str]) -> TrueBox:
    if annotation["image_id"] not in names:
        raise LabelError("its picture is not among the images")
    if annotation["category_id"] not in classes:
        raise LabelError("its class is not among the categories")
    flags = bool(annotation.get("iscrowd")), bool(annotation.get("ignore"))
    if not annotation.get("bbox") and isinstance(polygons := annotation.get("segmentation"), list):
        points = [number for polygon in polygons for number in parse_numbers(polygon, len(polygon))]
        box = (min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2]))
    else:
        x, y, wide, high = parse_numbers(annotation["bbox"])
        box = (x, y, x + wide, y + high)
    return TrueBox(classes[annotation["category_id"]], box, *flags)


def _list_yolo(file: Path, folder: Path, names: Mapping[int, str]) -> Iterator[_Row]:
    picture = file.with_suffix("").relative_to(folder).as_posix()
    yield picture, file.name, 0, lambda: None
    text, _ = label_table.decode(file.read_bytes(), file.name)
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip():
            yield picture, file.name, line, partial(_parse_yolo, row.split(), names)


def _read_names(folder: Path, data: Sequence[Path]) -> Mapping[int, str]:
    """Return the names of classes from the first folder with any: this one, two above it, those in it."""
    for place in (folder, folder.parent, folder.parent.parent, *data):
        for name in DATA:
            with contextlib.suppress(OSError, ValueError, RecursionError):
                if names := class_names.by_index(class_names.read_file(place / name)):
                    return names
    missing = f"{DATA[0]} with the names of its classes"
    raise Problem(f"The folder {folder.name} has no {missing}: put one into it or above it.")


def _parse_yolo(parts: Sequence[str], names: Mapping[int, str]) -> TrueBox:
    index, *numbers = parts
    if not index.isdecimal() or int(index) not in names:
        raise LabelError(f"class {index[:20]} is not one of the {len(names)} that are named")
    values = parse_numbers(numbers, len(numbers))
    if len(values) == 4:
        x, y, wide, high = values
        box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    elif len(values) >= 6 and len(values) % 2 == 0:
        # A polygon; its box is around it.
        box = (min(values[::2]), min(values[1::2]), max(values[::2]), max(values[1::2]))
    else:
        raise LabelError("a box has four numbers after its class, a polygon six or more")
    return TrueBox(names[int(index)], box, relative=True)


def _list_voc(file: Path) -> Iterator[_Row]:
    from xml.etree import ElementTree

    try:
        data = file.read_bytes()
        # In UTF-16 an entity would not be seen.
        text, _ = label_table.decode(data, file.name)
        # Entities can stand for billions of letters, and no label needs one.
        if len(data) > MAX_XML or "<!ENTITY" in text:
            raise ValueError
        root = ElementTree.fromstring(text)
    except (OSError, ValueError, Problem, ElementTree.ParseError):
        yield file.stem, file.name, 0, partial(_refuse, "it is no XML of Pascal VOC")
        return
    picture = root.findtext("filename") or file.stem
    yield picture, file.name, 0, lambda: None
    for line, entry in enumerate(root.iterfind("object"), 1):
        corners = [entry.findtext(f"bndbox/{name}") or "" for name in ("xmin", "ymin", "xmax", "ymax")]
        difficult = (entry.findtext("difficult") or "").strip() in ("1", "true", "True")
        yield picture, file.name, line, partial(_parse_voc, entry.findtext("name") or "", corners, difficult)


def _refuse(reason: str) -> TrueBox:
    raise LabelError(reason)


def _parse_voc(name: str, corners: Sequence[str], difficult: bool) -> TrueBox:
    # Its pixels are counted from 1, the last one included.
    x0, y0, x1, y1 = parse_numbers(corners)
    return TrueBox(name.strip(), (x0 - 1, y0 - 1, x1, y1), ignored=difficult)
