"""Call the engine for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from sightglass import history
from sightglass.api import metrics
from sightglass.api.problems import ApiProblem
from sightglass.api.schemas import CompareRequest, ExplainRequest, ProveRequest, SimilarityRequest
from sightglass.api.work import leave_place
from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json, npy_bytes
from sightglass.common.settings import MIB, settings
from sightglass.common.work.progress import check
from sightglass.explain.comparison.models import compare as compare
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import Image, to_png
from sightglass.explain.picture.received import open_received
from sightglass.explain.rendering.style import Style
from sightglass.explain.similarity import similarity
from sightglass.explain.tasks import task_of
from sightglass.explain.tasks.detect import find_missed
from sightglass.explain.trust.checks import check_maps
from sightglass.explain.trust.diagnosis import describe
from sightglass.models import own
from sightglass.models.catalog import available, catalog, choose_compared, detector, spec
from sightglass.models.spec import ModelSpec
from sightglass.report import result_folder, results, similarity_files
from sightglass.report.embedded_recipe import embed
from sightglass.report.result_folder import zip_files

if TYPE_CHECKING:
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.explanation import Explanation


def local_model(name: str) -> ModelSpec:
    """Return a catalogue model with local weights; raise ApiProblem, 404."""
    try:
        model_spec = spec(name)
    except ModelProblem as error:
        raise ApiProblem(404, "model", str(error)) from error
    if model_spec.id not in catalog():
        raise ApiProblem(404, "model", f"{name} is not in the catalogue: GET /api/models lists the available models.")
    if not available(model_spec):
        detail = f"The weights of {name} are not on this machine, and no request downloads them: choose another model."
        raise ApiProblem(404, "weights", detail)
    return model_spec


def load_explainer(name: str) -> Explainer:
    """Load a model without downloads; raise ApiProblem, 404."""
    model_spec = local_model(name)
    if own.computes_elsewhere(model_spec):
        leave_place()
    from sightglass.explain.explainer import Explainer

    # By its id: a name may also be that of a file in the working folder.
    return Explainer(model_spec.id, device=settings().api_device)


def open_picture(data: bytes, name: str | None) -> Image:
    """Decode the request's picture; raise ImageProblem."""
    return open_received(data, name=name or "picture", max_bytes=int(settings().api_mb * MIB))


def run(name: str, image: Image, request: ExplainRequest | CompareRequest | ProveRequest, options: Json) -> Explanation:
    """Explain a picture with a model and an engine's options; raise Problem, one sentence, or Cancelled."""
    explainer = load_explainer(name)
    check()
    explanation = explainer(image, question=request.question, **options)
    metrics.count_explained(explanation.model, explanation.recipe.method)
    return explanation


def explain(request: ExplainRequest) -> Explanation:
    """Explain the picture of a request; raise Problem, one sentence."""
    options = request.engine_options()
    style_of(request)  # raises before any work
    image = open_picture(request.image, request.name)
    # The first detector that is here takes a while to find.
    name = request.model or {"": settings().api_model, "segment": "demo-seg"}.get(request.verb) or detector()
    task = task_of(local_model(name))
    if request.verb not in ("", task.verb):
        raise ModelProblem(f"{name} {task.gives}: ask /api/explain, or name another model.")
    boxes = {option: getattr(request, option, None) for option in ("confidence", "iou", "ratio", "within")}
    task.check_box_options(name, *(option for option in boxes if boxes[option] not in (None, "picture")), them="that")
    return run(name, image, request, options)


def answer_explanation(request: ExplainRequest, kind: str) -> BaseModel | bytes:
    """Return a request's answer as `json`, `png`, `npy` or `zip`; raise Problem, and ApiProblem without a map."""
    if kind in ("png", "npy") and request.checks:
        raise ModelProblem("A map alone carries no checks: leave checks out, or ask for format=json.")
    explanation, style = explain(request), style_of(request)
    missing: list[str] | None = None
    if kind in ("png", "npy"):
        check_mapped(explanation)
    elif request.checks:
        # The headline and the limitations follow from the checks.
        check_maps(explanation)
    saved = history.save_as_set(explanation)
    if kind == "png":
        return overlay_png(explanation, style)
    if kind == "npy":
        return npy_bytes(explanation.heatmaps[0].values)
    if request.verb == "detect":
        # For single detections a number means a box.
        kinds = str if explanation.options.per == "detection" else int | str
        missed = find_missed(explanation, [name for name in request.targets if isinstance(name, kinds)])
        missing = [plain_text(candidate.words) for candidate in missed]
    answer = results.Explained.build(explanation, style, saved=saved, missing=missing)
    if kind == "json":
        return answer
    files = result_folder.result_files(explanation, style, everything=True)
    return zip_files(result_folder.with_summary(files, answer.to_dict()))


def style_of(request: ExplainRequest | CompareRequest) -> Style:
    """Return the style of a request's pictures; raise Problem for an unknown colormap."""
    return Style.parse(request.colormap, request.alpha, request.mode)


def compare_models(request: CompareRequest, kind: str) -> BaseModel | bytes:
    """Return the models' predictions and how far their maps agree, as `json` or `zip`."""
    style = style_of(request)  # raises before any work
    ids, names = choose_compared([local_model(name).id for name in request.models or (settings().api_model,)])
    if request.confidence is not None and not any(task_of(local_model(name)).explains("detection") for name in ids):
        raise ModelProblem("None of these models draws boxes, so confidence would have no effect: leave it out.")
    image = open_picture(request.image, request.name)
    aligned = not (request.targets or request.each_own)
    options = request.engine_options()
    comparison = compare(ids, names, lambda name: run(name, image, request, options), aligned=aligned)
    for explanation in comparison.explanations if request.checks else ():
        check_maps(explanation, 1)
    saved = [history.save_as_set(explanation) for explanation in comparison.explanations]
    if kind == "zip":
        return zip_files(result_folder.comparison_files(comparison, style))
    return results.ComparisonResult.build(comparison, saved)


def overlay_png(explanation: Explanation, style: Style) -> bytes:
    """Return the first map's overlay as a PNG with its recipe."""
    return embed(to_png(explanation.overlay(0, **style.overlay)), explanation, 0, style.overlay, picture=False)


def check_mapped(explanation: Explanation) -> None:
    """Raise ApiProblem for an explanation without a usable map."""
    if not explanation.heatmaps or explanation.heatmaps[0].state == "not a number":
        described = describe(explanation, "bright")
        raise ApiProblem(422, "map", plain_text(described.place or described.headline))


def compare_pictures(request: SimilarityRequest, kind: str) -> BaseModel | bytes:
    """Return how similar two pictures are, as `json` or `zip`."""
    query = open_picture(request.image, request.name)
    gallery = open_picture(request.other, request.other_name)
    explainer = load_explainer(request.model or settings().api_model)
    pair = similarity.similarity(explainer, query, gallery, **request.engine_options())
    if kind == "zip":
        return zip_files(similarity_files.pair_files(pair))
    return results.SimilarityResult.build(pair)


def prove_map(request: ProveRequest, kind: str) -> BaseModel | bytes:
    """Return a map's proof curves and controls, as `json` or `zip`. Raises Cancelled."""
    image, name = open_picture(request.image, request.name), request.model or settings().api_model
    task = task_of(local_model(name))
    if request.confidence is not None:
        task.check_box_options(name, "confidence")
    explanation = run(name, image, request, request.engine_options() | {"top_k": 1} | task.decoder.options_of())
    proof = explanation.prove(steps=request.steps, fillings=request.fillings or ("blur", "mean"))
    if kind == "zip":
        return zip_files(result_folder.proof_files(explanation, 0, proof))
    return results.ProofResult.build(explanation, 0, proof)
