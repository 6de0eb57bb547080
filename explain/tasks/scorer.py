"""The score of a target, on its picture and on changed ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.explain.tasks.task import Change
from sightglass.models.adapter import Prediction, Target

if TYPE_CHECKING:
    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result

LISTED = 3
"""Classes of either picture whose scores are compared."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model says of B pictures about one target."""

    score: Tensor
    """(B,) float64 on the CPU, as the pages show it: a probability, a box's score, or a cosine."""
    value: Tensor
    """(B,) what the map explains: the score, or for the contrast its margin over the best other class, in logits of a
    classifier and in score of a box."""
    stays: Tensor
    """(B,) bool: whether the target is still the answer, or the box is still shown."""


ScoreOutputs = Callable[[Any], Answers]


@dataclass(frozen=True, slots=True)
class Movement:
    """Where a change of the picture moved its pixels."""

    shift: tuple[int, int] = (0, 0)
    """(down, right) in pixels of the model's input."""
    mirrored: bool = False


STILL = Movement()


class Scorer:
    """The score of a class in one row of scores."""

    def follow(self, evidence: Evidence, target: Target, options: Options) -> ScoreOutputs:
        """Return a function from outputs to `Answers`; raise ModelProblem if impossible."""
        adapter, index = evidence.resident.adapter, check_score(target)
        contrast = target.part == "contrast"

        def of_class(outputs: Any) -> Answers:
            logits = adapter.class_logits(outputs).detach().double().cpu()
            score = adapter.class_scores(outputs)[:, index].detach().double().cpu()
            others = logits.clone()
            others[:, index] = float("-inf")
            if logits.shape[1] < 2:
                return Answers(score, score, score > options.confidence)
            margin = logits[:, index] - others.amax(1)
            return Answers(score, margin if contrast else score, margin > 0)

        return of_class

    def score(self, result: Result, index: int) -> float | None:
        """Return the score of a map's target; None without one."""
        target = result.heatmaps[index].target.index
        predictions = result.own(index) or [p for p in result.predictions if p.index == target]
        predictions = predictions or [p for p in result.task.decoder.all_answers(result) if p.index == target]
        return max((p.score for p in predictions), default=None)

    def class_score(self, evidence: Evidence, predictions: Sequence[Prediction], index: int) -> float | None:
        """Return the score of any class; None if it cannot be explained."""
        score, adapter = next((p.score for p in predictions if p.index == index), None), evidence.resident.adapter
        if score is None and adapter.has_row and not adapter.detects:
            score = float(adapter.class_scores(evidence.outputs)[0, index].detach())
        return score

    def margin(self, result: Result) -> float | None:
        """Return the lead of the best answer over the next; None without one, and for numbers."""
        first, second = [*(p.score for p in result.predictions[:2]), 0.0, 0.0][:2]
        return first - second if result.predictions and result.task.quantity == "score" else None

    def ranks(self, result: Result) -> tuple[int | None, ...]:
        """Return each map's place among all answers, from 1; None without an order or a place."""
        if result.task.quantity == "number":
            return (None,) * len(result.heatmaps)
        order = [prediction.index for prediction in result.task.decoder.all_answers(result)]
        indices = (heatmap.target.index for heatmap in result.heatmaps)
        return tuple(order.index(index) + 1 if index in order else None for index in indices)

    def find_again(
        self, before: Result, evidence: Evidence, movement: Movement, target: Target
    ) -> tuple[float, str, Target | None]:
        """Return score, answer and any target in a changed picture."""
        adapter, index = evidence.resident.adapter, check_score(target)
        score = float(adapter.class_scores(evidence.outputs)[0].detach().double()[index])
        return score, adapter.labels[int(adapter.class_logits(evidence.outputs)[0].argmax())], target

    def score_after(self, before: Result, after: Result) -> float:
        """Return the score of the first map's target after an edit, 0..1.

        Of boxes the mean, where a box that vanished counts with the candidate at its place.
        """
        index = before.heatmaps[0].target.index
        return next((p.score for p in after.task.decoder.all_answers(after) if p.index == index), 0.0)

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        """Return an edit's changes of the best classes, by their earlier score."""
        decoder = before.task.decoder
        return union(decoder.all_answers(before), decoder.all_answers(after))


def check_score(target: Target) -> int:
    """Return a target's class; raise ModelProblem without a single score."""
    if target.index is None:
        raise ModelProblem("There is no single answer to test here: explain a class or one box.")
    return target.index


def union(before: Sequence[Prediction], after: Sequence[Prediction], listed: int = LISTED) -> tuple[Change, ...]:
    """Return the changes of either picture's `listed` best classes, best first."""
    # By number: two classes of ImageNet are called crane.
    old, new = ({p.index: p.score for p in predictions} for predictions in (before, after))
    best = {
        p.index: p.label
        for predictions in (before, after)
        for p in sorted(predictions, key=lambda p: -p.score)[:listed]
    }
    changes = [Change(label, old.get(index, 0.0), new.get(index, 0.0)) for index, label in best.items()]
    return tuple(sorted(changes, key=lambda change: (-(change.before or 0.0), -(change.after or 0.0), change.label)))
