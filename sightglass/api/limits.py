"""Limit answer sizes, and cancel abandoned work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.api.problems import ApiProblem
from sightglass.api.schemas import FORMAT_BYTES, MAX_ANSWER_MB, OVERLAY_BYTES, ClassRequest
from sightglass.common.errors import Cancelled, ModelProblem
from sightglass.explain.methods import METHODS, method
from sightglass.explain.methods.method import HEADED
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
    if task in ("detect", "embed"):
        return int(task == "embed")
    if isinstance(request, ClassRequest):
        return len(request.classes)
    return len(request.targets) or min(request.top_k or Options().top_k, len(request.vocabulary or explainer.labels))


def check_size(image: Image, maps: int, request: Request, fewer: str = "") -> None:
    """Raise ApiProblem, 413, if `maps` maps in the formats of the request exceed the limit of an answer.

    `fewer`: how the client asks for fewer maps.
    """
    advice = [fewer] if fewer and maps > 1 else []
    if request.maps == "npy":
        advice.append("ask for maps=png")
    if request.overlay:
        advice.append("leave overlay out")
    bytes_each = FORMAT_BYTES[request.maps] + OVERLAY_BYTES * request.overlay
    _check_bytes(image, maps, bytes_each, advice)


def check_single(image: Image, kind: str) -> None:
    """Raise ApiProblem, 413, if one map exceeds the limit of an answer, sent alone as this media type."""
    _check_bytes(image, 1, OVERLAY_BYTES if kind == "image/png" else FORMAT_BYTES["npy"], [])


def check_compared(image: Image, maps: int, request: CompareRequest) -> None:
    """Raise ApiProblem, 413, if `maps` maps of as many models are more than one answer compares or holds."""
    # Even if no map is sent, they are compared at the size of the picture.
    _check_bytes(image, maps, FORMAT_BYTES["png"], ["compare fewer models"])
    check_size(image, maps, request, "compare fewer models")


def _check_bytes(image: Image, maps: int, bytes_each: int, advice: list[str]) -> None:
    megabytes = maps * bytes_each * image.width * image.height / 1e6
    if megabytes > MAX_ANSWER_MB:
        raise ApiProblem(
            413,
            "size",
            f"{plural(maps, 'map')} of {image.width:,} x {image.height:,} pixels may take {megabytes:,.0f} MB, and an "
            f"answer holds {MAX_ANSWER_MB}: {', '.join(advice) + ' or ' if advice else ''}send a smaller picture.",
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
    if getattr(request, "evidence", None) == "both" and not found.signed:
        raise ModelProblem(f"{found.name} shows no evidence against: leave evidence out, or use GradCAM.")
    for name, families, of in (("head", HEADED, "Attention"), ("masks", ("mask",), "D-RISE and Occlusion")):
        if getattr(request, name) is not None and found.family not in families:
            raise ModelProblem(f"{name} is an option of {of} and would have no effect on {found.name}: leave it out.")
