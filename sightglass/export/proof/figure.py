"""Figure of a proof's curves."""

from __future__ import annotations

import textwrap
from io import BytesIO
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from sightglass.common.errors import Problem
from sightglass.explain.proof.proof import CONTROLS
from sightglass.export.figure import DPI, LOCK, STYLE
from sightglass.export.proof.chart import INKS, dashes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sightglass.common.files import Json
    from sightglass.explain.proof.proof import Proof

Format = Literal["png", "svg", "pdf"]
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
    metadata: dict[str, Json] = {
        "png": {"Software": "Sightglass"},
        "svg": {"Date": None, "Creator": "Sightglass", "Title": proof.sentence},
        "pdf": {"CreationDate": None, "Creator": "Sightglass", "Title": proof.sentence},
    }
    with LOCK, matplotlib.rc_context(STYLE):
        out = BytesIO()
        _draw_figure(proof).savefig(out, format=format, dpi=DPI, metadata=metadata[format])
    return out.getvalue()


def _draw_figure(proof: Proof) -> Figure:
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
        color=INKS["map"],
        linewidth=2.4,
        zorder=3,
        label="this map",
    )
    for name in proof.controls:
        curves = proof.of(name)
        mean, shares = np.mean([getattr(curve, way).score for curve in curves], axis=0), curves[0].shares * 100
        # Matplotlib takes the lengths by the line's width.
        style = (0, dashes(name, 1))
        axes.plot(shares, mean, linestyle=style, color=INKS[name], linewidth=1.1, label=CONTROLS[name])
    scores = [score for curve in proof.curves for one in WAYS for score in getattr(curve, one).score.tolist()]
    axes.set_xlim(0, 100)
    axes.set_ylim(min(0.0, *scores), max(*scores, 0.01) * 1.05)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f} %")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.0f} %")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
