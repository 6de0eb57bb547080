"""Compare two pictures with the library and convert the result to `results.Similar`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from sightglass.api import service
from sightglass.api.limits import check_size, raise_if_cancelled
from sightglass.common.work.progress import explanation_slot
from sightglass.explain.picture.image import to_png
from sightglass.explain.similarity import ranking, similarity
from sightglass.export import similarity_files
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    import threading

    from sightglass.api.schemas import ApiRules, SimilarityRequest
    from sightglass.common.files import Json
    from sightglass.explain.similarity.similarity import ComparedImage, Similarity


def compare_pictures(request: SimilarityRequest, settings: ApiRules, cancel: threading.Event | None = None) -> Json:
    """Return how similar two pictures are, as `results.Similar`."""

    given = service.engine_options(request)
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
