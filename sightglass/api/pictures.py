"""Routes that explain pictures."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from sightglass.api import service
from sightglass.api.schemas import (
    ClassRequest,
    CompareRequest,
    DetectRequest,
    ExplainRequest,
    ProveRequest,
    SegmentRequest,
    SimilarityRequest,
)
from sightglass.api.work import answer, describe_route
from sightglass.report import results

Format = Literal["json", "png", "npy", "zip"]
OFFERS = ("json", "png", "npy", "zip")
"""Everything as JSON; the first map over the picture, with its recipe; the first map; the command line's folder."""
router = APIRouter(tags=["pictures"])


@router.post("/api/explain", **describe_route(ExplainRequest, results.ExplanationAnswer, OFFERS))
async def explain_picture(request: Request, format: Format = "json") -> Response:
    """Explain what a model predicts for a picture, and where it looked for each of its best predictions."""
    return await answer(request, ExplainRequest, service.answer_explanation, format, OFFERS)


@router.post("/api/explain/class", **describe_route(ClassRequest, results.ClassesAnswer, OFFERS))
async def explain_class(request: Request, format: Format = "json") -> Response:
    """Explain what speaks for classes of your choice: the rank of each, its map, and the limits of that map."""
    return await answer(request, ClassRequest, service.answer_explanation, format, OFFERS)


@router.post("/api/detect", **describe_route(DetectRequest, results.DetectionAnswer, OFFERS))
async def explain_detections(request: Request, format: Format = "json") -> Response:
    """Explain what a detector finds in a picture, and where it looked for each box."""
    return await answer(request, DetectRequest, service.answer_explanation, format, OFFERS)


@router.post("/api/segment", **describe_route(SegmentRequest, results.ExplanationAnswer, OFFERS))
async def explain_segmentation(request: Request, format: Format = "json") -> Response:
    """Explain which class a segmentation network gives each pixel, and what speaks for a class, a region or a pixel."""
    return await answer(request, SegmentRequest, service.answer_explanation, format, OFFERS)


@router.post("/api/compare", **describe_route(CompareRequest, results.ComparisonAnswer))
async def compare_models(request: Request) -> Response:
    """Explain one picture with several models: their predictions, times, and how far their maps agree."""
    return await answer(request, CompareRequest, service.compare_models)


@router.post("/api/similarity", **describe_route(SimilarityRequest, results.SimilarityAnswer))
async def compare_pictures(request: Request) -> Response:
    """Explain how similar two pictures are to a model, and which regions of each make them so."""
    return await answer(request, SimilarityRequest, service.compare_pictures)


@router.post("/api/prove", **describe_route(ProveRequest, results.ProofAnswer))
async def prove_map(request: Request) -> Response:
    """Test a map: hide what it shows, keep nothing else, and compare with maps that know nothing."""
    return await answer(request, ProveRequest, service.prove_map)
