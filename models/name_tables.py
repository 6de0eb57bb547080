"""Read class names out of tables, and out of lists with a number before each name."""

import ast
import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral
from typing import Any

SUFFIXES = (".csv", ".tsv")
"""Endings of tables of text."""
NAME_COLUMNS = ("name", "class_name", "label_name", "display_name", "label", "class", "category", "names", "labels")
"""Heads of a column of names, the clearest first."""
NUMBER_COLUMNS = ("id", "index", "idx", "number", "class_id", "class_index", "class_idx", "label_id", "category_id")
"""Heads of a column of the numbers of classes."""
HEADS = ("class", "classes", "class_name", "label", "labels", "name", "names", "category", "categories")
"""A first line of a list that names its column."""
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".dcm", ".npy")
"""Endings of cells of a table of pictures, whose labels are no list of classes."""
_SEPARATORS = ",;\t|"
_NUMBERED = re.compile(r"(?P<number>\d{1,7})(?:\s*[-:,;|=.)]\s+|[:,;|=)](?=\D)|\s+)(?P<name>.+)")
"""A line of a list: a number, what separates it, and a name; `1.5 mm` is a name."""
_NUMBER_FIRST = re.compile(r"(?P<number>\d{1,7})\s*[:;|=\t]\s*(?P<name>\D.*)")
_NUMBER_LAST = re.compile(r"(?P<name>.*[^\s:,;|=])\s*[:,;|=\t]\s*(?P<number>\d{1,7})")
"""Lines of a list in any order: a number or a name, a mark, and the other; `zone 1` is a name."""
_SYNSET = re.compile(r"n\d{8}[\s:,;]+(?P<name>\S.*)")
"""A line of a list by WordNet's numbers: a number of eight digits, and words."""
_SORTED = re.compile(r"/(?P<letter>\w)/(?P<name>\S+)(?:\s+(?P<number>\d{1,7}))?")
"""A line of Places365: a folder of the name's first letter, the name and, mostly, a number."""
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_MAP_ITEM = re.compile(rf"\bitem\s*:?\s*\{{(?P<fields>(?:[^{{}}\"']|{_QUOTED}|\{{[^{{}}]*\}})*)\}}")
_MAP_FIELD = re.compile(rf"\b(?P<key>id|name|display_name)\s*:\s*(?P<value>\d{{1,7}}\b|{_QUOTED})")
"""Parts of TensorFlow's map of labels: `item { id: 1 name: 'cat' }`."""
MAP_SUFFIX = ".pbtxt"
"""Ending of TensorFlow's maps of labels."""
MAX_LITERAL = 2**20
"""Characters of a list that is a literal of Python, or TensorFlow's."""
Row = Mapping[str, Any]
"""A row of a table by its columns."""


def to_index(value: Any) -> int | None:
    """Return a class's index from a cell, a key or a value of JSON, or None."""
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    text = str(value) if is_whole or isinstance(value, str) else ""
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def read_lines(lines: Sequence[str]) -> list[str] | dict[str, str]:
    """Return the names of a list without comments and head, by number where numbers count its lines.

    >>> read_lines(["1 cat", "2 dog"])
    {'1': 'cat', '2': 'dog'}
    >>> read_lines(["cat: 1", "dog: 0"])
    {'0': 'dog', '1': 'cat'}
    >>> read_lines(["2 door", "4 door"])
    ['2 door', '4 door']
    >>> read_lines(["n01440764 tench, Tinca tinca", "n01443537 goldfish"])
    ['tench, Tinca tinca', 'goldfish']
    >>> read_lines(["/a/airfield 0", "/b/bar/indoor 1"])
    {'0': 'airfield', '1': 'bar/indoor'}
    """
    lines = [line for line in lines if not line.startswith("# ")]
    if len(lines) > 1 and lines[0].lower() in HEADS:
        lines = lines[1:]
    synsets = [line["name"] for line in map(_SYNSET.fullmatch, lines) if line]
    if len(synsets) == len(lines):
        return synsets
    if (sorted_names := _read_sorted(lines)) is not None:
        return sorted_names
    in_order, first, last = (_split_lines(lines, form) for form in (_NUMBERED, _NUMBER_FIRST, _NUMBER_LAST))
    for pairs in (in_order, sorted(first), sorted(last)):
        # The names of two classes differ: 1 euro and 2 euro are names.
        if len({name for _, name in pairs}) == len(lines) and _counts_up([number for number, _ in pairs]):
            return {str(number): name for number, name in pairs}
    return [*lines]


def _read_sorted(lines: Sequence[str]) -> list[str] | dict[str, str] | None:
    """Return the names of a list in folders of their first letters, as that of Places365, or None."""
    parts = [line for line in map(_SORTED.fullmatch, lines) if line and line["name"].startswith(line["letter"])]
    numbers = {line["number"]: line["name"] for line in parts if line["number"]}
    if len(parts) < len(lines) or len(numbers) not in (0, len(lines)):
        return None
    return numbers or [line["name"] for line in parts]


def read_literal(text: str) -> Any:
    """Return a list of names that is a literal of Python, `{0: 'cat', 1: 'dog'}`; None for other text.

    Raises ValueError for one that is too large or broken.
    """
    text = re.sub(r"\A[A-Za-z_]\w*\s*=\s*", "", text.strip())
    is_whole = re.match(r"\{\s*(?:\d+|['\"])", text) and text.rstrip(";").endswith("}")
    if not (is_whole or (re.match(r"\[\s*['\"]", text) and text.endswith("]"))):
        return None
    if len(text) > MAX_LITERAL:
        raise ValueError(f"it has more than {MAX_LITERAL >> 20} MB")
    try:
        tree = ast.parse(text.rstrip(";"), mode="eval")
        content = ast.literal_eval(tree)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as problem:
        line = f" (line {problem.lineno})" if isinstance(problem, SyntaxError) else ""
        raise ValueError(f"it is no list of names that Python can read{line}") from None
    if isinstance(tree.body, ast.Dict) and len(content) < len(tree.body.keys):
        raise ValueError("one of its keys is there twice: write each once")
    return content


def read_map(text: str) -> list[Row]:
    """Return the classes of TensorFlow's map of labels; raise ValueError for another text."""
    if len(text) > MAX_LITERAL:
        raise ValueError(f"it has more than {MAX_LITERAL >> 20} MB")
    text = re.sub(r"(?m)^\s*#.*$", "", text)
    rows: list[Row] = []
    for item in _MAP_ITEM.finditer(text):
        fields = {field["key"]: field["value"] for field in _MAP_FIELD.finditer(item["fields"])}
        quoted = fields.get("display_name") or fields.get("name") or ""
        name = re.sub(r"\\(.)", r"\1", quoted[1:-1])
        if not name or not fields.get("id", "").isdecimal():
            raise ValueError(f"item {len(rows) + 1} has no id or no name: write id: 1 and name: 'cat' in each")
        rows.append({"id": int(fields["id"]), "name": name})
    if not rows or _MAP_ITEM.sub("", text).strip():
        raise ValueError("it is no map of labels: write item { id: 1 name: 'cat' } for each class")
    return rows


def _split_lines(lines: Sequence[str], form: re.Pattern[str]) -> list[tuple[int, str]]:
    """Return the number and the name in each line of a form."""
    return [(int(line["number"]), line["name"]) for line in map(form.fullmatch, lines) if line]


def _counts_up(numbers: Sequence[int]) -> bool:
    """Return whether numbers count up from 0 or, of several, from 1."""
    first = 1 if len(numbers) > 1 and numbers[0] == 1 else 0
    return [*numbers] == [*range(first, first + len(numbers))]


def read_table(text: str) -> list[str] | list[Row] | dict[str, str]:
    """Return the rows of a table of text, or its lines; raise ValueError."""
    separator, rows = _split(text)
    has_head = _is_head(rows)
    width = min(map(len, rows), default=0)
    columns = rows[0] if has_head else [*map(str, range(width))]
    table: list[Row] = [dict(zip(columns[:width], row, strict=False)) for row in rows[has_head:]]
    if width > 1 and (has_head or _find_numbers(_list_indices(table)) is not None):
        return table
    # `tench, Tinca tinca` is one name.
    return read_lines([f"{separator} ".join(row) for row in rows[has_head:]])


def _split(text: str) -> tuple[str, list[list[str]]]:
    """Return the separator of a table of text, and its cells."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    separator = max(_SEPARATORS, key=lambda mark: sum(mark in line for line in lines))
    try:
        return separator, [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    except csv.Error as problem:
        raise ValueError(f"it is no table ({problem})") from None


def _is_head(cells: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row of a table names its columns."""
    if len(cells) < 2:
        return False
    head, *body = cells
    if any(_to_column(cell) in (*NAME_COLUMNS, *NUMBER_COLUMNS) for cell in head):
        return True
    columns = zip(*body, strict=False)
    return any(
        to_index(cell) is None and None not in map(to_index, column)
        for cell, column in zip(head, columns, strict=False)
    )


def _to_column(head: str) -> str:
    return re.sub(r"[\s-]+", "_", head.strip().lower())


def names_in_rows(rows: Sequence[Row]) -> dict[int, str]:
    """Return the names in the rows of a table by their numbers, else by their places.

    There may be gaps between the numbers. Without numbers the names have to differ; a table of pictures names none.
    Raises ValueError where two rows have one number.
    """
    indices = _list_indices(rows)
    by_number = _find_numbers(indices)
    others = [column for column in indices if column != by_number]
    named = next(iter((*_choose(others, NAME_COLUMNS), *others)), None)
    if named is None or _lists_pictures(rows):
        return {}
    names = [str(row[named]) for row in rows]
    if by_number is None:
        return dict(enumerate(names)) if len({*names}) == len(names) else {}
    numbered = {index: name for index, name in zip(indices[by_number], names, strict=True) if index is not None}
    if len(numbered) < len(names):
        raise ValueError(f"two classes have the same {by_number}")
    return dict(sorted(numbered.items()))


def _lists_pictures(rows: Sequence[Row]) -> bool:
    """Return whether a cell of a table names the file of a picture."""
    return any(str(cell).lower().endswith(PICTURES) for row in rows for cell in row.values())


def _choose(columns: Iterable[str], heads: Sequence[str]) -> list[str]:
    """Return the columns with one of these heads, in the order of the heads."""
    known = [column for column in columns if _to_column(column) in heads]
    return sorted(known, key=lambda column: heads.index(_to_column(column)))


def _list_indices(rows: Sequence[Row]) -> dict[str, list[int | None]]:
    """Return what each column of texts or numbers holds as indices."""
    plain = (column for column in rows[0] if all(isinstance(row.get(column), str | int) for row in rows))
    return {column: [to_index(row[column]) for row in rows] for column in plain}


def _find_numbers(indices: Mapping[str, Sequence[int | None]]) -> str | None:
    """Return the column of the classes' numbers, or None."""
    sorted_numbers = {
        column: sorted(number for number in numbers if number is not None)
        for column, numbers in indices.items()
        if None not in numbers
    }
    known = _choose(sorted_numbers, NUMBER_COLUMNS)
    counted = [column for column, numbers in sorted_numbers.items() if _counts_up(numbers)]
    return next(iter((*known, *counted)), None)
