"""Explain the same class or box in several models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sightglass.explain.comparison.detections import side
from sightglass.explain.comparison.models import class_names, share_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.explanation import Explanation
    from sightglass.models.adapter import Prediction


def largest(explanations: Sequence[Explanation]) -> Explanation | None:
    """Return the explanation by the model with most parameters among those that predict something."""
    found = [explanation for explanation in explanations if explanation.predictions]
    return max(found, key=lambda explanation: explanation.evidence.resident.parameters, default=None)


def same_target(explanations: Sequence[Explanation], wanted: Prediction | None = None) -> tuple[Explanation, ...]:
    """Return explanations of one prediction: `wanted`, else the first one of the largest model.

    A class is explained in every model that knows its name, a box in every detector as the object at its place. A model
    without that class or object has no map. Where no class is `wanted`, a model that shares none with the largest keeps
    the map of its own first answer. Unchanged where no model predicts anything.
    """
    if wanted is not None:
        return tuple(_of(explanation, wanted) for explanation in explanations)
    first = largest(explanations)
    if first is None:
        return tuple(explanations)
    best = first.predictions[0]
    boxes = best.box is not None
    return tuple(
        _of(one, best) if share_classes(one, first) or (boxes and one.model.task == "detect") else one
        for one in explanations
    )


def _of(explanation: Explanation, wanted: Prediction) -> Explanation:
    if explanation.model.task == "embed":
        return explanation
    if explanation.model.task == "detect" and wanted.box is not None:
        found = side(explanation, wanted)
        return found.explanation if found.prediction is not None else replace(explanation, heatmaps=())
    if wanted.label not in class_names(explanation):
        return replace(explanation, heatmaps=())
    if explanation.heatmaps and explanation.heatmaps[0].target.label == wanted.label:
        return explanation
    if explanation.model.segments and all(one.label != wanted.label for one in explanation.predictions):
        # No pixel has it, so that there is nothing to explain.
        return replace(explanation, heatmaps=())
    return explanation.with_options(targets=(wanted.label,))
