"""Call the engine for a request."""

from __future__ import annotations

import base64
import json
import logging
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sightglass import history
from sightglass.api.problems import ApiProblem, finite
from sightglass.api.schemas import FORMAT_BYTES, MAX_ANSWER_MB, OVERLAY_BYTES
from sightglass.api.server import metrics
from sightglass.common.errors import Cancelled, ImageProblem, ModelProblem, Problem, TooLarge
from sightglass.common.files import Json, npy_bytes, to_json
from sightglass.common.work.progress import explanation_slot
from sightglass.explain.comparison.detections import find_missed, same_target
from sightglass.explain.comparison.models import Comparison, measure
from sightglass.explain.faithfulness.checks import check_maps
from sightglass.explain.findings.diagnosis import headline
from sightglass.explain.methods import METHODS, method
from sightglass.explain.methods.method import HEADED
from sightglass.explain.options import Options
from sightglass.explain.phrases import plain_text, plural
from sightglass.explain.picture.decode import DECODING, kind_of, strips
from sightglass.explain.picture.image import Image, join_pictures, to_png
from sightglass.explain.picture.planes import KINDS
from sightglass.explain.questions import settings
from sightglass.explain.rendering.style import Style
from sightglass.explain.tasks import task_of
from sightglass.export import embedded_recipe, result_folder
from sightglass.export.embedded_recipe import checked_recipe
from sightglass.models.catalog import available, catalog, choose_compared, detector, spec
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

    from sightglass.api.schemas import (
        ApiRules,
        ClassRequest,
        CompareRequest,
        DetectRequest,
        ExplainRequest,
        SimilarityRequest,
    )
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation
    from sightglass.explain.questions import Question
    from sightglass.models.spec import ModelSpec

    Explaining = ExplainRequest | DetectRequest | ClassRequest
    Request = Explaining | CompareRequest | SimilarityRequest


def raise_if_cancelled(cancel: threading.Event | None) -> None:
    if cancel is not None and cancel.is_set():
        raise Cancelled


def expected_maps(request: Explaining, explainer: Explainer) -> int:
    """Return the number of maps, if it is known before the model runs; 0 for detectors, where it is not."""
    given, labels = request.engine_options(), request.vocabulary or explainer.labels
    answers = min(getattr(request, "top_k", None) or Options().top_k, len(labels))
    return task_of(explainer.model).expect_maps(len(given.get("targets", ())), answers)


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
    task_of(spec).check_idle(spec.id, *idle, them="that")
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


LOGGER = logging.getLogger(__name__)
FEWER = "ask for fewer maps (top_k, targets, classes)"


def local_model(name: str) -> ModelSpec:
    """Return a model of the catalogue whose weights are on this machine; raise ApiProblem, 404, for any other."""
    try:
        found = spec(name)
    except ModelProblem as error:
        raise ApiProblem(404, "model", str(error)) from error
    if found.id not in catalog():
        raise ApiProblem(404, "model", f"{name} is not in the catalogue: GET /api/models lists the available models.")
    if not available(found):
        words = f"The weights of {name} are not on this machine, and no request downloads them: choose another model."
        raise ApiProblem(404, "weights", words)
    return found


def load_explainer(name: str, settings: ApiRules) -> Explainer:
    """Load a model; raise ApiProblem, 404, if that would need a download."""
    found = local_model(name)
    from sightglass.explain.explainer import Explainer

    # By its id: a name may also be that of a file in the working folder.
    return Explainer(found.id, device=settings.device)


def open_picture(data: bytes, name: str | None, settings: ApiRules) -> Image:
    """Return the picture; raise ApiProblem: 413 too large, 415 no picture, 422 damaged."""
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


def explain(
    request: Explaining, settings: ApiRules, cancel: threading.Event | None = None, *, single: str = ""
) -> Explanation:
    """Explain the picture of a request; `cancel` stops it. `single`: the media type of the one map that is
    sent, and nothing else.

    Raises Problem, one sentence; ApiProblem, 413, if its maps would exceed the limit of an answer.
    """
    with weights.no_downloads():
        given = request.engine_options()
        style_of(request)  # raises before any work
        if single and request.seal:
            raise ModelProblem("A map alone carries no seal: leave seal out, or accept application/json.")
        image = open_picture(request.image, request.name, settings)
        name = request.model or (detector() if request.draws_boxes else settings.model)
        if request.draws_boxes and not task_of(local_model(name)).has_boxes:
            raise ModelProblem(f"{name} draws no boxes: ask /api/explain, or name a detector.")
        explainer = load_explainer(name, settings)
        check_options(request, explainer)
        if (second := request.second) is not None:
            if not explainer.resident.adapter.inputs:
                raise ModelProblem(f"{name} takes one picture: leave other out.")
            image = join_pictures(image, open_picture(*second, settings))
        if single:
            check_single(image, single)
        else:
            check_size(image, expected_maps(request, explainer), request, FEWER)
        made = explain_picture(explainer, image, request.question, given, cancel)
    if not single:
        check_size(image, len(made.heatmaps), request, FEWER)
    count(made)
    return made


def explain_picture(
    explainer: Explainer, image: Image, question: Question | None, given: dict[str, Any], cancel: threading.Event | None
) -> Explanation:
    """Explain a picture, within the limit shared with the dashboard's sessions; raise Cancelled."""
    chosen = explainer.options(given, question).method or explainer.model.method
    with explanation_slot(cancel) if method(chosen).quick else nullcontext():
        return explainer(image, cancel=cancel, question=question, **given)


def make_checks(
    explanation: Explanation,
    request: Explaining | CompareRequest,
    cancel: threading.Event | None,
    most: int | None = None,
) -> list[Json | None] | None:
    """Return the seals of the first maps, `most` of them or all; None for a map without one, and where none is asked.

    Raises Cancelled.
    """
    if not request.seal:
        return None
    made = check_maps(explanation, most, cancel=cancel)
    found = [None if seal is None else finite(seal.summary()) for seal in made]
    return found + [None] * (len(explanation.heatmaps) - len(found))


def compare(request: CompareRequest, settings: ApiRules, cancel: threading.Event | None = None) -> Comparison:
    """Explain one picture with several models, as `sightglass compare` does."""
    with weights.no_downloads():
        given = request.engine_options()
        style_of(request)  # raises before any work
        for name in request.models:
            local_model(name)
        ids, names = choose_compared(request.models or (settings.model,))
        if request.confidence is not None and not any(task_of(local_model(name)).has_boxes for name in ids):
            raise ModelProblem("None of these models draws boxes, so confidence would have no effect: leave it out.")
        image = open_picture(request.image, request.name, settings)
        check_compared(image, len(ids), request)
        made, timings = [], []
        for name in ids:
            raise_if_cancelled(cancel)
            explainer = load_explainer(name, settings)
            made.append(explain_picture(explainer, image, request.question, given, cancel))
            timings.append(measure(made[-1].evidence))
            count(made[-1])
        explanations = tuple(made) if request.targets or request.each_own else same_target(made)
        return Comparison(explanations, names, tuple(timings))


def style_of(request: Explaining | CompareRequest) -> Style:
    return Style.parse(request.colormap, request.alpha, even=True)


def full_answer(
    explanation: Explanation,
    request: ExplainRequest | DetectRequest,
    settings: ApiRules,
    cancel: threading.Event | None = None,
) -> Json:
    """Return everything about an explanation, as `results.Explained` or `results.Detected`."""
    style = style_of(request)
    # The headline and the limitations follow from them.
    seals = make_checks(explanation, request, cancel)
    answer = plain(result_folder.summary(explanation, style))
    every = range(len(explanation.heatmaps))
    answer["heatmaps"] = [map_answer(explanation, i, request, style, cancel) for i in every]
    if explanation.segmentation is not None:
        answer["segmentation"] = base64_text(result_folder.classes_png(explanation.segmentation))
    answer |= {"width": explanation.image.width, "height": explanation.image.height, "seals": seals}
    return answer | {"saved": save_unsure(explanation, request.save_below, settings)}


def box_answer(
    explanation: Explanation, request: DetectRequest, settings: ApiRules, cancel: threading.Event | None = None
) -> Json:
    """Return the same with the classes that were asked for and not found, as `results.Detected`."""
    answer = full_answer(explanation, request, settings, cancel)
    # For single detections a number means a box.
    single = explanation.options.per == "detection"
    wanted = [one for one in request.targets if isinstance(one, str) or (isinstance(one, int) and not single)]
    return answer | {"missing": [plain_text(one.words) for one in find_missed(explanation, wanted)]}


def class_answer(
    explanation: Explanation, request: ClassRequest, settings: ApiRules, cancel: threading.Event | None = None
) -> Json:
    """Return what speaks for each class, as `results.Classes`."""
    style = style_of(request)
    seals = make_checks(explanation, request, cancel) or [None] * len(explanation.heatmaps)
    found = [
        plain(result_folder.class_analysis(explanation, i))
        | {"heatmap": map_answer(explanation, i, request, style, cancel), "seal": seal}
        for i, seal in enumerate(seals)
    ]
    image = explanation.image
    return {
        "picture": image.name,
        "width": image.width,
        "height": image.height,
        "classes": found,
        "recipe": plain(checked_recipe(explanation)),
        "milliseconds": finite(explanation.milliseconds),
        "notes": explanation.notes,
        "saved": save_unsure(explanation, request.save_below, settings),
    }


def comparison_answer(
    comparison: Comparison, request: CompareRequest, settings: ApiRules, cancel: threading.Event | None = None
) -> Json:
    """Return the models' predictions and how far their maps agree, as `results.Comparison`."""
    seals = [make_checks(explanation, request, cancel, 1) for explanation in comparison.explanations]
    style, answer = style_of(request), plain(result_folder.comparison(comparison))
    for model, explanation, sealed in zip(answer["models"], comparison.explanations, seals, strict=True):
        model["seals"] = sealed
        model["heatmaps"] = [
            map_answer(explanation, i, request, style, cancel, pixels=i == 0) for i in range(len(explanation.heatmaps))
        ]
        model["saved"] = save_unsure(explanation, request.save_below, settings)
    return answer


def map_answer(
    explanation: Explanation,
    index: int,
    request: Explaining | CompareRequest,
    style: Style,
    cancel: threading.Event | None = None,
    *,
    pixels: bool = True,
) -> Json:
    """Return one map, as `results.Mapped`; raise Cancelled."""
    raise_if_cancelled(cancel)
    one = explanation.heatmaps[index]
    answer = {
        "label": one.target.label,
        "method": one.method,
        "layers": one.layers,
        "state": one.state,
        "raw": one.raw_range,
        "scale": one.scale,
        "ends": one.ends,
        "signed": one.signed,
        "raising": one.raising,
        "outside": explanation.outside(index),
        "seen": one.seen,
    }
    if pixels:
        with reserve_pixels(explanation.image):
            single = _single_map(explanation, index)
            values = single.heatmaps[0].values
            answer |= encode(values, request.maps, signed=one.signed) if request.maps != "none" else {}
            del values
            raise_if_cancelled(cancel)
            drawn = overlay_png(explanation, index, style, single) if request.overlay else None
            del single
        answer |= {"overlay": base64_text(drawn)} if drawn is not None else {}
    return finite(answer)  # type: ignore[no-any-return]


def reserve_pixels(image: Image) -> AbstractContextManager[None]:
    """Return a context in which a map at the size of a picture is drawn: large ones one after the other."""
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
    """Return a copy with one map: its values at picture size are cached in the copy and freed with it."""
    return replace(explanation, heatmaps=(replace(explanation.heatmaps[index]),), proofs={})


def overlay_png(explanation: Explanation, index: int, style: Style, single: Explanation | None = None) -> bytes:
    """Return the picture under one map as a PNG with its recipe; `single`: a copy with that map, if there is one."""
    drawn = (single or _single_map(explanation, index)).overlay(0, colormap=style.colormap, alpha=style.alpha)
    view = embedded_recipe.view_of(explanation, index, colormap=style.colormap, alpha=style.alpha)
    return embedded_recipe.write(to_png(drawn), checked_recipe(explanation), view)


def first_map(explanation: Explanation, kind: str, request: Explaining) -> bytes:
    """Return the first map: its overlay as `image/png`, or its values. Raises ApiProblem if there is none."""
    if not explanation.heatmaps:
        raise ApiProblem(422, "map", plain_text(headline(explanation, "bright")))
    with reserve_pixels(explanation.image):
        if kind == "image/png":
            return overlay_png(explanation, 0, style_of(request))
        return npy(_single_map(explanation, 0).heatmaps[0].values)


def save_unsure(explanation: Explanation, requested: float | None, settings: ApiRules) -> str | None:
    """Save an explanation whose score is below the limit in the history; return its record's id, else None."""
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


def plain(value: Any) -> Json:
    """Return a value as plain JSON values, with None for numbers that are not finite."""
    made: Json = json.loads(to_json(value))
    return made


def count(explanation: Explanation) -> None:
    """Count an explanation in the metrics."""
    metrics.count_explained(explanation.model, explanation.recipe.method)
