"""Reduce a timeline to curves for charts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.common.files import csv_cells
from sightglass.video.colors import color_of
from sightglass.video.results.timeline import CSV

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

POINTS = 600
MAX_CURVES = 6
"""Objects with a curve of their own: those seen longest."""


@dataclass(frozen=True)
class Point:
    """A stretch of the clip: its middle in seconds, and means over it; None where no map was made."""

    seconds: float
    score: float
    area: float | None
    """Share of the picture that holds half of the heat."""


@dataclass(frozen=True)
class AnswerCurve:
    """One answer over time: a class of a classifier together with all others it gave, or one object."""

    name: str
    points: tuple[Point, ...]
    color: str = ""
    """Of an object, as its box has in the clip; empty of a class."""


def curves(folder: Path, seconds: float, start: float = 0.0) -> tuple[AnswerCurve, ...]:
    """Return the curves of a finished run, the longest first.

    `seconds`: the length of the drawn clip, which begins at `start` of the whole one; times are since then.
    """
    counts: Counter[str] = Counter(row["object"] for row in _rows(folder))
    wanted = [name for name, _ in counts.most_common(MAX_CURVES)]
    step = max(seconds, 1e-6) / POINTS
    sums: dict[str, dict[int, list[float]]] = {name: {} for name in wanted}
    names: dict[str, Counter[str]] = {name: Counter() for name in wanted}
    for row in _rows(folder):
        if (into := sums.get(row["object"])) is None:
            continue
        names[row["object"]][row["answer"]] += 1
        at = float(row["seconds"]) - start
        cell = into.setdefault(int(at / step), [0.0] * 5)
        area = row["half_heat_area"] if row["map"] == "ok" else ""
        for i, value in enumerate((1.0, at, float(row["score"]), float(bool(area)), float(area or 0))):
            cell[i] += value
    found = []
    for name in wanted:
        label = names[name].most_common(1)[0][0]
        points = (
            Point(at / count, score / count, area / mapped if mapped else None)
            for count, at, score, mapped, area in (sums[name][cell] for cell in sorted(sums[name]))
        )
        color = color_of(int(name)) if name else ""
        found.append(AnswerCurve(f"{label} {name}" if name else "its answer", tuple(points), color))
    return tuple(found)


def _rows(folder: Path) -> Iterator[dict[str, str]]:
    with (folder / CSV).open(encoding="utf-8", newline="") as file:
        yield from csv_cells.read(file)
