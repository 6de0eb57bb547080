"""Routes that explain pictures."""

from __future__ import annotations

import threading
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from sightglass.api import results, service
from sightglass.api.endpoints.endpoint import take_picture
from sightglass.api.endpoints.negotiation import JSON, NPY, PNG
from sightglass.api.schemas import (
    ApiRules,
    ClassRequest,
    CompareRequest,
    DetectRequest,
    ExplainRequest,
    ProveRequest,
    SimilarityRequest,
)
from sightglass.api.service import check_size, raise_if_cancelled
from sightglass.common.work.progress import explanation_slot
from sightglass.explain.picture.image import to_png
from sightglass.explain.proof.proof import without_hidden
from sightglass.explain.similarity import ranking, similarity
from sightglass.explain.tasks import task_of
from sightglass.export import similarity_files
from sightglass.export.proof import files as proof_files
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.api.service import Explaining
    from sightglass.common.files import Json
    from sightglass.explain.similarity.similarity import ComparedImage, Similarity

ANY = (JSON, PNG, NPY)
CHOICE = (
    "By `Accept`: everything as JSON, the first map over the picture as PNG (with its recipe), or the first map at "
    "picture size as NumPy's float32 (height, width)."
)


def _explain(
    answer: Callable[..., Any], request: Explaining, settings: ApiRules, cancel: threading.Event, kind: str
) -> Any:
    explanation = service.explain(request, settings, cancel, single="" if kind == JSON else kind)
    if kind == JSON:
        return answer(explanation, request, settings, cancel)
    first = service.first_map(explanation, kind, request)
    service.save_unsure(explanation, request.save_below, settings)
    return first


def _compare(request: CompareRequest, settings: ApiRules, cancel: threading.Event, _: str) -> Any:
    return service.comparison_answer(service.compare(request, settings, cancel), request, settings, cancel)


def compare_pictures(request: SimilarityRequest, settings: ApiRules, cancel: threading.Event, kind: str = JSON) -> Json:
    """Return how similar two pictures are, as `results.Similar`."""
    given = request.engine_options()
    with weights.no_downloads():
        one = service.open_picture(request.image, request.name, settings)
        other = service.open_picture(request.other, request.other_name, settings)
        check_size(max(one, other, key=lambda image: image.pixels.size), 2, request)
        explainer = service.load_explainer(request.model or settings.model, settings)
        found: Similarity
        with explanation_slot(cancel):
            found = similarity.similarity(explainer, one, other, of=request.of, **given)
        raise_if_cancelled(cancel)
        baseline = ranking.context(explainer, one, found.preprocessing, other=other) if request.context else None
    answer = service.plain(similarity_files.summary(found, baseline))
    return answer | {"sides": [_side(side, request, cancel) for side in found.sides]}


def _side(side: ComparedImage, request: SimilarityRequest, cancel: threading.Event | None) -> Json:
    raise_if_cancelled(cancel)
    alike, apart = (service.plain(asdict(numbers)) for numbers in side.statistics)
    with service.reserve_pixels(side.image):
        drawn = service.base64_text(to_png(similarity_files.overlay(side))) if request.overlay else None
        raise_if_cancelled(cancel)
        values = side.geometry.to_original(side.padded) if request.maps != "none" else side.padded
        shown = service.encode(values, request.maps, signed=True)
    return shown | {"overlay": drawn, "seen": side.seen, "alike": alike, "apart": apart}


def prove_map(request: ProveRequest, settings: ApiRules, cancel: threading.Event, kind: str = JSON) -> Json:
    """Return the curves of a map and its controls, as `results.Proved`; raises Cancelled within a batch of a stop."""
    with weights.no_downloads():
        given = request.engine_options()
        image = service.open_picture(request.image, request.name, settings)
        explainer = service.load_explainer(request.model or settings.model, settings)
        task = task_of(explainer.model)
        if request.confidence is not None:
            task.check_idle(explainer.model.id, "confidence")
        raise_if_cancelled(cancel)
        explanation = explainer(image, cancel=cancel, question=request.question, **given | task.single())
        proof = explanation.prove(steps=request.steps, fillings=request.fillings or ("blur", "mean"), cancel=cancel)
    service.count(explanation)
    found = proof_files.summary(explanation, 0, proof)
    if not request.all_measures:
        found = without_hidden(found)
    return service.plain(found) | {"notes": list(explanation.notes)}


ENDPOINTS = (
    take_picture(
        "/api/explain",
        ExplainRequest,
        results.Explained,
        partial(_explain, service.full_answer),
        name="explain_picture",
        description="Explain what a model predicts for a picture, and where it looked for each of its best "
        "predictions.",
        offers=ANY,
        choice=CHOICE,
    ),
    take_picture(
        "/api/explain/class",
        ClassRequest,
        results.Classes,
        partial(_explain, service.class_answer),
        name="explain_class",
        description="Explain what speaks for classes of your choice: the rank of each, its map, and the limits of "
        "that map.",
        offers=ANY,
        choice=CHOICE,
    ),
    take_picture(
        "/api/detect",
        DetectRequest,
        results.Detected,
        partial(_explain, service.box_answer),
        name="explain_detections",
        description="Explain what a detector finds in a picture, and where it looked for each box.",
        offers=ANY,
        choice=CHOICE,
    ),
    take_picture(
        "/api/compare",
        CompareRequest,
        results.Comparison,
        _compare,
        name="compare_models",
        description="Explain one picture with several models: their predictions, times, and how far their maps agree.",
    ),
    take_picture(
        "/api/similarity",
        SimilarityRequest,
        results.Similar,
        compare_pictures,
        name="compare_pictures",
        description="Explain how similar two pictures are to a model, and which regions of each make them so.",
    ),
    take_picture(
        "/api/prove",
        ProveRequest,
        results.Proved,
        prove_map,
        name="prove_map",
        description="Test a map: hide what it shows, keep nothing else, and compare with maps that know nothing.",
    ),
)
