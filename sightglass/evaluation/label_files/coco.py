"""Read COCO's JSON: images, categories and annotations."""

from collections import ChainMap, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sightglass.common.errors import Problem
from sightglass.evaluation.label_files.rows import LabelError, Row, Size, TrueBox, refuse
from sightglass.evaluation.label_files.values import box_around, find_marks, parse_numbers, read_size
from sightglass.models.geometry import Box

CORNERS = 0
SIZES = 1
"""Detectron2's `bbox_mode`: two corners, or a corner and the size, which is COCO's own."""


def fits(content: Any) -> bool:
    """Return whether JSON is COCO's."""
    return isinstance(content, dict) and bool({"images", "annotations"} & {*content})


@dataclass(frozen=True)
class _Names:
    """The names of images or of categories by their ids."""

    names: Mapping[Any, str]
    unclear: Mapping[Any, str]
    """Why an id means none of its names."""
    missing: str
    """What is said of an id that is not among them."""

    def find(self, key: Any) -> str:
        """Return the name of an id; raise LabelError without one, or with several."""
        if key in self.unclear:
            raise LabelError(self.unclear[key])
        if key not in self.names:
            raise LabelError(self.missing)
        return self.names[key]


@dataclass(frozen=True)
class _Tables:
    """The tables that annotations refer to."""

    pictures: _Names
    sizes: Mapping[Any, Size | None]
    classes: _Names


def _to_key(value: Any) -> Any:
    """Return an id as a key, a number as text: 7 and 7.0 are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # A file could choose numbers of one hash, and each would be compared with each.
    return str(value) if isinstance(value, int | float) else value


def list_rows(file: str, content: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the annotations of a file, and its pictures. Raises Problem."""
    try:
        tables = _read_tables(content)
        annotations = list(content["annotations"])
    except (KeyError, TypeError, AttributeError) as problem:
        raise Problem(f"{file} is no COCO file: it needs images, categories and annotations.") from problem
    pictures = tables.pictures
    yield from (("", 0, partial(refuse, reason)) for reason in pictures.unclear.values())
    yield from ((name, 0, lambda: None) for key, name in pictures.names.items() if key not in pictures.unclear)
    for line, annotation in enumerate(annotations, 1):
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        picture = pictures.names.get(_to_key(number), "") if isinstance(number, int | float | str) else ""
        yield picture, line, partial(_parse, annotation, tables)


def _read_tables(content: Mapping[str, Any]) -> _Tables:
    images = [row for row in content["images"] if "file_name" in row]
    return _Tables(
        _read_names("images", images, "file_name", "its picture is not among the images"),
        {_to_key(row["id"]): read_size(row.get("width"), row.get("height")) for row in images},
        _read_names("categories", content["categories"], "name", "its class is not among the categories"),
    )


def _read_names(what: str, rows: Iterable[Mapping[str, Any]], column: str, missing: str) -> _Names:
    """Return the names in a column by id; an id of several names means none of them."""
    found: defaultdict[Any, dict[str, None]] = defaultdict(dict)
    for row in rows:
        if column in row:
            found[_to_key(row["id"])][str(row[column])] = None
    several = {key: [*names] for key, names in found.items() if len(names) > 1}
    unclear = {
        key: f"the {what} {first} and {second} have one id, {key}" for key, (first, second, *_) in several.items()
    }
    return _Names({key: next(iter(names)) for key, names in found.items()}, unclear, missing)


def _parse(annotation: Any, tables: _Tables) -> TrueBox:
    picture = _to_key(annotation["image_id"])
    tables.pictures.find(picture)
    label = tables.classes.find(_to_key(annotation["category_id"]))
    # CVAT and others put their own marks one level below.
    crowd, ignored = find_marks(ChainMap(annotation, _read_attributes(annotation.get("attributes"))))
    return TrueBox(label, _find_box(annotation), crowd, ignored, stated=tables.sizes[picture])


def _read_attributes(value: Any) -> dict[str, Any]:
    """Return attributes by name, of an object or of a list of names and values."""
    if isinstance(value, dict):
        return value
    listed = value if isinstance(value, list) else []
    return {str(each["name"]): each.get("value") for each in listed if isinstance(each, dict) and "name" in each}


def _find_box(annotation: Mapping[str, Any]) -> Box:
    polygons = annotation.get("segmentation")
    if not annotation.get("bbox") and isinstance(polygons, list):
        points = [number for polygon in polygons for number in parse_numbers(polygon, len(polygon))]
        return box_around(points[::2], points[1::2])
    a, b, c, d = parse_numbers(annotation["bbox"])
    mode = annotation.get("bbox_mode", SIZES)
    if mode not in (CORNERS, SIZES):
        raise LabelError(f"its bbox_mode is {str(mode)[:20]}, and {CORNERS} and {SIZES} are read")
    return (a, b, c, d) if mode == CORNERS else (a, b, a + c, b + d)
