"""Files of a proof: numbers, recipe, and the figure of its curves."""

from __future__ import annotations

import textwrap
from io import BytesIO
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from sightglass.common.errors import Problem
from sightglass.common.files import Json, to_json
from sightglass.explain.findings.proved import of_proof
from sightglass.explain.phrases import plain_text
from sightglass.explain.proof.proof import CONTROLS
from sightglass.explain.recipe import ProofSettings, Recipe
from sightglass.export import embedded_recipe
from sightglass.export.embedded_recipe import sealed_recipe
from sightglass.export.figure import DPI, LOCK, STYLE
from sightglass.export.proof.chart import INKS, dashes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sightglass.explain.maps.statistics import Statistics
    from sightglass.explain.proof.proof import Proof
    from sightglass.explain.result import Result

    File = tuple[str, bytes]

PROOF, CURVES = "proof.json", "proof.png"
Format = Literal["png", "svg", "pdf"]
WAYS = {"deletion": "hottest part hidden", "insertion": "only the hottest part kept"}
WIDTH = 112
"""Letters of a line of the sentence."""
_SIZE = (7.2, 3.9)  # inches


def settings(index: int, proof: Proof) -> ProofSettings:
    """Return how the map of that index was proved."""
    return ProofSettings(index=index, steps=proof.map.steps, fillings=proof.fillings)


def recipe(explanation: Result, index: int, proof: Proof | None = None) -> Recipe:
    """Return the recipe of an explanation with its seals, and with the proof of one of its maps if there is one.

    `proof`: by default the explanation's own.
    """
    proof = proof or explanation.proofs.get(index)
    made = sealed_recipe(explanation)
    return made if proof is None else made.model_copy(update={"prove": settings(index, proof)})


def summary(explanation: Result, index: int, proof: Proof) -> Json:
    """Return everything about a proof of a map of an explanation, ready for `to_json`."""
    heatmap, model = explanation.heatmaps[index], explanation.model
    made = recipe(explanation, index, proof)
    return describe(
        proof, explanation.image.name, model.task, heatmap.method, heatmap.layers, explanation.statistics[index], made
    )


def describe(
    proof: Proof,
    picture: str,
    task: str,
    method: str,
    layers: Sequence[str],
    statistics: Statistics,
    recipe: Recipe,
) -> Json:
    """Return everything about a proof, of an explanation's map or a record's, ready for `to_json`."""
    return {
        "picture": picture,
        "model": recipe.model,
        "method": method,
        "layers": layers,
        **proof.summary(),
        "findings": [plain_text(finding.text) for finding in of_proof(task, statistics, proof)],
        "recipe": recipe,
    }


def curves(explanation: Result, index: int, proof: Proof, format: Format = "png") -> bytes:
    """Return the curves of a proof as a figure, with the recipe in its metadata."""
    view = embedded_recipe.view_of(explanation, index)
    return embedded_recipe.write(figure(proof, format), recipe(explanation, index, proof), view)


def files(explanation: Result, index: int, proof: Proof) -> Iterator[File]:
    """Yield the curves as a figure, with the recipe in its metadata, and then the numbers."""
    yield CURVES, curves(explanation, index, proof)
    yield PROOF, to_json(summary(explanation, index, proof)).encode()


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
