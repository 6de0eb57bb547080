"""Read tables with a row for each picture or box, of text or of JSON."""

import csv
import io
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sightglass.common.errors import Problem
from sightglass.common.files import csv_files
from sightglass.evaluation.label_files.coco import list_coco
from sightglass.evaluation.label_files.json_files import read_json
from sightglass.evaluation.label_files.opening import JSON, decode
from sightglass.evaluation.label_files.rows import INDEX, LabelError, Row, TrueBox
from sightglass.evaluation.label_files.values import parse_numbers, to_number
from sightglass.explain.picture.source import PICTURES

MAX_COLUMNS = 1_000
"""Columns of a table, and keys of the first `SAMPLE` objects of a file of JSON."""
SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "", "": "blanks"}
"""Separators of a table, with the name of an unusual one."""
_COLUMNS = tomllib.loads(Path(__file__).with_name("columns.toml").read_text("utf-8"))
FILE, LABEL = _COLUMNS["file"], _COLUMNS["label"]
CORNERS, SIZES, CENTRES = _COLUMNS["corners"], _COLUMNS["sizes"], _COLUMNS["centres"]
SAMPLE = 1000
"""Rows by which a table is understood."""
_Cells = tuple[int, Sequence[Any]]
"""The number of a line of a table, from 1, and its cells."""
_Columns = tuple[int | None, int | None, tuple[int, ...]]
"""The positions of file, label and box, as far as they are clear."""


def read_table(path: Path, names: Mapping[int, str]) -> tuple[str, Iterator[Row]]:
    """Return how a table or a file of JSON is read, and its rows; `names`: of indices. Raises Problem."""
    if path.suffix.lower() in JSON:
        content = read_json(path)
        if isinstance(content, dict):
            return "COCO", list_coco(path.name, content)
        keys = list(dict.fromkeys(key for _, row in content[:SAMPLE] if isinstance(row, dict) for key in row))
        _check_columns(path.name, len(keys), "keys")
        cells = ((line, _JsonRow(row, keys) if isinstance(row, dict) else ()) for line, row in content)
        return _understand(path.name, chain([(0, keys)], cells), [], names)
    text, encoding = decode(path.read_bytes(), path.name)
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
) -> tuple[str, Iterator[Row]]:
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
        if self.names and INDEX.fullmatch(text):
            text = self.names.get(int(float(text)), text)
        if not self.box:
            return text
        # A row without a box is a picture without objects.
        if not (text or any(numbers)):
            return None
        a, b, c, d = parse_numbers(numbers)
        if self.shift is not None:
            a, b = a - self.shift * c, b - self.shift * d
            c, d = a + c, b + d
        return TrueBox(text, (a, b, c, d), relative=self.relative)
