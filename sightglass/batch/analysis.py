"""Analyse a run's table: order, filters, how right it is.

Maps are the first of each picture, on the table's small grid (`explain.maps.cells.CELLS`), which covers the picture as
a square.
"""

from __future__ import annotations

import contextlib
import io
import zipfile
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sightglass.batch import labels, table
from sightglass.common.errors import Problem
from sightglass.evaluation import stored
from sightglass.evaluation.intervals import redraw
from sightglass.evaluation.kinds import kind_of, to_number
from sightglass.explain.maps.heatmap import CELLS
from sightglass.explain.phrases import plural, quantity
from sightglass.explain.picture.image import Image
from sightglass.report.table import csv as write_csv
from sightglass.report.view import Map, Picture, fraction

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import pandas as pd

    from sightglass.common.files import Json
    from sightglass.evaluation.stored import Evaluation

    Frame: TypeAlias = pd.DataFrame

ORDERS: dict[str, tuple[str, str, bool]] = {
    "iou": ("Lowest mean IoU", "mean_iou", True),
    "unsure": ("Least sure first", "predicted_score", True),
    "sure": ("Surest first", "predicted_score", False),
    "error": ("Largest error", "absolute_error", False),
    "smallest": ("Smallest number", "predicted_score", True),
    "largest": ("Largest number", "predicted_score", False),
    "source": ("By name", "place", True),
}
"""Ways to sort: the title, the column, and whether the smallest comes first."""


def load(folder: Path, evaluation: Evaluation | None = None) -> Frame:
    """Return one row a picture.

    `labelled`: by the labels that were given, else by the folder. Of a classifier: `truth`, the class that this means
    in the run's evaluation, and `wrong`, whether it is another one than the prediction; None for a picture without a
    label, and where that name is not counted. `tags` where a person gave any. Of a model of numbers: `true_number`
    where labels were given, `error`, the number minus it, and `absolute_error`. `evaluation`: read before.
    """
    frame = table.read(folder).drop_duplicates("picture", ignore_index=True)
    frame["place"] = np.arange(len(frame))
    scores = table.read_scores(folder)
    kind = kind_of(scores.task)
    if evaluation is None and kind.by_folders:
        with contextlib.suppress(Problem):
            evaluation = stored.load(folder)
    if (truth := labels.read_labels(folder)) is not None:
        frame["labelled"] = kind.name_pictures(truth, list(frame["picture"]))
        if scores.numbers:
            frame["true_number"] = [to_number(label) for label in frame["labelled"]]
            frame["error"] = frame["predicted_score"] - frame["true_number"].astype(float)
            frame["absolute_error"] = frame["error"].abs()
    truths = {picture.key: picture.truth for picture in evaluation.pictures} if evaluation is not None else {}
    rights = [truths.get(key) for key in frame["picture"]]
    judged = zip(frame["predicted"], rights, strict=True)
    frame["truth"], frame["wrong"] = rights, [answer != right if right else None for answer, right in judged]
    if tags := {tag: {*pictures} for tag, pictures in sorted(labels.read_tags(folder).items())}:
        frame["tags"] = [", ".join(tag for tag in tags if key in tags[tag]) or None for key in frame["picture"]]
    return frame


def order(frame: Frame, order: str) -> Frame:
    """Sort by one of `ORDERS`, rows without a number last."""
    _, column, rising = ORDERS[order]
    if column not in frame:
        return frame
    return frame.sort_values(column, ascending=rising, kind="stable", na_position="last")


@dataclass(frozen=True)
class NumberErrors:
    """How far a model's numbers are from the true ones, whichever way, in their unit."""

    pictures: int
    mean: float
    low: float
    high: float
    """The mean's 95 % interval; nan of fewer than two pictures."""
    median: float

    def describe(self, unit: str) -> str:
        """Describe the mean and median error with its interval."""
        sample = plural(self.pictures, "labelled picture")
        bounded = self.low == self.low
        interval = f" (95 % interval: {quantity(self.low)} to {quantity(self.high, unit)})" if bounded else ""
        mean, median = (quantity(value, unit) for value in (self.mean, self.median))
        return f"Wrong by {mean} in the mean{interval}, {median} in the median: {sample}"


def measure_numbers(frame: Frame) -> NumberErrors | None:
    """Return a regression model's mean and median absolute error; None without labels or for classifiers."""
    sizes = frame["absolute_error"].dropna().to_numpy(np.float64) if "absolute_error" in frame else np.zeros(0)
    if not len(sizes):
        return None
    low, high = float("nan"), float("nan")
    if len(sizes) > 1:
        low, high = np.percentile(redraw(len(sizes), 0) @ sizes / len(sizes), [2.5, 97.5])
    return NumberErrors(len(sizes), float(sizes.mean()), float(low), float(high), float(np.median(sizes)))


def pack(folder: Path, pictures: Collection[str]) -> bytes:
    """Return a .zip of these pictures' overlays, raw maps and rows."""
    table_rows = load(folder)
    selected = table_rows[table_rows["picture"].isin(pictures)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", strict_timestamps=False) as archive:
        rows = selected.drop(columns=["cells"]).astype(object)
        archive.writestr(table.CSV, write_csv(rows.where(rows.notna(), None).to_dict("records")))
        for stem in (folder / str(name) for name in selected["file"]):
            for path in (stem, *(stem.with_suffix(kind) for kind in (".npy", ".npz"))):
                if path.is_file():
                    archive.write(path, path.relative_to(folder).as_posix())
    return buffer.getvalue()


_SIDE = 1600
"""Pixels of the longer side of a picture, of which the middle is shown."""


def tile(row: Json, image: Image, scores: table.Scores) -> Picture:
    """Return a row's picture, cropped square, with answer and map."""
    label, cells = row["predicted"], row["cells"]
    sign = {False: "✓ ", True: "✗ "}.get(row["wrong"], "")
    name = f"{sign}{label} {scores.describe(row['predicted_score'], label)}" if label else f"{sign}nothing found"
    # Several of the largest pictures at once are gigabytes.
    pixels = image.thumbnail(_SIDE)
    height, width = pixels.shape[:2]
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    square = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    picture = Picture.of(Image(square, image.name), name, caption=name)
    # Without a map it is missing, which a table may call NaN.
    if not isinstance(cells, bytes) or not cells:
        return picture
    corners = fraction(
        [row[f"seen_{edge}"] for edge in ("left", "top", "right", "bottom")], (image.width, image.height)
    )
    edges = [edge * side for edge, side in zip(corners, (width, height) * 2, strict=True)]
    seen = fraction([edge - start for edge, start in zip(edges, (left, top) * 2, strict=True)], (side, side))
    extent = -left / side, -top / side, (width - left) / side, (height - top) / side
    values = np.frombuffer(cells, np.uint8).reshape(CELLS, CELLS).astype(np.float32) / np.float32(255)
    return replace(picture, map=Map("", values, None, extent, None if seen == (0, 0, 1, 1) else seen))
