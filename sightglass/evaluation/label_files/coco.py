"""Read COCO's JSON: images, categories and annotations."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from sightglass.common.errors import Problem
from sightglass.evaluation.label_files.rows import LabelError, Row, TrueBox
from sightglass.evaluation.label_files.values import parse_numbers


def _to_key(value: Any) -> Any:
    """Return an id as a key, a number as text: 7 and 7.0 are one."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # A file could choose numbers of one hash, and each would be compared with each.
    return str(value) if isinstance(value, int | float) else value


def list_coco(file: str, content: Mapping[str, Any]) -> Iterator[Row]:
    try:
        names = {_to_key(row["id"]): str(row["file_name"]) for row in content["images"] if "file_name" in row}
        classes = {_to_key(row["id"]): str(row["name"]) for row in content["categories"] if "name" in row}
        annotations = list(content["annotations"])
    except (KeyError, TypeError) as problem:
        raise Problem(f"{file} is no COCO file: it needs images, categories and annotations.") from problem
    yield from ((name, 0, lambda: None) for name in names.values())
    for line, annotation in enumerate(annotations, 1):
        number = annotation.get("image_id") if isinstance(annotation, dict) else None
        picture = names.get(_to_key(number), "") if isinstance(number, int | float | str) else ""
        yield picture, line, partial(_parse_coco, annotation, names, classes)


def _parse_coco(annotation: Any, names: Mapping[Any, str], classes: Mapping[Any, str]) -> TrueBox:
    if _to_key(annotation["image_id"]) not in names:
        raise LabelError("its picture is not among the images")
    if _to_key(annotation["category_id"]) not in classes:
        raise LabelError("its class is not among the categories")
    flags = bool(annotation.get("iscrowd")), bool(annotation.get("ignore"))
    if not annotation.get("bbox") and isinstance(polygons := annotation.get("segmentation"), list):
        points = [number for polygon in polygons for number in parse_numbers(polygon, len(polygon))]
        box = (min(points[::2]), min(points[1::2]), max(points[::2]), max(points[1::2]))
    else:
        x, y, wide, high = parse_numbers(annotation["bbox"])
        box = (x, y, x + wide, y + high)
    return TrueBox(classes[_to_key(annotation["category_id"])], box, *flags)
