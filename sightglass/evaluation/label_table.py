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
from sightglass.models.geometry import Box

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
CENTRES = tuple(
    f"{centre} {size}"
    for size in ("w h", "width height")
    for centre in ("cx cy", "xc yc", "xcenter ycenter", "xcentre ycentre", "centerx centery", "centrex centrey")
)
"""Names of the numbers of a box: its corners; its first corner and size; its middle and size."""
SAMPLE = 1000
"""Rows by which a table is understood."""
Row = tuple[int, Sequence[Any]]
"""The number of a line, from 1, and its cells."""
Entry = tuple[str, int, Callable[[], tuple[str, Box | None]]]
"""A file, the number of its line, and what parses that: to a label, and the xyxy of a box."""
Entries = tuple[str, bool, Iterator[Entry]]
"""How a table is read, whether its boxes are in 0..1, and its entries."""


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


def read_text(name: str, data: bytes) -> Entries:
    """Read the table of a text; raise Problem where its columns are not clear."""
    text, encoding = decode(data, name)
    lines = [line for line in text[:100_000].splitlines() if line.strip()][:100] or [""]
    # A label may have others in it: `cat;dog`.
    found = (each for each in SEPARATORS if each in lines[0] and 2 * sum(each in line for line in lines) > len(lines))
    separator = next(found, "")
    notes = [f"separated by {title}" if (title := SEPARATORS[separator]) else "", encoding]
    return _understand(name, _split(text, separator, name), notes)


def read_objects(name: str, rows: Sequence[tuple[int, Any]]) -> Entries:
    """Read numbered objects of JSON; raise Problem where their keys are not clear."""
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
    file = next((names.index(name) for name in FILE.split() if name in names), None)
    fours = (four.split() for four in (*CORNERS, *CENTRES, *SIZES))
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


def _understand(name: str, rows: Iterator[Row], notes: Sequence[str]) -> Entries:
    sample = [*islice(rows, SAMPLE + 1)]
    if not sample:
        raise Problem(f"{name} is empty: give a line for each picture or box.")
    cells = [row for _, row in sample]
    titles, column = [str(cell) for cell in cells[0]], _find_file(cells[1:])
    file, label, box = _name_columns(titles)
    if file is not None or (column is not None and not titles[column].lower().endswith(PICTURES)):
        file = file if column is None else column
        rest = [i for i, title in enumerate(titles) if title and i not in (file, *box)]
        if label in (None, file) and len(rest) == 1:
            # Classes repeat; captions and addresses do not.
            repeats = len({str(row[rest[0]]) for row in cells[1:] if len(row) > rest[0]}) < len(cells) - 1
            label = rest[0] if repeats else None
        sample, columns = sample[1:], ", ".join(titles[:8])
    else:
        (file, label, box), columns = _guess_columns(cells), f"{len(titles)} without names"
        titles, notes = [f"column {i}" for i in range(1, len(titles) + 1)], ["no header", *notes]
    corners = {name for four in (*CORNERS, *CENTRES) for name in four.split()} - {"w", "h", "width", "height"}
    partial_box = not box and len(corners & {*map(_spell, titles)}) > 1
    if file is None or label is None or label == file or partial_box:
        needed = "file and label, or of boxes file, x0, y0, x1, y1 and label"
        raise Problem(f"{name} needs the columns {needed}: it has others ({columns}).")
    numbers = [[number for i in box if i < len(row) and (number := to_number(row[i]))] for _, row in sample]
    largest = [max(row) for row in numbers if row]
    relative = bool(largest) and max(largest) <= 1.01
    # Beside larger ones no box is smaller than a pixel.
    if largest and not relative and (max(largest) <= 2 or any(0 < most < 1 for most in largest)):
        raise Problem(f"Boxes of {name} may be in pixels or in parts of the picture from 0 to 1: write all in one way.")
    boxes = [titles[i] for i in box]
    notes = [f"{', '.join(boxes)} → box" if box else "", "boxes in 0..1" if relative else "", *notes]
    reading = "; ".join([f"{titles[file]} → file, {titles[label]} → label", *filter(None, notes)])
    four = " ".join(map(_spell, boxes))
    # How far a box is to the left of its first numbers, in parts of its size; None where all four are corners.
    shift = 0.5 if four in CENTRES else 0.0 if four in SIZES else None
    parse = partial(_parse_row, label=label, box=box, width=len(titles), shift=shift)
    files = ((str(row[file]) if file < len(row) else "", line, row) for line, row in chain(sample, rows))
    return reading, relative, ((picture, line, partial(parse, row)) for picture, line, row in files)


def _parse_row(
    row: Sequence[Any], *, label: int, box: Sequence[int], width: int, shift: float | None
) -> tuple[str, Box | None]:
    if not row:
        raise LabelError("it is no JSON object")
    if any(row[width:]):
        raise LabelError(f"it has {len(row)} values, and the first line {width}")
    cells = [*row, *[""] * (width - len(row))]
    text = str(cells[label]).strip() if isinstance(cells[label], str | int | float) else ""
    # A row without a box is a picture without objects.
    if not any(numbers := [cells[i] for i in box]) and bool(text) != bool(box):
        return text, None
    a, b, c, d = parse_numbers(numbers) if box else (0, 0, 0, 0)
    if not text:
        raise LabelError("it needs a file and a label")
    if shift is None:
        return text, (a, b, c, d)
    left, top = a - shift * c, b - shift * d
    return text, (left, top, left + c, top + d)
