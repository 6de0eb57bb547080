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

from sightglass.common.errors import Problem
from sightglass.common.files import jsonable, packing
from sightglass.evaluation import average_precision, box_matching
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

    columns = kind_of(evaluation.task).list_units(evaluation)
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
        self._pictures = {one.key: i for i, one in enumerate(evaluation.pictures)}

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
        return self._kind.describe_errors(self.evaluation.name or self.evaluation.model, self.units)

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
        picture = self.evaluation.pictures[self._pictures[row["picture"]]]
        kind, index, place = row["kind"], int(row["index"]), int(row["found"])
        id = f"{picture.key}#{kind}-{index}"
        try:
            answer = picture.found[place] if place >= 0 else None
            if kind == "picture":
                truth = picture.truths[0] if len(picture.truths) == 1 else None
            elif kind == "box":
                truth = self._find_truth(picture, place)
            else:
                truth = picture.truths[index]
        except IndexError:
            raise Problem("These errors belong to another run: open it again.") from None
        return ErrorUnit(picture, id, row["type"], truth, answer)

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

    def _find_truth(self, picture: EvaluatedPicture, place: int) -> TrueBox | None:
        """Return the labelled object that a box is about."""
        columns = average_precision.gather([picture.truths], [picture.found])
        matches = box_matching.match_columns(columns, self.evaluation.threshold)
        rows = matches.truth[matches.boxes.place == place]
        return picture.truths[int(matches.labels.place[rows[0]])] if len(rows) and rows[0] >= 0 else None

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
    size = unit.picture.size
    answer = unit.answer.box if unit.answer is not None else None
    boxes = [one for one in (unit.truth.box if unit.truth else None, answer) if one is not None]
    part = frame_boxes(boxes, size, shape)
    x0, y0, x1, y1 = part
    scale = min(shape[0] / (x1 - x0), shape[1] / (y1 - y0))
    out = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    across, down = pixels.shape[1] / size[0], pixels.shape[0] / size[1]
    cut = pixels[
        math.floor(y0 * down) : max(math.floor(y0 * down) + 1, math.ceil(y1 * down)),
        math.floor(x0 * across) : max(math.floor(x0 * across) + 1, math.ceil(x1 * across)),
    ]
    way = cv2.INTER_AREA if cut.shape[1] > out[0] else cv2.INTER_LINEAR
    drawn = np.ascontiguousarray(cv2.resize(cut, out, interpolation=way), np.uint8)
    if mapped and (values := unit.map) is not None:
        drawn = render.overlay(drawn, _cut_map(values, part, size, out), weighted=True)
    for box, colour, dashed in ((unit.truth.box if unit.truth else None, TRUTH, False), (answer, ANSWER, True)):
        if box is not None:
            corners = [((x - x0) * scale, (y - y0) * scale) for x, y in (box[:2], box[2:])]
            _draw_box(drawn, corners, colour, dashed=dashed)
    return drawn


def _cut_map(
    values: NDArray[np.uint8], part: tuple[int, int, int, int], picture: tuple[int, int], out: tuple[int, int]
) -> NDArray[np.float32]:
    """Return the part of a map over the whole picture at the tile's size, float32 (h, w) in 0..1."""
    rows, columns = values.shape
    x0, y0, x1, y1 = part
    across, down = (x1 - x0) / out[0] / picture[0] * columns, (y1 - y0) / out[1] / picture[1] * rows
    # Of the middles of pixels and of cells.
    matrix = np.array(
        [[across, 0, x0 / picture[0] * columns + across / 2 - 0.5], [0, down, y0 / picture[1] * rows + down / 2 - 0.5]],
        np.float64,
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grown = cv2.warpAffine(values.astype(np.float32) / 255, matrix, out, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(np.clip(grown, 0, 1), np.float32)


def _draw_box(
    pixels: NDArray[np.uint8], corners: list[tuple[float, float]], colour: tuple[int, int, int], *, dashed: bool
) -> None:
    """Draw a box of two corners on a tile, in place, with a dark line around its own."""
    height, width = pixels.shape[:2]
    (a, b), (c, d) = ((min(max(1, round(x)), width - 2), min(max(1, round(y)), height - 2)) for x, y in corners)
    sides = (((a, b), (c, b)), ((c, b), (c, d)), ((c, d), (a, d)), ((a, d), (a, b)))
    for ink, thick in ((HALO, 4), (colour, 2)):
        for start, end in sides:
            for one, other in _cut_line(start, end) if dashed else [(start, end)]:
                cv2.line(pixels, one, other, ink, thick, cv2.LINE_AA)


def _cut_line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Return the dashes of a line."""
    length = math.dist(start, end)
    count = max(1, round(length / 14))

    def at(share: float) -> tuple[int, int]:
        return round(start[0] + share * (end[0] - start[0])), round(start[1] + share * (end[1] - start[1]))

    return [(at(i / count), at((i + 0.5) / count)) for i in range(count)]
