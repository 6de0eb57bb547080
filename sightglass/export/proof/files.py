"""Files of a proof: numbers, recipe, and the figure of its curves."""

from __future__ import annotations

import textwrap
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from sightglass.common.files import Json, to_json
from sightglass.explain.phrases import listing, plain_text, plural
from sightglass.explain.recipe import ProofSettings, Recipe
from sightglass.explain.trust import FILLINGS
from sightglass.explain.trust.reliability import of_proof
from sightglass.export import embedded_recipe, results
from sightglass.export.caption import check_format
from sightglass.export.embedded_recipe import checked_recipe
from sightglass.export.figure import LOCK, save
from sightglass.export.proof.chart import ChartLine, Way, draw_curves
from sightglass.export.proof.chart import lines as chart_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from sightglass.explain.maps.statistics import Statistics
    from sightglass.explain.result import Result
    from sightglass.explain.trust.proof import Proof

    File = tuple[str, bytes]


PROOF, CURVES = "proof.json", "proof.png"
Format = Literal["png", "svg", "pdf"]
_PANELS: dict[Way, str] = {"hidden": "hottest part hidden", "kept": "only the hottest part kept"}
WIDTH = 112
"""Letters of a line of the sentence."""
_SIZE = (7.2, 3.9)  # inches


def settings(index: int, proof: Proof) -> ProofSettings:
    """Return the proof settings of the map at `index`."""
    return ProofSettings(index=index, steps=proof.map.steps, fillings=proof.fillings)


def recipe(explanation: Result, index: int, proof: Proof | None = None) -> Recipe:
    """Return an explanation's recipe with checks and one map's proof.

    `proof`: by default the explanation's own.
    """
    proof = proof or explanation.proofs.get(index)
    checked = checked_recipe(explanation)
    return checked if proof is None else checked.model_copy(update={"prove": settings(index, proof)})


def summary(explanation: Result, index: int, proof: Proof) -> Json:
    """Return everything about a proof, as `results.ProofResult` values."""
    return results.to_dict(results.ProofResult, fields(explanation, index, proof))


def fields(explanation: Result, index: int, proof: Proof) -> Json:
    """Return the fields of `results.ProofResult` for an explanation's proof."""
    heatmap, model = explanation.heatmaps[index], explanation.model
    saved_recipe = recipe(explanation, index, proof)
    return describe(proof, explanation.image.name, model.task, heatmap, explanation.statistics[index], saved_recipe)


def describe(proof: Proof, picture: str, task: str, item: Any, statistics: Statistics, recipe: Recipe) -> Json:
    """Return the fields of `results.ProofResult`; `item`: the map."""
    return {
        "picture": picture,
        "model": recipe.model,
        "method": item.method,
        "layers": item.layers,
        **proof.summary(),
        "findings": [plain_text(finding.text) for finding in of_proof(task, statistics, proof)],
        "recipe": recipe,
    }


def curves(explanation: Result, index: int, proof: Proof, format: Format = "png") -> bytes:
    """Return a proof's curves as a figure; a PNG has the recipe."""
    drawn = figure(proof, format)
    if format != "png":
        return drawn
    return embedded_recipe.write(drawn, recipe(explanation, index, proof), embedded_recipe.view_of(explanation, index))


def files(explanation: Result, index: int, proof: Proof) -> Iterator[File]:
    """Yield the curves' figure with the recipe, then the numbers."""
    yield CURVES, curves(explanation, index, proof)
    yield PROOF, to_json(summary(explanation, index, proof)).encode()


def figure(proof: Proof, format: Format = "png") -> bytes:
    """Return the score over the hidden and kept shares, reproducibly.

    A control's line is the mean over its maps, for the proof's first filling. In SVG and PDF lines and text are
    vectors. Raises a Problem for another format.
    """
    check_format("figure", format, get_args(Format))
    with LOCK:
        return save(partial(_draw_figure, proof), proof.sentence, format)


def _draw_figure(proof: Proof) -> Figure:
    from matplotlib.figure import Figure

    drawn, curves = Figure(figsize=_SIZE), _first_curves(proof)
    for place, (way, words) in enumerate(_PANELS.items()):
        axes = drawn.add_axes((0.075 + 0.48 * place, 0.27, 0.41, 0.55))
        draw_curves(axes, curves, way, line=1.1, letters=7)
        axes.set_title(words, fontsize=8.5)
        axes.set_xlabel("share of the visible picture", fontsize=7.5)
    left = drawn.axes[0]
    left.set_ylabel(f"score of {textwrap.shorten(proof.label, 40, placeholder='…')}", fontsize=7.5)
    handles, labels = left.get_legend_handles_labels()
    drawn.legend(handles, labels, loc="lower center", ncols=3, fontsize=7, frameon=False, handlelength=4)
    drawn.text(0.01, 0.985, textwrap.fill(proof.sentence, WIDTH), va="top", fontsize=8.5)
    return drawn


def _first_curves(proof: Proof) -> list[ChartLine]:
    """Return the curves of the proof's first filling."""
    return [line for line in chart_lines(proof) if line.filling == proof.fillings[0]]


def describe_settings(proof: Proof) -> str:
    """Describe a proof's fillings and steps."""
    first, *rest = (FILLINGS[filling] for filling in proof.fillings)
    also = f"; computed again with {listing(rest)}" if rest else ""
    return f"Hidden pixels become {first}{also}. {plural(proof.map.steps, 'step')}, drawn for the first filling."
