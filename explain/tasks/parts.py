"""What a task reads from a model's outputs: its answers and targets, and a target's score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.common.legible import one_line
from sightglass.models.adapter import Adapter, FunctionTarget, Prediction, Target
from sightglass.models.labels import class_index, same_classes

if TYPE_CHECKING:
    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.explain.result import Result

Found = tuple[float, str, Target | None]
"""A target's score in a changed picture, the answer (empty for none), and the target there, or None."""
LISTED = 3
"""Classes of either picture whose scores are compared."""


class Decoder:
    """Classes of one row of scores."""

    lists_all = False
    """Whether all answers are decoded, as a list of them must not depend on the number of maps."""

    def decode(self, evidence: Evidence, options: Options) -> tuple[Prediction, ...]:
        """Return the predictions for these options, filtered by class; raise ModelProblem for wrong filters."""
        adapter = evidence.loaded.adapter
        self.check_classes(options, adapter)
        listed = len(adapter.labels) if self.lists_all else options.top_k
        settings: dict[str, Any] = {"top_k": listed, "confidence": options.confidence, "iou": options.iou}
        # Suppression takes longer than a map, and does not depend on method or target.
        if (cached := evidence.decoded) is None or cached[0] != settings:
            predictions = tuple(adapter.decode(evidence.answers, evidence.geometry, **settings))
            adapter.check_answer(evidence.answers)
            evidence.decoded = cached = settings, predictions
        only = {class_index(name, adapter.labels) for name in options.classes}
        return tuple(p for p in cached[1] if not only or p.index in only)

    def all_answers(self, result: Result) -> Sequence[Prediction]:
        """Return the answers for every class, best first; of boxes the shown ones."""
        adapter = result.evidence.loaded.adapter
        if adapter.detects or len(result.predictions) >= len(adapter.labels):
            return result.predictions
        return self.decode(result.evidence, replace(result.options, top_k=len(adapter.labels)))

    def resolve(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        """Return the options' targets, or the best `top_k` predictions, signed if the options ask for it.

        Raises ModelProblem for what a model of this task has not.
        """
        self.check(options, evidence.loaded.adapter)
        if any(map(callable, options.targets)):
            targets = self._targets_one_by_one(options, predictions, evidence)
        else:
            targets = self.targets(options, predictions, evidence)
        return [replace(target, both_ways=True) for target in targets] if options.evidence == "both" else targets

    def _targets_one_by_one(
        self, options: Options, predictions: Sequence[Prediction], evidence: Evidence
    ) -> list[Target]:
        """Return the targets of options of which some are functions."""
        targets: list[Target] = []
        for each in options.targets:
            if callable(each):
                targets.append(_of_function(each))
            else:
                targets += self.targets(replace(options, targets=(each,)), predictions, evidence)
        return targets

    def targets(self, options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
        """Return the targets of options that name no function."""
        return self.class_targets(options, predictions, evidence.loaded.adapter)

    def check(self, options: Options, adapter: Adapter) -> None:
        """Raise ModelProblem for options that the model takes with no picture."""
        self.check_classes(options, adapter)
        if options.joint is not None and not adapter.joints:
            raise ModelProblem(
                f"{adapter.spec.id} finds no joints: leave joint to a pose network such as yolo11n-pose."
            )
        self.check_area(options, adapter)

    def check_classes(self, options: Options, adapter: Adapter) -> None:
        """Raise ModelProblem for classes of boxes where there are none."""
        if options.classes and not adapter.detects:
            raise ModelProblem(f"{adapter.spec.id} draws no boxes to leave out by class: name targets to explain.")

    def check_area(self, options: Options, adapter: Adapter) -> None:
        """Raise ModelProblem for options of pixels or boxes where there are none."""
        if options.per in ("region", "pixel") or options.at or options.against is not None:
            name = "at" if options.at else "against" if options.against is not None else f"per={options.per}"
            raise ModelProblem(f"{adapter.spec.id} gives no class to a pixel: leave {name} to a segmentation network.")
        if options.per != "class" and not adapter.detects:
            raise ModelProblem(f"{adapter.spec.id} draws no boxes: explain a class.")

    def class_targets(self, options: Options, predictions: Sequence[Prediction], adapter: Adapter) -> list[Target]:
        """Return a target for each class."""
        indices = [class_index(target, adapter.labels) for target in options.targets]
        if not options.targets:
            indices = list(dict.fromkeys(prediction.index for prediction in predictions))[: options.top_k]
        return [
            Target(
                index,
                adapter.labels[index],
                tuple(p.anchor for p in predictions if p.index == index and p.anchor is not None),
                options.part,
            )
            for index in indices
        ]

    def list_compared(self, predictions: Sequence[Prediction]) -> Sequence[Prediction]:
        """Return the answers that several models can be asked about, best first."""
        return predictions

    def find_label(self, name: str, labels: Sequence[str]) -> str:
        """Return the label of a class's name or index; raise ModelProblem for an unknown one."""
        return labels[class_index(int(name) if name.isdecimal() else name, labels)]

    def unshown(self, options: Options, targets: Sequence[Target], evidence: Evidence) -> tuple[str, ...]:
        """Return notes on targets with a map but without an answer."""
        return ()

    def resolved_options(self, options: Options, adapter: Adapter) -> Options:
        """Return the options with what the model itself chose, as a recipe has to state it."""
        return options

    def encode_unmapped(self, options: Options, adapter: Adapter) -> tuple[int | tuple[int, int], ...]:
        """Return named targets of which none has a map, as a recipe stores them."""
        return ()

    def has_answer(self, result: Result, index: int) -> bool:
        """Return whether a known class can be compared with other models' maps."""
        # Without a box or a pixel of the class there is nothing to explain.
        return result.task.granularities == ("class",) or any(p.index == index for p in result.predictions)

    def options_of(self, index: int | None = None, anchor: int | None = None) -> dict[str, Any]:
        """Return the options that explain one answer; without an index those of the best one."""
        return {} if index is None else {"targets": (index,)}


def _of_function(function: Callable[[Any], Any]) -> Target:
    return FunctionTarget(None, _name_function(function), function=function)


def _name_function(function: Callable[[Any], Any]) -> str:
    """Return a function's name, or an object's class and first values: `ClassifierOutputTarget 5`."""
    if isinstance(function, partial):
        return _name_function(function.func)
    name = getattr(function, "__name__", "")
    if name == "<lambda>":
        return "your function"
    if name and name != "__call__":
        return str(name)
    target = getattr(function, "__self__", function)
    values = getattr(target, "__dict__", {}).values()
    plain = [value for value in values if isinstance(value, int | float | str) and not isinstance(value, bool)]
    return one_line(" ".join([type(target).__name__, *(str(value)[:40] for value in plain[:3])]))


def find_class(result: Result, index: int, other: Result) -> int | None:
    """Return another model's class, or number in the same unit, of the same name; else None."""
    labels, names = (tuple(each.evidence.loaded.adapter.labels) for each in (result, other))
    match = same_classes(labels, names).get(index)
    if match is None or result.quantity != other.quantity:
        return None
    return match if result.model.unit_of(labels[index]) == other.model.unit_of(names[match]) else None


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


@dataclass(frozen=True, slots=True)
class Change:
    """A class's or box's score before and after an edit, 0..1."""

    label: str
    before: float | None
    after: float | None

    @property
    def points(self) -> int | None:
        """The change of the printed scores in whole percentage points."""
        if self.before is None or self.after is None:
            return None
        return round(self.after * 100) - round(self.before * 100)


class Scorer:
    """The score of a class in one row of scores."""

    def follow(self, evidence: Evidence, target: Target, options: Options) -> ScoreOutputs:
        """Return a function from outputs to `Answers`; raise ModelProblem if impossible."""
        adapter, index = evidence.loaded.adapter, scored_class(target)
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
        score, adapter = next((p.score for p in predictions if p.index == index), None), evidence.loaded.adapter
        if score is None and adapter.has_row and not adapter.detects:
            score = float(adapter.class_scores(evidence.outputs)[0, index].detach())
        return score

    def margin(self, result: Result) -> float | None:
        """Return the lead of the best answer over the next; None without one, and for numbers."""
        first, second = [*(p.score for p in result.predictions[:2]), 0.0, 0.0][:2]
        return first - second if result.predictions and result.task.quantity == "score" else None

    def ranks(self, result: Result) -> tuple[int | None, ...]:
        """Return each map's place among all answers, from 1; None without an order or a place."""
        if result.task.quantity == "number" or not result.task.ranked:
            return (None,) * len(result.heatmaps)
        order = [prediction.index for prediction in result.task.decoder.all_answers(result)]
        indices = (heatmap.target.index for heatmap in result.heatmaps)
        return tuple(order.index(index) + 1 if index in order else None for index in indices)

    def find_again(self, before: Result, evidence: Evidence, movement: Movement, target: Target) -> Found:
        """Return what is found of a target in a changed picture."""
        adapter, index = evidence.loaded.adapter, scored_class(target)
        score = float(adapter.class_scores(evidence.outputs)[0].detach().double()[index])
        return score, adapter.labels[int(adapter.class_logits(evidence.outputs)[0].argmax())], target

    def changes(self, before: Result, after: Result) -> tuple[Change, ...]:
        """Return an edit's changes of the best classes, by their earlier score."""
        decoder = before.task.decoder
        return union(decoder.all_answers(before), decoder.all_answers(after))


def scored_class(target: Target) -> int:
    """Return the class whose score is a target's; raise ModelProblem where no single score is."""
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
