"""Read files of the VGG Image Annotator (VIA): JSON of a project or of its annotations, and its table."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sightglass.common.errors import Problem
from sightglass.common.files import json_keys
from sightglass.evaluation.label_files.json_files import JsonContent, as_table, list_tables
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import LabelFile
from sightglass.evaluation.label_files.rows import OTHER_FORM, LabelError, Row, TrueBox, refuse
from sightglass.evaluation.label_files.values import (
    CROWD,
    IGNORED,
    box_around,
    find_marks,
    is_set,
    parse_numbers,
    spell_mark,
)
from sightglass.models.geometry import Box

PROJECT = "_via_img_metadata"
SHAPE, ATTRIBUTES = "region_shape_attributes", "region_attributes"
"""Columns of the table, in JSON."""
OWN = ("filename", "file_size")
"""Columns that tell pictures apart."""
THIRD_TABLE = "# CSV_HEADER = metadata_id,"
"""A line in the comments at the start of VIA 3's table."""
MAX_COMMENTS = 100_000
"""Letters in which these comments are looked for."""
NAMES = ("class", "label", "name", "type", "category", "object")
"""The attribute that names the class, where there are several."""


def fits(content: JsonContent) -> bool:
    """Return whether JSON is VIA's."""
    table = content.value
    if not isinstance(table, dict):
        return False
    first = next(iter(_list_entries(table)), {})
    return PROJECT in table or {"filename", "regions"} <= {*first}


def fits_third(content: JsonContent) -> bool:
    """Return whether JSON is a project of VIA 3."""
    return isinstance(content.value, dict) and {"project", "metadata", "view", "file"} <= {*content.value}


def refuse_third(file: LabelFile, _content: JsonContent, _notes: Notes) -> Iterator[Row]:
    """Raise Problem for a project of VIA 3."""
    raise _third(file.name)


def check_table(name: str, text: str) -> None:
    """Raise Problem for VIA 3's table."""
    if text.startswith("#") and THIRD_TABLE in text[:MAX_COMMENTS]:
        raise _third(name)


def _third(name: str) -> Problem:
    return Problem(f"{name} is of the VGG Image Annotator 3, whose own files are not read: export COCO from it.")


def fits_titles(titles: Sequence[str]) -> bool:
    """Return whether a table is VIA's."""
    return {SHAPE, ATTRIBUTES, "filename"} <= {title.lstrip("#") for title in titles}


def _list_entries(table: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list_tables(table.get(PROJECT, table))


def list_rows(file: LabelFile, content: JsonContent, notes: Notes) -> Iterator[Row]:
    """Yield the regions of a file. Raises Problem where their class is unclear."""
    entries = _list_entries(content.value)
    regions = [region for entry in entries for region in list_tables(entry.get("regions"))]
    name = _find_name(file.name, (region.get(ATTRIBUTES) for region in regions), notes)
    for line, entry in enumerate(entries, 1):
        picture = str(entry.get("filename") or "")
        yield picture, 0, lambda: None
        # Version 1 has them in an object.
        for region in list_tables(entry.get("regions")):
            yield picture, line, partial(_parse, region.get("shape_attributes"), region.get(ATTRIBUTES), name)


def list_table(
    file: str, titles: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]], notes: Notes
) -> Iterator[Row]:
    """Yield the regions of its table. Raises Problem where their class is unclear."""
    places = {title.lstrip("#"): index for index, title in enumerate(titles)}
    cells: list[tuple[int, Sequence[str]]] = []
    for line, row in rows:
        if len(row) == len(titles):
            cells.append((line, row))
        else:
            yield file, line, partial(refuse, OTHER_FORM)
    attributes = [_parse_json(row[places[ATTRIBUTES]]) for _, row in cells]
    name = _find_name(file, attributes, notes)
    yield from _list_pictures([row for _, row in cells], places)
    for (line, row), about in zip(cells, attributes, strict=True):
        picture = row[places["filename"]]
        shape = _parse_json(row[places[SHAPE]])
        if shape:
            yield picture, line, partial(_parse, shape, about, name)


def _list_pictures(rows: Sequence[Sequence[str]], places: Mapping[str, int]) -> Iterator[Row]:
    """Yield each picture of a table once, which has a row for each of its regions."""
    own = [places[title] for title in OWN if title in places]
    for picture, *_ in dict.fromkeys(tuple(row[place] for place in own) for row in rows):
        yield picture, 0, lambda: None


def _parse_json(text: str) -> Any:
    try:
        return json_keys.load(text)[0]
    except (ValueError, RecursionError):
        # Said where the shape is parsed.
        return text


def _find_name(file: str, attributes: Iterable[Any], notes: Notes) -> str:
    """Return the attribute that names the class of regions.

    Raises Problem for several that may.
    """
    counts = Counter(name for each in attributes if isinstance(each, dict) for name in each)
    names = [name for name in counts if spell_mark(name) not in CROWD | IGNORED]
    if len(names) < 2:
        return next(iter(names), "")
    named = [name for word in NAMES for name in names if name.lower() == word]
    if not named:
        raise Problem(f"The regions of {file} have {len(names)} attributes ({', '.join(names[:5])}): call one class.")
    said = f"of {len(names)} attributes of regions was read as their class, {named[0]}"
    notes.count(said, said)
    return str(named[0])


def _parse(shape: Any, attributes: Any, name: str) -> TrueBox:
    about = as_table(attributes)
    crowd, ignored = find_marks(about)
    return TrueBox(_read_class(about.get(name, "")), _find_box(as_table(shape)), crowd, ignored)


def _read_class(value: Any) -> str:
    """Return the class of a text, or of the ticked boxes of one."""
    if not isinstance(value, dict):
        return str(value).strip()
    ticked = [name for name, mark in value.items() if is_set(mark)]
    if len(ticked) != 1:
        raise LabelError(f"it has {len(ticked)} classes, and one is needed")
    return str(ticked[0])


def _find_box(shape: Mapping[str, Any]) -> Box:
    kind = str(shape.get("name"))
    if kind == "rect":
        x, y, wide, high = parse_numbers([shape[side] for side in ("x", "y", "width", "height")])
        return x, y, x + wide, y + high
    if kind == "circle":
        x, y, radius = parse_numbers([shape[side] for side in ("cx", "cy", "r")], 3)
        return x - radius, y - radius, x + radius, y + radius
    if kind == "ellipse":
        x, y, across, down = parse_numbers([shape[side] for side in ("cx", "cy", "rx", "ry")])
        return x - across, y - down, x + across, y + down
    if kind != "polygon":
        raise LabelError(f"it is a {kind[:20]}, and no box")
    xs = parse_numbers(shape["all_points_x"], len(shape["all_points_x"]))
    ys = parse_numbers(shape["all_points_y"], len(xs))
    return box_around(xs, ys)
