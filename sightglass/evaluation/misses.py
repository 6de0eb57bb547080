"""Find why a detector missed an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from sightglass.evaluation.error_types import FOREGROUND
from sightglass.evaluation.evaluation import LEAST_CONFIDENCE, Missed
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from sightglass.evaluation.error_types import MatchedBoxes
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.explain.explanation import Explanation
    from sightglass.models.adapter import Prediction

Reason = Literal["below", "class", "suppressed", "beyond", "never"]
MEANINGS: Mapping[Reason, str] = {
    "below": "a box of the right class, below the threshold",
    "class": "another class won at its place",
    "suppressed": "another box suppressed its own",
    "beyond": "the maximum number of boxes was reached",
    "never": "no box of the right class was proposed",
}
TRIED = 20
"""Candidates on an object that are looked at: those that are shown belong to other objects."""


def find_misses(explanation: Explanation, truths: Sequence[TrueBox], matched: MatchedBoxes) -> dict[int, Missed]:
    """Return why each labelled object without a right box has none, by its index in `truths`.

    `explanation`: a detector's, of the same picture. `matched`: its boxes at its threshold against `truths`, the same
    objects. Crowds cannot be missed.
    """
    found = {id(one) for one in matched.objects}
    wrong = [one.predicted for one in matched.errors if one.predicted is not None]
    return {
        i: _find_reason(explanation, one, wrong)
        for i, one in enumerate(truths)
        if not one.crowd and id(one) not in found
    }


def _find_reason(explanation: Explanation, truth: TrueBox, wrong: Sequence[Prediction]) -> Missed:
    evidence = explanation.evidence
    adapter = evidence.resident.adapter
    index = adapter.labels.index(truth.label) if truth.label in adapter.labels else None
    candidates: Sequence[Prediction] = ()
    if index is not None:
        anchors = adapter.candidates_on(evidence.outputs, evidence.geometry, truth.box, index, FOREGROUND, TRIED)
        candidates = adapter.predictions(evidence.outputs, evidence.geometry, anchors, [index] * len(anchors))
    score = candidates[0].score if candidates else 0.0
    winners = [one for one in wrong if one.label != truth.label and _overlap(one, truth) >= FOREGROUND]
    if winners:
        return Missed("class", score, max(winners, key=lambda one: one.score))
    options, shown, taken = explanation.options, explanation.every, None
    for candidate in candidates:
        why = adapter.why(evidence.outputs, shown, candidate, options.confidence, options.iou)
        if why.kind == "shown":
            # The box of another object: it stands for this one as well.
            taken = taken or candidate
        elif why.kind != "below":
            return Missed(why.kind, candidate.score, why.winner if why.by is None else shown[why.by])
        elif candidate.score > LEAST_CONFIDENCE:
            return Missed("below", candidate.score)
        else:
            break
    return Missed("never", score) if taken is None else Missed("suppressed", taken.score, taken)


def _overlap(one: Prediction, truth: TrueBox) -> float:
    return intersection_over_union(one.box, truth.box) if one.box else 0.0
