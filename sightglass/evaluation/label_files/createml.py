"""Read Create ML's JSON: a list of pictures, boxes by their middles."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from sightglass.evaluation.label_files.json_files import JsonContent, as_table, list_tables
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import LabelFile
from sightglass.evaluation.label_files.rows import OTHER_FORM, Row, TrueBox, refuse
from sightglass.evaluation.label_files.values import find_marks, parse_numbers

PICTURES = ("image", "imagefilename")
ANNOTATIONS = ("annotations", "annotation")
"""Keys of its versions."""


def fits(content: JsonContent) -> bool:
    """Return whether JSON is Create ML's."""
    entries = list_tables(content.sample)
    return any("coordinates" in each for entry in entries for each in _list_annotations(entry)[:1])


def _list_annotations(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [each for name in ANNOTATIONS for each in list_tables(entry.get(name))]


def list_rows(file: LabelFile, content: JsonContent, notes: Notes) -> Iterator[Row]:
    """Yield the boxes of a file."""
    for line, entry in zip(content.lines, content.value, strict=True):
        if not isinstance(entry, dict):
            yield "", line, partial(refuse, OTHER_FORM)
            continue
        named = next((entry[name] for name in PICTURES if name in entry), "")
        picture = str(named) if isinstance(named, str) else ""
        yield picture, 0, lambda: None
        for annotation in _list_annotations(entry):
            yield picture, line, partial(_parse, annotation)


def _parse(annotation: Mapping[str, Any]) -> TrueBox:
    place = as_table(annotation["coordinates"])
    x, y, wide, high = parse_numbers([place[name] for name in ("x", "y", "width", "height")])
    box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
    return TrueBox(str(annotation.get("label") or "").strip(), box, *find_marks(annotation))
