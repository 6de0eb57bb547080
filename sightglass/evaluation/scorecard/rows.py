"""Score a model on labelled pictures: AP or accuracy, threshold, speed, size."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sightglass.evaluation import average_precision, calibration, error_types
from sightglass.evaluation.average_precision import DRAWS, Estimate
from sightglass.evaluation.intervals import wilson
from sightglass.evaluation.scorecard.run import ModelFacts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import DetectionScores
    from sightglass.evaluation.calibration import Calibration
    from sightglass.evaluation.error_types import BoxMatches, ErrorType, MatchedBoxes
    from sightglass.evaluation.evaluation import Evaluation
    from sightglass.models.adapter import Prediction


@dataclass(frozen=True)
class Threshold:
    """From which score on boxes are shown."""

    score: float
    """0..1: the one with the highest F1 on these pictures."""
    f1: float
    precision: float
    recall: float


@dataclass(frozen=True)
class Speed:
    """Milliseconds of one picture from decoded pixels to answers, over all pictures."""

    p25: float
    p50: float
    p75: float
    p95: float

    def apart(self, other: Speed) -> bool:
        """Return whether the middle halves of the two do not overlap, so that one model is clearly faster."""
        return self.p75 < other.p25 or other.p75 < self.p25


@dataclass(frozen=True, eq=False)
class ModelScore:
    """A row of the scorecard: one model on labelled pictures."""

    evaluation: Evaluation = field(repr=False)
    score: Estimate
    """AP of a detector, accuracy of a classifier, 0..1."""
    drawn: NDArray[np.float64] = field(repr=False)
    """(DRAWS,): the same on redrawn sets of pictures, which are the same for every model."""
    facts: ModelFacts
    detection: DetectionScores | None = None
    """Of a detector."""
    top5: Estimate | None = None
    """Of a classifier: how often the class is among its best five."""
    threshold: Threshold | None = None
    """Of a detector."""
    speed: Speed | None = None
    """None where it was not measured."""
    noise: tuple[float, ...] = field(default=(), repr=False)
    """Overlaps of its maps with its own after the picture was moved (`run.measure_noise`)."""

    @property
    def model(self) -> str:
        """What a sentence calls the model."""
        return self.evaluation.name or self.evaluation.model

    @property
    def detects(self) -> bool:
        """Whether it draws boxes."""
        return self.detection is not None

    @property
    def measure(self) -> str:
        """The name of `score`."""
        return "AP" if self.detects else "accuracy"

    @cached_property
    def matched(self) -> list[MatchedBoxes]:
        """What is right and wrong in each picture at its own threshold; of a classifier nothing."""
        if self.threshold is None:
            return []
        return error_types.match_boxes(self.evaluation.truths, self.evaluation.found, self.threshold.score)

    @cached_property
    def calibration(self) -> Calibration:
        """How well scores say how often boxes from its own threshold on, or best answers, are right."""
        if self.threshold is None:
            return calibration.measure(self.evaluation)
        return calibration.measure(replace(self.evaluation, threshold=self.threshold.score))

    @property
    def counts(self) -> Mapping[ErrorType, int]:
        """Number of errors of each type at that threshold."""
        found = Counter(error.type for one in self.matched for error in one.errors)
        return {kind: found[kind] for kind in error_types.MEANINGS}

    @cached_property
    def costs(self) -> Mapping[ErrorType, float]:
        """Rise of AP at an IoU of 0.5 if all errors of a type were mended; of a classifier nothing."""
        if not self.detects:
            return {}
        return error_types.cost_in_ap(self.evaluation.all_matches)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """(units,): which are found, or answered right; the units are those of `list_units`."""
        if not self.detects:
            return np.array([_best(one.found) == one.truth for one in self.evaluation.pictures], np.bool_)
        found = [{id(of) for of in one.objects} for one in self.matched]
        pictures = zip(self.evaluation.pictures, found, strict=True)
        return np.array([id(of) in ids for one, ids in pictures for of in one.truths if not of.crowd], np.bool_)

    @cached_property
    def answers(self) -> Mapping[int, int]:
        """The index of the right box of each object that is found, or of the best answer, by the index of the unit."""
        pictures = self.evaluation.pictures
        if not self.detects:
            return {i: 0 for i, one in enumerate(pictures) if one.found}
        found: dict[int, int] = {}
        unit = 0
        for one, matched in zip(pictures, self.matched, strict=True):
            index = {id(each): i for i, each in enumerate(one.found)}
            boxes = {id(of): index[id(box)] for box, of in zip(matched.right, matched.objects, strict=True)}
            for of in one.truths:
                if not of.crowd:
                    if id(of) in boxes:
                        found[unit] = boxes[id(of)]
                    unit += 1
        return found

    def map_of(self, unit: int, picture: int) -> NDArray[np.uint8] | None:
        """Return the small map of a unit's answer, by the unit's and its picture's index; None of none."""
        answer = self.answers.get(unit)
        return None if answer is None else self.evaluation.pictures[picture].maps.get(answer)

    @property
    def found(self) -> int:
        """Labelled objects with a right box at its threshold, or pictures answered right."""
        return int(self.right.sum())


def score(evaluation: Evaluation, facts: ModelFacts | None = None, noise: Sequence[float] = ()) -> ModelScore:
    """Return the row of a model whose answers are known, from a run made now or a stored one."""
    pictures, facts = evaluation.pictures, facts or ModelFacts()
    speed = _measure_speed([one.milliseconds for one in pictures if one.milliseconds > 0])
    if evaluation.task == "detect":
        found = average_precision.measure(evaluation.truths, evaluation.found)
        return ModelScore(
            evaluation,
            found.ap,
            found.drawn,
            facts,
            detection=found,
            threshold=find_threshold(evaluation.all_matches),
            speed=speed,
            noise=tuple(noise),
        )
    right = np.array([_best(one.found) == one.truth for one in pictures], np.float64)
    five = sum(one.truth in [each.label for each in one.found[:5]] for one in pictures)
    return ModelScore(
        evaluation,
        _share(int(right.sum()), len(right)),
        draw_pictures(len(right)) @ right / max(len(right), 1),
        facts,
        top5=_share(five, len(right)),
        speed=speed,
        noise=tuple(noise),
    )


def draw_pictures(count: int, seed: int = 0) -> NDArray[np.int64]:
    """Return how often each of `count` pictures is in each redrawn set, (DRAWS, pictures): those that AP takes."""
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), DRAWS)
    return np.asarray(draws, np.int64)


def find_threshold(matches: BoxMatches) -> Threshold:
    """Return the threshold with the highest F1 at an IoU of 0.5, the highest of several.

    `matches`: of all boxes. It lies halfway to the next lower score. Without a right box it is 1: no box is worth
    showing.
    """
    objects, right = int(matches.counted.sum()), matches.kind == error_types.RIGHT
    if not objects or not right.any():
        return Threshold(1.0, 0.0, 0.0, 0.0)
    order = np.argsort(-matches.boxes.value, kind="stable")
    scores, true = matches.boxes.value[order], np.cumsum(right[order])
    shown = np.arange(1, len(order) + 1)
    # A threshold shows all boxes of the same score.
    ends = np.flatnonzero(np.append(scores[1:] < scores[:-1], True))
    f1 = 2 * true[ends] / (shown[ends] + objects)
    best = ends[int(f1.argmax())]
    lower = float(scores[best + 1]) if best + 1 < len(scores) else 0.0
    return Threshold(
        (float(scores[best]) + lower) / 2, float(f1.max()), float(true[best] / shown[best]), float(true[best] / objects)
    )


def pareto(rows: Sequence[ModelScore]) -> list[bool]:
    """Return of each model whether none is both faster and better; False where its speed is not known."""

    def beaten(one: ModelScore, by: ModelScore) -> bool:
        assert one.speed is not None and by.speed is not None
        faster, better = by.speed.p50 <= one.speed.p50, by.score.value >= one.score.value
        return faster and better and (by.speed.p50 < one.speed.p50 or by.score.value > one.score.value)

    timed = [one for one in rows if one.speed is not None]
    return [one.speed is not None and not any(beaten(one, by) for by in timed if by is not one) for one in rows]


def _best(found: Sequence[Prediction]) -> str | None:
    return found[0].label if found else None


def _share(count: int, total: int) -> Estimate:
    return Estimate(count / total if total else math.nan, *wilson(count, total))


def _measure_speed(milliseconds: Sequence[float]) -> Speed | None:
    return Speed(*map(float, np.percentile(milliseconds, [25, 50, 75, 95]))) if milliseconds else None
