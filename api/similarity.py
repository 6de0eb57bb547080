"""Two pictures: how alike they are to a model, as the library says it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from api import service
from api.limits import each, room, stopped
from models import weights

if TYPE_CHECKING:
    import threading

    from api.schemas import Settings, SimilarityRequest
    from explain.similarity.similarity import Side, Similarity


def alike(request: SimilarityRequest, settings: Settings, cancel: threading.Event | None = None) -> dict[str, Any]:
    """How alike two pictures are, as `results.Similar` has it."""
    from explain.export import similarity_files
    from explain.methods import method
    from explain.similarity.ranking import context
    from explain.similarity.similarity import similarity

    given = {name: getattr(request, name) for name in ("method", "layers", "preprocessing", "vocabulary")}
    given = {name: value for name, value in given.items() if value not in (None, ())}
    if "method" in given:
        given["method"] = method(given["method"]).id
    with weights.kept_in():
        one = service.opened(request.image, request.name, settings)
        other = service.opened(request.other, request.other_name, settings)
        room(
            max(one, other, key=lambda image: image.pixels.size), 2, each(request), "ask for maps=none without overlay,"
        )
        explainer = service.loaded(request.model or settings.model, settings)
        stopped(cancel)
        found: Similarity = similarity(explainer, one, other, of=request.of, **given)
        stopped(cancel)
        held = context(explainer, one, found.preprocessing) if request.context else None
    said = service.plain(similarity_files.summary(found, held))
    return said | {"sides": [_side(side, request, cancel) for side in found.sides]}


def _side(side: Side, request: SimilarityRequest, cancel: threading.Event | None) -> dict[str, Any]:
    from explain.export.similarity_files import overlay
    from explain.picture.image import to_png

    stopped(cancel)
    alike, apart = (service.plain(asdict(numbers)) for numbers in side.statistics)
    drawn = service.text(to_png(overlay(side))) if request.overlay else None
    stopped(cancel)
    values = side.geometry.to_original(side.padded) if request.maps != "none" else side.padded
    shown = service.encoded(values, request.maps, signed=True)
    return shown | {"overlay": drawn, "seen": side.seen, "alike": alike, "apart": apart}
