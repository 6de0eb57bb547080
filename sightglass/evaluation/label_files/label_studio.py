"""Read Label Studio's JSON and JSON-MIN: tasks, with shapes in percent of the picture."""

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from sightglass.evaluation.label_files.json_files import JsonContent, list_tables
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import LabelFile
from sightglass.evaluation.label_files.rows import OTHER_FORM, LabelError, Row, TrueBox, refuse, scale_box
from sightglass.evaluation.label_files.values import (
    box_around,
    box_around_turned,
    parse_numbers,
    read_size,
    to_number,
)
from sightglass.explain.picture.source import PICTURES
from sightglass.models.geometry import Box

ANNOTATIONS = ("annotations", "completions")
"""What persons drew, in its versions; predictions of models are no labels."""
SHAPES = ("rectanglelabels", "polygonlabels", "ellipselabels")
OTHERS = ("brushlabels", "keypointlabels", "vectorlabels", "bitmasklabels")
"""Shapes without a box."""
_UPLOADED = re.compile(r"/?data/upload/\d+/([0-9a-f]{8}-)?")
"""What it puts before the name of an uploaded file."""


def fits(content: JsonContent) -> bool:
    """Return whether JSON has Label Studio's tasks."""
    tasks = list_tables(content.sample)
    return any(isinstance(task.get("data"), dict) and _list_annotations(task) is not None for task in tasks)


def fits_short(content: JsonContent) -> bool:
    """Return whether JSON is the short form, JSON-MIN."""
    tasks = list_tables(content.sample)
    return any(_is_shape(each) for task in tasks for value in task.values() for each in list_tables(value)[:1])


def _is_shape(value: Mapping[str, Any]) -> bool:
    return any(isinstance(value.get(name), list) for name in (*SHAPES, *OTHERS))


def _list_annotations(task: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """Return what persons drew; None of what is no task."""
    found = [task[name] for name in ANNOTATIONS if isinstance(task.get(name), list)]
    return list_tables(found[0]) if found else None


def list_rows(file: LabelFile, content: JsonContent, notes: Notes) -> Iterator[Row]:
    """Yield the shapes and classes of all tasks that somebody has done."""
    for line, task in zip(content.lines, content.value, strict=True):
        if not isinstance(task, dict):
            yield "", line, partial(refuse, OTHER_FORM)
            continue
        picture = _find_picture(task.get("data"))
        results = _find_results(task, notes)
        if results is None:
            continue
        yield picture, 0, lambda: None
        for result in results:
            parse = _parse_choice if result.get("type") == "choices" else _parse
            yield picture, line, partial(parse, {**result, **_table_in(result, "value")})


def _find_results(task: Mapping[str, Any], notes: Notes) -> list[dict[str, Any]] | None:
    """Return what the first person drew who did a task; None where nobody did."""
    done = [each for each in _list_annotations(task) or () if not each.get("was_cancelled")]
    if not done:
        notes.count("task without an annotation was left out", "tasks without an annotation were left out")
        return None
    if len(done) > 1:
        notes.count("task has several annotations: the first counts", "tasks have several: the first counts")
    return list_tables(done[0].get("result"))


def list_short_rows(file: LabelFile, content: JsonContent, notes: Notes) -> Iterator[Row]:
    """Yield the shapes of the short form."""
    for line, task in zip(content.lines, content.value, strict=True):
        if not isinstance(task, dict):
            yield "", line, partial(refuse, OTHER_FORM)
            continue
        picture = _find_picture(task)
        yield picture, 0, lambda: None
        for shape in (each for value in task.values() for each in list_tables(value)):
            yield picture, line, partial(_parse, shape)


def _table_in(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _find_picture(data: Any) -> str:
    """Return the picture that a task is about: the first of its values that names one."""
    values = [str(value) for value in data.values() if isinstance(value, str)] if isinstance(data, dict) else []
    paths = [_to_path(value) for value in values]
    return next((path for path in paths if path.lower().endswith(PICTURES)), "")


def _to_path(address: str) -> str:
    """Return the path in an address, as the file was called before it was uploaded."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    # Files of its own disk: /data/local-files/?d=folder/a.jpg.
    local = parse_qs(parts.query).get("d")
    path = local[0] if local else unquote(parts.path)
    return _UPLOADED.sub("", path)


def _parse_choice(value: Mapping[str, Any]) -> str:
    choices = value["choices"]
    if len(choices) != 1:
        raise LabelError(f"it has {len(choices)} classes, and one is needed")
    return str(choices[0])


def _parse(value: Mapping[str, Any]) -> TrueBox:
    kind = next((name for name in SHAPES if isinstance(value.get(name), list)), "")
    if not kind:
        raise LabelError(f"it is of the type {str(value.get('type'))[:20]}, and no box")
    if to_number(value.get("image_rotation") or 0) != 0:
        raise LabelError("its picture was turned for it")
    labels = value[kind]
    if len(labels) != 1:
        raise LabelError(f"it has {len(labels)} classes, and one is needed")
    size = read_size(value.get("original_width"), value.get("original_height"))
    # In percent a turned box is no longer a rectangle.
    x0, y0, x1, y1 = _find_box(value, kind, size or (100, 100), can_turn=size is not None)
    wide, high = size or (100, 100)
    return TrueBox(str(labels[0]), (x0 / wide, y0 / high, x1 / wide, y1 / high), relative=True, stated=size)


def _find_box(value: Mapping[str, Any], kind: str, size: tuple[int, int], *, can_turn: bool) -> Box:
    """Return a shape's box in pixels of a picture of this size."""
    across = size[0] / 100
    down = size[1] / 100
    if kind == "polygonlabels":
        points = [parse_numbers(point, 2) for point in value["points"]]
        return box_around([x * across for x, _ in points], [y * down for _, y in points])
    degrees = to_number(value.get("rotation") or 0) or 0.0
    if degrees and not can_turn:
        raise LabelError("it is turned, and the size of its picture is not stated")
    # It turns a box about its upper left corner, an ellipse about its middle.
    x, y = parse_numbers([value["x"], value["y"]], 2)
    pivot = (x * across, y * down)
    if kind == "ellipselabels":
        half_wide, half_high = parse_numbers([value["radiusX"], value["radiusY"]], 2)
        box = (x - half_wide, y - half_high, x + half_wide, y + half_high)
    else:
        wide, high = parse_numbers([value["width"], value["height"]], 2)
        box = (x, y, x + wide, y + high)
    return box_around_turned(scale_box(box, across, down), degrees, pivot)
