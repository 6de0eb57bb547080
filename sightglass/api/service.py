"""Call the engine for a request."""

from __future__ import annotations

import base64
import logging
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass import history
from sightglass.api import metrics, schemas
from sightglass.api.problems import ApiProblem
from sightglass.api.schemas import CompareRequest, DetectRequest, ExplainRequest, ProveRequest, SimilarityRequest
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import Json, npy_bytes
from sightglass.common.settings import MIB, settings
from sightglass.common.work.progress import check
from sightglass.explain.comparison.detections import find_missed, same_target
from sightglass.explain.comparison.models import Comparison, measure
from sightglass.explain.phrases import plain_text, plural
from sightglass.explain.picture.image import Image, to_png
from sightglass.explain.rendering.style import Style
from sightglass.explain.similarity import ranking, similarity
from sightglass.explain.tasks import task_of
from sightglass.explain.trust.checks import check_maps
from sightglass.explain.trust.diagnosis import headline
from sightglass.models.catalog import available, catalog, choose_compared, detector, spec
from sightglass.report import proof_files, result_folder, results, similarity_files
from sightglass.report.embedded_recipe import embed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from pydantic import BaseModel

    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.similarity.similarity import ComparedImage
    from sightglass.explain.trust.checks import Checks
    from sightglass.models.spec import ModelSpec

Explaining = ExplainRequest | DetectRequest
Request = Explaining | CompareRequest | SimilarityRequest
LOGGER = logging.getLogger(__name__)


def check_size(image: Image, maps: int, bytes_each: int) -> None:
    """Raise ApiProblem, 413, for maps of a picture above the size limit, with so many bytes a pixel."""
    megabytes = maps * bytes_each * image.width * image.height / 1e6
    if megabytes > schemas.MAX_ANSWER_MB:
        words = f"{plural(maps, 'map')} of {image.width:,} x {image.height:,} pixels may take {megabytes:,.0f} MB, and"
        words += (
            f" an answer holds {schemas.MAX_ANSWER_MB}: ask for fewer maps or models, for maps=png without overlay, or "
        )
        raise ApiProblem(413, "size", f"{words}send a smaller picture.")


def _bytes_each(request: Request) -> int:
    """Return the bytes of a pixel of a map and its overlay."""
    return schemas.FORMAT_BYTES[request.maps] + schemas.OVERLAY_BYTES * request.overlay


def local_model(name: str) -> ModelSpec:
    """Return a catalogue model with local weights; raise ApiProblem, 404."""
    try:
        model_spec = spec(name)
    except ModelProblem as error:
        raise ApiProblem(404, "model", str(error)) from error
    if model_spec.id not in catalog():
        raise ApiProblem(404, "model", f"{name} is not in the catalogue: GET /api/models lists the available models.")
    if not available(model_spec):
        words = f"The weights of {name} are not on this machine, and no request downloads them: choose another model."
        raise ApiProblem(404, "weights", words)
    return model_spec


def load_explainer(name: str) -> Explainer:
    """Load a model without downloads; raise ApiProblem, 404."""
    model_spec = local_model(name)
    from sightglass.explain.explainer import Explainer

    # By its id: a name may also be that of a file in the working folder.
    return Explainer(model_spec.id, device=settings().api_device)


def open_picture(data: bytes, name: str | None) -> Image:
    """Decode the request's picture; raise ImageProblem."""
    return Image.open(data, name=name or "picture", max_bytes=int(settings().api_mb * MIB))


def run(name: str, image: Image, request: Explaining | CompareRequest | ProveRequest, options: Json) -> Explanation:
    """Explain a picture with a model and an engine's options; raise Problem, one sentence, or Cancelled."""
    explainer = load_explainer(name)
    check()
    explanation = explainer(image, question=request.question, **options)
    metrics.count_explained(explanation.model, explanation.recipe.method)
    return explanation


def explain(request: Explaining) -> Explanation:
    """Explain the picture of a request; raise Problem, one sentence."""
    options = request.engine_options()
    style_of(request)  # raises before any work
    image = open_picture(request.image, request.name)
    # The first detector that is here takes a while to find.
    defaults = {"": settings().api_model, "segment": "demo-seg"}
    name = request.model or defaults.get(request.verb) or detector()
    task = task_of(local_model(name))
    if request.verb not in ("", task.verb):
        raise ModelProblem(f"{name} {task.gives}: ask /api/explain, or name another model.")
    boxes = {option: getattr(request, option, None) for option in ("confidence", "iou", "ratio", "within")}
    task.check_idle(name, *(option for option in boxes if boxes[option] not in (None, "picture")), them="that")
    return run(name, image, request, options)


def answer_explanation(request: Explaining, kind: str) -> BaseModel | bytes:
    """Return a request's answer as `json`, `png`, `npy` or `zip`; raise Problem."""
    if kind in ("png", "npy") and request.seal:
        raise ModelProblem("A map alone carries no seal: leave seal out, or ask for format=json.")
    explanation = explain(request)
    if kind == "json":
        check_size(explanation.image, len(explanation.heatmaps), _bytes_each(request))
        return _explained_answer(explanation, request)
    if kind == "zip":
        content = result_folder.zip_files(folder_files(explanation, request))
    else:
        check_size(explanation.image, 1, schemas.FORMAT_BYTES["npy"] if kind == "npy" else schemas.OVERLAY_BYTES)
        content = first_map(explanation, kind, request)
    save_unsure(explanation)
    return content


def make_checks(
    explanation: Explanation, request: Explaining | CompareRequest, most: int | None = None
) -> list[Checks | None] | None:
    """Return the checks of the first `most` maps, else None."""
    if not request.seal:
        return None
    checks = check_maps(explanation, most)
    return [*checks, *[None] * (len(explanation.heatmaps) - len(checks))]


def _compare(request: CompareRequest) -> Comparison:
    """Explain one picture with several models, as `sightglass compare` does."""
    style_of(request)  # raises before any work
    for name in request.models:
        local_model(name)
    ids, names = choose_compared(request.models or (settings().api_model,))
    if request.confidence is not None and not any(task_of(local_model(name)).has_boxes for name in ids):
        raise ModelProblem("None of these models draws boxes, so confidence would have no effect: leave it out.")
    image = open_picture(request.image, request.name)
    # Even if no map is sent, they are compared at the size of the picture.
    check_size(image, len(ids), max(1, _bytes_each(request)))
    explanations, timings = [], []
    for name in ids:
        explanations.append(run(name, image, request, request.engine_options()))
        timings.append(measure(explanations[-1].evidence))
    same = tuple(explanations) if request.targets or request.each_own else same_target(explanations)
    return Comparison(same, names, tuple(timings))


def style_of(request: Explaining | CompareRequest) -> Style:
    return Style.parse(request.colormap, request.alpha)


def _explained_answer(explanation: Explanation, request: ExplainRequest | DetectRequest) -> results.ExplanationAnswer:
    # The headline and the limitations follow from them.
    seals = make_checks(explanation, request)
    classes = explanation.segmentation
    fields = results.explained_fields(explanation, style_of(request)) | {
        "heatmaps": [map_answer(explanation, i, request) for i in range(len(explanation.heatmaps))],
        "segmentation": None if classes is None else base64_text(result_folder.classes_png(classes)),
        "seals": seals,
        "saved": save_unsure(explanation),
    }
    if not isinstance(request, DetectRequest):
        return results.ExplanationAnswer(**fields)
    # For single detections a number means a box.
    single = explanation.options.per == "detection"
    names = [name for name in request.targets if isinstance(name, str if single else int | str)]
    return results.DetectionAnswer(
        **fields, missing=[plain_text(candidate.words) for candidate in find_missed(explanation, names)]
    )


def compare_models(request: CompareRequest, _: str = "json") -> results.ComparisonAnswer:
    """Return the models' predictions and how far their maps agree."""
    comparison = _compare(request)
    seals = [make_checks(explanation, request, 1) for explanation in comparison.explanations]
    fields = results.comparison_fields(comparison)
    for model, explanation, sealed in zip(fields["models"], comparison.explanations, seals, strict=True):
        model["seals"] = sealed
        model["heatmaps"] = [
            map_answer(explanation, i, request, pixels=i == 0) for i in range(len(explanation.heatmaps))
        ]
        model["saved"] = save_unsure(explanation)
    return results.ComparisonAnswer(**fields)


def map_answer(
    explanation: Explanation, index: int, request: Explaining | CompareRequest, *, pixels: bool = True
) -> results.MapAnswer:
    """Return one map; raise Cancelled."""
    check()
    fields = results.map_fields(explanation, index)
    if pixels:
        single = _single_map(explanation, index)
        if request.maps != "none":
            fields |= encode(single.heatmaps[0].values, request.maps, signed=fields["signed"])
        check()
        if request.overlay:
            fields["overlay"] = base64_text(overlay_png(explanation, index, style_of(request), single))
    return results.MapAnswer(**fields)


def encode(values: NDArray[np.float32], maps: str, *, signed: bool = False) -> dict[str, str]:
    """Return a map as `png`, 8-bit grey, or `npy`, float32, in base64; nothing for `none`."""
    if maps == "none":
        return {}
    if maps == "npy":
        return {"npy": base64_text(_npy(values))}
    values = (values + np.float32(1)) / np.float32(2) if signed else values
    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    # Pillow takes eight times as long for a file that is hardly smaller.
    done, data = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return {"png": base64_text(bytes(data))}


def _npy(values: NDArray[np.float32]) -> bytes:
    return npy_bytes(np.ascontiguousarray(values, dtype=np.float32))


def _single_map(explanation: Explanation, index: int) -> Explanation:
    """Return a copy with one map and its own cache."""
    return replace(explanation, heatmaps=(replace(explanation.heatmaps[index]),), proofs={})


def overlay_png(explanation: Explanation, index: int, style: Style, single: Explanation | None = None) -> bytes:
    """Return one map's overlay as a PNG with its recipe."""
    drawn = (single or _single_map(explanation, index)).overlay(0, colormap=style.colormap, alpha=style.alpha)
    return embed(to_png(drawn), explanation, index, {"colormap": style.colormap, "alpha": style.alpha}, picture=False)


def first_map(explanation: Explanation, kind: str, request: Explaining) -> bytes:
    """Return the picture under its first map as `png`, or the map as `npy`; raise ApiProblem without one."""
    if not explanation.heatmaps:
        raise ApiProblem(422, "map", plain_text(headline(explanation, "bright")))
    if kind == "png":
        return overlay_png(explanation, 0, style_of(request))
    return _npy(_single_map(explanation, 0).heatmaps[0].values)


def folder_files(explanation: Explanation, request: Explaining) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a picture's result folder."""
    style = style_of(request)
    files = (
        result_folder.of_boxes(explanation, style, everything=True)
        if isinstance(request, DetectRequest)
        else chain(result_folder.of_segmentation(explanation), result_folder.of_picture(explanation, style, npy=True))
    )
    yield from result_folder.with_summary(files, result_folder.summary(explanation, style))


def save_unsure(explanation: Explanation) -> str | None:
    """Save an unsure explanation in the history; return its id or None."""
    if not settings().save_below:
        return None
    try:
        record = history.save_unsure(explanation, settings().save_below)
    except Problem as problem:
        LOGGER.warning("an unsure answer could not be saved: %s", problem)
        return None
    return None if record is None else record.id


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def compare_pictures(request: SimilarityRequest, _: str = "json") -> results.SimilarityAnswer:
    """Return how similar two pictures are."""
    query = open_picture(request.image, request.name)
    gallery = open_picture(request.other, request.other_name)
    check_size(max(query, gallery, key=lambda image: image.pixels.size), 2, _bytes_each(request))
    explainer = load_explainer(request.model or settings().api_model)
    pair = similarity.similarity(explainer, query, gallery, of=request.of, **request.engine_options())
    check()
    context = ranking.context(explainer, query, pair.preprocessing, other=gallery) if request.context else None
    sides = [_side(side, request) for side in pair.sides]
    return results.SimilarityAnswer(**similarity_files.fields(pair, context), sides=sides)


def _side(side: ComparedImage, request: SimilarityRequest) -> results.SideAnswer:
    check()
    drawn = base64_text(to_png(similarity_files.overlay(side))) if request.overlay else None
    check()
    values = side.geometry.to_original(side.padded) if request.maps != "none" else side.padded
    alike, apart = side.statistics
    return results.SideAnswer(
        **encode(values, request.maps, signed=True), overlay=drawn, seen=side.seen, alike=alike, apart=apart
    )


def prove_map(request: ProveRequest, _: str = "json") -> results.ProofAnswer:
    """Return a map's proof curves and controls. Raises Cancelled."""
    image, name = open_picture(request.image, request.name), request.model or settings().api_model
    task = task_of(local_model(name))
    if request.confidence is not None:
        task.check_idle(name, "confidence")
    explanation = run(name, image, request, request.engine_options() | task.single())
    proof = explanation.prove(steps=request.steps, fillings=request.fillings or ("blur", "mean"))
    return results.ProofAnswer(**proof_files.fields(explanation, 0, proof), notes=explanation.notes)
