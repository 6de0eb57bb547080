"""The files of a proof: its numbers with the recipe that makes it again, and its curves as a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from common.files import to_json
from explain.export import embedded_recipe
from explain.export.proof_figure import figure
from explain.recipe import ProofSettings, Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from explain.export.result_folder import File
    from explain.faithfulness.proof import Proof
    from explain.result import Result

PROOF, CURVES = "proof.json", "proof.png"


def recipe(explanation: Result, index: int, proof: Proof) -> Recipe:
    """Return the recipe of an explanation with that of the proof of one of its maps."""
    steps = len(proof.map.deletion.score) - 1
    settings = ProofSettings(index=index, steps=steps, fillings=proof.fillings)
    return explanation.recipe.model_copy(update={"prove": settings})


def summary(explanation: Result, index: int, proof: Proof) -> dict[str, Any]:
    """Return everything about a proof, ready for `to_json`."""
    heatmap = explanation.heatmaps[index]
    return {
        "picture": explanation.image.name,
        "model": explanation.model.id,
        "method": heatmap.method,
        "layers": heatmap.layers,
        **proof.summary(),
        "recipe": recipe(explanation, index, proof),
    }


def files(explanation: Result, index: int, proof: Proof) -> Iterator[File]:
    """Yield the curves as a figure, with the recipe in its metadata, and then the numbers."""
    view = embedded_recipe.view_of(explanation, index)
    yield CURVES, embedded_recipe.write(figure(proof), recipe(explanation, index, proof), view)
    yield PROOF, to_json(summary(explanation, index, proof)).encode()
