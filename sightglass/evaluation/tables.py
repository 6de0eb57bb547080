"""Turn an evaluation into a pandas table: objects, boxes, pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sightglass.common.files import csv_cells
from sightglass.evaluation.looks import find_objects

if TYPE_CHECKING:
    import pandas as pd

    from sightglass.evaluation.error_types import MatchedBoxes
    from sightglass.evaluation.evaluation import EvaluatedPicture, Evaluation
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box

NEAR = 0.5
"""Of an object's longer side: what lies as near as that crowds it."""
MEANINGS: Mapping[str, str] = {
    "picture": "Its path below the source.",
    "index": "Of an object among the labels of its picture, of a box among the answers; 0 of a picture.",
    "kind": "object: a labelled one; box: a wrong one; picture: a classified one.",
    "label": "The class by the labels; of a box that of the object it is about, or none.",
    "predicted": "The class by the model; none of an object without any box.",
    "score": "Of the answer; of a missed object that of the best candidate for it.",
    "found": "Which of the picture's answers it is about, from 0; -1 for none.",
    "type": "right, or one of TIDE's types of errors (`error_types.MEANINGS`).",
    "wrong": "Whether it is not right.",
    "missed": "Why an object has no right box (`misses.MEANINGS`); none otherwise.",
    "rank": "Of a picture: the place of its class among the best five, from 1; else 0.",
    "size": "Square root of the box's area, in pixels.",
    "x": "Centre of the box, 0 left to 1 right.",
    "y": "Centre of the box, 0 top to 1 bottom.",
    "aspect": "Width of the box by its height.",
    "crowding": "How many other labelled objects lie within half of its longer side.",
    "overlap": "The largest share of the box that one other labelled object covers, 0..1.",
    "brightness": "Of the picture, 0..1: the grey level that one pixel in a hundred exceeds.",
    "sharpness": "Of the picture: 0 of one that is even.",
    "folder": "The folder that the picture lies in; empty at the top.",
    "on_object": "Share of the answer's evidence on the object, 0..1; none without a map.",
    "on_others": "The same on other labelled objects only.",
    "on_border": "The same on the outer tenth of what the model saw.",
}
"""The columns, and what they say."""
Row = dict[str, Any]


def tabulate(evaluation: Evaluation) -> pd.DataFrame:
    """Return the units of an evaluation under `MEANINGS`.

    Of a detector one row for each labelled object that is no crowd, and one for each wrong box, at its threshold: an
    object with a box of the wrong class is in both. Of a classifier one for each picture. Numbers that there are not
    are nan, texts None.
    """
    import pandas as pd

    rows = _list_boxes(evaluation) if evaluation.task == "detect" else map(_describe_picture, evaluation.pictures)
    # A table without rows would have no types, and a mask of no type chooses columns.
    return pd.DataFrame(list(rows), columns=list(MEANINGS)).astype({"wrong": bool})


def list_rows(units: pd.DataFrame) -> list[Row]:
    """Return the rows of such a table as plain values; nan is None."""
    table = units.astype(object)
    rows: list[Row] = table.where(table.notna(), None).to_dict("records")
    return rows


def write_csv(rows: Sequence[Row]) -> bytes:
    """Return rows with the same keys as CSV; empty without rows."""
    file = io.StringIO(newline="")
    csv_cells.write(file, [*rows[0]] if rows else [], rows)
    return file.getvalue().encode()


def write_parquet(rows: Sequence[Row]) -> bytes:
    """Return rows with the same keys as a Parquet file."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([*rows]), file)
    return file.getvalue()


def _list_boxes(evaluation: Evaluation) -> Iterator[Row]:
    for picture, matched in zip(evaluation.pictures, evaluation.matched, strict=True):
        about, common = find_objects(matched, picture.found), _describe(picture)
        places = {id(one): i for i, one in enumerate(picture.found)}
        yield from _list_objects(picture, matched, about, common)
        for error in matched.errors:
            if (one := error.predicted) is None or one.box is None:
                continue
            i, truth = places[id(one)], error.truth
            yield {
                **common,
                "index": i,
                "kind": "box",
                "label": truth.label if truth else None,
                **_tell_answer(picture, one, i),
                "type": error.type,
                "wrong": True,
                **_measure_box(one.box, truth, picture),
            }


def _list_objects(
    picture: EvaluatedPicture, matched: MatchedBoxes, about: Mapping[int, TrueBox], common: Row
) -> Iterator[Row]:
    right = {id(one): "right" for one in matched.objects}
    wrong: dict[int, str] = {
        id(one.truth): one.type for one in reversed(matched.errors) if one.type in ("location", "missed")
    }
    # Of several boxes on one object that with another class says most.
    wrong |= {id(one.truth): one.type for one in matched.errors if one.type == "class"}
    types = wrong | right
    answers: dict[int, int] = {}
    kinds = {id(one.predicted): one.type for one in matched.errors if one.predicted is not None}
    for place, truth in about.items():
        # Only the box that its type is about.
        if kinds.get(id(picture.found[place]), "right") == types.get(id(truth)):
            answers.setdefault(id(truth), place)
    for index, truth in enumerate(picture.truths):
        if truth.crowd:
            continue
        i, missed = answers.get(id(truth)), picture.missed.get(index)
        row = {**common, "index": index, "kind": "object", "label": truth.label, "score": math.nan}
        if i is not None:
            row |= _tell_answer(picture, picture.found[i], i)
        elif missed is not None:
            row["score"] = missed.score
        kind = types[id(truth)]
        reason = missed.reason if missed is not None and kind != "right" else None
        row |= {"type": kind, "wrong": kind != "right", "missed": reason}
        yield row | _measure_box(truth.box, truth, picture)


def _describe(picture: EvaluatedPicture) -> Row:
    """Return what all rows of a picture share, and what holds where there is nothing else to say."""
    nothing = dict.fromkeys(("size", "x", "y", "aspect", "overlap", "on_object", "on_others", "on_border"), math.nan)
    return nothing | {
        "picture": picture.key,
        "index": 0,
        "predicted": None,
        "found": -1,
        "missed": None,
        "rank": 0,
        "crowding": 0,
        "brightness": picture.brightness,
        "sharpness": picture.sharpness,
        "folder": picture.folder,
    }


def _tell_answer(picture: EvaluatedPicture, one: Prediction, i: int) -> Row:
    row: Row = {"predicted": one.label, "score": one.score, "found": i}
    if (look := picture.looks.get(i)) is not None:
        row |= {"on_object": look.on_object, "on_others": look.on_others, "on_border": look.on_border}
    return row


def _measure_box(box: Box, own: TrueBox | None, picture: EvaluatedPicture) -> Row:
    """Return size, place and neighbours of a box; `own` is the labelled object that does not count as one."""
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    area, near = wide * high, NEAR * max(wide, high)
    crowding, overlap = 0, 0.0
    for other in picture.truths:
        if other is own or other.crowd:
            continue
        a0, b0, a1, b1 = other.box
        if a0 < x1 + near and a1 > x0 - near and b0 < y1 + near and b1 > y0 - near:
            crowding += 1
            both = max(0.0, min(x1, a1) - max(x0, a0)) * max(0.0, min(y1, b1) - max(y0, b0))
            overlap = max(overlap, both / area if area > 0 else 0.0)
    return {
        "size": math.sqrt(max(0.0, area)),
        "x": (x0 + x1) / 2 / picture.size[0],
        "y": (y0 + y1) / 2 / picture.size[1],
        "aspect": wide / high if high > 0 else math.nan,
        "crowding": crowding,
        "overlap": overlap,
    }


def _describe_picture(picture: EvaluatedPicture) -> Row:
    best = picture.found[0] if picture.found else None
    right = best is not None and best.label == picture.truth
    row = _describe(picture) | {
        "kind": "picture",
        "label": picture.truth,
        "score": math.nan,
        "type": "right" if right else "class",
        "wrong": not right,
        "rank": _find_rank(picture.found, picture.truth),
    }
    if best is not None:
        row |= _tell_answer(picture, best, 0)
    if len(picture.truths) == 1:
        row |= _measure_box(picture.truths[0].box, picture.truths[0], picture)
    return row


def _find_rank(found: Sequence[Prediction], truth: str | None) -> int:
    return next((place for place, one in enumerate(found, 1) if one.label == truth), 0)
