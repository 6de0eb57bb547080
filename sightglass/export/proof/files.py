"""Files of a proof: numbers, recipe, figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.common.files import Json, to_json
from sightglass.explain.findings.proved import of_proof
from sightglass.explain.phrases import plain_text
from sightglass.explain.recipe import ProofSettings, Recipe
from sightglass.export import embedded_recipe
from sightglass.export.embedded_recipe import sealed_recipe
from sightglass.export.proof.figure import Format, figure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.explain.maps.statistics import Statistics
    from sightglass.explain.proof.proof import Proof
    from sightglass.explain.result import Result

    File = tuple[str, bytes]

PROOF, CURVES = "proof.json", "proof.png"


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
