"""Turn an evaluation into a pandas table: objects, boxes, pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.files import packing
from sightglass.evaluation.box_matching import RIGHT, TYPES

if TYPE_CHECKING:
    import pandas as pd

    from sightglass.evaluation.evaluation import Evaluation

MEANINGS: Mapping[str, str] = {
    "picture": "Its path below the source.",
    "index": "Of an object among the labels of its picture, of a box among the answers; 0 of a picture.",
    "kind": "object: a labelled one; box: a wrong one; picture: a classified one.",
    "label": "The class by the labels; of a box that of the object it is about, or none.",
    "predicted": "The class by the model; none of an object without any box.",
    "score": "Of the answer; none of an object without any box.",
    "found": "Which of the picture's answers it is about, from 0; -1 for none.",
    "type": "right, or a type of error (`box_matching.MEANINGS`).",
    "wrong": "Whether it is not right.",
    "rank": "Of a picture: the place of its class among the best five, from 1; else 0.",
    "size": "Square root of the box's area, in pixels; none of a picture.",
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

    columns = _list_boxes(evaluation) if evaluation.task == "detect" else _list_pictures(evaluation)
    pictures = [evaluation.pictures[i] for i in columns["picture"]]
    if not pictures:
        # A table without rows would have no types, and a mask of no type chooses columns.
        return pd.DataFrame([], columns=list(MEANINGS)).astype({"wrong": bool})
    answers = [one.found[i] if i >= 0 else None for one, i in zip(pictures, columns["found"], strict=True)]
    columns |= {
        "picture": [one.key for one in pictures],
        "predicted": [None if one is None else one.label for one in answers],
        "score": [math.nan if one is None else one.score for one in answers],
    }
    return pd.DataFrame({name: columns[name] for name in MEANINGS})


def list_rows(units: pd.DataFrame) -> list[Columns]:
    """Return the rows of such a table as plain values; nan is None."""
    table = units.astype(object)
    rows: list[Columns] = table.where(table.notna(), None).to_dict("records")
    return rows


def write_csv(rows: Sequence[Columns]) -> bytes:
    """Return rows with the same keys as CSV; empty without rows."""
    file = io.StringIO(newline="")
    packing.write(file, [*rows[0]] if rows else [], rows)
    return file.getvalue().encode()


def write_parquet(rows: Sequence[Columns]) -> bytes:
    """Return rows with the same keys as a Parquet file."""
    import pyarrow as pa  # type: ignore[import-untyped]
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([*rows]), file)
    return file.getvalue()


def _list_boxes(evaluation: Evaluation) -> Columns:
    """Return the columns of a detector, with the index of each picture."""
    matches = evaluation.matches
    labels, boxes = matches.labels, matches.boxes
    about = matches.truth >= 0
    kinds = np.full(len(labels.picture), TYPES.index("missed"))
    # Of several boxes on one object that with another class says most, but for a right one.
    for number in (TYPES.index("misplaced"), TYPES.index("class"), RIGHT):
        kinds[matches.truth[about & (matches.kind == number)]] = number
    # Only the box that its type is about.
    on = np.flatnonzero(about & (matches.kind == kinds[matches.truth])) if len(kinds) else np.zeros(0, int)
    answers = np.full(len(kinds), np.iinfo(np.int64).max)
    np.minimum.at(answers, matches.truth[on], boxes.place[on])
    answers = np.where(answers < np.iinfo(np.int64).max, answers, -1)
    objects, wrong = np.flatnonzero(matches.counted), np.flatnonzero(matches.kind != RIGHT)
    kind = np.concatenate([kinds[objects], matches.kind[wrong]])
    truth = np.concatenate([objects, matches.truth[wrong]])
    picture = np.concatenate([labels.picture[objects], boxes.picture[wrong]])
    names = np.array([*matches.names, None], object)
    # A box on no object has no label.
    numbers = np.where(truth < 0, len(matches.names), np.append(labels.number, 0)[truth])
    types = np.array([*TYPES, "right"], object)
    extents = np.concatenate([labels.extent[objects], boxes.extent[wrong]])
    columns: dict[str, Any] = {
        "picture": picture,
        "index": np.concatenate([labels.place[objects], boxes.place[wrong]]),
        "kind": np.repeat(np.array(["object", "box"], object), (len(objects), len(wrong))),
        "label": names[numbers],
        "found": np.concatenate([answers[objects], boxes.place[wrong]]),
        "type": types[kind],
        "wrong": kind != RIGHT,
        "rank": np.zeros(len(kind), np.int64),
        "size": np.sqrt(np.maximum(0.0, extents[:, 2] * extents[:, 3])),
    }
    order = np.argsort(picture, kind="stable")
    return {name: values[order].tolist() for name, values in columns.items()}


def _list_pictures(evaluation: Evaluation) -> Columns:
    """Return the same of a classifier, whose units are pictures."""
    pictures = evaluation.pictures
    ranks = [
        next((place for place, found in enumerate(one.found, 1) if found.label == one.truth), 0) for one in pictures
    ]
    return {
        "picture": list(range(len(pictures))),
        "index": [0] * len(pictures),
        "kind": ["picture"] * len(pictures),
        "label": [one.truth for one in pictures],
        "found": [0 if one.found else -1 for one in pictures],
        "type": ["right" if rank == 1 else "class" for rank in ranks],
        "wrong": [rank != 1 for rank in ranks],
        "rank": ranks,
        "size": [math.nan] * len(pictures),
    }
