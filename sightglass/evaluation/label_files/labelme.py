"""Read LabelMe's JSON: a file for each picture, with its shapes."""

from collections import ChainMap
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from sightglass.evaluation.label_files.json_files import JsonContent, list_tables
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import LabelFile
from sightglass.evaluation.label_files.rows import LabelError, Row, Size, TrueBox
from sightglass.evaluation.label_files.values import box_around, find_marks, is_set, parse_numbers, read_size
from sightglass.models.geometry import Box


def fits(content: JsonContent) -> bool:
    """Return whether JSON is LabelMe's."""
    table = content.value
    return isinstance(table, dict) and isinstance(table.get("shapes"), list) and "imagePath" in table


def list_rows(file: LabelFile, content: JsonContent, notes: Notes) -> Iterator[Row]:
    """Yield the shapes of a file, or without any the class that its flags name."""
    table = content.value
    picture = _find_picture(file, str(table["imagePath"]))
    shapes = list_tables(table["shapes"])
    flags = table.get("flags")
    named = [name for name, value in flags.items() if is_set(value)] if isinstance(flags, dict) else []
    yield picture, 0, lambda: None
    if named and not shapes:
        yield picture, 0, partial(_parse_flags, named)
        return
    stated = read_size(table.get("imageWidth"), table.get("imageHeight"))
    for line, shape in enumerate(shapes, 1):
        yield picture, line, partial(_parse, shape, stated)


def _find_picture(file: LabelFile, path: str) -> str:
    """Return the path of the picture, which is stated as seen from the file's folder."""
    parts = [*file.path.parts[:-1]]
    named = PurePosixPath(path.replace("\\", "/"))
    if named.is_absolute() or ":" in named.parts[0:1]:
        return named.as_posix()
    for part in named.parts:
        if part == ".." and parts:
            parts.pop()
        elif part != "..":
            parts.append(part)
    return "/".join(parts)


def _parse_flags(named: list[str]) -> str:
    if len(named) > 1:
        raise LabelError(f"it has {len(named)} classes, and one is needed")
    return named[0]


def _parse(shape: Mapping[str, Any], stated: Size | None) -> TrueBox:
    flags = shape.get("flags")
    # X-AnyLabeling writes marks beside the shape's flags.
    crowd, ignored = find_marks(ChainMap(flags, dict(shape)) if isinstance(flags, dict) else shape)
    return TrueBox(str(shape.get("label") or "").strip(), _find_box(shape), crowd, ignored, stated=stated)


def _find_box(shape: Mapping[str, Any]) -> Box:
    kind = str(shape.get("shape_type") or "polygon")
    points = [parse_numbers(point, 2) for point in shape["points"]]
    xs = [x for x, _ in points]
    ys = [y for _, y in points]
    if kind == "circle" and len(points) == 2:
        radius = ((xs[1] - xs[0]) ** 2 + (ys[1] - ys[0]) ** 2) ** 0.5
        return xs[0] - radius, ys[0] - radius, xs[0] + radius, ys[0] + radius
    if kind not in ("rectangle", "polygon", "mask", "rotation"):
        raise LabelError(f"it is a {kind[:20]}, and no box")
    return box_around(xs, ys)
