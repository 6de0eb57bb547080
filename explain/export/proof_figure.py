"""Draw the curves of a proof: this map bold, its controls thin, told apart by their dashes and not by colour alone."""

from __future__ import annotations

import textwrap
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from common.errors import Problem
from explain.export.figure import DPI, LOCK, STYLE
from explain.faithfulness.proof import CONTROLS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from explain.faithfulness.proof import Proof

Format = Literal["png", "svg", "pdf"]
DASHES: dict[str, tuple[Any, str]] = {
    "random": ((0, (5, 2)), "#5b6b7b"),
    "blobs": ((0, (1, 1.5)), "#8a5a00"),
    "centre": ((0, (6, 2, 1, 2)), "#00725c"),
    "edges": ((0, (3, 1, 1, 1, 1, 1)), "#7a3e9d"),
    "runner-up": ((0, (9, 3)), "#a33b20"),
}
"""Dashes and colour of each control; every colour has a contrast of 4.5 or more with the paper."""
WAYS = {"deletion": "hottest part hidden", "insertion": "only the hottest part kept"}
WIDTH = 112
"""Letters of a line of the sentence."""
_SIZE = (7.2, 3.9)  # inches


def figure(proof: Proof, format: Format = "png") -> bytes:
    """Return the score over the share that is hidden, and that alone is kept; the same proof, the same bytes.

    A control's line is the mean over its maps, for the proof's first filling. In SVG and PDF lines and text are
    vectors. Raises a Problem for another format.
    """
    import matplotlib

    if format not in get_args(Format):
        raise Problem(f"There is no figure as {format}: use one of {', '.join(get_args(Format))}.")
    metadata: dict[str, dict[str, Any]] = {
        "png": {"Software": "Sightglass"},
        "svg": {"Date": None, "Creator": "Sightglass", "Title": proof.sentence},
        "pdf": {"CreationDate": None, "Creator": "Sightglass", "Title": proof.sentence},
    }
    with LOCK, matplotlib.rc_context(STYLE):
        out = BytesIO()
        _drawn(proof).savefig(out, format=format, dpi=DPI, metadata=metadata[format])
    return out.getvalue()


def _drawn(proof: Proof) -> Figure:
    from matplotlib.figure import Figure

    drawn = Figure(figsize=_SIZE)
    for place, (way, words) in enumerate(WAYS.items()):
        axes = drawn.add_axes((0.075 + 0.48 * place, 0.27, 0.41, 0.55))
        _curves(axes, proof, way)
        axes.set_title(words, fontsize=8.5)
        axes.set_xlabel("share of the visible picture", fontsize=7.5)
    left = drawn.axes[0]
    left.set_ylabel(f"score of {textwrap.shorten(proof.label, 40, placeholder='…')}", fontsize=7.5)
    handles, labels = left.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="lower center", ncols=3, fontsize=7, frameon=False, handlelength=4)
    drawn.text(0.01, 0.985, textwrap.fill(proof.sentence, WIDTH), va="top", fontsize=8.5)
    return drawn


def _curves(axes: Axes, proof: Proof, way: str) -> None:
    axes.plot(
        proof.map.shares * 100,
        getattr(proof.map, way).score,
        color="#111111",
        linewidth=2.4,
        zorder=3,
        label="this map",
    )
    for name in proof.controls:
        curves = proof.of(name)
        mean, shares = np.mean([getattr(curve, way).score for curve in curves], axis=0), curves[0].shares * 100
        dashes, colour = DASHES[name]
        axes.plot(shares, mean, linestyle=dashes, color=colour, linewidth=1.1, label=CONTROLS[name])
    scores = [score for curve in proof.curves for one in WAYS for score in getattr(curve, one).score.tolist()]
    axes.set_xlim(0, 100)
    axes.set_ylim(min(0.0, *scores), max(*scores, 0.01) * 1.05)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
