"""Read tables with a row for each picture or box, of text or of JSON."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

from pydantic_core import from_json

from sightglass.common.errors import Problem, UnclearLabels
from sightglass.common.files import csv_files
from sightglass.common.files.json_keys import find_repeated
from sightglass.common.names import class_key
from sightglass.evaluation.label_files import columns, via
from sightglass.evaluation.label_files.columns import Columns
from sightglass.evaluation.label_files.json_files import JsonContent, list_objects
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import LabelFile, decode
from sightglass.evaluation.label_files.options import ask_which
from sightglass.evaluation.label_files.parts import are_parts, ends_in_first_pixel, mixed
from sightglass.evaluation.label_files.rows import INDEX, LabelError, Row, Size, TrueBox, refuse
from sightglass.evaluation.label_files.values import POINT, NumberStyle, find_style, to_number
from sightglass.explain.picture.source import PICTURES
from sightglass.models.geometry import Box

NO_OBJECTS = frozenset({"no finding", "no object"})
"""Keys of labels of pictures without objects, in tables of boxes."""
MAX_COLUMNS = 1_000
"""Columns of a table, and keys of the first `SAMPLE` objects of a file of JSON."""
MOST_UNREAD = 8
"""Titles in a sentence on columns that are not read."""
SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "", "": "blanks"}
"""Separators of a table, with the name of an unusual one."""
SAMPLE = 1000
"""Rows by which a table is understood."""


def _to_corners(box: Box, shift: float) -> Box:
    """Return xyxy of a box that begins `shift` parts of its size to the left of its first numbers, and above."""
    a, b, wide, high = box
    left = a - shift * wide
    top = b - shift * high
    return left, top, left + wide, top + high


ORDERS: Mapping[str, Callable[[Box], Box]] = {
    "xyxy": lambda box: box,
    "yxyx": lambda box: (box[1], box[0], box[3], box[2]),
    "xywh": partial(_to_corners, shift=0.0),
    "cxcywh": partial(_to_corners, shift=0.5),
}
"""What makes xyxy of the four numbers of a box."""
_STATED_SEPARATOR = re.compile(r"\ufeff?sep=(.)\s*?(\r\n|\r|\n)")
"""What spreadsheets put before a table."""
NameIndices = Callable[[], Mapping[int, str]]
"""What reads the names of classes by index, where labels are indices."""
_Cells = tuple[int, Sequence[Any]]
"""The number of a line of a table, from 1, and its cells."""


def list_rows(file: LabelFile, name_indices: NameIndices, notes: Notes) -> Iterator[Row]:
    """Return the rows of a table of text. Raises Problem."""
    text, encoding = decode(file.read(), file.name)
    via.check_table(file.name, text)
    first = 1
    stated = _STATED_SEPARATOR.match(text)
    if stated:
        text = text[stated.end() :]
        first = 2
    separator = stated[1] if stated else _find_separator(text)
    title = SEPARATORS.get(separator, f"{separator!r}")
    details = [f"separated by {title}" if title else "", encoding]
    notes.local = separator in (";", "\t")
    return _understand(file.name, _split(text, separator, file.name, first), details, name_indices, notes)


def _find_separator(text: str) -> str:
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:100] or [""]
    # A label may have others in it: `cat;dog`.
    found = (each for each in SEPARATORS if each in lines[0] and 2 * sum(each in line for line in lines) > len(lines))
    return next(found, "")


def list_object_rows(file: LabelFile, content: JsonContent, name_indices: NameIndices, notes: Notes) -> Iterator[Row]:
    """Return the rows of objects of JSON. Raises Problem."""
    objects = list_objects(file, content)
    unclear: dict[int, str] = {}
    if content.contradiction:
        unclear = {line: reason for line, row in objects if (reason := find_repeated(row))}
        objects = [(line, row) for line, row in objects if line not in unclear]
    keys = list(dict.fromkeys(key for _, row in objects[:SAMPLE] if isinstance(row, dict) for key in row))
    _check_columns(file.name, len(keys), "keys")
    cells = ((line, _JsonRow(row, keys) if isinstance(row, dict) else ()) for line, row in objects)
    rows = _understand(file.name, chain([(0, keys)], cells), [], name_indices, notes)
    return chain(((file.name, line, partial(refuse, reason)) for line, reason in unclear.items()), rows)


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


def _split(text: str, separator: str, name: str, first: int) -> Iterator[_Cells]:
    """Yield the rows that are not empty, by their lines; `first`: the number of the text's first line."""
    if not separator:
        endings = "|".join(map(re.escape, PICTURES))
        pattern = re.compile(rf"(.+?(?:{endings})|\S+)\s+(.+)", re.IGNORECASE)
        for line, row in enumerate(text.splitlines(), first):
            found = pattern.fullmatch(row.strip())
            if row.strip():
                yield line, found.groups() if found else [row]
        return
    reader = csv.reader(_check_lines(text, separator, name), delimiter=separator)
    try:
        for cells in reader:
            _check_columns(name, len(cells))
            if any(map(str.strip, cells)):
                yield reader.line_num + first - 1, [csv_files.unescape(cell.strip()) for cell in cells]
    except csv.Error as problem:
        raise Problem(f"{name} cannot be read at line {reader.line_num}: save it as a table again.") from problem


def _check_lines(text: str, separator: str, name: str) -> Iterator[str]:
    """Yield the lines of a table; raise Problem for one of too many columns."""
    for line in io.StringIO(text, newline=None):
        _check_columns(name, line.count(separator))
        yield line


def _understand(
    name: str, rows: Iterator[_Cells], details: Sequence[str], name_indices: NameIndices, notes: Notes
) -> Iterator[Row]:
    """Note how the columns of a table are read, and return its rows. Raises Problem.

    `details`: how it was read so far.
    """
    sample = [*islice(rows, SAMPLE + 1)]
    if not sample:
        raise Problem(f"{name} is empty: give a line for each picture or box.")
    cells = [row for _, row in sample]
    titles = [str(cell) for cell in cells[0]]
    if via.fits_titles(titles):
        notes.format = "a table of the VGG Image Annotator"
        notes.reading = f"{name}: VGG Image Annotator"
        return via.list_table(name, titles, chain(sample[1:], rows), notes)
    found = columns.read_header(titles, cells[1:])
    if found is not None:
        sample = sample[1:]
        shown = ", ".join(titles[:8])
    else:
        found = columns.guess(cells)
        shown = f"{len(titles)} without names"
        titles = [f"column {i}" for i in range(1, len(titles) + 1)]
        details = ["no header", *details]
    columns.check(name, found, titles, shown)
    cells = [row for _, row in sample]
    _note_rivals(name, found, titles, cells, name_indices, notes)
    table = _find_format(name, found, cells, name_indices, notes)
    notes.format = f"a table ({name})"
    notes.reading = notes.table = f"{name}: {_describe(table, titles, details)}"
    lines = chain(sample, rows)
    return ((found.name_picture(row), line, partial(table.parse, row)) for line, row in lines)


def _describe(table: "_TableFormat", titles: list[str], details: Sequence[str]) -> str:
    """Return how a table is read: `file → file, class → label; x0, y0, x1, y1 → box`."""
    found = table.columns
    label = f"{len(found.classes)} columns of 0 and 1" if found.label is None else titles[found.label]
    parts = [
        f"{titles[found.file or 0]} → file, {label} → label",
        _name_columns([] if found.folder is None else [found.folder], titles, "folder"),
        _name_columns(found.numbers, titles, "box"),
        _name_columns(found.crowd, titles, "crowd"),
        _name_columns(found.ignored, titles, "ignored"),
        f"boxes as {table.stated_order}" if table.stated_order else "",
        "boxes in 0..1" if table.relative else "",
        table.style.describe(),
        _name_unread(table, titles),
    ]
    return "; ".join(filter(None, [*parts, *details]))


def _name_unread(table: "_TableFormat", titles: Sequence[str]) -> str:
    """Return `not read: x, y`; empty where all columns are read."""
    unread = [title for i, title in enumerate(titles) if title.strip() and i not in table.columns.used]
    more = ", …" * (len(unread) > MOST_UNREAD)
    return f"not read: {', '.join(unread[:MOST_UNREAD])}{more}" if unread else ""


def _note_rivals(
    name: str,
    found: Columns,
    titles: Sequence[str],
    rows: Sequence[Sequence[Any]],
    name_indices: NameIndices,
    notes: Notes,
) -> None:
    """Note columns that may be the label or the box, too, and say something else."""
    for other in columns.find_rivals(found, titles):
        pairs = [(str(columns.pick(row, found.label)), str(columns.pick(row, other))) for row in rows]
        # An index stands beside its name.
        indexed = all(INDEX.fullmatch(second) for _, second in pairs if second)
        names = name_indices() if indexed else {}
        if indexed:
            pairs = [(first, names.get(int(float(second or -1)), "")) for first, second in pairs]
        _note_difference(name, titles[found.label or 0], titles[other], "label", pairs, notes)
    cell = columns.find_cell(titles)
    if found.box and cell is not None:
        both = ((found.pick_box(row), columns.read_cell(columns.pick(row, cell))) for row in rows)
        pairs = [(_spell_numbers(first), _spell_numbers(second)) for first, second in both]
        _note_difference(name, ", ".join(titles[i] for i in found.box), titles[cell], "box", pairs, notes)


def _spell_numbers(values: Sequence[Any]) -> str:
    """Return numbers in one way of writing, so that 10 and 10.0 are the same."""
    return ", ".join(f"{number:g}" for number in map(to_number, values) if number is not None)


def _note_difference(
    name: str, read: str, other: str, what: str, pairs: Sequence[tuple[str, str]], notes: Notes
) -> None:
    """Note that a column was read and another was not, by the first line in which they differ."""
    differing = [pair for pair in pairs if pair[1] and class_key(pair[0]) != class_key(pair[1])]
    if differing:
        first, second = differing[0]
        notes.said.append(
            f"{read} of {name} was read as the {what}, and {other} was not: "
            f"the first line in which they differ has {first} and {second}."
        )


def _name_columns(found: Sequence[int], titles: Sequence[str], what: str) -> str:
    """Return `x0, y0, x1, y1 → box`; empty without columns."""
    return f"{', '.join(titles[i] for i in found)} → {what}" if found else ""


def _find_format(
    name: str, found: Columns, rows: Sequence[Sequence[Any]], name_indices: NameIndices, notes: Notes
) -> "_TableFormat":
    """Return how rows are read, by those of a sample.

    Raises Problem where that is open.
    """
    cells = _list_numbers(found, rows)
    stated_decimal = notes.use("decimal") if cells else ""
    style = find_style(cells, name, stated_decimal, separated=not notes.local)
    numbers = [_read_loosely(found, row, style) for row in rows]
    relative = _is_relative(name, numbers)
    stated_order = notes.use("box") if found.numbers else ""
    order = stated_order or found.order or _find_order(name, rows, found, numbers, relative)
    if order not in ORDERS:
        raise UnclearLabels(
            f"The title of the boxes of {name} does not say what they are: say it ({ask_which('box')})."
        )
    names = name_indices() if _has_indices(found, rows) else {}
    return _TableFormat(found, style, ORDERS[order], relative, names, stated_order)


def _has_indices(found: Columns, rows: Sequence[Sequence[Any]]) -> bool:
    """Return whether a label may be the index of a class."""
    return any(INDEX.fullmatch(str(columns.pick(row, found.label)).strip()) for row in rows)


def _list_numbers(found: Columns, rows: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the cells that hold numbers: of boxes, or true numbers as labels."""
    if found.numbers or found.label is None:
        return [columns.pick(row, i) for i in found.box for row in rows]
    labels = [columns.pick(row, found.label) for row in rows]
    # Classes have names.
    return labels if all(to_number(label) is not None for label in labels if label != "") else []


def _read_loosely(found: Columns, row: Sequence[Any], style: NumberStyle) -> list[float]:
    """Return the numbers of a row's box; none of a row without a usable one."""
    try:
        return style.parse(found.pick_box(row))
    except LabelError:
        return []


def _is_relative(name: str, numbers: Sequence[Sequence[float]]) -> bool:
    """Return whether boxes are in parts of the picture, by the largest number of each; raise Problem if unclear."""
    largest = [max(row) for row in numbers if row]
    if are_parts(name, largest):
        return True
    if any(map(ends_in_first_pixel, largest)):
        raise mixed(name)
    return False


def _find_order(
    name: str, rows: Sequence[Sequence[Any]], found: Columns, numbers: Sequence[Sequence[float]], relative: bool
) -> str:
    """Return what the numbers of a box in one cell are, where only one order fits; raise Problem otherwise."""
    corners = True
    sizes = True
    for row, box in zip(rows, numbers, strict=True):
        if not box:
            continue
        a, b, c, d = box
        corners = corners and c > a and d > b
        wide, high = (1, 1) if relative else found.read_stated(row) or (a + c, b + d)
        sizes = sizes and a + c <= wide * 1.01 and b + d <= high * 1.01
    if corners == sizes:
        raise UnclearLabels(
            f"The boxes of {name} may be corners, or a corner and a size: say which ({ask_which('box')})."
        )
    return "xyxy" if corners else "xywh"


@dataclass(frozen=True)
class _TableFormat:
    """How the rows of a table are read."""

    columns: Columns
    style: NumberStyle
    to_corners: Callable[[Box], Box]
    """A value of `ORDERS`."""
    relative: bool
    """Whether boxes are in parts of the picture."""
    names: Mapping[int, str]
    """Names of classes by index."""
    stated_order: str = ""
    """What the numbers of a box are, where a person said so."""

    def parse(self, row: Sequence[Any]) -> TrueBox | str | None:
        """Return a row's box or class; None for a picture without objects. Raises LabelError."""
        if not row:
            raise LabelError("it is no JSON object")
        width = self.columns.width
        if len(row) > width and any(row[width:]):
            raise LabelError(f"it has {len(row)} values, and the first line {width}")
        if to_number(columns.pick(row, self.columns.confidence)) == 0:
            raise LabelError("its confidence is 0, so its class is not there")
        text = self._read_label(row)
        if not self.columns.numbers:
            return text
        numbers = self.columns.pick_box(row)
        if _has_no_object(text, numbers):
            return None
        crowd = columns.is_any_set(row, self.columns.crowd)
        ignored = columns.is_any_set(row, self.columns.ignored)
        stated: Size | None = self.columns.read_stated(row)
        return TrueBox(text, self._read_box(numbers), crowd, ignored, self.relative, stated)

    def _read_label(self, row: Sequence[Any]) -> str:
        if self.columns.label is None:
            return self.columns.read_class(row)
        label = columns.pick(row, self.columns.label)
        text = str(label).strip() if isinstance(label, str | int | float) else ""
        if _is_json(text):
            raise LabelError("its label is JSON, as in a CSV of Label Studio: export JSON or JSON-MIN in its place")
        if self.names and INDEX.fullmatch(text):
            return self.names.get(int(float(text)), text)
        if self.style != POINT and not self.columns.numbers and to_number(text) is not None:
            return f"{self.style.parse_one(text):.15g}"
        return text

    def _read_box(self, numbers: Sequence[Any]) -> Box:
        a, b, c, d = self.style.parse(numbers)
        return self.to_corners((a, b, c, d))


def _is_json(text: str) -> bool:
    """Return whether a label is a table of JSON, or a list of tables."""
    if not text.startswith(("{", "[")):
        return False
    try:
        value = from_json(text)
    except ValueError:
        return False
    entries = value if isinstance(value, list) else [value]
    return any(isinstance(entry, dict) for entry in entries)


def _has_no_object(label: str, numbers: Sequence[Any]) -> bool:
    """Return whether a row says, by its box or label, that nothing is there."""
    values = {str(number).strip().casefold() for number in numbers} - {"", "nan", "none", "null"}
    return not values or class_key(label) in NO_OBJECTS or (not label and set(map(to_number, values)) == {0})
