"""Routes that explain pictures."""

from __future__ import annotations

import threading
from typing import Any

from sightglass.api import results, service
from sightglass.api.endpoints.endpoint import take_picture
from sightglass.api.endpoints.negotiation import JSON, NPY, PNG
from sightglass.api.prove import prove_map
from sightglass.api.schemas import (
    ApiRules,
    ClassRequest,
    CompareRequest,
    DetectRequest,
    ExplainRequest,
    ProveRequest,
    SimilarityRequest,
)
from sightglass.api.similarity import compare_pictures

ANY = (JSON, PNG, NPY)
CHOICE = (
    "By `Accept`: everything as JSON, the first map over the picture as PNG (with its recipe), or the first map at "
    "picture size as NumPy's float32 (height, width)."
)


def _explain(
    request: ExplainRequest | DetectRequest | ClassRequest, settings: ApiRules, cancel: threading.Event, kind: str
) -> Any:
    explanation = service.explain(request, settings, cancel, single="" if kind == JSON else kind)
    if kind != JSON:
        found = service.first_map(explanation, kind, request)
        service.save_unsure(explanation, request.save_below, settings)
        return found
    if isinstance(request, ClassRequest):
        return service.class_answer(explanation, request, settings, cancel)
    return service.full_answer(explanation, request, settings, cancel)


def _compare(request: CompareRequest, settings: ApiRules, cancel: threading.Event, _: str) -> Any:
    return service.comparison_answer(service.compare(request, settings, cancel), request, settings, cancel)


def _similarity(request: SimilarityRequest, settings: ApiRules, cancel: threading.Event, _: str) -> Any:
    return compare_pictures(request, settings, cancel)


def _prove(request: ProveRequest, settings: ApiRules, cancel: threading.Event, _: str) -> Any:
    return prove_map(request, settings, cancel)


ENDPOINTS = (
    take_picture(
        "/api/explain",
        ExplainRequest,
        results.Explained,
        _explain,
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
        _explain,
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
        _explain,
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
        _similarity,
        name="compare_pictures",
        description="Explain how similar two pictures are to a model, and which regions of each make them so.",
    ),
    take_picture(
        "/api/prove",
        ProveRequest,
        results.Proved,
        _prove,
        name="prove_map",
        description="Test a map: hide what it shows, keep nothing else, and compare with maps that know nothing.",
    ),
)
