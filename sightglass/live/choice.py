"""Model, options and method of a live viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.explain.methods import METHODS
from sightglass.explain.methods import method as find_method
from sightglass.explain.options import MAX_WORDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sightglass.explain.explainer import Explainer
    from sightglass.explain.methods.method import Method
    from sightglass.explain.options import Options
    from sightglass.models.spec import ModelSpec

OPTIONS = ("part", "layers", "preprocessing", "confidence", "iou", "vocabulary")
"""What a viewer may set of the engine's options, besides the method."""


@dataclass(frozen=True, eq=False)
class LiveChoice:
    """A model and how it is asked; made by `choose`."""

    explainer: Explainer
    options: Options
    method: Method


def choose(explainer: Explainer, method: str | None, given: Mapping[str, Any]) -> LiveChoice:
    """Return what a viewer looks with; `given` are options by the names in `OPTIONS`.

    Raises ModelProblem for a method that runs the model more than once, and for a model that cannot be followed.
    """
    spec = explainer.model
    if spec.task in ("embed", "regress"):
        raise ModelProblem(f"{spec.id} names nothing in a picture: choose a model that classifies or draws boxes.")
    if not explainer.resident.gradients:
        raise ModelProblem(
            f"{spec.id} exposes no internals, and other methods are too slow here: choose another model."
        )
    if unknown := sorted(set(given) - set(OPTIONS)):
        raise ModelProblem(f"There is no option {unknown[0]} here: use {', '.join(OPTIONS)}.")
    found = find_method(method or quick(spec, None))
    if not found.quick:
        first = METHODS[quick(spec, None)].name
        raise ModelProblem(
            f"{found.name_for(spec.task)} runs the model many times for a map, too slow for a camera: use {first}."
        )
    options = explainer.options({**given, "method": found.id})
    if len(options.vocabulary) > MAX_WORDS:
        raise ModelProblem(
            f"A camera looks for at most {MAX_WORDS} things, not {len(options.vocabulary):,}: give fewer."
        )
    return LiveChoice(explainer, options, found)


def quick(spec: ModelSpec, method: str | None) -> str:
    """Return a method's id if it can follow a camera, else that of the model's own or of GradCAM."""
    return next(name for name in (method, spec.method, "gradcam") if name and METHODS[name].quick)
