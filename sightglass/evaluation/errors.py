"""A model's errors on labelled pictures, by type and class, the surest first, their table and their tiles."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.common.files import jsonable, packing
from sightglass.evaluation.kinds import ErrorGroup, kind_of
from sightglass.explain.phrases import percent
from sightglass.explain.rendering import render

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.evaluation.stored import EvaluatedPicture, Evaluation
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box

MEANINGS: Mapping[str, str] = {
    "picture": "Its path below the source.",
    "index": "Of an object among the labels of its picture, of a box among the answers; 0 of a picture.",
    "kind": "object: a labelled one; box: a wrong one; picture: a classified one.",
    "label": "The class by the labels; of a box that of the object it is about, or none.",
    "predicted": "The class by the model; none of an object without any box.",
    "score": "Of the answer; none of an object without any box.",
    "found": "Which of the picture's answers it is about, from 0; -1 for none.",
    "type": "right, or a type of error (`boxes.MEANINGS`).",
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

    rows = []
    for picture, units in zip(evaluation.pictures, kind_of(evaluation.task).list_units(evaluation), strict=True):
        for unit in units:
            answer = picture.found[unit["found"]] if unit["found"] >= 0 else None
            about = {"picture": picture.key, "wrong": unit["type"] != "right"}
            about |= {"predicted": answer and answer.label, "score": answer.score if answer else math.nan}
            rows.append(about | unit)
    # A table without rows has no types, and a mask of no type chooses columns.
    return pd.DataFrame(rows, columns=list(MEANINGS)).astype({"wrong": bool})


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


ALL = "all"


@dataclass(frozen=True, eq=False)
class ErrorUnit:
    """A labelled object, a wrong box, or a classified picture: a row of `tabulate` with what it is about."""

    picture: EvaluatedPicture
    id: str
    """Unique in its evaluation, the same in every session."""
    type: str
    """`right`, or a type of error."""
    truth: TrueBox | None
    """The labelled object; None of a box that is on none, and of a picture without boxes."""
    answer: Prediction | None
    """The box or the class that was answered; None of an object without any box."""

    @property
    def map(self) -> NDArray[np.uint8] | None:
        """Where the model looked for its answer, (32, 32), 0 to 255; None without a map."""
        maps = self.picture.maps
        return next((values for i, values in maps.items() if self.picture.found[i] is self.answer), None)

    @property
    def label(self) -> str | None:
        """The class by the labels; None of a box where nothing is labelled."""
        return self.truth.label if self.truth is not None else self.picture.truth

    @property
    def words(self) -> str:
        """What is wrong, in a few words: `star called gear, 95 %`."""
        label, answer = self.label, self.answer
        if answer is None:
            return f"{label or 'nothing'}, not found"
        score = percent(answer.score)
        if label is None:
            return f"{answer.label} {score}, nothing labelled"
        if answer.label != label:
            return f"{label} called {answer.label}, {score}"
        return f"second {label}, {score}" if self.type == "extra" else f"{label} {score}, fits badly"


class ErrorReport:
    """Everything that is said of a model's errors; each part is computed when it is first asked for."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation, self._kind = evaluation, kind_of(evaluation.task)
        self._places = {picture.key: place for place, picture in enumerate(evaluation.pictures)}

    @cached_property
    def units(self) -> pd.DataFrame:
        """One row a labelled object, a wrong box, or a classified picture (`tabulate`)."""
        return tabulate(self.evaluation)

    @cached_property
    def headline(self) -> str:
        """Where it goes wrong: at most 20 words without a full stop.

        Of a detector the class that is missed most often, and whether most of these objects are small; of a classifier
        its most frequent mistake.

            demo-s misses 31 of 100 stars; 21 of them are smaller than 32 pixels
        """
        return self._kind.describe_errors(self.evaluation.called, self.units)

    @property
    def counts(self) -> str:
        """The counts behind it."""
        return self._kind.count_errors(self.evaluation, self.units)

    @cached_property
    def errors(self) -> pd.DataFrame:
        """The units that are errors; of an object and a box on it the box.

        Surest wrong answers first; then objects without a box, the largest first.
        """
        return self._kind.find_errors(self.units)

    @cached_property
    def types(self) -> list[ErrorGroup]:
        """The types of a detector's errors, or the pairs of classes that a classifier mistakes, each with its count."""
        return self._kind.list_groups(self.errors)

    @cached_property
    def labels(self) -> list[str]:
        """The classes that errors are about: by the labels, or of a box on nothing by the model."""
        return sorted(set(self._labels.dropna()))

    def select(self, kind: str = ALL, label: str = "") -> pd.DataFrame:
        """Return the errors of a type, or all; `label`: of one class alone."""
        errors = self.errors
        if kind != ALL:
            errors = errors[self._kind.name_groups(errors) == kind]
        return errors[self._labels[errors.index] == label] if label else errors

    def find_unit(self, row: Mapping[str, Any]) -> ErrorUnit:
        """Return the unit of a row of the table; raise Problem for a row of another evaluation."""
        place, kind, index, found = self._places[row["picture"]], row["kind"], int(row["index"]), int(row["found"])
        picture = self.evaluation.pictures[place]
        try:
            answer = picture.found[found] if found >= 0 else None
            if kind == "picture":
                index = 0 if len(picture.truths) == 1 else -1
            elif kind == "box":
                index = next((one.truth for one in self.evaluation.matches[place] if one.box == found), -1)
            truth = picture.truths[index] if index >= 0 else None
        except IndexError:
            raise Problem("These errors belong to another run: open it again.") from None
        return ErrorUnit(picture, f"{picture.key}#{kind}-{row['index']}", row["type"], truth, answer)

    def to_json(self, *, most: int) -> Json:
        """Return what is said of the errors, and at most so many of them, as plain values; nan is None."""
        told: Json = jsonable(
            {
                "headline": self.headline,
                "counts": self.counts,
                "types": [asdict(one) for one in self.types],
                "total": len(self.errors),
                "errors": list_rows(self.errors.head(most)),
            }
        )
        return told

    @cached_property
    def _labels(self) -> pd.Series[Any]:
        """The class that each error is about."""
        return self.errors["label"].fillna(self.errors["predicted"])


ROOM = 1.8
"""Of what is shown around the boxes, as a multiple of them."""
LEAST = 96
"""Pixels of the picture that are shown at least, of the shorter side."""
TRUTH, ANSWER, HALO = (255, 255, 255), (255, 176, 59), (20, 20, 20)
"""Colours of the label's box, which is drawn through, and of the answer's, which is dashed."""
DASH = 7
"""Pixels of a dash, and of the gap after it."""


def frame_boxes(boxes: list[Box], picture: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the part of a picture to show around boxes, xyxy in its pixels; without any the whole picture.

    `picture`: its width and height; `shape`: those of the tile, whose proportions the part has where the picture does.
    """
    wide, high = picture
    if not boxes:
        return 0, 0, wide, high
    x0, y0 = min(one[0] for one in boxes), min(one[1] for one in boxes)
    x1, y1 = max(one[2] for one in boxes), max(one[3] for one in boxes)
    aspect = shape[0] / shape[1]
    height = max(ROOM * (y1 - y0), ROOM * (x1 - x0) / aspect, LEAST)
    width, height = min(wide, math.ceil(height * aspect)), min(high, math.ceil(height))
    left = min(max(0, round((x0 + x1 - width) / 2)), wide - width)
    top = min(max(0, round((y0 + y1 - height) / 2)), high - height)
    return left, top, left + width, top + height


def draw_tile(
    pixels: NDArray[np.uint8], unit: ErrorUnit, shape: tuple[int, int], *, mapped: bool = True
) -> NDArray[np.uint8]:
    """Draw the part of a picture that an error is in, uint8 (h, w, 3) RGB, no larger than `shape` (width, height).

    `pixels`: the whole picture, uint8 (H, W, 3), of any size. `mapped`: with its map, if it has one.
    """
    wide, high = unit.picture.size
    labelled, answered = (one.box if one else None for one in (unit.truth, unit.answer))
    x0, y0, x1, y1 = frame_boxes([box for box in (labelled, answered) if box is not None], (wide, high), shape)
    scale = min(shape[0] / (x1 - x0), shape[1] / (y1 - y0))
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))

    def cut(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
        rows, columns = values.shape[:2]
        part = (x0 / wide * columns, y0 / high * rows, x1 / wide * columns, y1 / high * rows)
        return np.array(Pillow.fromarray(values).resize(size, Pillow.Resampling.BILINEAR, box=part))

    drawn = cut(pixels)
    if mapped and (values := unit.map) is not None:
        drawn = render.overlay(drawn, np.asarray(cut(values), np.float32) / np.float32(255), weighted=True)
    gaps = np.add.outer(np.arange(size[1]), np.arange(size[0])) // DASH % 2 == 1
    for box, colour, dashed in ((labelled, TRUTH, False), (answered, ANSWER, True)):
        if box is None:
            continue
        corners = np.rint((np.reshape(box, (2, 2)) - (x0, y0)) * scale).clip(1, np.subtract(size, 2)).astype(int)
        # A dark line around its own.
        for ink, thick in ((HALO, 4), (colour, 2)):
            line = np.zeros(size[::-1], np.uint8)
            cv2.rectangle(line, corners[0].tolist(), corners[1].tolist(), (1,), thick)
            drawn[(line > 0) & ~gaps if dashed else line > 0] = ink
    return drawn
