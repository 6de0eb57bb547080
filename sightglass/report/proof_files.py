"""Files of a proof: numbers, recipe, and the figure of its curves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from sightglass.common.files import Json, to_json
from sightglass.explain.recipe import ProofSettings, Recipe
from sightglass.report import charts, embedded_recipe, results
from sightglass.report.caption import check_format
from sightglass.report.embedded_recipe import checked_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.explain.result import Result
    from sightglass.explain.trust.proof import Proof

    File = tuple[str, bytes]


PROOF, CURVES = "proof.json", "proof.png"
Format = Literal["png", "svg", "pdf"]
_SAME = ("part", "fillings", "sentence", "support", "sufficiency", "necessity", "curves")
"""Fields of `results.ProofResult` with the same names in `Proof`."""


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
    heatmap, saved_recipe = explanation.heatmaps[index], recipe(explanation, index, proof)
    return {
        "picture": explanation.image.name,
        "model": saved_recipe.model,
        "method": heatmap.method,
        "layers": heatmap.layers,
        "target": proof.label,
        "score": proof.start,
        **{name: getattr(proof, name) for name in _SAME},
        "recipe": saved_recipe,
    }


def curves(explanation: Result, index: int, proof: Proof, format: Format = "png") -> bytes:
    """Return a proof's curves as a figure, in SVG and PDF as vectors; a PNG has the recipe. Raises a Problem."""
    check_format("figure", format, get_args(Format))
    drawn = charts.figure(charts.describe_proof(proof), format)
    if format != "png":
        return drawn
    return embedded_recipe.write(drawn, recipe(explanation, index, proof), embedded_recipe.view_of(explanation, index))


def files(explanation: Result, index: int, proof: Proof) -> Iterator[File]:
    """Yield the curves' figure with the recipe, then the numbers."""
    yield CURVES, curves(explanation, index, proof)
    yield PROOF, to_json(summary(explanation, index, proof)).encode()
