"""Turn an evaluation into a pandas table: objects, boxes, pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.files import csv_cells
from sightglass.evaluation import average_precision
from sightglass.evaluation.error_types import RIGHT, TYPES
from sightglass.models.geometry import measure_common

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sightglass.evaluation.evaluation import Evaluation
    from sightglass.models.adapter import Prediction

    Numbers = NDArray[np.float64]
    Whole = NDArray[np.int64]

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
Columns = dict[str, Any]


def tabulate(evaluation: Evaluation) -> pd.DataFrame:
    """Return the units of an evaluation under `MEANINGS`.

    Of a detector one row for each labelled object that is no crowd, and one for each wrong box, at its threshold: an
    object with a box of the wrong class is in both. Of a classifier one for each picture. Numbers that there are not
    are nan, texts None.
    """
    import pandas as pd

    detects, every = evaluation.task == "detect", evaluation.pictures
    picture, boxes, own, told = _list_boxes(evaluation) if detects else _list_pictures(evaluation)
    numbers = picture.tolist()
    if not numbers:
        # A table without rows would have no types, and a mask of no type chooses columns.
        return pd.DataFrame([], columns=list(MEANINGS)).astype({"wrong": bool})
    of = [every[i] for i in numbers]
    answers = [one.found[i] if i >= 0 else None for one, i in zip(of, told["found"], strict=True)]
    looks = [one.looks.get(i) for one, i in zip(of, told["found"], strict=True)]
    told |= {
        "picture": [one.key for one in of],
        "predicted": [None if one is None else one.label for one in answers],
        "score": [other if one is None else one.score for one, other in zip(answers, told["score"], strict=True)],
        "folder": [one.folder for one in of],
    }
    for name in ("brightness", "sharpness"):
        told[name] = np.array([getattr(one, name) for one in every], float)[picture]
    for name in ("on_object", "on_others", "on_border"):
        told[name] = np.array([math.nan if one is None else getattr(one, name) for one in looks], float)
    told |= _measure_boxes(evaluation, picture, boxes, own)
    return pd.DataFrame({name: told[name] for name in MEANINGS})


def list_rows(units: pd.DataFrame) -> list[Columns]:
    """Return the rows of such a table as plain values; nan is None."""
    table = units.astype(object)
    rows: list[Columns] = table.where(table.notna(), None).to_dict("records")
    return rows


def write_csv(rows: Sequence[Columns]) -> bytes:
    """Return rows with the same keys as CSV; empty without rows."""
    file = io.StringIO(newline="")
    csv_cells.write(file, [*rows[0]] if rows else [], rows)
    return file.getvalue().encode()


def write_parquet(rows: Sequence[Columns]) -> bytes:
    """Return rows with the same keys as a Parquet file."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([*rows]), file)
    return file.getvalue()


def _list_boxes(evaluation: Evaluation) -> tuple[Whole, Numbers, Whole, Columns]:
    """Return the picture, the box and the labelled object of each unit of a detector, and what is said of it."""
    matches, every = evaluation.matches, evaluation.pictures
    labels, boxes = matches.labels, matches.boxes
    about = matches.truth >= 0
    kinds = np.full(len(labels.picture), TYPES.index("missed"))
    # Of several boxes on one object that with another class says most, but for a right one.
    for number in (TYPES.index("location"), TYPES.index("class"), RIGHT):
        kinds[matches.truth[about & (matches.kind == number)]] = number
    # Only the box that its type is about.
    on = np.flatnonzero(about & (matches.kind == kinds[matches.truth])) if len(kinds) else np.zeros(0, int)
    answers = np.full(len(kinds), np.iinfo(np.int64).max)
    np.minimum.at(answers, matches.truth[on], boxes.place[on])
    answers = np.where(answers < np.iinfo(np.int64).max, answers, -1)
    objects, wrong = np.flatnonzero(matches.counted), np.flatnonzero(matches.kind != RIGHT)
    missed = [
        every[i].missed.get(j)
        for i, j in zip(labels.picture[objects].tolist(), labels.place[objects].tolist(), strict=True)
    ]
    kind = np.concatenate([kinds[objects], matches.kind[wrong]])
    own = np.concatenate([objects, matches.truth[wrong]])
    picture = np.concatenate([labels.picture[objects], boxes.picture[wrong]])
    order = np.argsort(picture, kind="stable")
    names = np.array([*matches.names, None], object)
    # A box on no object has no label.
    numbers = np.where(own < 0, len(matches.names), np.append(labels.number, 0)[own])
    types = np.array([*TYPES, "right"], object)
    told: dict[str, Any] = {
        "index": np.concatenate([labels.place[objects], boxes.place[wrong]]),
        "kind": np.repeat(np.array(["object", "box"], object), (len(objects), len(wrong))),
        "label": names[numbers],
        "score": np.array([math.nan if one is None else one.score for one in missed] + [math.nan] * len(wrong)),
        "found": np.concatenate([answers[objects], boxes.place[wrong]]),
        "type": types[kind],
        "wrong": kind != RIGHT,
        "missed": np.array([None if one is None else one.reason for one in missed] + [None] * len(wrong), object),
        "rank": np.zeros(len(kind), np.int64),
    }
    told["missed"][kind == RIGHT] = None
    shapes = np.concatenate([labels.box[objects], boxes.box[wrong]])
    columns = {name: values[order].tolist() for name, values in told.items()}
    return picture[order], shapes[order], own[order], columns


def _list_pictures(evaluation: Evaluation) -> tuple[Whole, Numbers, Whole, Columns]:
    """Return the same of a classifier, whose units are pictures; a box only where a single one is labelled."""
    labels, every = evaluation.columns[0], evaluation.pictures
    ranks = [_find_rank(one.found, one.truth) for one in every]
    single = np.bincount(labels.picture, minlength=len(every)) == 1
    own = np.full(len(every), -1)
    own[labels.picture] = np.arange(len(labels.picture))
    boxes = np.full((len(every), 4), math.nan)
    boxes[single] = labels.box[own[single]]
    told = {
        "index": [0] * len(every),
        "kind": ["picture"] * len(every),
        "label": [one.truth for one in every],
        "score": [math.nan] * len(every),
        "found": [0 if one.found else -1 for one in every],
        "type": ["right" if rank == 1 else "class" for rank in ranks],
        "wrong": [rank != 1 for rank in ranks],
        "missed": [None] * len(every),
        "rank": ranks,
    }
    return np.arange(len(every)), boxes, own, told


def _measure_boxes(evaluation: Evaluation, picture: Whole, boxes: Numbers, own: Whole) -> Columns:
    """Return size, place and neighbours of boxes (n, 4), nan of those that there are not.

    `picture`: (n,) sorted. `own`: the label of each that does not count as a neighbour.
    """
    labels = evaluation.columns[0]
    x0, y0, x1, y1 = boxes.T
    wide, high = x1 - x0, y1 - y0
    area, near = wide * high, NEAR * np.maximum(wide, high)
    crowding, overlap = np.zeros(len(boxes), np.int64), np.where(np.isnan(area), math.nan, 0.0)
    rows, others = average_precision.pair_up(picture, labels.picture)
    other = (own[rows] != others) & (labels.value[others] == 0)
    rows, others = rows[other], others[other]
    a0, b0, a1, b1 = labels.box[others].T
    across = (a0 < x1[rows] + near[rows]) & (a1 > x0[rows] - near[rows])
    close = np.flatnonzero(across & (b0 < y1[rows] + near[rows]) & (b1 > y0[rows] - near[rows]))
    rows, others = rows[close], others[close]
    np.add.at(crowding, rows, 1)
    both = measure_common(boxes[rows], labels.box[others])
    np.maximum.at(overlap, rows, np.divide(both, area[rows], out=np.zeros(len(rows)), where=area[rows] > 0))
    sizes = np.array([one.size for one in evaluation.pictures], float).reshape(-1, 2)[picture]
    return {
        "size": np.sqrt(np.maximum(0.0, area)),
        "x": (x0 + x1) / 2 / sizes[:, 0],
        "y": (y0 + y1) / 2 / sizes[:, 1],
        "aspect": np.divide(wide, high, out=np.full(len(boxes), math.nan), where=high > 0),
        "crowding": crowding,
        "overlap": overlap,
    }


def _find_rank(found: Sequence[Prediction], truth: str | None) -> int:
    return next((place for place, one in enumerate(found, 1) if one.label == truth), 0)
