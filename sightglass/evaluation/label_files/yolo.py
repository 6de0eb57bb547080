"""Read YOLO's text: an object on each line, in parts of the picture."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sightglass.common.errors import UnclearLabels
from sightglass.evaluation.label_files.class_files import ClassFile
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import LabelFile, decode
from sightglass.evaluation.label_files.rows import INDEX, LabelError, Row, TrueBox
from sightglass.evaluation.label_files.values import box_around, parse_numbers, to_number
from sightglass.models.geometry import Box

SAMPLE = 200
"""Files by which it is told whether rows of seven values are boxes of a tracker."""
TRIANGLES = "it may be a triangle, or a box with its confidence and its track: leave the last two values out if so"
ANGLES = "its last value may be the angle of a turned box: write the four corners of such boxes"
MAX_COORDINATE = 1.1
"""How far a polygon may reach out of the picture, in parts of it."""
_WITHOUT_MORE = ("row was read without confidence and track", "rows were read without confidence and track")
_WITHOUT_KEYPOINTS = ("row was read without its keypoints", "rows were read without their keypoints")
_CORNERED = ("box of four corners was read as the upright box around it", "boxes of four corners were read as upright")
_POLYGON = ("polygon was read as the upright box around it", "polygons were read as the upright boxes around them")
_BOX, _TRACKED, _CORNERS = 4, 6, 8
"""Numbers after the class: of a box; of a box with confidence and track, or of a triangle; of four corners."""
OWN_FOLDERS = ("obj_train_data", "obj_valid_data", "obj_test_data", "obj_Train_data", "obj_Test_data")
"""Folders of YOLO 1.1, which are no part of a picture's path."""


@dataclass(frozen=True)
class YoloRows:
    """How rows are read by the number of their values."""

    names: Mapping[int, str]
    """Names of classes by index."""
    keypoints: int
    """Numbers of the keypoints behind a box, by `kpt_shape`; 0 where none is stated."""
    seen: frozenset[int]
    """The same where none is stated, of rows that can be nothing else."""
    tracked: bool | None
    """Whether six numbers of which the last is 0 or 1 are a box, its confidence and its track; None: that is open."""
    angled: bool
    """Whether a fifth number is the angle of a turned box, as it is no confidence and no track in some row."""
    notes: Notes

    def parse(self, parts: Sequence[str]) -> TrueBox:
        """Return a row's box; raise LabelError."""
        index, *numbers = parts
        number = int(index.partition(".")[0]) if INDEX.fullmatch(index) else -1
        if number not in self.names:
            raise LabelError(f"class {index[:20]} is not one of the {len(self.names)} that are named")
        values = parse_numbers(numbers, len(numbers))
        if self.angled and len(values) == _BOX + 1:
            raise LabelError(ANGLES)
        tracked = len(values) == _TRACKED and self._is_tracked(numbers[-1])
        return TrueBox(self.names[number], self._find_box(values, tracked=tracked), relative=True)

    def _is_tracked(self, last: str) -> bool:
        """Return whether the last of six numbers is a track.

        Raises LabelError where that cannot be told.
        """
        if not INDEX.fullmatch(last):
            return False
        if to_number(last) not in (0, 1):
            return True
        if self.tracked is None:
            raise LabelError(TRIANGLES)
        return self.tracked

    def _find_box(self, values: Sequence[float], *, tracked: bool) -> Box:
        count = len(values)
        if count == _BOX:
            return _to_box(values)
        more = _WITHOUT_MORE if tracked else self._find_more(values)
        if more:
            self.notes.count(*more)
            return _to_box(values)
        if count < _TRACKED or count % 2:
            raise LabelError("a box has four numbers after its class, a polygon six or more")
        if max(values) > MAX_COORDINATE:
            raise LabelError("its numbers are not parts of the picture from 0 to 1")
        self.notes.count(*(_CORNERED if count == _CORNERS else _POLYGON))
        return box_around(values[::2], values[1::2])

    def _find_more(self, values: Sequence[float]) -> tuple[str, str] | None:
        """Return what follows the box of a row, as the words of a note; None where the values are points."""
        count = len(values)
        if self.keypoints and count == _BOX + self.keypoints:
            return _WITHOUT_KEYPOINTS
        if count - _BOX in self.seen and _may_be_keypoints(values):
            return _WITHOUT_KEYPOINTS
        if count == _BOX + 1:
            return _WITHOUT_MORE
        return _WITHOUT_KEYPOINTS if _are_keypoints(values) else None


def _to_box(values: Sequence[float]) -> Box:
    x, y, wide, high = values[:_BOX]
    return x - wide / 2, y - high / 2, x + wide / 2, y + high / 2


def _may_be_keypoints(values: Sequence[float]) -> bool:
    """Return whether a box and points of three numbers may follow each other, the third of each its visibility."""
    points = values[_BOX:]
    return bool(points) and len(points) % 3 == 0 and all(value in (0, 1, 2) for value in points[2::3])


def _are_surely_keypoints(values: Sequence[float]) -> bool:
    """Return whether numbers are a box and its keypoints: no polygon has an odd number, nor a coordinate of 2."""
    return _may_be_keypoints(values) and (len(values) % 2 == 1 or 2 in values[_BOX + 2 :: 3])


def _are_keypoints(values: Sequence[float]) -> bool:
    """Return whether numbers are a box and keypoints near it."""
    if not _may_be_keypoints(values) or _are_surely_keypoints(values):
        return _may_be_keypoints(values)
    x0, y0, x1, y1 = _to_box(values)
    points = values[_BOX:]
    seen = [(x, y) for x, y, visible in zip(*(points[i::3] for i in range(3)), strict=True) if visible]
    return all(x0 - 0.05 <= x <= x1 + 0.05 and y0 - 0.05 <= y <= y1 + 0.05 for x, y in seen)


def understand(files: Sequence[LabelFile], classes: ClassFile, notes: Notes) -> YoloRows:
    """Return how the rows of these files are read."""
    sample = files[:SAMPLE]
    keypoints = _find_keypoints(classes)
    seen = frozenset[int]() if keypoints else _count_keypoints(sample)
    return YoloRows(classes.names, keypoints, seen, _are_tracked(sample), _are_angled(sample), notes)


def _find_keypoints(classes: ClassFile) -> int:
    """Return how many numbers the keypoints of a row have by `kpt_shape`; 0 without any, Problem for two."""
    counts = {*map(_read_keypoints, classes.beside)} - {0}
    if len(counts) > 1:
        stated = " and ".join(map(str, sorted(counts)))
        raise UnclearLabels(
            f"The files beside the labels state two kpt_shape, of {stated} numbers: leave the right one."
        )
    return counts.pop() if counts else 0


def _count_keypoints(files: Sequence[LabelFile]) -> frozenset[int]:
    """Return how many numbers the keypoints have of the rows of these files that can be nothing else."""
    counts: set[int] = set()
    for file in files:
        for _, (_, *texts) in _list_lines(file):
            values = [number for number in map(to_number, texts) if number is not None]
            if len(values) == len(texts) and _are_surely_keypoints(values):
                counts.add(len(values) - _BOX)
    return frozenset(counts)


def _read_keypoints(table: Any) -> int:
    """Return how many numbers the keypoints of a row have by `kpt_shape`, such as [17, 3]; 0 without any."""
    shape = table.get("kpt_shape") if isinstance(table, dict) else None
    numbers = [to_number(value) for value in shape] if isinstance(shape, list) else []
    if len(numbers) != 2 or None in numbers:
        return 0
    return int(numbers[0] or 0) * int(numbers[1] or 0)


def _are_tracked(files: Sequence[LabelFile]) -> bool | None:
    """Return whether rows of six numbers end with a track in these files; None where that is open."""
    last = [row[-1] for file in files for _, row in _list_lines(file) if len(row) == _TRACKED + 1]
    whole = [to_number(text) for text in last if INDEX.fullmatch(text)]
    tracks = any(number not in (0, 1) for number in whole)
    corners = len(whole) < len(last)
    return tracks if tracks != corners else None


def _are_angled(files: Sequence[LabelFile]) -> bool:
    """Return whether rows of five numbers end with one that is no confidence and no track."""
    last = (row[-1] for file in files for _, row in _list_lines(file) if len(row) == _BOX + 2)
    # A track is written without a point.
    numbers = (to_number(text) for text in last if not text.isdecimal())
    return any(number is not None and not 0 <= number <= 1 for number in numbers)


def _list_lines(file: LabelFile) -> Iterator[tuple[int, list[str]]]:
    text, _ = decode(file.read(), file.name)
    for line, row in enumerate(text.splitlines(), 1):
        if row.strip():
            yield line, row.split()


def list_rows(file: LabelFile, rows: YoloRows) -> Iterator[Row]:
    """Yield the objects of a file."""
    picture = _name_picture(file)
    yield picture, 0, lambda: None
    for line, parts in _list_lines(file):
        yield picture, line, partial(rows.parse, parts)


def _name_picture(file: LabelFile) -> str:
    """Return the picture of a file, without its ending: Ultralytics looks for `images` in place of `labels`."""
    parts = [*file.path.with_suffix("").parts]
    if parts[0] in OWN_FOLDERS:
        del parts[0]
    for place in reversed(range(len(parts) - 1)):
        if parts[place] == "labels":
            parts[place] = "images"
            break
    return "/".join(parts)
