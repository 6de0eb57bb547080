"""Explain boxes: candidates, the same target in several models."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sightglass.explain import phrases
from sightglass.explain.comparison.models import class_names, share_classes
from sightglass.explain.maps.boxes import find_same
from sightglass.explain.phrases import listing, own_boxes
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.result import Result
    from sightglass.explain.tasks.detect import Missing
    from sightglass.models.adapter import Prediction

KINDS = 3
"""Kinds of objects named in a headline."""


def describe_boxes(explanation: Explanation) -> str:
    """Return `1 bus and 4 people.`, or the strongest candidate."""
    if not explanation.predictions:
        return explanation.task.nothing(explanation)
    return f"{kinds(explanation.predictions)}."


def kinds(predictions: Sequence[Prediction]) -> str:
    """Return `1 bus and 4 people`."""
    # A counter keeps insertion order: the surest kind first, as in the list of boxes.
    return phrases.kinds(Counter(p.label for p in predictions).items(), KINDS)


def find_missed(explanation: Explanation, names: Sequence[int | str]) -> list[Missing]:
    """Return the strongest candidate of each named class without a box."""
    labels = explanation.evidence.resident.adapter.labels
    visible = {p.index for p in explanation.predictions}
    indices = dict.fromkeys(class_index(name, labels) for name in names)
    candidates = (explanation.missing(None, index) for index in indices if index not in visible)
    return [candidate for candidate in candidates if candidate is not None]


def box_sentence(explanation: Result, index: int, name: str) -> str | None:
    """Describe one map's evidence by boxes; None without any."""
    numbers = explanation.box_numbers(index)
    if numbers is None:
        return None
    phrase = own_boxes(explanation.options.per, len(explanation.own(index)))
    return f"Evidence for **{name}**: {listing(numbers.describe(phrase))}."


@dataclass(frozen=True, eq=False)
class TargetMatch:
    """One model's explanation of an object that several models are asked about."""

    explanation: Explanation
    """Its one target is the object, or the candidate for it."""
    prediction: Prediction | None
    """This model's prediction for the object; None where it has no candidate there."""
    missing: Missing | None = None
    """The candidate, where this model does not show the object."""


def match_target(explanation: Explanation, prediction: Prediction) -> TargetMatch:
    """Find a prediction's object in another model's explanation, without a pass."""
    listed = explanation.predictions
    candidate = None if prediction in listed else _find_candidate(explanation, prediction)
    place = listed.index(prediction) if prediction in listed else None if candidate else find_same(prediction, listed)
    if place is not None:
        return TargetMatch(explanation.with_options(per="detection", targets=(place,)), listed[place])
    assert prediction.box is not None
    label = prediction.label if prediction.label in explanation.evidence.resident.adapter.labels else None
    missing = candidate or explanation.missing(prediction.box, label)
    if missing is None:
        return TargetMatch(explanation, None)
    target = (missing.candidate.anchor, missing.candidate.index)
    return TargetMatch(explanation.with_options(per="detection", targets=(target,)), missing.candidate, missing)


def _find_candidate(explanation: Explanation, prediction: Prediction) -> Missing | None:
    """Return the prediction as this explanation's own candidate, if it is one."""
    labels, count = explanation.evidence.resident.adapter.labels, explanation.evidence.outputs.count
    if prediction.anchor is None or prediction.anchor >= count or prediction.index >= len(labels):
        return None
    missing = explanation.candidate(prediction.anchor, prediction.index)
    return missing if missing.candidate == prediction else None


def largest_model(explanations: Sequence[Explanation]) -> Explanation | None:
    """Return the explanation of the largest model with a prediction."""
    candidates = [explanation for explanation in explanations if explanation.predictions]
    return max(candidates, key=lambda explanation: explanation.evidence.resident.parameters, default=None)


def same_target(explanations: Sequence[Explanation], prediction: Prediction | None = None) -> tuple[Explanation, ...]:
    """Return explanations of one prediction: `prediction`, or the largest model's first.

    Classes are matched by name, and boxes by place; a model without the class or object has no map. Without
    `prediction`, a model with other classes than the largest keeps its own map. Unchanged without any prediction.
    """
    if prediction is not None:
        return tuple(_explain_same(explanation, prediction) for explanation in explanations)
    first = largest_model(explanations)
    if first is None:
        return tuple(explanations)
    best = first.predictions[0]
    boxes = best.box is not None
    return tuple(
        _explain_same(peer, best) if share_classes(peer, first) or (boxes and peer.task.has_boxes) else peer
        for peer in explanations
    )


def _explain_same(explanation: Explanation, prediction: Prediction) -> Explanation:
    if not explanation.task.names_classes:
        return explanation
    if explanation.task.has_boxes and prediction.box is not None:
        match = match_target(explanation, prediction)
        return match.explanation if match.prediction is not None else replace(explanation, heatmaps=())
    if prediction.label not in class_names(explanation):
        return replace(explanation, heatmaps=())
    if explanation.heatmaps and explanation.heatmaps[0].target.label == prediction.label:
        return explanation
    if not explanation.task.explains(explanation, prediction.label):
        return replace(explanation, heatmaps=())
    return explanation.with_options(targets=(prediction.label,))
