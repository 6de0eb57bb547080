"""Read labels: tables, JSON, COCO, YOLO text, Pascal VOC, or a .zip.

Each picture is known by its file's name, with the folders that the labels give it. A line that cannot be used becomes
a `LabelProblem`; the others count.
"""

import codecs
import contextlib
import csv
import hashlib
import io
import json
import math
import re
import tempfile
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import ConfigDict

from sightglass.common.errors import Problem
from sightglass.common.files import csv_files
from sightglass.common.left_out import HIDDEN, is_hidden
from sightglass.common.legible import visible
from sightglass.common.names import class_key, compose, file_stem
from sightglass.evaluation.matching import LabelledFiles, Matches, spell_path
from sightglass.explain.picture.source import PICTURES, unpack_files
from sightglass.models import labels as class_names
from sightglass.models.geometry import Box

MAX_BYTES = 512 * 2**20
"""Maximum bytes of one file of labels."""
MAX_TABLES, MAX_XML = 10_000_000, 4 * 2**20
"""Lists and tables of a file of COCO, and bytes of a file of Pascal VOC."""
MAX_KEYS = 20_000_000
"""Keys of a file of JSON: COCO's own of 118,000 pictures has eight millions."""
MAX_COLUMNS = 1_000
"""Columns of a table, and keys of the first `SAMPLE` objects of a file of JSON."""
MAX_ROWS = 5_000_000
"""Lines of all files of labels: a box takes about 500 bytes of memory."""
MAX_FILES, MAX_UNPACKED = 200_000, 256 * 2**20
"""Files of an archive of labels, and their bytes: a small one can unpack to a JSON that fills the memory."""
JSON = (".json", ".jsonl", ".ndjson")
TABLES = (".txt", ".csv", ".tsv", *JSON)
PACKED = (".txt", ".xml", ".yaml", ".yml", *JSON, ".csv", ".tsv")
"""Endings of files that are unpacked from one."""
DATA = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "classes.json")
"""Files with the names of classes by index."""
EXPECTED = "one table with file and label, one COCO .json, or a folder or a .zip of YOLO .txt or VOC .xml files"
SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "", "": "blanks"}
"""Separators of a table, with the name of an unusual one."""
_COLUMNS = tomllib.loads(Path(__file__).with_name("label_columns.toml").read_text("utf-8"))
FILE, LABEL = _COLUMNS["file"], _COLUMNS["label"]
CORNERS, SIZES, CENTRES = _COLUMNS["corners"], _COLUMNS["sizes"], _COLUMNS["centres"]
NO_OBJECTS = frozenset({"no finding", "no object"})
"""Keys of labels of pictures without objects, in tables of boxes."""
SAMPLE = 1000
"""Rows by which a table is understood."""
_INDEX = re.compile(r"\d+(\.0+)?")
"""A label that may be the index of a class."""
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


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

    def in_pixels(self, size: tuple[int, int]) -> Self:
        """Return the box in pixels, clipped to a picture of this width and height."""
        wide, high = size if self.relative else (1, 1)
        x0, y0, x1, y1 = self.box
        left, top = max(0.0, x0 * wide), max(0.0, y0 * high)
        return replace(self, box=(left, top, min(x1 * wide, size[0]), min(y1 * high, size[1])), relative=False)


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
    left_out: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Files of a folder or an archive that say nothing of the labels, but for pictures, with the reasons."""
    reading: str = ""
    """What the labels were read as: `labels.csv: filename → file, class → label; separated by tabs`."""
    matches: Matches | None = field(default=None, repr=False)
    """The labelled file of each picture of a run; None until its pictures are known (`among`)."""
    unclear: tuple[str, ...] = ()
    """Labelled files that count for none of these pictures, as several are called so, or several labels."""

    @cached_property
    def indexed(self) -> bool:
        """Whether all labels of a file are numbers, which may be indices of classes."""
        classes = self.classes if self.reading else ()
        return bool(classes) and all(_INDEX.fullmatch(name) for name in classes)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels in use, sorted."""
        boxes = {box.label for picture in self.pictures.values() for box in picture}
        return tuple(sorted(boxes | {*self.picture_labels.values(), *self.mask_labels}))

    def find(self, key: str) -> tuple[TrueBox, ...] | None:
        """Return a picture's boxes, else None."""
        return self.pictures.get(self._match(key))

    def find_class(self, key: str) -> str | None:
        """Return the class of a whole picture, else None."""
        labels = {box.label for box in self.find(key) or ()}
        return self.picture_labels.get(self._match(key)) or (labels.pop() if len(labels) == 1 else None)

    def find_mask(self, key: str) -> bytes | None:
        """Return the mask of a picture, else None."""
        return self.masks.get(self._match(key))

    @property
    def files(self) -> tuple[str, ...]:
        """The labelled files."""
        return tuple({**self.pictures, **self.picture_labels, **self.masks})

    def among(self, pictures: Collection[str]) -> Self:
        """Return the labels matched to these pictures, each to one at most.

        They stay as they are where more pictures are known already.
        """
        if self.matches is not None and self.matches.keys() >= {*pictures}:
            return self
        matches, unclear = self._labelled.match(pictures)
        return replace(self, matches=matches, unclear=unclear)

    def find_missing(self, pictures: Collection[str]) -> list[str]:
        """Return the labelled files that are none of these pictures."""
        among = self.among(pictures)
        found = {*(among.matches or {}).values(), *among.unclear}
        return [key for key in self.files if key not in found]

    @cached_property
    def _labelled(self) -> LabelledFiles:
        return LabelledFiles(self.files)

    def _match(self, picture: str) -> str:
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


_Cells = tuple[int, Sequence[Any]]
"""The number of a line of a table, from 1, and its cells."""
_Row = tuple[str, int, "Callable[[], TrueBox | str | None]"]
"""The picture that a line of labels is about, its number, and what parses it: to a box, to the class of the whole
picture, or to None for a picture without objects."""


class LabelError(ValueError):
    """A label that cannot be used; the message is the reason, without a full stop."""


_Key = tuple[str, str]
"""The folder of a file of labels, empty of a single one, and the picture that a line of it is about."""


@dataclass(frozen=True)
class _Collected:
    """Labels by what they say they are of."""

    boxes: defaultdict[_Key, list[TrueBox]] = field(default_factory=lambda: defaultdict(list))
    picture_labels: dict[_Key, str] = field(default_factory=dict)
    repeated: set[_Key] = field(default_factory=set)
    """Names that several pictures of one file, or of one folder, have."""

    def add(self, key: _Key, label: TrueBox | str | None, *, is_new: bool) -> None:
        """Add a label; `is_new`: it begins a picture. Raises LabelError."""
        _, picture = key
        name = label.label if isinstance(label, TrueBox) else label
        if not picture or name == "":
            raise LabelError("it needs a file and a label")
        if is_new and key in self.boxes:
            self.repeated.add(key)
            raise LabelError(f"{picture} is the name of several pictures")
        if isinstance(label, TrueBox):
            _check_box(label)
            composed = compose(label.label)
            self.boxes[key].append(label if composed == label.label else replace(label, label=composed))
        elif label is None:
            self.boxes[key]
        elif self.picture_labels.setdefault(key, compose(label)) != compose(label):
            raise LabelError(f"{picture} has another label above")

    def finish(self, problems: Iterable[LabelProblem]) -> GroundTruth:
        """Return the labels by picture; a name in several folders gets its folder."""
        keys = dict.fromkeys(chain(self.boxes, self.picture_labels))
        counts = Counter(picture for _, picture in keys)
        names = {
            (folder, picture): picture if counts[picture] == 1 else f"{folder}/{picture}".removeprefix("/")
            for folder, picture in keys
            if (folder, picture) not in self.repeated
        }
        # A folder may already be in the name that one of them gives.
        twice = {name for name, count in Counter(names.values()).items() if count > 1}
        several = (LabelProblem(name, 0, "it is the name of several pictures") for name in sorted(twice))
        names = {key: name for key, name in names.items() if name not in twice}
        boxes = {names[key]: tuple(found) for key, found in self.boxes.items() if key in names}
        labels = {names[key]: label for key, label in self.picture_labels.items() if key in names}
        return GroundTruth(boxes, (*problems, *several), labels)


def _check_box(label: TrueBox) -> None:
    """Raise LabelError for a box that is none."""
    x0, y0, x1, y1 = label.box
    if not (x1 > x0 and y1 > y0):
        raise LabelError("its box has no area")
    if label.relative and max(map(abs, label.box)) > 2:
        raise LabelError("its numbers are not parts of the picture from 0 to 1")


def _collect(files: Iterable[tuple[str, Iterable[_Row]]]) -> GroundTruth:
    """Collect the labels of all lines, and the unusable ones; files have their folders in their names."""
    collected = _Collected()
    problems: list[LabelProblem] = []
    for file, (path, line, parse) in _bound(files):
        where = file.rpartition("/")[0], spell_path(path)
        try:
            label = parse()
            collected.add(where, label, is_new=line == 0 and label is None)
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as problem:
            reason = str(problem) if isinstance(problem, LabelError) else "it is not as this format has it"
            problems.append(LabelProblem(file, line, reason))
    return collected.finish(problems)


def _bound(files: Iterable[tuple[str, Iterable[_Row]]]) -> Iterator[tuple[str, _Row]]:
    """Yield the lines of all files; raise Problem for too many."""
    lines = ((file, row) for file, rows in files for row in rows)
    yield from islice(lines, MAX_ROWS)
    if next(lines, None) is not None:
        raise Problem(f"These labels have more than {MAX_ROWS:,} lines: give them in several parts.")


def read(path: Path | str) -> GroundTruth:
    """Read labels: a table, JSON, COCO, YOLO or VOC, a folder or a `.zip`.

    Rows of a table have a file, a label and maybe a box's corners; separator, encoding and columns are found.

    Raises Problem for a file that is none of these.
    """
    left_out: dict[str, str] = {}
    with open_files(path, "labels", f"give {EXPECTED}", left_out) as (folder, files):
        try:
            truth = replace(_read_files(folder, files, left_out), left_out=left_out)
        except OSError as problem:
            raise Problem(f"{Path(path).name} cannot be read ({problem.strerror}): is it yours?") from problem
    if not (any(truth.pictures.values()) or truth.picture_labels):
        first = f" {truth.problems[0].words}" if truth.problems else ""
        raise Problem(f"There are no labels in {Path(path).name}.{first}")
    return truth


@contextlib.contextmanager
def open_files(
    path: Path | str, what: str, hint: str, left_out: dict[str, str], endings: tuple[str, ...] = PACKED
) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a folder and its files with these endings, unpacked from an archive.

    `left_out` receives the others, but for pictures, with the reasons. Raises Problem.
    """
    packed: list[str] = []

    def choose(name: str) -> bool:
        packed.append(name)
        chosen = name.lower().endswith(endings) and not is_hidden(name)
        if not chosen and not name.lower().endswith(PICTURES):
            left_out[visible(name)] = HIDDEN if is_hidden(name) else f"no {what}"
        return chosen

    path = Path(path).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        yield path, [file for file in files if choose(file.relative_to(path).as_posix())]
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
        unpacked = unpack_files(path, folder, choose, most=MAX_FILES, most_bytes=MAX_UNPACKED)
        yield _find_top(folder, packed, unpacked), unpacked


def _find_top(folder: Path, packed: Iterable[str], unpacked: Iterable[Path]) -> Path:
    """Return the one folder that an archive holds; else where it was unpacked."""
    tops = {"/".join(name.replace("\\", "/").split("/")[:-1][:1]) for name in packed if not is_hidden(name)}
    if len(tops) != 1:
        return folder
    top = folder / tops.pop()
    return top if all(top in file.parents for file in unpacked) else folder


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


def _read_files(folder: Path, files: Sequence[Path], left_out: dict[str, str]) -> GroundTruth:
    """Read the labels of the first format that these files have.

    `left_out` receives files of others.
    """

    def leave_out(others: Iterable[Path], reason: str) -> None:
        left_out.update({visible(file.relative_to(folder).as_posix()): reason for file in others})

    found = _sort_files(files)
    leave_out(found.documentation, "documentation")
    leave_out(found.others, "no labels")
    if found.documents:
        leave_out([*found.boxes, *found.tables], "beside Pascal VOC")
        named = ((file.relative_to(folder).as_posix(), _list_voc(file)) for file in found.documents)
        return replace(_collect(named), reading="Pascal VOC")
    if found.boxes and (found.data or not found.tables):
        leave_out(found.tables, "beside YOLO")
        names = _read_names(folder, found.data)
        truth = _collect((file.name, _list_yolo(file, folder, names)) for file in found.boxes)
        return replace(truth, reading=f"YOLO: {len(names)} classes")
    if len(found.tables) != 1:
        content = f"{len(found.tables)} files of labels" if found.tables else "no labels"
        raise Problem(f"{folder.name} holds {content}: give {EXPECTED}.")
    leave_out(found.boxes, "beside a table")
    (table,) = found.tables
    reading, rows = _read_table(table, _read_names(folder, found.data) if found.data else {})
    return replace(_collect([(table.name, rows)]), reading=f"{table.name}: {reading}")


def _is_table(file: Path) -> bool:
    """Return whether a .txt has files and labels, by its first line, and not YOLO's boxes."""
    with file.open("rb") as stream:
        text, _ = _decode(stream.read(4096), file.name)
    parts = next((line.lower().split() for line in text.splitlines() if line.strip()), [])
    if any(ending in part for part in parts for ending in PICTURES):
        return True
    numbers = [to_number(part) is not None for part in parts]
    return len(parts) == 2 or (bool(parts) and not all(numbers) and (len(parts) < 4 or not numbers[-1]))


def _read_table(path: Path, names: Mapping[int, str]) -> tuple[str, Iterator[_Row]]:
    """Return how a table or a file of JSON is read, and its rows; `names`: of indices. Raises Problem."""
    if path.suffix.lower() in JSON:
        content = _read_json(path)
        if isinstance(content, dict):
            return "COCO", _list_coco(path.name, content)
        keys = list(dict.fromkeys(key for _, row in content[:SAMPLE] if isinstance(row, dict) for key in row))
        _check_columns(path.name, len(keys), "keys")
        cells = ((line, _JsonRow(row, keys) if isinstance(row, dict) else ()) for line, row in content)
        return _understand(path.name, chain([(0, keys)], cells), [], names)
    text, encoding = _decode(path.read_bytes(), path.name)
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:100] or [""]
    # A label may have others in it: `cat;dog`.
    found = (each for each in SEPARATORS if each in lines[0] and 2 * sum(each in line for line in lines) > len(lines))
    separator = next(found, "")
    notes = [f"separated by {title}" if (title := SEPARATORS[separator]) else "", encoding]
    return _understand(path.name, _split(text, separator, path.name), notes, names)


@dataclass(frozen=True, slots=True)
class _JsonRow(Sequence[Any]):
    """A JSON object as a row of a table, without a copy."""

    values: Mapping[str, Any]
    keys: Sequence[str]
    """Those of the table."""

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, column: Any) -> Any:
        return self.values.get(self.keys[column], "")


def _check_columns(name: str, count: int, what: str = "columns") -> None:
    if count > MAX_COLUMNS:
        raise Problem(f"{name} has more than {MAX_COLUMNS:,} {what}: keep those of file, label and box.")


def _read_json(path: Path) -> dict[str, Any] | list[tuple[int, Any]]:
    """Return a COCO table; or the numbered values of a list, of lines, or of `{file: label}`."""
    data = path.read_bytes()
    # In memory each takes twenty times its bytes.
    if data.count(b"[") + data.count(b"{") > MAX_TABLES:
        raise Problem(f"{path.name} holds more than {MAX_TABLES:,} lists and tables: split these labels.")
    if data.count(b":") > MAX_KEYS:
        raise Problem(f"{path.name} holds more than {MAX_KEYS:,} keys: split these labels.")
    text, _ = _decode(data, path.name)
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


def _decode(data: bytes, name: str) -> tuple[str, str]:
    """Return a text and its encoding, empty for UTF-8; raise Problem for what is no text."""
    encodings = {"utf-8-sig": "", "cp1252": "Windows-1252", "latin-1": "Latin-1"}
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = {"utf-16": "UTF-16"}
    for encoding, title in encodings.items():
        with contextlib.suppress(UnicodeDecodeError):
            if "\0" not in (text := data.decode(encoding)):
                return text, title
    raise Problem(f"{name} is no text: save it as UTF-8.")


def parse_numbers(values: Sequence[Any], count: int = 4) -> list[float]:
    """Return finite numbers; raise LabelError."""
    if len(values) != count:
        raise LabelError(f"a box has {count} numbers, and this one {len(values)}")
    numbers = [number for value in values if (number := to_number(value)) is not None]
    if len(numbers) < count:
        raise LabelError("a coordinate is no number")
    return numbers


def to_number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    # Spreadsheets write decimal commas.
    text = "" if isinstance(value, bool) else str(value).strip().replace(",", ".")
    number = float(text) if _NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def _split(text: str, separator: str, name: str) -> Iterator[_Cells]:
    """Yield the rows that are not empty."""
    if not separator:
        pattern = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, PICTURES))})|\S+)\s+(.+)", re.IGNORECASE)
        for line, row in enumerate(text.splitlines(), 1):
            if row.strip():
                yield line, found.groups() if (found := pattern.fullmatch(row.strip())) else [row]
        return
    reader = csv.reader(_check_lines(text, separator, name), delimiter=separator)
    try:
        for cells in reader:
            _check_columns(name, len(cells))
            if any(map(str.strip, cells)):
                yield reader.line_num, [csv_files.unescape(cell.strip()) for cell in cells]
    except csv.Error as problem:
        raise Problem(f"{name} cannot be read at line {reader.line_num}: save it as a table again.") from problem


def _check_lines(text: str, separator: str, name: str) -> Iterator[str]:
    """Yield the lines of a table; raise Problem for one of too many columns."""
    for line in io.StringIO(text, newline=None):
        _check_columns(name, line.count(separator))
        yield line


def _find_file(rows: Sequence[Sequence[Any]]) -> int | None:
    """Return the column whose cells are names of pictures, in nine of ten rows."""
    counts = Counter(i for row in rows for i, cell in enumerate(row) if str(cell).lower().endswith(PICTURES))
    return next((i for i in sorted(counts) if counts[i] > 0.9 * len(rows)), None)


_Columns = tuple[int | None, int | None, tuple[int, ...]]
"""The positions of file, label and box, as far as they are clear."""


def _spell(title: str) -> str:
    return re.sub(r"[^a-z0-9]|^bbox", "", title.lower())


def _name_columns(header: Sequence[str]) -> _Columns:
    """Return columns by their names."""
    names = [*map(_spell, header)]
    file = next((names.index(name) for name in FILE if name in names), None)
    fours = (four.split() for four in (*CORNERS, *CENTRES, *SIZES))
    box = next((tuple(map(names.index, four)) for four in fours if {*four} <= {*names}), ())
    label = next((i for name in LABEL if name in names and (i := names.index(name)) not in (file, *box)), None)
    return file, label, box


def _guess_columns(rows: Sequence[Sequence[Any]]) -> _Columns:
    """Return columns by what is in them."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    rows = [row for row in rows if len(row) == width]
    if (file := _find_file(rows)) is None:
        names, labels = ({str(row[i]) for row in rows} for i in (0, -1))
        # Each picture has a line, and classes repeat.
        return (0, 1, ()) if width == 2 and len(labels) < len(names) == len(rows) else (None, None, ())
    others = [i for i in range(width) if i != file]
    words = [i for i in others if any(row[i] and to_number(row[i]) is None for row in rows)]
    clear = len(others) == 1 or (len(others) == 5 and not words)
    label = words[0] if len(words) == 1 else others[-1] if clear else None
    return file, label, tuple(i for i in others if i != label) if len(others) == 5 else ()


def _understand(
    name: str, rows: Iterator[_Cells], notes: Sequence[str], names: Mapping[int, str]
) -> tuple[str, Iterator[_Row]]:
    """Return how the columns of a table are read, as a sentence, and its lines. Raises Problem.

    `notes`: how it was read so far. `names`: of classes by index.
    """
    sample = [*islice(rows, SAMPLE + 1)]
    if not sample:
        raise Problem(f"{name} is empty: give a line for each picture or box.")
    cells = [row for _, row in sample]
    titles = [str(cell) for cell in cells[0]]
    if (columns := _read_header(titles, cells[1:])) is not None:
        sample, found = sample[1:], ", ".join(titles[:8])
    else:
        columns, found = _guess_columns(cells), f"{len(titles)} without names"
        titles, notes = [f"column {i}" for i in range(1, len(titles) + 1)], ["no header", *notes]
    file, label, box = columns
    corners = {name for four in (*CORNERS, *CENTRES) for name in four.split()} - {"w", "h", "width", "height"}
    partial_box = not box and len(corners & {*map(_spell, titles)}) > 1
    if file is None or label is None or label == file or partial_box:
        needed = "file and label, or of boxes file, x0, y0, x1, y1 and label"
        raise Problem(f"{name} needs the columns {needed}: it has others ({found}).")
    relative = _is_relative(name, [row for _, row in sample], box)
    boxes = [titles[i] for i in box]
    notes = [f"{', '.join(boxes)} → box" if box else "", "boxes in 0..1" if relative else "", *notes]
    reading = "; ".join([f"{titles[file]} → file, {titles[label]} → label", *filter(None, notes)])
    four = " ".join(map(_spell, boxes))
    shift = 0.5 if four in CENTRES else 0.0 if four in SIZES else None
    table = _TableFormat(label, box, len(titles), shift, relative, names)
    files = ((str(row[file]) if file < len(row) else "", line, row) for line, row in chain(sample, rows))
    return reading, ((picture, line, partial(table.parse, row)) for picture, line, row in files)


def _read_header(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> _Columns | None:
    """Return columns by their titles, and by the rows where these say more; None where the first row is no header."""
    column = _find_file(rows)
    file, label, box = _name_columns(titles)
    if file is None and (column is None or titles[column].lower().endswith(PICTURES)):
        return None
    file = file if column is None else column
    rest = [i for i, title in enumerate(titles) if title and i not in (file, *box)]
    if label in (None, file) and len(rest) == 1:
        # Classes repeat; captions and addresses do not.
        repeats = len({str(row[rest[0]]) for row in rows if len(row) > rest[0]}) < len(rows)
        label = rest[0] if repeats else None
    return file, label, box


def _is_relative(name: str, rows: Sequence[Sequence[Any]], box: Sequence[int]) -> bool:
    """Return whether boxes are in parts of the picture, by the largest number of each; raise Problem if unclear."""
    numbers = [[number for i in box if i < len(row) and (number := to_number(row[i]))] for row in rows]
    largest = [max(row) for row in numbers if row]
    relative = bool(largest) and max(largest) <= 1.01
    # Beside larger ones no box is smaller than a pixel.
    if largest and not relative and (max(largest) <= 2 or any(0 < most < 1 for most in largest)):
        raise Problem(f"Boxes of {name} may be in pixels or in parts of the picture from 0 to 1: write all in one way.")
    return relative


def _pick(row: Sequence[Any], columns: Sequence[int]) -> list[Any]:
    """Return the cells of a row that may be too short."""
    return [row[i] if i < len(row) else "" for i in columns]


@dataclass(frozen=True)
class _TableFormat:
    """How the rows of a table are read."""

    label: int
    """Column of the label."""
    box: tuple[int, ...]
    """Columns of the four numbers of a box; none of a table of classes."""
    width: int
    """Number of columns."""
    shift: float | None
    """How far a box is to the left of its first numbers, in parts of its size; None where all four are corners."""
    relative: bool
    """Whether boxes are in parts of the picture."""
    names: Mapping[int, str]
    """Names of classes by index."""

    def parse(self, row: Sequence[Any]) -> TrueBox | str | None:
        """Return a row's box or class; None for a picture without objects. Raises LabelError."""
        if not row:
            raise LabelError("it is no JSON object")
        if len(row) > self.width and any(row[self.width :]):
            raise LabelError(f"it has {len(row)} values, and the first line {self.width}")
        label, *numbers = _pick(row, (self.label, *self.box))
        text = str(label).strip() if isinstance(label, str | int | float) else ""
        if self.names and _INDEX.fullmatch(text):
            text = self.names.get(int(float(text)), text)
        if not self.box:
            return text
        if _has_no_object(text, numbers):
            return None
        a, b, c, d = parse_numbers(numbers)
        if self.shift is not None:
            a, b = a - self.shift * c, b - self.shift * d
            c, d = a + c, b + d
        return TrueBox(text, (a, b, c, d), relative=self.relative)


def _has_no_object(label: str, numbers: Sequence[Any]) -> bool:
    """Return whether a row says, by its box or label, that nothing is there."""
    values = {str(number).strip().casefold() for number in numbers} - {"", "nan", "none", "null"}
    return not values or class_key(label) in NO_OBJECTS or (not label and set(map(to_number, values)) == {0})


def _to_key(value: Any) -> Any:
    """Return an id as a key, a number as text: 7 and 7.0 are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # A file could choose numbers of one hash, and each would be compared with each.
    return str(value) if isinstance(value, int | float) else value


def _list_coco(file: str, content: Mapping[str, Any]) -> Iterator[_Row]:
    try:
        names = {_to_key(row["id"]): str(row["file_name"]) for row in content["images"] if "file_name" in row}
        classes = {_to_key(row["id"]): str(row["name"]) for row in content["categories"] if "name" in row}
        annotations = list(content["annotations"])
    except (KeyError, TypeError) as problem:
        raise Problem(f"{file} is no COCO file: it needs images, categories and annotations.") from problem
    yield from ((name, 0, lambda: None) for name in names.values())
    for line, annotation in enumerate(annotations, 1):
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        picture = names.get(_to_key(number), "") if isinstance(number, int | float | str) else ""
        yield picture, line, partial(_parse_coco, annotation, names, classes)


def _parse_coco(annotation: Any, names: Mapping[Any, str], classes: Mapping[Any, str]) -> TrueBox:
    if _to_key(annotation["image_id"]) not in names:
        raise LabelError("its picture is not among the images")
    if _to_key(annotation["category_id"]) not in classes:
        raise LabelError("its class is not among the categories")
    flags = bool(annotation.get("iscrowd")), bool(annotation.get("ignore"))
    if not annotation.get("bbox") and isinstance(polygons := annotation.get("segmentation"), list):
        points = [number for polygon in polygons for number in parse_numbers(polygon, len(polygon))]
        box = (min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2]))
    else:
        x, y, wide, high = parse_numbers(annotation["bbox"])
        box = (x, y, x + wide, y + high)
    return TrueBox(classes[_to_key(annotation["category_id"])], box, *flags)


def _list_yolo(file: Path, folder: Path, names: Mapping[int, str]) -> Iterator[_Row]:
    picture = file.with_suffix("").relative_to(folder).as_posix()
    yield picture, 0, lambda: None
    text, _ = _decode(file.read_bytes(), file.name)
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip():
            yield picture, line, partial(_parse_yolo, row.split(), names)


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
        text, _ = _decode(data, file.name)
        # Entities can stand for billions of letters, and no label needs one.
        if len(data) > MAX_XML or "<!ENTITY" in text:
            raise ValueError
        root = ElementTree.fromstring(text)
    except (OSError, ValueError, Problem, ElementTree.ParseError):
        yield file.stem, 0, partial(_refuse, "it is no XML of Pascal VOC")
        return
    picture = root.findtext("filename") or file.stem
    yield picture, 0, lambda: None
    for line, entry in enumerate(root.iterfind("object"), 1):
        corners = [entry.findtext(f"bndbox/{name}") or "" for name in ("xmin", "ymin", "xmax", "ymax")]
        difficult = (entry.findtext("difficult") or "").strip() in ("1", "true", "True")
        yield picture, line, partial(_parse_voc, entry.findtext("name") or "", corners, difficult)


def _refuse(reason: str) -> TrueBox:
    raise LabelError(reason)


def _parse_voc(name: str, corners: Sequence[str], difficult: bool) -> TrueBox:
    # Its pixels are counted from 1, the last one included.
    x0, y0, x1, y1 = parse_numbers(corners)
    return TrueBox(name.strip(), (x0 - 1, y0 - 1, x1, y1), ignored=difficult)
