"""Find the columns of file, label and box in a table, by their titles or by what is in them."""

import re
import tomllib
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightglass.common.errors import Problem
from sightglass.evaluation.label_files.rows import LabelError, Size, put_in_folder
from sightglass.evaluation.label_files.values import CONFIDENCE, CROWD, IGNORED, is_set, read_size, to_number
from sightglass.explain.picture.source import PICTURES

_TITLES = tomllib.loads(Path(__file__).with_name("columns.toml").read_text("utf-8"))
FILE, LABEL, CELLS, STATED, PART = (_TITLES[name] for name in ("file", "label", "cells", "stated", "part"))
ADDRESSES, NUMBERS = (_TITLES[name] for name in ("addresses", "numbers"))
FOLDER = _TITLES["folder"]
FOURS = {
    **dict.fromkeys(_TITLES["corners"], "xyxy"),
    **dict.fromkeys(_TITLES["centres"], "cxcywh"),
    **dict.fromkeys(_TITLES["sizes"], "xywh"),
}
"""The titles of the four numbers of a box, and what these are (`tables.ORDERS`)."""
PREFIXES = ("boundingbox", "bbox", "box", "rect", "bb")
"""How titles of a part of a box may begin."""
PARTS = {part for four in FOURS for part in four.split()}
"""Titles of the numbers of a box."""
ORDERS = {
    **{"".join(four.split()): order for four, order in FOURS.items()},
    "xyxy": "xyxy",
    **dict.fromkeys(("yxyx", "y0x0y1x1", "y1x1y2x2", "yminxminymaxxmax", "topleftbottomright"), "yxyx"),
}
"""What the title of a box in one cell says its numbers are."""
OTHER_ORDER = "other"
"""What the numbers are of a box whose title goes on with another word."""
_PLACES = {name for four, order in FOURS.items() if order != "xywh" for name in four.split()} - {
    *("w", "h", "width", "height")
}
"""Titles of coordinates: two of them without the others are no box."""


@dataclass(frozen=True)
class Columns:
    """The positions of columns, as far as they are clear."""

    width: int
    """Number of columns."""
    file: int | None = None
    label: int | None = None
    box: tuple[int, ...] = ()
    """Of the four numbers of a box, each in a column."""
    order: str = "xyxy"
    """What the four numbers are: of `tables.ORDERS`, or `OTHER_ORDER`; empty where that is open."""
    cell: int | None = None
    """Of a box in one cell."""
    keys: tuple[str, ...] = ()
    """The names of the four numbers, where the cell is an object of JSON."""
    stated: tuple[int, ...] = ()
    """Of the width and the height of the picture."""
    crowd: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    confidence: int | None = None
    classes: tuple[int, ...] = ()
    """Of a table with a column for each class: 1 in that of the picture's, 0 in the others."""
    names: tuple[str, ...] = ()
    """The titles of `classes`."""
    folder: int | None = None
    """Of the folder that the file is in."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The columns of the box; none of a table of classes."""
        return self.box if self.cell is None else (self.cell,)

    @property
    def used(self) -> tuple[int, ...]:
        """The columns that are read."""
        single = (self.file, self.folder, self.label, self.confidence)
        marks = (*self.crowd, *self.ignored)
        return (*(i for i in single if i is not None), *self.numbers, *self.stated, *marks, *self.classes)

    def name_picture(self, row: Sequence[Any]) -> str:
        """Return the picture that a row is about, with its folder."""
        return put_in_folder(str(pick(row, self.folder)), str(pick(row, self.file)))

    def pick_box(self, row: Sequence[Any]) -> list[Any]:
        """Return the numbers of a row's box, as they are written."""
        if self.cell is None:
            return [pick(row, i) for i in self.box]
        cell = pick(row, self.cell)
        if isinstance(cell, dict):
            return [cell.get(name, "") for name in self.keys]
        return read_cell(cell)

    def read_stated(self, row: Sequence[Any]) -> Size | None:
        """Return the size of the picture that a row states."""
        return read_size(*(pick(row, i) for i in self.stated)) if self.stated else None

    def read_class(self, row: Sequence[Any]) -> str:
        """Return the only class with a 1; raise LabelError for none and for several."""
        named = [name for name, i in zip(self.names, self.classes, strict=True) if is_set(pick(row, i))]
        if len(named) != 1:
            raise LabelError(f"it has {len(named)} classes, and one is needed")
        return named[0]


def read_cell(cell: Any) -> list[Any]:
    """Return the numbers of a box in one cell, as they are written."""
    if isinstance(cell, list):
        return cell
    return [part for part in re.split(r"[\s,;]+", str(cell).strip(" []()")) if part]


def pick(row: Sequence[Any], column: int | None) -> Any:
    """Return a cell of a row that may be too short."""
    return row[column] if column is not None and column < len(row) else ""


def is_any_set(row: Sequence[Any], marks: Iterable[int]) -> bool:
    """Return whether one of these columns has a mark in a row."""
    return any(is_set(pick(row, column)) for column in marks)


def _spell(title: str) -> str:
    return re.sub("[^a-z0-9]", "", title.lower())


def _spell_part(title: str) -> str:
    """Return what a column is of a box: `width` of `bbox_width`."""
    letters = _spell(title)
    prefix = next((prefix for prefix in PREFIXES if letters.startswith(prefix) and letters[len(prefix) :] in PARTS), "")
    return letters.removeprefix(prefix)


def read_header(titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> Columns | None:
    """Return columns by their titles, and by the rows where these say more; None where the first row is no header."""
    found = _name_columns(titles)
    pictures = _list_files(rows)
    column = _choose_file(found, titles, pictures)
    if column is None or (found.file is None and titles[column].lower().endswith(PICTURES)):
        return None
    path = _find_path(column, titles, rows, pictures)
    found = _read_keys(replace(found, file=path), rows)
    if found.cell is not None and not _holds_boxes(found, rows):
        found = replace(found, cell=None, order="xyxy")
    classes = _find_classes(found, titles, rows)
    if classes:
        return replace(found, label=None, classes=classes, names=tuple(titles[i].strip() for i in classes))
    if found.label in (None, found.file):
        return replace(found, label=_find_other(found, titles, rows))
    return found


def _choose_file(found: Columns, titles: Sequence[str], pictures: Sequence[int]) -> int | None:
    """Return the column of pictures: by its title, unless only the cells of another one that may be it are files."""
    if found.file is None:
        return next(iter(pictures), None)
    if not pictures or found.file in pictures:
        return found.file
    titled = [i for i in pictures if _spell(titles[i]) in (*FILE, *ADDRESSES)]
    if titled:
        return titled[0]
    return pictures[0] if _spell(titles[found.file]) in NUMBERS else found.file


def _read_keys(found: Columns, rows: Sequence[Sequence[Any]]) -> Columns:
    """Return columns with the names of the numbers of a box that is an object of JSON."""
    cells = (pick(row, found.cell) for row in rows)
    first = next((cell for cell in cells if isinstance(cell, dict)), None)
    if first is None:
        return found
    keys = {_spell(str(key)): str(key) for key in first}
    four = next((four for four in FOURS if {*four.split()} <= {*keys}), "")
    if not four:
        return found
    return replace(found, order=FOURS[four], keys=tuple(keys[name] for name in four.split()))


def find_cell(titles: Sequence[str]) -> int | None:
    """Return the column of boxes in one cell, by its title."""
    return _find_cell(titles)[0]


def find_rivals(found: Columns, titles: Sequence[str]) -> list[int]:
    """Return the columns that may be the label, too, by their titles."""
    rest = [i for i, title in enumerate(titles) if _spell(title) in LABEL and i not in found.used]
    return rest if found.label is not None and _spell(titles[found.label]) in LABEL else []


def _find_path(
    file: int | None, titles: Sequence[str], rows: Sequence[Sequence[Any]], pictures: Sequence[int]
) -> int | None:
    """Return the column of paths that end with the names in that of files, else this one."""
    named = [(row, f"/{pick(row, file)}") for row in rows]
    for place in pictures:
        paths = all(f"/{pick(row, place)}".replace("\\", "/").endswith(name) for row, name in named)
        if paths and _spell_part(titles[place]) in FILE and any(f"/{pick(row, place)}" != name for row, name in named):
            return place
    return file


def _holds_boxes(found: Columns, rows: Sequence[Sequence[Any]]) -> bool:
    """Return whether most cells that are not empty have four numbers."""
    counts = [len(found.pick_box(row)) for row in rows if pick(row, found.cell)]
    return 2 * counts.count(4) > len(counts)


def _find_other(found: Columns, titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> int | None:
    """Return the only column that is nothing else, if its cells repeat: classes do, captions and addresses do not."""
    marks = (*found.crowd, *found.ignored, found.confidence)
    used = (found.file, *found.numbers, *found.stated, *marks)
    rest = [i for i, title in enumerate(titles) if title and i not in used]
    if len(rest) != 1:
        return None
    cells = [str(row[rest[0]]) for row in rows if len(row) > rest[0]]
    return rest[0] if len({*cells}) < len(rows) else None


def _name_columns(titles: Sequence[str]) -> Columns:
    """Return columns by their names."""
    plain = [*map(_spell, titles)]
    names = [*map(_spell_part, titles)]
    file = _find_first(names, FILE)
    folder = _find_first(names, FOLDER)
    four = next((four for four in FOURS if {*four.split()} <= {*names}), "")
    # `width` beside `bbox_width` is that of the picture.
    box = tuple(_find_part(plain, names, name) for name in four.split())
    cell, order = (None, FOURS[four]) if box else _find_cell(titles)
    free = ["" if i in (file, *box, cell) else name for i, name in enumerate(names)]
    return Columns(
        width=len(titles),
        file=file,
        folder=folder,
        label=_find_first(free, LABEL),
        box=box,
        order=order,
        cell=cell,
        stated=_find_stated(["" if i in box else name for i, name in enumerate(plain)]),
        crowd=_find_all(names, CROWD),
        ignored=_find_all(names, IGNORED),
        confidence=_find_first(names, CONFIDENCE),
    )


def _find_part(plain: Sequence[str], names: Sequence[str], name: str) -> int:
    """Return the column of a part of a box: that whose title says so, before one of the bare name."""
    places = [i for i, part in enumerate(names) if part == name]
    return next((i for i in places if plain[i] != name), places[0])


def _find_stated(names: Sequence[str]) -> tuple[int, ...]:
    """Return the columns of the picture's width and height, of names that are none of a box."""
    pair = next((pair for pair in STATED if {*pair.split()} <= {*names}), "")
    return tuple(map(names.index, pair.split()))


def _find_all(names: Sequence[str], wanted: Container[str]) -> tuple[int, ...]:
    """Return the positions of wanted names."""
    return tuple(i for i, name in enumerate(names) if name in wanted)


def _find_first(names: Sequence[str], wanted: Iterable[str]) -> int | None:
    """Return the position of the first wanted name that there is."""
    return next((names.index(name) for name in wanted if name in names), None)


def _find_cell(titles: Sequence[str]) -> tuple[int | None, str]:
    """Return the column of boxes in one cell, and what its title says they are, empty where it does not."""
    unnamed: list[int] = []
    for index, title in enumerate(titles):
        letters = _spell(title)
        word = next((word for word in CELLS if letters.startswith(word)), "")
        order = ORDERS.get(letters.removeprefix(word), "")
        if order or (word and letters == word):
            return index, order
        unnamed += [index] * bool(word)
    return (unnamed[0], OTHER_ORDER) if unnamed else (None, "xyxy")


def _find_classes(found: Columns, titles: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[int, ...]:
    """Return the columns of classes, each 0 or 1 and one of them 1 in each row; none where that is not so."""
    rest = [i for i, title in enumerate(titles) if title.strip() and i != found.file and _spell(title) not in PART]
    binary = tuple(i for i in rest if all(_is_bit(pick(row, i)) for row in rows))
    # A title such as `object` may be that of a class.
    named = found.label not in (None, found.file)
    if found.numbers or not rows or len(binary) < 2 + named:
        return ()
    single = sum(_has_one(row, binary) for row in rows) / len(rows)
    least = 1.0 if named else 0.5
    return binary if single >= least else ()


def _has_one(row: Sequence[Any], columns: Sequence[int]) -> bool:
    return sum(is_set(pick(row, i)) for i in columns) == 1


def _is_bit(value: Any) -> bool:
    return str(value).strip() in ("0", "1", "0.0", "1.0", "True", "False")


def _list_files(rows: Sequence[Sequence[Any]]) -> list[int]:
    """Return the columns whose cells are names of pictures, in nine of ten rows."""
    counts = Counter(i for row in rows for i, cell in enumerate(row) if str(cell).lower().endswith(PICTURES))
    return [i for i in sorted(counts) if counts[i] > 0.9 * len(rows)]


def guess(rows: Sequence[Sequence[Any]]) -> Columns:
    """Return columns by what is in them."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    first = len(rows[0])
    rows = [row for row in rows if len(row) == width]
    file = next(iter(_list_files(rows)), None)
    if file is None:
        # Each picture has a line, and classes repeat.
        pairs = width == 2 and len(_list_values(rows, 1)) < len(_list_values(rows, 0)) == len(rows)
        return Columns(first, 0, 1) if pairs else Columns(first)
    others = [i for i in range(width) if i != file]
    label = _guess_label(rows, others)
    box = tuple(i for i in others if i != label) if len(others) == 5 else ()
    return Columns(first, file, label, box)


def _list_values(rows: Sequence[Sequence[Any]], column: int) -> set[str]:
    return {str(row[column]) for row in rows}


def _guess_label(rows: Sequence[Sequence[Any]], columns: Sequence[int]) -> int | None:
    """Return the only column of words, or the last one where it can be no other."""
    words = [i for i in columns if any(row[i] and to_number(row[i]) is None for row in rows)]
    if len(words) == 1:
        return words[0]
    clear = len(columns) == 1 or (len(columns) == 5 and not words)
    return columns[-1] if clear else None


def check(name: str, found: Columns, titles: Sequence[str], shown: str) -> None:
    """Raise Problem for a table without file and label, or with a part of a box."""
    partial_box = not found.numbers and len(_PLACES & {*map(_spell_part, titles)}) > 1
    labelled = found.classes or (found.label is not None and found.label != found.file)
    if found.file is None or not labelled or partial_box:
        needed = "file and label, or of boxes file, x0, y0, x1, y1 and label"
        raise Problem(f"{name} needs the columns {needed}: it has others ({shown}).")
