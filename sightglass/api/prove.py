"""Prove a map for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.api import service
from sightglass.api.limits import raise_if_cancelled
from sightglass.common.errors import ModelProblem
from sightglass.explain.proof.measures import without_hidden
from sightglass.export.proof import files as proof_files
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    import threading

    from sightglass.api.schemas import ApiRules, ProveRequest
    from sightglass.common.files import Json


def prove_map(request: ProveRequest, settings: ApiRules, cancel: threading.Event | None = None) -> Json:
    """Return the curves of a map and its controls, as `results.Proved`; raises Cancelled within a batch of a stop."""
    with weights.no_downloads():
        given = service.engine_options(request)
        image = service.open_picture(request.image, request.name, settings)
        explainer = service.load_explainer(request.model or settings.model, settings)
        if explainer.model.task == "detect":
            given.setdefault("per", "detection")
        elif request.confidence is not None:
            raise ModelProblem(
                f"{explainer.model.id} draws no boxes, so confidence would have no effect: leave it out."
            )
        raise_if_cancelled(cancel)
        explanation = explainer(image, cancel=cancel, question=request.question, **given | {"top_k": 1})
        proof = explanation.prove(steps=request.steps, fillings=request.fillings or ("blur", "mean"), cancel=cancel)
    service.count(explanation)
    found = proof_files.summary(explanation, 0, proof)
    if not request.all_measures:
        found = without_hidden(found)
    return service.plain(found) | {"notes": list(explanation.notes)}
