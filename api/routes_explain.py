"""Routes that explain pictures."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import results, service
from api.negotiation import JSON, NPY, PNG, respond
from api.problems import problem_responses
from api.prove import prove_map
from api.schemas import (
    ClassRequest,
    CompareRequest,
    DetectRequest,
    ExplainRequest,
    ProveRequest,
    Settings,
    SimilarityRequest,
)
from api.similarity import compare_pictures

router = APIRouter(prefix="/api", tags=["pictures"])
WRONG = (400, 404, 406, 415, 422, 429, 503, 504)
ANY = (JSON, PNG, NPY)
REQUESTS = (ExplainRequest, ClassRequest, CompareRequest, SimilarityRequest, DetectRequest, ProveRequest)


def _openapi(request: type, *offers: str) -> dict[str, Any]:
    """Return a route's OpenAPI entry: both kinds of body, the media types of the answer, and the errors."""
    stem = request.__name__.removesuffix("Request")
    bodies = {
        # The page offers the first, which has a file picker.
        "multipart/form-data": {"schema": {"$ref": f"#/components/schemas/{stem}Form"}},
        JSON: {"schema": {"$ref": f"#/components/schemas/{stem}Request"}},
    }
    done: dict[str, Any] = {"description": "Done."}
    if offers:
        done = {
            "description": "By `Accept`: everything as JSON, the first map over the picture as PNG (with its recipe), "
            "or the first map at picture size as NumPy's float32 (height, width).",
            "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in offers},
        }
    return {
        "responses": {200: done, **problem_responses(*WRONG)},
        "openapi_extra": {"requestBody": {"required": True, "content": bodies}},
    }


def _explain(
    request: ExplainRequest | DetectRequest | ClassRequest, settings: Settings, cancel: threading.Event, kind: str
) -> Any:
    explanation = service.explain(request, settings, cancel, single=kind != JSON)
    if kind != JSON:
        found = service.first_map(explanation, kind, request)
        service.monitor(explanation, request.monitor, settings)
        return found
    if isinstance(request, ClassRequest):
        return service.class_answer(explanation, request, settings, cancel)
    return service.full_answer(explanation, request, settings, cancel)


def _compare(request: CompareRequest, settings: Settings, cancel: threading.Event, _: str) -> Any:
    return service.comparison_answer(service.compare(request, settings, cancel), request, settings, cancel)


def _similarity(request: SimilarityRequest, settings: Settings, cancel: threading.Event, _: str) -> Any:
    return compare_pictures(request, settings, cancel)


def _prove(request: ProveRequest, settings: Settings, cancel: threading.Event, _: str) -> Any:
    return prove_map(request, settings, cancel)


@router.post("/explain", response_model=results.Explained, **_openapi(ExplainRequest, PNG, NPY))
async def explain(request: Request) -> Response:
    """Explain what a model predicts for a picture, and where it looked for each of its best predictions."""
    return await respond(request, ExplainRequest, results.Explained, _explain, ANY)


@router.post("/explain/class", response_model=results.Classes, **_openapi(ClassRequest, PNG, NPY))
async def explain_class(request: Request) -> Response:
    """Explain what speaks for classes of your choice: the rank of each, its map, and the limits of that map."""
    return await respond(request, ClassRequest, results.Classes, _explain, ANY)


@router.post("/detect", response_model=results.Detected, **_openapi(DetectRequest, PNG, NPY))
async def detect(request: Request) -> Response:
    """Explain what a detector finds in a picture, and where it looked for each box."""
    return await respond(request, DetectRequest, results.Detected, _explain, ANY)


@router.post("/compare", response_model=results.Comparison, **_openapi(CompareRequest))
async def compare(request: Request) -> Response:
    """Explain one picture with several models: their predictions, times, and how far their maps agree."""
    return await respond(request, CompareRequest, results.Comparison, _compare)


@router.post("/similarity", response_model=results.Similar, **_openapi(SimilarityRequest))
async def similarity(request: Request) -> Response:
    """Explain how similar two pictures are to a model, and which regions of each make them so."""
    return await respond(request, SimilarityRequest, results.Similar, _similarity)


@router.post("/prove", response_model=results.Proved, **_openapi(ProveRequest))
async def prove(request: Request) -> Response:
    """Test a map: hide what it shows, keep nothing else, and compare with maps that know nothing."""
    return await respond(request, ProveRequest, results.Proved, _prove)
