"""Describe the curves of a proof once, and draw them for files and slides.

The page draws the same curves with the same dashes in `curves.js`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from sightglass.explain.trust import Filling
    from sightglass.explain.trust.proof import Proof


Way = Literal["hidden", "kept"]
DASHES = {
    "map": "",
    "strongest": "5 2",
    "random": "7 3",
    "blobs": "2 3",
    "centre": "12 3 2 3",
    "edges": "4 3 1 3 1 3",
}
"""Dashes and gaps of each control's line, in pixels of a line of LINE pixels; none of the map's own."""
LINE = 1.5
INKS = {
    "map": "#111111",
    "strongest": "#1f5fd0",
    "random": "#5b6b7b",
    "blobs": "#8a5a00",
    "centre": "#00725c",
    "edges": "#7a3e9d",
}
"""Every colour has a contrast of 4.5 or more with the paper."""
TITLES = {
    "map": "This map",
    "random": "Random places",
    "blobs": "Random places in the object",
    "centre": "Middle of the picture",
    "edges": "Edges in the picture",
}


@dataclass(frozen=True)
class ChartLine:
    """A curve as it is drawn: of a control the mean over its maps."""

    name: str
    """`map`, or the control's."""
    title: str
    filling: Filling | Literal[""]
    hidden: Sequence[float]
    """The score at each step, by the share that is hidden, hottest first."""
    kept: Sequence[float]


def titles(proof: Proof) -> dict[str, str]:
    """Return the names of a proof's curves."""
    name = "Another map" if proof.support is None else proof.support.strongest_name
    return TITLES | {"strongest": name[:1].upper() + name[1:]}


def lines(proof: Proof) -> list[ChartLine]:
    """Return the curves of every filling, the map's own before its controls'."""
    named = titles(proof)
    return [
        ChartLine(name, named[name], filling, *(_mean(proof, name, filling, way) for way in ("deletion", "insertion")))
        for filling in proof.fillings
        for name in ("map", *proof.controls)
        if proof.of(name, filling)
    ]


def _mean(proof: Proof, name: str, filling: Filling, way: str) -> list[float]:
    scores = np.mean([getattr(curve, way).score for curve in proof.of(name, filling)], axis=0)
    return [round(float(score), 4) for score in scores]


def dashes(name: str, width: float) -> list[float]:
    """Return a curve's dashes and gaps; empty for the map's own."""
    return [float(length) * width / LINE for length in DASHES[name].split()]


def draw_curves(
    axes: Axes, curves: Sequence[ChartLine], way: Way, *, inks: Mapping[str, str] = INKS, line: float, letters: float
) -> None:
    """Draw curves with matplotlib, the map's own bold and on top.

    `inks`: a colour for each curve's name; `line`: the width of a control's line, and `letters` the size of the ticks'
    text, both in points.
    """
    for curve in curves:
        scores, bold = getattr(curve, way), curve.name == "map"
        # Matplotlib takes the lengths of dashes by the line's width.
        style = "-" if bold else (0, dashes(curve.name, 1))
        width, color = 2.2 * line if bold else line, inks[curve.name]
        shares = np.linspace(0, 1, len(scores))
        axes.plot(shares, scores, linestyle=style, linewidth=width, color=color, label=curve.title, zorder=2 + bold)
    scores = [score for curve in curves for score in (*curve.hidden, *curve.kept)]
    axes.set(xlim=(0, 1), ylim=(min(0.0, *scores), max(*scores, 0.01) * 1.05))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda value, _: percent(value))
    axes.tick_params(labelsize=letters)
    axes.spines[["top", "right"]].set_visible(False)
