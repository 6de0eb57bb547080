"""Read tables of labels as people write them: any separator, encoding and names of columns, with a header or none."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import Any

from sightglass.common.errors import Problem
from sightglass.common.files import packing
from sightglass.explain.picture.source import PICTURES

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "", "": "blanks"}
"""Separators of a table, with the name of an unusual one."""
FILE = (
    "file filename filepath fname path image imagefile imagefilename imagepath imagename imageid img imgfile imgpath "
    "imgname imgid picture pictureid photo photoid images fileid id name"
)
LABEL = (
    "labelname classname categoryname label class category species target labels breed classlabel objectname object "
    "tag truth groundtruth labelid classid categoryid cls y name"
)
"""Names of columns in lower case, without separators, the likeliest first."""
CORNERS = ("x0 y0 x1 y1", "xmin ymin xmax ymax", "x1 y1 x2 y2", "left top right bottom")
SIZES = ("x y w h", "x y width height", "left top width height", "xmin ymin width height")
CENTRES = ("xcenter ycenter width height", "xcenter ycenter w h", "cx cy w h")
"""Names of the numbers of a box."""
SAMPLE = 1000
"""Rows by which a table is understood."""
Row = tuple[int, Sequence[Any]]
"""The number of a line, from 1, and its cells."""
Entry = tuple[int, str, Callable[[], tuple[str, tuple[float, ...] | None, bool]]]
"""The number of a line, its file, and what parses it: to its label, the xyxy of a box, and whether that is in 0..1."""


class LabelError(ValueError):
    """A label that cannot be used; the message is the reason, without a full stop."""


def decode(data: bytes, name: str) -> tuple[str, str]:
    """Return a text and its encoding, empty for UTF-8; raise Problem for what is no text."""
    encodings = {"utf-8-sig": "", "cp1252": "Windows-1252", "latin-1": "Latin-1"}
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = {"utf-16": "UTF-16"}
    for encoding, title in encodings.items():
        with contextlib.suppress(UnicodeDecodeError):
            if "\0" not in (text := data.decode(encoding)):
                return text, title
    raise Problem(f"{name} is no text: save it as UTF-8.")


def read_text(name: str, data: bytes) -> tuple[str, Iterator[Entry]]:
    """Return how the table of a text is read, and its entries; raise Problem if that is not clear."""
    text, encoding = decode(data, name)
    separator = _find_separator(text, name)
    notes = [f"separated by {title}" if (title := SEPARATORS[separator]) else "", encoding]
    return _understand(name, _split(text, separator, name), notes)


def read_objects(name: str, rows: Sequence[tuple[int, Any]]) -> tuple[str, Iterator[Entry]]:
    """Do the same for numbered objects of JSON."""
    keys = list(dict.fromkeys(key for _, row in rows[:SAMPLE] if isinstance(row, dict) for key in row))
    cells = ((line, [row.get(key, "") for key in keys] if isinstance(row, dict) else []) for line, row in rows)
    return _understand(name, chain([(0, keys)], cells), [])


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
    number = float(text) if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", text) else math.inf
    return number if math.isfinite(number) else None


def _split(text: str, separator: str, name: str) -> Iterator[Row]:
    """Yield the rows that are not empty."""
    if not separator:
        pattern = re.compile(rf"(.+?(?:{'|'.join(map(re.escape, PICTURES))})|\S+)\s+(.+)", re.IGNORECASE)
        for line, row in enumerate(text.splitlines(), 1):
            if row.strip():
                yield line, found.groups() if (found := pattern.fullmatch(row.strip())) else [row]
        return
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator)
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                yield reader.line_num, [packing.unescape(cell.strip()) for cell in cells]
    except csv.Error as problem:
        raise Problem(f"{name} cannot be read at line {reader.line_num}: save it as a table again.") from problem


def _find_separator(text: str, name: str) -> str:
    """Return the separator by which most rows have equally many cells, with a file among them."""
    scores = {"": (False, 0.0)}
    for separator in SEPARATORS:
        rows = [cells for _, cells in islice(_split(text, separator, name), 200)]
        width, count = Counter(map(len, rows)).most_common(1)[0] if rows else (0, 0)
        if width > 1:
            known = _name_columns(rows[0])[0] is not None or _find_file(rows[1:] or rows) is not None
            scores[separator] = known, count / len(rows)
    return max(SEPARATORS, key=lambda separator: scores.get(separator, (False, -1.0)))


def _find_file(rows: Sequence[Sequence[Any]]) -> int | None:
    """Return the column whose cells are names of pictures, in nine of ten rows."""
    counts = Counter(i for row in rows for i, cell in enumerate(row) if str(cell).lower().endswith(PICTURES))
    return next((i for i in sorted(counts) if counts[i] > 0.9 * len(rows)), None)


_Columns = tuple[int | None, int | None, tuple[int, ...]]
"""The positions of file, label and box, as far as they are clear."""


def _name_columns(header: Sequence[Any]) -> _Columns:
    """Return columns by their names."""
    names = [re.sub(r"[^a-z0-9]|^(bound(ing)?)?b?box(?=[^a-z]*[a-z])", "", str(name).lower()) for name in header]
    file = next((names.index(name) for name in FILE.split() if name in names), None)
    fours = (four.split() for four in (*CORNERS, *SIZES, *CENTRES, "bbox"))
    box = next((tuple(map(names.index, four)) for four in fours if {*four} <= {*names}), ())
    label = next((i for name in LABEL.split() if name in names and (i := names.index(name)) not in (file, *box)), None)
    return file, label, box


def _guess_columns(rows: Sequence[Sequence[Any]]) -> _Columns:
    """Return columns by what is in them."""
    width = Counter(map(len, rows)).most_common(1)[0][0]
    rows = [row for row in rows if len(row) == width]
    if (file := _find_file(rows)) is None:
        names, labels = ({row[i] for row in rows} for i in (0, -1))
        # Each picture has a line, and classes repeat.
        return (0, 1, ()) if width == 2 and len(labels) < len(names) == len(rows) else (None, None, ())
    others = [i for i in range(width) if i != file]
    words = [i for i in others if any(row[i] and to_number(row[i]) is None for row in rows)]
    clear = len(others) == 1 or (len(others) == 5 and not words)
    label = words[0] if len(words) == 1 else others[-1] if clear else None
    return file, label, tuple(i for i in others if i != label) if len(others) == 5 else ()


def _understand(name: str, rows: Iterator[Row], notes: Sequence[str]) -> tuple[str, Iterator[Entry]]:
    sample = [*islice(rows, SAMPLE + 1)]
    if not sample:
        raise Problem(f"{name} is empty: give a line for each picture or box.")
    cells = [row for _, row in sample]
    titles, column = [str(cell) for cell in cells[0]], _find_file(cells[1:])
    file, label, box = _name_columns(titles)
    if file is not None or (column is not None and not titles[column].lower().endswith(PICTURES)):
        file = file if column is None else column
        rest = [i for i, title in enumerate(titles) if title and i not in (file, *box)]
        label = rest[0] if label in (None, file) and len(rest) == 1 else label
        sample, columns = sample[1:], ", ".join(titles[:8])
    else:
        (file, label, box), columns = _guess_columns(cells), f"{len(titles)} without names"
        titles, notes = [f"column {i}" for i in range(1, len(titles) + 1)], ["no header", *notes]
    corners = {corner for four in CORNERS for corner in four.split()}
    if file is None or label in (None, file) or (not box and len(corners & {*map(str.lower, titles)}) > 1):
        needed = "file and label, or of boxes file, x0, y0, x1, y1 and label"
        raise Problem(f"{name} needs the columns {needed}: it has others ({columns}).")
    numbers = [to_number(number) for _, row in sample for number in _list_numbers(row, box)]
    relative = max((number for number in numbers if number is not None), default=2.0) <= 1.01
    boxes = [titles[i] for i in box]
    notes = [f"{', '.join(boxes)} → box" if box else "", "boxes in 0..1" if relative else "", *notes]
    reading = "; ".join([f"{titles[file]} → file, {titles[label]} → label", *filter(None, notes)])
    # The share of its size that a box reaches to the left of its point; None of corners.
    sized = len(box) == 1 or any(title.lower().endswith(("w", "width")) for title in boxes)
    before = (0.5 if "c" in boxes[0].lower() else 0.0) if sized else None
    parse = partial(_parse_row, columns=(file, label, box), width=len(titles), before=before, relative=relative)
    files = ((line, str(row[file]) if file < len(row) else "", row) for line, row in chain(sample, rows))
    return reading, ((line, picture, partial(parse, row)) for line, picture, row in files)


def _list_numbers(row: Sequence[Any], box: Sequence[int]) -> Sequence[Any]:
    cells = [row[i] if i < len(row) else "" for i in box]
    # One cell may have all: [10, 20, 50, 80].
    text = len(cells) == 1 and not isinstance(cells[0], list)
    return re.findall(r"[^\s,;\[\]()]+", str(cells[0])) if text else cells[0] if len(cells) == 1 else cells


def _parse_row(
    row: Sequence[Any], *, columns: tuple[int, int, Sequence[int]], width: int, before: float | None, relative: bool
) -> tuple[str, tuple[float, ...] | None, bool]:
    _, label, box = columns
    if not row:
        raise LabelError("it is no JSON object")
    if any(row[width:]):
        raise LabelError(f"it has {len(row)} values, and the first line {width}")
    cell, numbers = row[label] if label < len(row) else "", _list_numbers(row, box)
    text = "" if isinstance(cell, list | dict | bool | None) else str(cell).strip()
    # A row without a box is a picture without objects.
    if not box or not (text or any(numbers)):
        return text, None, bool(box)
    a, b, c, d = parse_numbers(numbers)
    if before is None:
        return text, (a, b, c, d), relative
    left, top = a - before * c, b - before * d
    return text, (left, top, left + c, top + d), relative
