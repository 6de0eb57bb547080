"""What is asked about pictures."""

from __future__ import annotations

import threading
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from api import results, service
from api.negotiation import JSON, NPY, PNG, answered
from api.problems import listed
from api.schemas import ClassRequest, CompareRequest, DetectRequest, ExplainRequest, Settings, SimilarityRequest
from api.similarity import alike

router = APIRouter(prefix="/api", tags=["pictures"])
WRONG = (400, 404, 406, 415, 422, 429, 503, 504)
ANY = (JSON, PNG, NPY)
REQUESTS = (ExplainRequest, ClassRequest, CompareRequest, SimilarityRequest, DetectRequest)


def _about(asked: type, *offers: str) -> dict[str, Any]:
    """What a route's OpenAPI entry says: the two kinds of body, the kinds of answer, and what can go wrong."""
    stem = asked.__name__.removesuffix("Request")
    bodies = {
        # The page offers the first: there a file can be picked.
        "multipart/form-data": {"schema": {"$ref": f"#/components/schemas/{stem}Form"}},
        JSON: {"schema": {"$ref": f"#/components/schemas/{stem}Request"}},
    }
    words = {
        PNG: {"schema": {"type": "string", "format": "binary"}},
        NPY: {"schema": {"type": "string", "format": "binary"}},
    }
    done: dict[str, Any] = {"description": "Done."}
    if offers:
        done = {
            "description": "By `Accept`: everything as JSON, the first map over the picture as PNG (its recipe in it), "
            "or the first map on the picture's own grid as NumPy's float32 (height, width).",
            "content": {kind: words[kind] for kind in offers},
        }
    return {
        "responses": {200: done, **listed(*WRONG)},
        "openapi_extra": {"requestBody": {"required": True, "content": bodies}},
    }


def _explained(asked: Any, settings: Settings, cancel: threading.Event, kind: str) -> Any:
    made = service.explained(asked, settings, cancel, alone=kind != JSON)
    if kind == JSON:
        form = service.classes if isinstance(asked, ClassRequest) else service.whole
        return form(made, asked, settings, cancel)
    found = service.only(made, kind, asked)
    service.watched(made, asked.monitor, settings)
    return found


def _compared(asked: CompareRequest, settings: Settings, cancel: threading.Event, kind: str) -> Any:
    return service.side_by_side(service.compared(asked, settings, cancel), asked, settings, cancel)


def _alike(asked: SimilarityRequest, settings: Settings, cancel: threading.Event, kind: str) -> Any:
    return alike(asked, settings, cancel)


@router.post("/explain", response_model=results.Explained, **_about(ExplainRequest, PNG, NPY))
async def explain(request: Request) -> Response:
    """What a model says of a picture, and where it looked for each of its best answers."""
    return await answered(request, ExplainRequest, results.Explained, _explained, ANY)


@router.post("/explain/class", response_model=results.Classes, **_about(ClassRequest, PNG, NPY))
async def explain_class(request: Request) -> Response:
    """What speaks for classes of your choice: the place of each among all, its map, and what to doubt in that."""
    return await answered(request, ClassRequest, results.Classes, _explained, ANY)


@router.post("/detect", response_model=results.Detected, **_about(DetectRequest, PNG, NPY))
async def detect(request: Request) -> Response:
    """What a detector finds in a picture, and where it looked for each box."""
    return await answered(request, DetectRequest, results.Detected, _explained, ANY)


@router.post("/compare", response_model=results.Comparison, **_about(CompareRequest))
async def compare(request: Request) -> Response:
    """One picture through several models: what each says, how long it takes here, and how far they look alike."""
    return await answered(request, CompareRequest, results.Comparison, _compared)


@router.post("/similarity", response_model=results.Similar, **_about(SimilarityRequest))
async def similarity(request: Request) -> Response:
    """How alike two pictures are to a model, and which regions of each make them so."""
    return await answered(request, SimilarityRequest, results.Similar, _alike)
