"""Read Label Studio's JSON and JSON-MIN: tasks, with shapes in percent of the picture."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
SHAPES = ("rectanglelabels", "polygonlabels", "ellipselabels", "labels")
BARE = ("rectangle", "polygon", "ellipse")
"""Shapes without a class: `labels` of the same id repeats each with its class."""
IMAGES = ("image", "img", "picture", "photo")
"""What the picture of a task is called that has several."""
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
    return any(isinstance(value.get(name), list) for name in (*SHAPES[:-1], *OTHERS))


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
        results = _find_results(task, notes)
        if results is not None:
            yield from _list_results(line, _list_pictures(task.get("data")), results, notes)


def _list_results(
    line: int, pictures: Mapping[str, str], results: Sequence[Mapping[str, Any]], notes: Notes
) -> Iterator[Row]:
    """Yield what a task says of its pictures."""
    for picture in dict.fromkeys(_choose_picture(pictures, result) for result in results or ({},)):
        yield (picture, 0, lambda: None) if picture or not pictures else _refuse_open(line, pictures)
    kept = _leave_out(results, notes)
    questions = {str(result.get("from_name")) for result in kept if _is_choice(result)}
    for result in kept:
        picture = _choose_picture(pictures, result)
        if picture or not pictures:
            yield picture, line, partial(_parse_result, result, len(questions))


def _leave_out(results: Sequence[Mapping[str, Any]], notes: Notes) -> list[Mapping[str, Any]]:
    """Return results without choices on regions, and without shapes that others repeat with their classes."""
    ids = Counter(str(result["id"]) for result in results if "id" in result)
    labelled = {str(result.get("id")) for result in results if result.get("type") == "labels"}
    kept = []
    for result in results:
        if _is_choice(result) and _is_of_region(result, ids):
            notes.count("choice on a region was left out", "choices on regions were left out")
        elif result.get("type") not in BARE or str(result.get("id")) not in labelled:
            kept.append(result)
    return kept


def _is_choice(result: Mapping[str, Any]) -> bool:
    return result.get("type") == "choices"


def _parse_result(result: Mapping[str, Any], questions: int) -> TrueBox | str:
    """Return the box of a shape, or the class that answers the only one of these questions."""
    value = {**result, **_table_in(result, "value")}
    if not _is_choice(result):
        return _parse(value)
    if questions > 1:
        raise LabelError(f"it answers one of {questions} questions, and one class is needed")
    return _parse_choice(value)


def _is_of_region(choice: Mapping[str, Any], ids: Mapping[str, int]) -> bool:
    """Return whether a choice is about a region, whose id or place it repeats."""
    repeated = ids.get(str(choice.get("id")), 0) > 1
    return repeated or bool(choice.get("parentID")) or "x" in _table_in(choice, "value")


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
        pictures = _list_pictures(task)
        picture = _choose_picture(pictures, {})
        if pictures and not picture:
            yield _refuse_open(line, pictures)
            continue
        yield picture, 0, lambda: None
        for shape in (each for value in task.values() for each in list_tables(value)):
            yield picture, line, partial(_parse, shape)


def _table_in(table: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _list_pictures(data: Any) -> dict[str, str]:
    """Return the pictures that the values of a task name, by the keys of these."""
    values = data.items() if isinstance(data, dict) else ()
    paths = {str(key): _to_path(value) for key, value in values if isinstance(value, str)}
    return {key: path for key, path in paths.items() if path.lower().endswith(PICTURES)}


def _choose_picture(pictures: Mapping[str, str], result: Mapping[str, Any]) -> str:
    """Return the picture that a result is about, by what it calls it; empty where that is open."""
    if len({*pictures.values()}) == 1:
        return next(iter(pictures.values()))
    names = (str(result.get("to_name")), *IMAGES)
    return next((pictures[name] for name in names if name in pictures), "")


def _refuse_open(line: int, pictures: Mapping[str, str]) -> Row:
    named = " and ".join([*pictures][:2])
    reason = f"its pictures {named} are several, and none is called {IMAGES[0]}"
    return next(iter(pictures.values())), line, partial(refuse, reason)


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
    x0, y0, x1, y1 = _find_box(value, size or (100, 100), can_turn=size is not None)
    wide, high = size or (100, 100)
    return TrueBox(str(labels[0]), (x0 / wide, y0 / high, x1 / wide, y1 / high), relative=True, stated=size)


def _find_box(value: Mapping[str, Any], size: tuple[int, int], *, can_turn: bool) -> Box:
    """Return a shape's box in pixels of a picture of this size."""
    across = size[0] / 100
    down = size[1] / 100
    if "points" in value:
        points = [parse_numbers(point, 2) for point in value["points"]]
        return box_around([x * across for x, _ in points], [y * down for _, y in points])
    degrees = to_number(value.get("rotation") or 0) or 0.0
    if degrees and not can_turn:
        raise LabelError("it is turned, and the size of its picture is not stated")
    # It turns a box about its upper left corner, an ellipse about its middle.
    x, y = parse_numbers([value["x"], value["y"]], 2)
    pivot = (x * across, y * down)
    if "radiusX" in value:
        half_wide, half_high = parse_numbers([value["radiusX"], value["radiusY"]], 2)
        box = (x - half_wide, y - half_high, x + half_wide, y + half_high)
    else:
        wide, high = parse_numbers([value["width"], value["height"]], 2)
        box = (x, y, x + wide, y + high)
    return box_around_turned(scale_box(box, across, down), degrees, pivot)
