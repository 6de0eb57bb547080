"""Compare methods' measures on pictures of one kind with those of the baselines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.timing import SEED
from benchmarks.truth.measures import GIVEN_BOX, MEASURES, measured

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from benchmarks.report import Interval
    from benchmarks.truth.measures import Map, Mask

    Region = tuple[slice, slice]
    Cause = tuple[Mask, Region | None]

Line = tuple[str, ...]
"""What drew the maps: a library and its method, a method, its layers and part, or `BASELINE` and the name of one."""
BASELINE = "no network"
RESAMPLES = 2000


@dataclass
class Column:
    """The scores of all lines on pictures of one cause."""

    values: list[dict[Line, list[float]]] = field(default_factory=list)
    """Of each picture the measures of each line."""
    measures: tuple[str, ...] = MEASURES
    kinds: list[str] = field(default_factory=list)
    halves: list[str] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    """Of each picture the share that is the cause."""
    digest: str = ""
    """Of all pictures and their causes."""
    example: NDArray[np.uint8] | None = None

    def of(self, line: Line, measure: str = "hit", kind: str = "") -> NDArray[np.float64]:
        at = self.measures.index(measure)
        rows = (row for row, of in zip(self.values, self.kinds, strict=True) if kind in ("", of))
        return np.array([row[line][at] for row in rows])

    @property
    def lines(self) -> list[Line]:
        """Return the lines of all pictures: one that cannot explain each network is none."""
        return [line for line in self.values[0] if all(line in row for row in self.values)]

    def add(self, row: dict[Line, list[float]], kind: str = "", half: str = "", share: float = 0.0) -> None:
        self.values.append(row)
        self.kinds.append(kind)
        self.halves.append(half)
        self.shares.append(share)

    def extend(self, other: Column) -> None:
        self.values += other.values
        self.kinds += other.kinds
        self.halves += other.halves
        self.shares += other.shares

    def best(self, measure: str = "hit") -> Line:
        """Return the best baseline, by default the one that most often hits the cause."""
        return max((line for line in self.lines if line[0] == BASELINE), key=lambda line: self.of(line, measure).mean())

    def means(self) -> dict[Line, dict[str, float]]:
        return {line: {of: float(self.of(line, of).mean()) for of in self.measures} for line in self.lines}

    def interval(self, line: Line, measure: str, other: Line | None = None) -> Interval:
        """Return a mean, or a mean paired difference, and its 95 % bootstrap interval."""
        values = self.of(line, measure) - (0 if other is None else self.of(other, measure))
        count = len(values)
        drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), RESAMPLES) @ values / count
        low, high = np.percentile(drawn, (2.5, 97.5)).tolist()
        return float(values.mean()), low, high

    def chance(self, line: Line) -> float:
        """Return the chance of hitting so much oftener than the best baseline (McNemar's exact test, one-sided)."""
        ahead = self.of(line) - self.of(self.best())
        wins, count = int((ahead > 0).sum()), int((ahead != 0).sum())
        return sum(math.comb(count, at) for at in range(wins, count + 1)) / 2**count


def holm(chances: Mapping[Any, float]) -> dict[Any, float]:
    """Return the chances, corrected for how many there are (Holm 1979)."""
    corrected, least = {}, 0.0
    for rank, key in enumerate(sorted(chances, key=lambda key: chances[key])):
        least = max(least, min(1.0, chances[key] * (len(chances) - rank)))
        corrected[key] = least
    return corrected


def scored(maps: Mapping[Line, Map | None], blind: Mapping[str, Map | None], cause: Cause) -> dict[Line, list[float]]:
    """Return the measures of maps and of baselines; one that is given the box is no rival where it is the answer."""
    mask, region = cause
    rivals = {(BASELINE, name): of for name, of in blind.items() if region or name != GIVEN_BOX}
    return {line: measured(of, mask, region) for line, of in (*maps.items(), *rivals.items())}
