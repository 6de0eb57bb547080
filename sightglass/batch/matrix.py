"""Best method and layer over a run."""

from __future__ import annotations

import hashlib
import heapq
import io
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.common.files import csv_cells, write_file
from sightglass.explain.faithfulness import choice
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import plural, signed
from sightglass.explain.proof.grid import Cell, Grid, best

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from sightglass.batch.journal import Outcome
    from sightglass.explain.explanation import Explanation

    Values = NDArray[np.float64]

PICTURES = 16
"""A picture's matrix takes several times its proof: over all pictures of a run it would be most of the work."""
STEPS = 5
"""Half of those of one picture's matrix, in two fifths of the time: on three photographs no mean moved by more than a
few hundredths."""
FILE = "methods.csv"
RESAMPLES = 2000
TELLING = 5
"""The fewest pictures that tell anything about one method beside another."""
Cells = list[tuple[str, str, float | None, float]]
"""Of one picture: method, layer, advantage, and that of random maps; none where there was nothing to choose."""


@dataclass(frozen=True, slots=True)
class Mean(Cell):
    """One method at one layer over all pictures; a picture on which its map is empty counts as random places do."""

    low: float
    """Of the 95 % interval of the mean advantage, from drawing the pictures again."""
    high: float
    maps: int
    """Pictures on which there is a map."""
    pictures: int
    leads: float
    """The share of the pictures on which no other cell is better."""
    behind: float
    """How much larger the mean of the best cell is, picture by picture; 0 for itself and where none is best."""
    behind_low: float
    behind_high: float


@dataclass(frozen=True, slots=True)
class Matrix(Grid[Mean]):
    """The matrix of methods and layers over the pictures of a run."""

    cells: tuple[Mean, ...]

    @property
    def pictures(self) -> int:
        return self.cells[0].pictures

    @property
    def equals(self) -> tuple[Mean, ...]:
        """The cells that these pictures do not tell from the best one."""
        if (first := self.best) is None:
            return ()
        return tuple(cell for cell in self.cells if cell is not first and cell.maps and cell.behind_low <= 0)

    @property
    def sentence(self) -> str:
        """The best one and why, in measured numbers, and how sure that is."""
        over = plural(self.pictures, "picture")
        if (first := self.best) is None:
            return f"Over {over} no method at any of these layers shows more than random places do."
        gain, chance = (signed(value, "+.2f") for value in (first.advantage or 0.0, first.random))
        low, high = (signed(value, "+.2f") for value in (first.low, first.high))
        words = (
            f"Over {over} {METHODS[first.method].name} at {first.layer} shows most of what the answers hang on. "
            f"Keeping its hottest parts gives {gain} ({low} to {high}) more of the score than hiding them, random "
            f"places {chance}. On {round(first.leads * self.pictures)} of them no other does better; "
        )
        if self.pictures < TELLING:
            return f"{words}so few tell little about any other picture."
        count = len(self.equals)
        others = "no other does" if not count else "1 other does" if count == 1 else f"{count} others do"
        return f"{words}{others} as well within what {self.pictures} pictures can tell."


def sample(keys: Iterable[str], most: int) -> frozenset[str]:
    """Return the keys of at most `most` pictures, always the same ones of the same pictures.

    Those whose hashes are smallest: of a folder that grew, those that stay in the sample are among the former.
    """
    return frozenset(heapq.nsmallest(most, keys, key=lambda key: hashlib.sha256(key.encode()).digest()))


def cells(explanation: Explanation, cancel: threading.Event | None = None) -> Cells:
    """Return the matrix of a picture's first map. Raises Cancelled."""
    if not explanation.heatmaps:
        return []
    try:
        found = choice.choice(explanation, 0, steps=STEPS, cancel=cancel)
    except ModelProblem:
        return []
    return [(cell.method, cell.layer, cell.advantage, cell.random) for cell in found.cells]


def lacking(outcomes: Iterable[Outcome]) -> set[str]:
    """Return the keys of explained pictures without a matrix: they were no part of an earlier run's sample."""
    return {one["key"] for one in outcomes if "rows" in one and "matrix" not in one}


def add_up(each: Iterable[Cells]) -> Matrix | None:
    """Return the means over pictures; None without any. Cells that some picture lacks are left out."""
    tables = [{(method, layer): tuple(values) for method, layer, *values in one} for one in each if one]
    if not tables:
        return None
    names = [name for name in tables[0] if all(name in table for table in tables)]
    found = np.array([[table[name] for name in names] for table in tables], float)  # (pictures, cells, 2), NaN: no map
    maps, random = np.isfinite(found[..., 0]), found[..., 1]
    gains = np.where(maps, found[..., 0], random)
    means = _cells(names, maps, gains, random)
    first = best(means)
    top = None if first is None else means.index(first)
    behind = np.zeros_like(gains) if top is None else gains[:, [top]] - gains
    leads = (gains >= np.where(maps, gains, -np.inf).max(1, keepdims=True)) & maps
    low, high = _interval(gains)
    behind_low, behind_high = _interval(behind)
    counts, ahead, gaps = maps.sum(0).tolist(), leads.mean(0).tolist(), behind.mean(0).tolist()
    return Matrix(
        tuple(
            Mean(
                cell.method,
                cell.layer,
                cell.advantage,
                cell.random,
                low[i],
                high[i],
                counts[i],
                len(tables),
                ahead[i],
                gaps[i],
                behind_low[i],
                behind_high[i],
            )
            for i, cell in enumerate(means)
        )
    )


def _cells(names: list[tuple[str, str]], maps: NDArray[np.bool_], gains: Values, random: Values) -> tuple[Cell, ...]:
    return tuple(
        Cell(*name, float(gains[:, i].mean()) if maps[:, i].any() else None, float(random[:, i].mean()))
        for i, name in enumerate(names)
    )


def _interval(values: Values) -> tuple[list[float], list[float]]:
    """Return the ends of the 95 % interval of each column's mean, pictures (its rows) drawn with replacement."""
    count = len(values)
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), RESAMPLES) @ values / count
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0).tolist()
    return low, high


def write(folder: Path, outcomes: Iterable[Outcome]) -> None:
    """Write `methods.csv`, a row for each method at each layer; no file where no picture has a matrix."""
    found = add_up(one.get("matrix", ()) for one in outcomes)
    if found is None:
        (folder / FILE).unlink(missing_ok=True)
        return
    text = io.StringIO()
    csv_cells.write(text, [field.name for field in fields(Mean)], map(asdict, found.cells))
    write_file(folder / FILE, text.getvalue().encode())


def read(folder: Path) -> Matrix | None:
    """Return the matrix of a run's folder; None where it has none."""
    try:
        rows = [*csv_cells.read(io.StringIO((folder / FILE).read_text("utf-8")))]
    except OSError:
        return None
    return Matrix(tuple(_mean(row) for row in rows)) if rows else None


def _mean(row: dict[str, str]) -> Mean:
    values: dict[str, Any] = {
        name: value
        if name in ("method", "layer")
        else int(value)
        if name in ("maps", "pictures")
        else float(value)
        if value
        else None
        for name, value in row.items()
    }
    return Mean(**values)


HEAD = ("method", "layer", "advantage", "95 % interval", "random places", "ahead on")
"""Of `rows`."""


def rows(found: Matrix, most: int | None = None) -> list[tuple[str, ...]]:
    """Return a row of `HEAD` for each cell with a map, the best first; `most` of them."""
    there = sorted(
        (cell for cell in found.cells if cell.advantage is not None), key=lambda cell: -(cell.advantage or 0)
    )
    return [
        (
            METHODS[cell.method].name,
            cell.layer,
            signed(cell.advantage or 0.0, "+.2f"),
            f"{signed(cell.low, '+.2f')} to {signed(cell.high, '+.2f')}",
            signed(cell.random, "+.2f"),
            f"{round(cell.leads * cell.pictures)} of {cell.pictures}",
        )
        for cell in there[:most]
    ]
