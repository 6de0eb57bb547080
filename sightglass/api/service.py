"""Call the engine for a request."""

from __future__ import annotations

import base64
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sightglass import history
from sightglass.api import metrics
from sightglass.api.problems import ApiProblem
from sightglass.api.schemas import (
    FORMAT_BYTES,
    MAX_ANSWER_MB,
    OVERLAY_BYTES,
    ApiRules,
    ClassRequest,
    CompareRequest,
    DetectRequest,
    ExplainRequest,
    ProveRequest,
    SimilarityRequest,
)
from sightglass.common.errors import ImageProblem, ModelProblem, Problem, TooLarge
from sightglass.common.files import Json, npy_bytes
from sightglass.common.work.progress import check, explanation_slot
from sightglass.explain.comparison.detections import find_missed, same_target
from sightglass.explain.comparison.models import Comparison, measure
from sightglass.explain.methods import METHODS, method
from sightglass.explain.methods.method import HEADED
from sightglass.explain.options import Options
from sightglass.explain.phrases import plain_text, plural
from sightglass.explain.picture.decode import DECODING, kind_of, strips
from sightglass.explain.picture.image import Image, join_pictures, to_png
from sightglass.explain.picture.planes import KINDS
from sightglass.explain.questions import settings
from sightglass.explain.rendering.style import Style
from sightglass.explain.similarity import ranking, similarity
from sightglass.explain.tasks import task_of
from sightglass.explain.trust.checks import check_maps
from sightglass.explain.trust.diagnosis import headline
from sightglass.explain.trust.proof import without_hidden
from sightglass.export import embedded_recipe, result_folder, results, similarity_files
from sightglass.export.embedded_recipe import checked_recipe
from sightglass.export.proof import files as proof_files
from sightglass.export.results import (
    ChecksResult,
    ClassAnswer,
    ClassesAnswer,
    ComparisonAnswer,
    DetectionAnswer,
    ExplanationAnswer,
    MapAnswer,
    ProofAnswer,
    SideAnswer,
    SimilarityAnswer,
    checks_result,
)
from sightglass.models.catalog import available, catalog, choose_compared, detector, spec
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.questions import Question
    from sightglass.explain.similarity.similarity import ComparedImage
    from sightglass.models.spec import ModelSpec

Explaining = ExplainRequest | DetectRequest | ClassRequest
Request = Explaining | CompareRequest | SimilarityRequest


def expected_maps(request: Explaining, explainer: Explainer) -> int:
    """Return the expected number of maps; 0 for detectors."""
    options, labels = request.engine_options(), request.vocabulary or explainer.labels
    answers = min(getattr(request, "top_k", None) or Options().top_k, len(labels))
    return task_of(explainer.model).expect_maps(len(options.get("targets", ())), answers)


def check_size(image: Image, maps: int, request: Request, fewer: str = "") -> None:
    """Raise ApiProblem, 413, for an answer above the size limit.

    `fewer`: how the client asks for fewer maps.
    """
    advice = [fewer] if fewer and maps > 1 else []
    if request.maps == "npy":
        advice.append("ask for maps=png")
    if request.overlay:
        advice.append("leave overlay out")
    bytes_each = FORMAT_BYTES[request.maps] + OVERLAY_BYTES * request.overlay
    _check_bytes(image, maps, bytes_each, advice)


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
    """Raise ModelProblem for an option without effect on this method."""
    spec, resident = explainer.model, explainer.resident
    boxes = {name: getattr(request, name, None) for name in ("confidence", "iou", "ratio", "within")}
    idle = [name for name, value in boxes.items() if value not in (None, "picture")]
    task_of(spec).check_idle(spec.id, *idle, them="that")
    if "ratio" in idle and getattr(request, "per", None) != "picture":
        raise ModelProblem("ratio needs per=picture and would have no effect here: leave it out, or set that.")
    default = spec.method if resident.gradients else "drise"
    chosen = request.method or (settings(resident, request.question)["method"] if request.question else default)
    entry = METHODS[method(chosen).id]
    if getattr(request, "evidence", None) == "both" and not entry.signed:
        raise ModelProblem(f"{entry.name} shows no evidence against: leave evidence out, or use GradCAM.")
    for name, families, of in (("head", HEADED, "Attention"), ("masks", ("mask",), "D-RISE and Occlusion")):
        if getattr(request, name) is not None and entry.family not in families:
            raise ModelProblem(f"{name} is an option of {of} and would have no effect on {entry.name}: leave it out.")


LOGGER = logging.getLogger(__name__)
DEFAULTS = {"segment": "demo-seg"}
"""The models of routes for requests that name none."""
OTHER_MODELS = {
    "detect": "draws no boxes: ask /api/explain, or name a detector.",
    "segment": "gives no class to a pixel: ask /api/explain, or name a segmentation network.",
}
"""What a model that is named for another route cannot do."""
FEWER, FEWER_MODELS = "ask for fewer maps (top_k, targets, classes)", "compare fewer models"


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


def load_explainer(name: str, settings: ApiRules) -> Explainer:
    """Load a model without downloads; raise ApiProblem, 404."""
    model_spec = local_model(name)
    from sightglass.explain.explainer import Explainer

    # By its id: a name may also be that of a file in the working folder.
    return Explainer(model_spec.id, device=settings.device)


def open_picture(data: bytes, name: str | None, settings: ApiRules) -> Image:
    """Decode the request's picture; raise ApiProblem: 413, 415 or 422."""
    if len(data) > settings.max_bytes:
        words = f"The picture has {len(data):,} bytes and the limit is {settings.max_size}: send a smaller one."
        raise ApiProblem(413, "size", words)
    try:
        return Image.open(data, name=name or "picture", max_bytes=settings.max_bytes)
    except TooLarge as error:
        raise ApiProblem(413, "size", str(error)) from error
    except ImageProblem as error:
        words = str(error)
    if data and not data.startswith(KINDS):
        try:
            kind_of(data, "picture")
        except ImageProblem:
            raise ApiProblem(415, "image", words) from None
    raise ApiProblem(422, "image", words)


def explain(request: Explaining, settings: ApiRules, kind: str = "json") -> Explanation:
    """Explain the picture of a request. `kind`: the format of the answer.

    Raises Problem, one sentence; ApiProblem, 413, if its maps would exceed the limit of an answer.
    """
    single = kind in ("png", "npy")
    with weights.no_downloads():
        options = request.engine_options()
        style_of(request)  # raises before any work
        if single and request.seal:
            raise ModelProblem("A map alone carries no seal: leave seal out, or ask for format=json.")
        image = open_picture(request.image, request.name, settings)
        # The first detector that is here takes a while to find.
        name = request.model or (detector() if request.verb == "detect" else DEFAULTS.get(request.verb, settings.model))
        if request.verb not in ("", task_of(local_model(name)).verb):
            raise ModelProblem(f"{name} {OTHER_MODELS[request.verb]}")
        explainer = load_explainer(name, settings)
        check_options(request, explainer)
        if isinstance(request, ExplainRequest) and request.other is not None:
            if not explainer.resident.adapter.inputs:
                raise ModelProblem(f"{name} takes one picture: leave other out.")
            image = join_pictures(image, open_picture(request.other, request.other_name, settings))
        if single:
            _check_bytes(image, 1, OVERLAY_BYTES if kind == "png" else FORMAT_BYTES["npy"], [])
        else:
            check_size(image, expected_maps(request, explainer), request, FEWER)
        explanation = explain_picture(explainer, image, request.question, options)
    if not single:
        check_size(image, len(explanation.heatmaps), request, FEWER)
    count(explanation)
    return explanation


def explain_picture(
    explainer: Explainer, image: Image, question: Question | None, options: dict[str, Any]
) -> Explanation:
    """Explain a picture, within the limit shared with the dashboard's sessions."""
    chosen = explainer.options(options, question).method or explainer.model.method
    with explanation_slot() if method(chosen).quick else nullcontext():
        return explainer(image, question=question, **options)


def make_checks(
    explanation: Explanation, request: Explaining | CompareRequest, most: int | None = None
) -> list[ChecksResult | None] | None:
    """Return the checks of the first `most` maps, else None."""
    if not request.seal:
        return None
    checks = [checks_result(seal) for seal in check_maps(explanation, most)]
    return checks + [None] * (len(explanation.heatmaps) - len(checks))


def compare(request: CompareRequest, settings: ApiRules) -> Comparison:
    """Explain one picture with several models, as `sightglass compare` does."""
    with weights.no_downloads():
        options = request.engine_options()
        style_of(request)  # raises before any work
        for name in request.models:
            local_model(name)
        ids, names = choose_compared(request.models or (settings.model,))
        if request.confidence is not None and not any(task_of(local_model(name)).has_boxes for name in ids):
            raise ModelProblem("None of these models draws boxes, so confidence would have no effect: leave it out.")
        image = open_picture(request.image, request.name, settings)
        # Even if no map is sent, they are compared at the size of the picture.
        _check_bytes(image, len(ids), FORMAT_BYTES["png"], [FEWER_MODELS])
        check_size(image, len(ids), request, FEWER_MODELS)
        answers, timings = [], []
        for name in ids:
            check()
            explainer = load_explainer(name, settings)
            answers.append(explain_picture(explainer, image, request.question, options))
            timings.append(measure(answers[-1].evidence))
            count(answers[-1])
        explanations = tuple(answers) if request.targets or request.each_own else same_target(answers)
        return Comparison(explanations, names, tuple(timings))


def style_of(request: Explaining | CompareRequest) -> Style:
    return Style.parse(request.colormap, request.alpha, even=True)


def explanation_answer(explanation: Explanation, request: ExplainRequest, settings: ApiRules) -> ExplanationAnswer:
    """Return everything about an explanation."""
    return ExplanationAnswer(**_fields(explanation, request, settings))


def _fields(explanation: Explanation, request: ExplainRequest | DetectRequest, settings: ApiRules) -> Json:
    style = style_of(request)
    # The headline and the limitations follow from them.
    seals = make_checks(explanation, request)
    classes = explanation.segmentation
    return results.explained_fields(explanation, style) | {
        "heatmaps": [map_answer(explanation, i, request, style) for i in range(len(explanation.heatmaps))],
        "segmentation": None if classes is None else base64_text(result_folder.classes_png(classes)),
        "seals": seals,
        "saved": save_unsure(explanation, request.save_below, settings),
    }


def detection_answer(explanation: Explanation, request: DetectRequest, settings: ApiRules) -> DetectionAnswer:
    """Return the answer, with the requested classes that are missing."""
    # For single detections a number means a box.
    single = explanation.options.per == "detection"
    classes = [item for item in request.targets if isinstance(item, str) or (isinstance(item, int) and not single)]
    missing = [plain_text(candidate.words) for candidate in find_missed(explanation, classes)]
    return DetectionAnswer(**_fields(explanation, request, settings), missing=missing)


def class_answer(explanation: Explanation, request: ClassRequest, settings: ApiRules) -> ClassesAnswer:
    """Return the evidence for each class."""
    style = style_of(request)
    seals = make_checks(explanation, request) or [None] * len(explanation.heatmaps)
    classes = [
        ClassAnswer(
            **results.class_fields(explanation, i)
            | {"heatmap": map_answer(explanation, i, request, style), "seal": seal}
        )
        for i, seal in enumerate(seals)
    ]
    image = explanation.image
    return ClassesAnswer(
        picture=image.name,
        width=image.width,
        height=image.height,
        classes=classes,
        recipe=checked_recipe(explanation),
        milliseconds=explanation.milliseconds,
        notes=explanation.notes,
        saved=save_unsure(explanation, request.save_below, settings),
    )


def comparison_answer(comparison: Comparison, request: CompareRequest, settings: ApiRules) -> ComparisonAnswer:
    """Return the models' predictions and how far their maps agree."""
    seals = [make_checks(explanation, request, 1) for explanation in comparison.explanations]
    style, fields = style_of(request), results.comparison_fields(comparison)
    for model, explanation, sealed in zip(fields["models"], comparison.explanations, seals, strict=True):
        model["seals"] = sealed
        model["heatmaps"] = [
            map_answer(explanation, i, request, style, pixels=i == 0) for i in range(len(explanation.heatmaps))
        ]
        model["saved"] = save_unsure(explanation, request.save_below, settings)
    return ComparisonAnswer(**fields)


def map_answer(
    explanation: Explanation,
    index: int,
    request: Explaining | CompareRequest,
    style: Style,
    *,
    pixels: bool = True,
) -> MapAnswer:
    """Return one map; raise Cancelled."""
    check()
    fields = results.map_fields(explanation, index)
    if pixels:
        signed: bool = fields["signed"]
        with reserve_pixels(explanation.image):
            single = _single_map(explanation, index)
            if request.maps != "none":
                fields |= encode(single.heatmaps[0].values, request.maps, signed=signed)
            check()
            if request.overlay:
                fields["overlay"] = base64_text(overlay_png(explanation, index, style, single))
    return MapAnswer(**fields)


def reserve_pixels(image: Image) -> AbstractContextManager[None]:
    """Return a context for drawing large maps one at a time."""
    return DECODING.take(image.width * image.height)


def encode(values: NDArray[np.float32], maps: str, *, signed: bool = False) -> dict[str, str]:
    """Return a map as `png` or `npy` in base64; nothing for `none`."""
    if maps == "none":
        return {}
    if maps == "npy":
        return {"npy": base64_text(npy(values))}
    return {"png": base64_text(grey_png((values + np.float32(1)) / np.float32(2) if signed else values))}


def grey_png(values: NDArray[np.float32]) -> bytes:
    """Return float32 (H, W) in 0..1 as an 8-bit grey PNG."""
    levels = np.empty(values.shape, np.uint8)
    for rows in strips(*values.shape):
        levels[rows] = np.rint(np.clip(values[rows], 0, 1) * 255)
    # Pillow takes eight times as long for a file that is hardly smaller.
    done, data = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    return bytes(data)


def npy(values: NDArray[np.float32]) -> bytes:
    return npy_bytes(np.ascontiguousarray(values, dtype=np.float32))


def _single_map(explanation: Explanation, index: int) -> Explanation:
    """Return a copy with one map and its own cache."""
    return replace(explanation, heatmaps=(replace(explanation.heatmaps[index]),), proofs={})


def overlay_png(explanation: Explanation, index: int, style: Style, single: Explanation | None = None) -> bytes:
    """Return one map's overlay as a PNG with its recipe."""
    drawn = (single or _single_map(explanation, index)).overlay(0, colormap=style.colormap, alpha=style.alpha)
    view = embedded_recipe.view_of(explanation, index, colormap=style.colormap, alpha=style.alpha)
    return embedded_recipe.write(to_png(drawn), checked_recipe(explanation), view)


def first_map(explanation: Explanation, kind: str, request: Explaining) -> bytes:
    """Return the first map as `png` or `npy`; raise ApiProblem without one."""
    if not explanation.heatmaps:
        raise ApiProblem(422, "map", plain_text(headline(explanation, "bright")))
    with reserve_pixels(explanation.image):
        if kind == "png":
            return overlay_png(explanation, 0, style_of(request))
        return npy(_single_map(explanation, 0).heatmaps[0].values)


def folder_files(explanation: Explanation, request: Explaining) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a picture's result folder."""
    style = style_of(request)
    if isinstance(request, ClassRequest):
        for i in range(len(explanation.heatmaps)):
            yield from result_folder.of_class(explanation, i, result_folder.class_analysis(explanation, i), style)
        return
    boxes = isinstance(request, DetectRequest)
    files = (
        result_folder.of_boxes(explanation, style, everything=True)
        if boxes
        else chain(result_folder.of_segmentation(explanation), result_folder.of_picture(explanation, style, npy=True))
    )
    yield from result_folder.with_summary(files, result_folder.summary(explanation, style))


def save_unsure(explanation: Explanation, requested: float | None, settings: ApiRules) -> str | None:
    """Save an unsure explanation in the history; return its id or None."""
    below = settings.save_below if requested is None else requested
    if not below:
        return None
    try:
        record = history.save_unsure(explanation, below)
    except Problem as problem:
        LOGGER.warning("an unsure answer could not be saved: %s", problem)
        return None
    return None if record is None else record.id


def base64_text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def count(explanation: Explanation) -> None:
    """Count an explanation in the metrics."""
    metrics.count_explained(explanation.model, explanation.recipe.method)


def compare_pictures(request: SimilarityRequest, settings: ApiRules) -> SimilarityAnswer:
    """Return how similar two pictures are."""
    options = request.engine_options()
    with weights.no_downloads():
        query = open_picture(request.image, request.name, settings)
        gallery = open_picture(request.other, request.other_name, settings)
        check_size(max(query, gallery, key=lambda image: image.pixels.size), 2, request)
        explainer = load_explainer(request.model or settings.model, settings)
        with explanation_slot():
            pair = similarity.similarity(explainer, query, gallery, of=request.of, **options)
        check()
        context = ranking.context(explainer, query, pair.preprocessing, other=gallery) if request.context else None
    sides = [_side(side, request) for side in pair.sides]
    return SimilarityAnswer(**similarity_files.fields(pair, context), sides=sides)


def _side(side: ComparedImage, request: SimilarityRequest) -> SideAnswer:
    check()
    with reserve_pixels(side.image):
        drawn = base64_text(to_png(similarity_files.overlay(side))) if request.overlay else None
        check()
        values = side.geometry.to_original(side.padded) if request.maps != "none" else side.padded
        pixels = encode(values, request.maps, signed=True)
    alike, apart = side.statistics
    return SideAnswer(**pixels, overlay=drawn, seen=side.seen, alike=alike, apart=apart)


def prove_map(request: ProveRequest, settings: ApiRules) -> ProofAnswer:
    """Return a map's proof curves and controls. Raises Cancelled."""
    with weights.no_downloads():
        options = request.engine_options()
        image = open_picture(request.image, request.name, settings)
        explainer = load_explainer(request.model or settings.model, settings)
        task = task_of(explainer.model)
        if request.confidence is not None:
            task.check_idle(explainer.model.id, "confidence")
        check()
        explanation = explainer(image, question=request.question, **options | task.single())
        proof = explanation.prove(steps=request.steps, fillings=request.fillings or ("blur", "mean"))
    count(explanation)
    fields = proof_files.fields(explanation, 0, proof)
    if not request.all_measures:
        fields = without_hidden(fields)
    return ProofAnswer(**fields, notes=explanation.notes)
