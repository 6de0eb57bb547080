"""Prove a map of a request's picture and convert the result to `results.Proved`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from api import service
from api.limits import raise_if_cancelled
from common.errors import ModelProblem
from models import weights

if TYPE_CHECKING:
    import threading

    from api.schemas import ProveRequest, Settings


def prove_map(request: ProveRequest, settings: Settings, cancel: threading.Event | None = None) -> dict[str, Any]:
    """Return the curves of a map and its controls, as `results.Proved`; raises Cancelled within a batch of a stop."""
    from explain.export import proof_files
    from explain.faithfulness.measures import without_hidden

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
