"""What is refused although each field by itself is fine: maps that would not fit in memory, and options that would do
nothing. And work that nobody waits for any more ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from api.problems import Refused
from api.schemas import MOST_PIXELS, ClassRequest
from common.errors import Cancelled, ModelProblem
from explain.phrases import plural

if TYPE_CHECKING:
    import threading

    from api.schemas import CompareRequest, DetectRequest, ExplainRequest, SimilarityRequest
    from explain.explainer import Explainer
    from explain.picture.image import Image

    Explaining = ExplainRequest | DetectRequest | ClassRequest
    Request = Explaining | CompareRequest | SimilarityRequest


def stopped(cancel: threading.Event | None) -> None:
    """Raise Cancelled where the work was stopped."""
    if cancel is not None and cancel.is_set():
        raise Cancelled


def expected(request: Explaining, explainer: Explainer) -> int:
    """How many maps are made, as far as that is known before the model runs; 0: not at all, as of boxes."""
    task = explainer.model.task
    if task != "classify":
        return int(task == "embed")
    if isinstance(request, ClassRequest):
        return len(request.classes)
    from explain.options import Options

    return len(request.targets) or min(request.top_k or Options().top_k, len(request.vocabulary or explainer.labels))


def each(request: Request) -> int:
    """Pictures that are sent of one map."""
    return int(request.maps != "none") + int(request.overlay)


def room(image: Image, maps: int, pictures: int, fewer: str) -> None:
    """Raise Refused, 413, where so many maps, each sent as so many pictures, are more than an answer holds.

    `fewer`: what can be done about it, besides a smaller picture.
    """
    pixels, count = image.width * image.height, maps * pictures
    if count * pixels > MOST_PIXELS:
        what = plural(count, "map") if pictures < 2 else f"{count} maps and overlays"
        raise Refused(
            413,
            "size",
            f"{what} of {image.width:,} x {image.height:,} pixels: that is too much for one answer, which holds "
            f"{MOST_PIXELS:,} pixels of them: {f'{fewer} or ' if fewer else ''}send a smaller picture.",
        )


def useful(request: Explaining, explainer: Explainer) -> None:
    """Raise ModelProblem for an option that this model, or the method it is asked by, would pass over."""
    from explain.methods import METHODS, method
    from explain.questions import settings

    spec, resident = explainer.model, explainer.resident
    boxes = {name: getattr(request, name, None) for name in ("confidence", "iou", "ratio", "within")}
    idle = [name for name, value in boxes.items() if value not in (None, "picture")]
    if idle and spec.task != "detect":
        raise ModelProblem(f"{spec.id} draws no boxes, so {' and '.join(idle)} would do nothing: leave that out.")
    if "ratio" in idle and getattr(request, "per", None) != "picture":
        raise ModelProblem("ratio is of per=picture and would do nothing here: leave it out, or ask for that.")
    own = spec.method if resident.gradients else "drise"
    asked = request.method or (settings(resident, request.question)["method"] if request.question else own)
    found = METHODS[method(asked).id]
    for name, family, of in (("head", "attention", "Attention"), ("masks", "mask", "D-RISE and Occlusion")):
        if getattr(request, name) is not None and found.family != family:
            raise ModelProblem(f"{name} is of {of} and would do nothing for {found.name}: leave it out.")
