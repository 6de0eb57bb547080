"""Read COCO's JSON: images, categories and annotations."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sightglass.common.errors import Problem
from sightglass.evaluation.label_files.rows import LabelError, Row, Size, TrueBox
from sightglass.evaluation.label_files.values import box_around, is_set, parse_numbers, read_size
from sightglass.models.geometry import Box


def fits(content: Any) -> bool:
    """Return whether JSON is COCO's."""
    return isinstance(content, dict) and bool({"images", "annotations"} & {*content})


@dataclass(frozen=True)
class _Tables:
    """The tables that annotations refer to, by the keys of their rows."""

    pictures: Mapping[Any, str]
    sizes: Mapping[Any, Size | None]
    classes: Mapping[Any, str]


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
    yield from ((name, 0, lambda: None) for name in tables.pictures.values())
    for line, annotation in enumerate(annotations, 1):
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        picture = tables.pictures.get(_to_key(number), "") if isinstance(number, int | float | str) else ""
        yield picture, line, partial(_parse, annotation, tables)


def _read_tables(content: Mapping[str, Any]) -> _Tables:
    images = {_to_key(row["id"]): row for row in content["images"] if "file_name" in row}
    return _Tables(
        {key: str(row["file_name"]) for key, row in images.items()},
        {key: read_size(row.get("width"), row.get("height")) for key, row in images.items()},
        {_to_key(row["id"]): str(row["name"]) for row in content["categories"] if "name" in row},
    )


def _parse(annotation: Any, tables: _Tables) -> TrueBox:
    picture = _to_key(annotation["image_id"])
    label = _to_key(annotation["category_id"])
    if picture not in tables.pictures:
        raise LabelError("its picture is not among the images")
    if label not in tables.classes:
        raise LabelError("its class is not among the categories")
    crowd = is_set(annotation.get("iscrowd"))
    ignored = is_set(annotation.get("ignore"))
    return TrueBox(tables.classes[label], _find_box(annotation), crowd, ignored, stated=tables.sizes[picture])


def _find_box(annotation: Mapping[str, Any]) -> Box:
    polygons = annotation.get("segmentation")
    if not annotation.get("bbox") and isinstance(polygons, list):
        points = [number for polygon in polygons for number in parse_numbers(polygon, len(polygon))]
        return box_around(points[::2], points[1::2])
    x, y, wide, high = parse_numbers(annotation["bbox"])
    return x, y, x + wide, y + high
