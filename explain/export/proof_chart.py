"""Lay out the chart of a proof for pages without a plotting library: curves told apart by dashes, and where they lie.

The same layout becomes SVG in the HTML report and paths in the PDF report.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from explain.export import proof_view
from explain.export.proof_figure import DASHES
from explain.phrases import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.faithfulness.proof import Proof

Way = Literal["hidden", "kept"]
INK = "#111111"
AXES = {"hidden": "hidden, hottest first", "kept": "kept, hottest first"}
TITLES = {"hidden": "The hottest part hidden", "kept": "Only the hottest part kept"}


@dataclass(frozen=True)
class Frame:
    """A chart's size and the margins inside, in its own unit."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def across(self, share: float) -> float:
        return self.left + share * (self.width - self.left - self.right)

    def down(self, height: float) -> float:
        """Return where a height of 0..1 of the axis lies."""
        return self.top + (1 - max(0.0, height)) * (self.height - self.top - self.bottom)


@dataclass(frozen=True)
class Path:
    """A curve: its points in the frame, and how it is drawn."""

    name: str
    filling: str
    points: tuple[tuple[float, float], ...]

    @property
    def colour(self) -> str:
        return INK if self.name == "map" else DASHES[self.name][1]

    @property
    def dashes(self) -> tuple[float, ...]:
        """Lengths of dashes and gaps by the line's width; empty for the map's own line."""
        return () if self.name == "map" else tuple(map(float, DASHES[self.name][0][1]))


@dataclass(frozen=True)
class Chart:
    """The score over the share that is hidden, or that alone is kept."""

    way: Way
    frame: Frame
    top: float
    """The score at the upper end of the axis."""
    rows: tuple[tuple[float, str], ...]
    """Lines of the grid: where, and the score there."""
    columns: tuple[tuple[float, str], ...]
    paths: tuple[Path, ...]
    """Of every filling; the map's own last, over the others."""

    @property
    def axis(self) -> str:
        return AXES[self.way]

    @property
    def title(self) -> str:
        return TITLES[self.way]


def chart(proof: Proof, way: Way, frame: Frame) -> Chart:
    """Return the chart of one way, on an axis that both ways share."""
    lines = proof_view.lines(proof)
    top, unit = _axis([score for line in lines for score in (*line.hidden, *line.kept)])
    count = round(top / unit)
    paths = [Path(one.name, one.filling, _points(getattr(one, way), top, frame)) for one in reversed(lines)]
    return Chart(
        way,
        frame,
        top,
        tuple((frame.down(i / count), percent(top * i / count)) for i in range(count + 1)),
        tuple((frame.across(share / 100), percent(share / 100)) for share in (0, 25, 50, 75, 100)),
        tuple(paths),
    )


def _axis(scores: Sequence[float]) -> tuple[float, float]:
    """Return the end of the axis, the next 5, 10 or 20 % above all scores, and the distance of its lines."""
    most = max(0.01, *scores)
    unit = 0.2 if most > 0.4 else 0.1 if most > 0.1 else 0.05
    return min(1.0, math.ceil(most / unit - 1e-9) * unit), unit


def _points(scores: Sequence[float], top: float, frame: Frame) -> tuple[tuple[float, float], ...]:
    steps = len(scores) - 1
    return tuple((frame.across(i / steps), frame.down(score / top)) for i, score in enumerate(scores))
