"""Analyse a run's table: order, filters, outliers.

Maps are the first of each picture, on the table's small grid (`explain.maps.cells.CELLS`), which covers the picture as
a square.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

from sightglass.batch import accuracy, labels, seals, table
from sightglass.batch.labelled.labels import name_pictures
from sightglass.batch.records import FOLDER
from sightglass.common.files import atomic_write
from sightglass.evaluation.intervals import redraw
from sightglass.evaluation.kinds import to_number
from sightglass.explain.maps.heatmap import CELLS
from sightglass.explain.phrases import plural, quantity
from sightglass.export.table import csv as write_csv

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    Frame: TypeAlias = pd.DataFrame
    Maps: TypeAlias = NDArray[np.float32]

NEIGHBOURS = 10
"""Of a map, those that are most like it: they decide whether it is the odd one."""


FEWEST = 12
"""Minimum number of maps to call one an outlier."""
RANKED = 3
"""Minimum number of maps of which one can be farther from the others."""
COARSE = 16
"""Cells a side for comparing: a shift by a cell of the layer's own grid then still looks alike."""


ORDERS: dict[str, tuple[str, bool]] = {
    "source": ("place", True),
    "unsure": ("predicted_score", True),
    "sure": ("predicted_score", False),
    "error": ("absolute_error", False),
    "smallest": ("predicted_score", True),
    "largest": ("predicted_score", False),
    "random": ("over_random", True),
    "seal": ("seal", True),
    "odd": ("oddness", False),
    "iou": ("mean_iou", True),
}
"""Ways to sort: the column, and whether the smallest comes first."""
MIN_ODDNESS = 1.5
"""Times the usual distance from which a map counts as an outlier: some map is always the farthest."""


def load(folder: Path) -> Frame:
    """Return one row a picture.

    `labelled`: by the labels that were given, else by the folder. `truth`, `answer`: the class that this means
    (`labels`), and the prediction in the same words;
    `wrong`: whether they differ. None for a picture without a label, and where that name is not counted. `tags` where
    a person gave any. Of a model of numbers: `true_number` where labels were given, `error`, the number minus it, and
    `absolute_error`.
    """
    frame = _first(table.read(folder))
    frame["place"] = np.arange(len(frame))
    scores = table.read_scores(folder)
    if (true_labels := name_pictures(folder, list(frame["picture"]))) is not None:
        frame["labelled"] = true_labels
        if scores.numbers:
            frame["true_number"] = [to_number(label) for label in true_labels]
            frame["error"] = frame["predicted_score"] - frame["true_number"].astype(float)
            frame["absolute_error"] = frame["error"].abs()
    truths, answers = ([None if name != name else name for name in frame[of]] for of in ("labelled", "predicted"))
    # A folder is named after what a picture is: no one class of a segmentation says that, and no number.
    meant = {} if not scores.sure else labels.find_matches(frame, folder)
    named = accuracy.name_answers(truths, answers, meant)
    frame["truth"], frame["answer"] = ([each and each[i] for each in named] for i in (0, 1))
    frame["wrong"] = [each and each[0] != each[1] for each in named]
    if tagged := labels.read_tags_of_pictures(folder):
        frame["tags"] = [", ".join(tagged.get(picture, ())) or None for picture in frame["picture"]]
    return frame


def _first(frame: Frame) -> Frame:
    return frame.drop_duplicates("picture", ignore_index=True)


def cells(data: bytes) -> Maps:
    """Return a row's small map, float32 (CELLS, CELLS) in 0..1."""
    return np.frombuffer(data, np.uint8).reshape(CELLS, CELLS).astype(np.float32) / np.float32(255)


def order(frame: Frame, order: str) -> Frame:
    """Sort by one of `ORDERS`, rows without a number last."""
    column, rising = ORDERS[order]
    if column not in frame:
        return frame
    return frame.sort_values(column, ascending=rising, kind="stable", na_position="last")


def filter_rows(frame: Frame, *, only: str = "all", predicted: str | None = None) -> Frame:
    """Filter; `only`: all, wrong, right, unsure (below a half), unproved (the map is not supported: maps of other
    pictures matter as much) or unsealed (one of the seal's three answers is no)."""
    masks = {
        "wrong": lambda: frame["wrong"].eq(True),
        "right": lambda: frame["wrong"].eq(False),
        "unsure": lambda: frame["predicted_score"] < 0.5,
        "unproved": lambda: frame["verdict"].eq("not supported"),
        "unsealed": lambda: frame[list(seals.MARKS)].eq("no").any(axis=1),
    }
    matching = frame[masks[only]()] if only in masks else frame
    return matching if predicted is None else matching[matching["predicted"] == predicted]


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
        """Return it as a sentence: by how much it is wrong, with the interval, and on how many pictures."""
        on = plural(self.pictures, "labelled picture")
        known = self.low == self.low
        interval = f" (95 % interval: {quantity(self.low)} to {quantity(self.high, unit)})" if known else ""
        mean, median = (quantity(value, unit) for value in (self.mean, self.median))
        return f"Wrong by {mean} in the mean{interval}, {median} in the median: {on}"


def measure_errors(errors: Sequence[float]) -> NumberErrors:
    """Return the mean and median absolute error, with the mean's interval.

    `errors`: number minus true number, of one picture at least.

    >>> measure_errors([1.0, -3.0]).mean
    2.0
    """
    sizes = np.abs(np.asarray(errors, np.float64))
    low, high = float("nan"), float("nan")
    if len(sizes) > 1:
        low, high = np.percentile(redraw(len(sizes), 0) @ sizes / len(sizes), [2.5, 97.5])
    return NumberErrors(len(sizes), float(sizes.mean()), float(low), float(high), float(np.median(sizes)))


def measure_numbers(frame: Frame) -> NumberErrors | None:
    """Return a regression model's errors; None without labels or for classifiers."""
    errors = frame["error"].dropna() if "error" in frame else ()
    return measure_errors(list(errors)) if len(errors) else None


def outliers(frame: Frame, most: int = 12) -> Frame:
    """Return the rows whose maps lie far from all others, after `odd`, the farthest first; often none, and none of
    fewer than `FEWEST` maps."""
    outlier_rows = frame[frame["oddness"] >= MIN_ODDNESS] if frame["oddness"].count() >= FEWEST else frame.iloc[:0]
    return order(outlier_rows, "odd").iloc[:most]


def farthest(frame: Frame, most: int = 12) -> tuple[Frame, str]:
    """Return the outliers of `unusual(frame)`, else the maps farthest from the others, and a sentence on them; no rows
    where none is farther than the others."""
    ranked = order(frame[frame["oddness"].notna()], "odd")
    if ranked.empty:
        return ranked, f"At least {RANKED} maps are needed to say which is the farthest from the others."
    unlike = f"A map is unlike the others from {MIN_ODDNESS:g} times the median distance from its like on."
    if not (outlier_rows := outliers(frame, most)).empty:
        return outlier_rows, f"{unlike} It shows an unusual picture, or a mistake."
    distances = ranked["oddness"].round(1)
    if distances.iloc[0] <= 1:
        return ranked.iloc[:0], f"None of these {len(ranked)} maps is clearly farther from the others than the rest."
    first = ranked[distances == distances.iloc[0]]
    those = "this one is" if len(first) == 1 else "these are"
    if len(ranked) >= FEWEST:
        return first.iloc[:most], f"{unlike} None is; {those} the farthest."
    few = f"whether that is unusual cannot be told from fewer than {FEWEST} maps"
    return first.iloc[:most], f"Of {len(ranked)} maps {those} the farthest from the others; {few}."


def unusual(frame: Frame) -> Frame:
    """Return the rows with a map, with `oddness`: how far a map lies from its nearest neighbours, among their principal
    components. 1 is usual, 2 twice as far; NaN where there are fewer than `RANKED` maps."""
    rows = frame[frame["cells"].notna()].copy()
    rows["oddness"] = np.nan
    if len(rows) < RANKED:
        return rows
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    maps = map(cells, rows["cells"])
    flat = np.stack([cv2.resize(heatmap, (COARSE, COARSE), interpolation=cv2.INTER_AREA).ravel() for heatmap in maps])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    reduced = PCA(min(16, len(flat) - 1), random_state=0).fit_transform(flat)
    far, _ = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(flat) - 1)).fit(reduced).kneighbors()
    distances = far.mean(1)
    rows["oddness"] = distances / max(float(np.median(distances)), 1e-9)
    return rows


def pack(folder: Path, to: Path) -> Path:
    """Write all results of a run to an uncompressed .zip, atomically."""
    files = sorted(path for path in (folder / FOLDER).rglob("*") if path.is_file() and not path.name.startswith("."))
    names = (table.PARQUET, table.CSV, table.PROBLEMS, labels.FILE, labels.TAGS_FILE)
    tables = [folder / name for name in names if (folder / name).is_file()]
    with atomic_write(to) as draft, zipfile.ZipFile(draft, "w", strict_timestamps=False) as archive:
        for path in (*tables, *files):
            archive.write(path, path.relative_to(folder).as_posix())
    return to


def pack_some(folder: Path, pictures: Collection[str]) -> bytes:
    """Return a .zip of these pictures' overlays, raw maps and rows."""
    table_rows = load(folder)
    some = table_rows[table_rows["picture"].isin(pictures)]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", strict_timestamps=False) as archive:
        rows = some.drop(columns=["cells"]).astype(object)
        archive.writestr(table.CSV, write_csv(rows.where(rows.notna(), None).to_dict("records")))
        for stem in (folder / str(name) for name in some["file"]):
            for path in (stem, *(stem.with_suffix(kind) for kind in (".npy", ".npz"))):
                if path.is_file():
                    archive.write(path, path.relative_to(folder).as_posix())
    return out.getvalue()
