"""Analyse a run's table: class means, outliers.

Maps are the first of each picture, on the table's small grid (`explain.maps.cells.CELLS`), which covers the picture as
a square.
"""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np

from sightglass.batch import accuracy, labels, seals, table
from sightglass.batch.labelled.labels import name_pictures
from sightglass.batch.records import FOLDER
from sightglass.common.files import atomic_write
from sightglass.evaluation.intervals import redraw
from sightglass.evaluation.kinds import to_number
from sightglass.explain.maps.heatmap import CELLS
from sightglass.explain.maps.statistics import iou
from sightglass.explain.phrases import plural, quantity
from sightglass.explain.rendering.render import heatmap_only, hottest_mask
from sightglass.export.table import csv as write_csv

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    import pandas as pd
    from numpy.typing import NDArray

    from sightglass.explain.rendering.style import Unseen

    Frame: TypeAlias = pd.DataFrame
    Maps: TypeAlias = NDArray[np.float32]

NEIGHBOURS = 10
"""Of a map, those that are most like it: they decide whether it is the odd one."""


MOST_GROUPS = 8
FEWEST = 12
"""Minimum number of maps to group, and to call one an outlier."""
RANKED = 3
"""Minimum number of maps of which one can be farther from the others."""
COARSE = 16
"""Cells a side for grouping: a shift by a cell of the layer's own grid then still looks alike."""


def group(nearest: NDArray[np.int64]) -> NDArray[np.intp]:
    """Group maps (n,) by spectral clustering of their neighbours.

    The eigengap sets the number of groups.
    """
    from scipy.sparse import csr_matrix, identity
    from scipy.sparse.csgraph import laplacian
    from scipy.sparse.linalg import eigsh
    from sklearn.cluster import KMeans

    count, each = nearest.shape
    graph = csr_matrix((np.ones(nearest.size), nearest.ravel(), np.arange(0, nearest.size + 1, each)), (count, count))
    symmetric = (graph + graph.T) / 2
    many = min(MOST_GROUPS + 1, count - 2)
    # The smallest of the Laplacian are the largest of what is left of 2.
    values, vectors = eigsh(
        2 * identity(count) - laplacian(symmetric, normed=True), many, which="LA", v0=np.ones(count)
    )
    values, vectors = 2 - values[::-1], vectors[:, ::-1]
    groups = int(np.argmax(np.diff(values))) + 1
    if groups == 1:
        return np.zeros(count, np.intp)
    rows = vectors[:, :groups] / np.maximum(np.linalg.norm(vectors[:, :groups], axis=1, keepdims=True), 1e-9)
    return np.asarray(KMeans(groups, n_init=4, random_state=0).fit_predict(rows), np.intp)


ORDERS: dict[str, tuple[str, bool]] = {
    "source": ("place", True),
    "unsure": ("predicted_score", True),
    "sure": ("predicted_score", False),
    "close": ("margin", True),
    "error": ("absolute_error", False),
    "smallest": ("predicted_score", True),
    "largest": ("predicted_score", False),
    "border": ("border_share", False),
    "scattered": ("half_heat_area", False),
    "pointed": ("half_heat_area", True),
    "apart": ("disagreement", False),
    "random": ("over_random", True),
    "seal": ("seal", True),
    "odd": ("oddness", False),
    "iou": ("mean_iou", True),
}
"""Ways to sort: the column, and whether the smallest comes first."""
SIDE = 192
"""Pixels of a displayed mean map."""
MIN_ODDNESS = 1.5
"""Times the usual distance from which a map counts as an outlier: some map is always the farthest."""


@dataclass(frozen=True, eq=False)
class Group:
    """Some pictures and the mean of their maps."""

    name: str
    frame: Frame = field(repr=False)
    mean: Maps = field(repr=False)
    """float32 (CELLS, CELLS), 0..1, scaled to its maximum."""

    @property
    def count(self) -> int:
        return len(self.frame)

    def draw_mean(self, unseen: Unseen = "light") -> NDArray[np.uint8]:
        """Draw the mean map, uint8 (SIDE, SIDE, 3) RGB; what the model saw in none of the pictures is hatched."""
        grown = cv2.resize(self.mean, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
        frame = self.frame
        first = [
            int(SIDE * (frame[f"seen_{side}"] / frame[of]).min()) for side, of in (("left", "width"), ("top", "height"))
        ]
        last = [
            math.ceil(SIDE * (frame[f"seen_{side}"] / frame[of]).max())
            for side, of in (("right", "width"), ("bottom", "height"))
        ]
        seen = (first[0], first[1], min(SIDE, last[0]), min(SIDE, last[1]))
        return heatmap_only(np.clip(grown, 0, 1), seen=seen, unseen=unseen)


def load(folder: Path, second: Path | None = None) -> Frame:
    """Return one row a picture, with `disagreement` for a second model.

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
    if second is None:
        return frame
    other = _first(table.read(second)).set_index("picture")
    both = frame["picture"].isin(other.index)
    frame = frame[both].reset_index(drop=True)
    other = other.loc[frame["picture"]]
    frame["other_predicted"], frame["other_score"] = other["predicted"].to_numpy(), other["predicted_score"].to_numpy()
    frame["disagreement"] = [
        _disagreement(a, b) for (_, a), (_, b) in zip(frame.iterrows(), other.iterrows(), strict=True)
    ]
    return frame


def _first(frame: Frame) -> Frame:
    return frame.drop_duplicates("picture", ignore_index=True)


def _disagreement(first: Any, second: Any) -> float:
    """Return 1 - IoU of two maps' hottest fifths; NaN without both."""
    if not (first["cells"] and second["cells"]):
        return float("nan")
    edges = []
    for side, length, pick in (
        ("left", "width", max),
        ("top", "height", max),
        ("right", "width", min),
        ("bottom", "height", min),
    ):
        at = pick(first[f"seen_{side}"] / first[length], second[f"seen_{side}"] / second[length])
        edges.append(round(at * CELLS))
    left, top, right, bottom = edges
    if right <= left or bottom <= top:
        return 1.0
    map_a, map_b = (np.ascontiguousarray(cells(row["cells"])[top:bottom, left:right]) for row in (first, second))
    return 1 - iou(hottest_mask(map_a, 0.2), hottest_mask(map_b, 0.2))


def cells(data: bytes) -> Maps:
    """Return a row's small map, float32 (CELLS, CELLS) in 0..1."""
    return np.frombuffer(data, np.uint8).reshape(CELLS, CELLS).astype(np.float32) / np.float32(255)


def order(frame: Frame, order: str) -> Frame:
    """Sort by one of `ORDERS`, rows without a number last."""
    column, rising = ORDERS[order]
    if column not in frame:
        return frame
    return frame.sort_values(column, ascending=rising, kind="stable", na_position="last")


def filter_rows(
    frame: Frame, *, only: str = "all", predicted: str | None = None, text: str = "", tag: str | None = None
) -> Frame:
    """Filter; `only`: all, wrong, right, unsure (below a half), apart (the second model predicts another class),
    unproved (the map is not supported: maps of other pictures matter as much) or unsealed (one of the seal's three
    answers is no)."""
    masks = {
        "wrong": lambda: frame["wrong"].eq(True),
        "right": lambda: frame["wrong"].eq(False),
        "unsure": lambda: frame["predicted_score"] < 0.5,
        "apart": lambda: frame["predicted"] != frame["other_predicted"],
        "unproved": lambda: frame["verdict"].eq("not supported"),
        "unsealed": lambda: frame[list(seals.MARKS)].eq("no").any(axis=1),
    }
    matching = frame[masks[only]()] if only in masks else frame
    if predicted is not None:
        matching = matching[matching["predicted"] == predicted]
    if tag:
        matching = matching[matching["tags"].map(lambda names: tag in str(names or "").split(", "))]
    if text:
        matching = matching[matching["picture"].str.contains(text, case=False, regex=False)]
    return matching


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


def compare_confused(frame: Frame, truth: str, answer: str, pictures: Frame) -> list[Group]:
    """Return mean maps of confused pictures and of right ones."""
    right = frame[frame["wrong"].eq(False) & frame["truth"].isin((truth, answer))]
    with_map = pictures[pictures["cells"].notna()]
    mistaken = [] if with_map.empty else [Group(f"{truth} as {answer}", with_map, _mean(with_map))]
    return [*mistaken, *classes(right, "truth")]


def classes(frame: Frame, by: str = "predicted") -> list[Group]:
    """Return the mean map of each class, most frequent first."""
    with_map = frame[frame["cells"].notna() & frame[by].notna()]
    groups = [Group(str(name), part, _mean(part)) for name, part in with_map.groupby(by, sort=True)]
    return sorted(groups, key=lambda group: -group.count)


def _mean(frame: Frame) -> Maps:
    # Each map counts the same, however much of its picture is warm.
    shares = np.stack([cells(data) for data in frame["cells"]])
    shares /= np.maximum(shares.sum((1, 2), keepdims=True), 1e-6)
    mean = shares.mean(0)
    return np.asarray(mean / max(float(mean.max()), 1e-12), np.float32)


def odd(frame: Frame) -> tuple[Frame, list[Group]]:
    """Return `unusual(frame)` with a `group` column, and the groups.

    After SpRAy (Lapuschkin et al. 2019, doi:10.1038/s41467-019-08987-4): maps are made small, and grouped by the
    spectrum of their neighbourhood; a group of its own may be a trick that the model has learnt.
    """
    neighbours, nearest = _find_neighbours(frame)
    if nearest is None:
        neighbours["group"] = 0
        return neighbours, []
    neighbours["group"] = group(nearest)
    groups = [Group(str(number), part, _mean(part)) for number, part in neighbours.groupby("group")]
    return neighbours, sorted(groups, key=lambda group: -group.count)


def unusual(frame: Frame) -> Frame:
    """Return the rows with a map, with `oddness`: how far a map lies from its nearest neighbours, among their principal
    components. 1 is usual, 2 twice as far; NaN where there are fewer than `RANKED` maps."""
    return _find_neighbours(frame)[0]


def _find_neighbours(frame: Frame) -> tuple[Frame, Any]:
    """Return the rows of `unusual` and each one's neighbours, or None."""
    rows = frame[frame["cells"].notna()].copy()
    rows["oddness"] = np.nan
    if len(rows) < RANKED:
        return rows, None
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    maps = map(cells, rows["cells"])
    flat = np.stack([cv2.resize(heatmap, (COARSE, COARSE), interpolation=cv2.INTER_AREA).ravel() for heatmap in maps])
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    reduced = PCA(min(16, len(flat) - 1), random_state=0).fit_transform(flat)
    far, nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(flat) - 1)).fit(reduced).kneighbors()
    distances = far.mean(1)
    rows["oddness"] = distances / max(float(np.median(distances)), 1e-9)
    return rows, nearest if len(flat) >= FEWEST else None


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
