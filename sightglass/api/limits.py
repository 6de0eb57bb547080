"""Limit answer sizes, and cancel abandoned work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.api.problems import ApiProblem
from sightglass.api.schemas import MAX_PIXELS, ClassRequest
from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain.methods import METHODS, method
from sightglass.explain.options import Options
from sightglass.explain.phrases import plural
from sightglass.explain.questions import settings

if TYPE_CHECKING:
    import threading

    from sightglass.api.schemas import CompareRequest, DetectRequest, ExplainRequest, SimilarityRequest
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.picture.image import Image

    Explaining = ExplainRequest | DetectRequest | ClassRequest
    Request = Explaining | CompareRequest | SimilarityRequest


def raise_if_cancelled(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled


def expected_maps(request: Explaining, explainer: Explainer) -> int:
    """Return the number of maps, if it is known before the model runs; 0 for detectors, where it is not."""
    task = explainer.model.task
    if task != "classify":
        return int(task == "embed")
    if isinstance(request, ClassRequest):
        return len(request.classes)
    return len(request.targets) or min(request.top_k or Options().top_k, len(request.vocabulary or explainer.labels))


def pictures_per_map(request: Request) -> int:
    """Return how many pictures an answer contains for each map."""
    return int(request.maps != "none") + int(request.overlay)


def check_size(image: Image, maps: int, pictures: int, advice: str) -> None:
    """Raise ApiProblem, 413, if `maps` maps, each sent as `pictures` pictures, exceed the limit of an answer.

    `advice`: what the client can do, besides sending a smaller picture.
    """
    pixels, count = image.width * image.height, maps * pictures
    if count * pixels > MAX_PIXELS:
        what = plural(count, "map") if pictures < 2 else f"{count} maps and overlays"
        raise ApiProblem(
            413,
            "size",
            f"{what} of {image.width:,} x {image.height:,} pixels: too many for one answer, whose limit is "
            f"{MAX_PIXELS:,} pixels: {f'{advice} or ' if advice else ''}send a smaller picture.",
        )


def check_options(request: Explaining, explainer: Explainer) -> None:
    """Raise ModelProblem for an option that this model or the chosen method would ignore."""
    spec, resident = explainer.model, explainer.resident
    boxes = {name: getattr(request, name, None) for name in ("confidence", "iou", "ratio", "within")}
    idle = [name for name, value in boxes.items() if value not in (None, "picture")]
    if idle and spec.task != "detect":
        raise ModelProblem(f"{spec.id} draws no boxes, so {' and '.join(idle)} would have no effect: leave that out.")
    if "ratio" in idle and getattr(request, "per", None) != "picture":
        raise ModelProblem("ratio needs per=picture and would have no effect here: leave it out, or set that.")
    own = spec.method if resident.gradients else "drise"
    chosen = request.method or (settings(resident, request.question)["method"] if request.question else own)
    found = METHODS[method(chosen).id]
    for name, family, of in (("head", "attention", "Attention"), ("masks", "mask", "D-RISE and Occlusion")):
        if getattr(request, name) is not None and found.family != family:
            raise ModelProblem(f"{name} is an option of {of} and would have no effect on {found.name}: leave it out.")
