"""Find likely label errors: swapped, overlooked, misplaced (ObjectLab, confident learning).

Of boxes after Tkachenko, Thyagarajan and Mueller 2023 (arXiv 2309.00832): a sure, well-placed box where the label has
another class, or where there is none. Of whole pictures after Northcutt, Jiang and Chuang 2021 (arXiv 1911.00068): the
margin of another class over the label's. A model that was trained on these labels may have learnt their errors too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.evaluation import average_precision, intervals
from sightglass.evaluation.average_precision import Estimate
from sightglass.evaluation.error_types import BACKGROUND, FOREGROUND
from sightglass.explain.phrases import percent, plural
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from sightglass.evaluation.evaluation import EvaluatedPicture, Evaluation
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction

Kind = Literal["swapped", "overlooked", "misplaced"]
MEANINGS: Mapping[Kind, str] = MappingProxyType(
    {
        "swapped": "a sure answer of another class than the label's",
        "overlooked": "a sure box where nothing is labelled",
        "misplaced": "a sure box of the label's class that lies elsewhere than the label",
    }
)
LIKELY = 0.5
"""The least score of a likely error of a box's label."""


@dataclass(frozen=True, eq=False)
class LabelSuspect:
    """A label, or a box without one, and how much speaks against the labels here."""

    kind: Kind
    picture: int
    """Its index among the pictures."""
    score: float
    """0..1, the likelier an error the higher."""
    likely: bool
    truth: TrueBox | None = None
    """The label; None of an overlooked object, and of a whole picture."""
    predicted: Prediction | None = None
    """The answer that speaks against it; None where none does."""


@dataclass(frozen=True, eq=False)
class LabelCheck:
    """All labels that were checked, and boxes without a label, the likeliest errors first."""

    every: tuple[LabelSuspect, ...] = field(repr=False)

    @property
    def likely(self) -> tuple[LabelSuspect, ...]:
        """Those to look at."""
        return tuple(one for one in self.every if one.likely)


@dataclass(frozen=True)
class HeadlineChange:
    """The headline number with all labels, and without the likely errors."""

    name: Literal["AP50", "accuracy"]
    before: Estimate
    after: Estimate
    left_out: int

    @property
    def sentence(self) -> str:
        """`Without the 12 likely label errors AP50 is 81 % instead of 76 %.`"""
        if not self.left_out:
            return f"No label looks wrong: {self.name} is {percent(self.before.value)}."
        errors = plural(self.left_out, "likely label error")
        before, after = percent(self.before.value), percent(self.after.value)
        return f"Without the {errors} {self.name} is {after} instead of {before}."


def check_labels(evaluation: Evaluation) -> LabelCheck:
    """Score each label, and each box without one; labels for which the model has no class are left out."""
    known = {*evaluation.classes} - {*evaluation.unknown}
    if evaluation.task == "classify":
        every = list(_check_pictures(evaluation.pictures, known))
    else:
        every = [
            one
            for number, picture in enumerate(evaluation.pictures)
            for one in _check_boxes(number, picture, known, evaluation.threshold)
        ]
    return LabelCheck(tuple(sorted(every, key=lambda one: (not one.likely, -one.score))))


def leave_out(evaluation: Evaluation, suspects: Sequence[LabelSuspect]) -> Evaluation:
    """Return an evaluation without these labels, and without the boxes on their places; of a classifier without the
    pictures."""
    by_picture: defaultdict[int, list[LabelSuspect]] = defaultdict(list)
    for one in suspects:
        by_picture[one.picture].append(one)
    if evaluation.task == "classify":
        return replace(
            evaluation, pictures=tuple(one for i, one in enumerate(evaluation.pictures) if i not in by_picture)
        )
    return replace(
        evaluation,
        pictures=tuple(
            _without(picture, by_picture[i]) if i in by_picture else picture
            for i, picture in enumerate(evaluation.pictures)
        ),
    )


def compare_headline(evaluation: Evaluation, suspects: Sequence[LabelSuspect]) -> HeadlineChange:
    """Return AP50, or a classifier's accuracy, with all labels and without these."""
    name: Literal["AP50", "accuracy"] = "accuracy" if evaluation.task == "classify" else "AP50"
    before = _headline(evaluation)
    return HeadlineChange(
        name, before, _headline(leave_out(evaluation, suspects)) if suspects else before, len(suspects)
    )


def _headline(evaluation: Evaluation) -> Estimate:
    if evaluation.task == "detect":
        return average_precision.measure(evaluation.truths, evaluation.found).ap50
    labelled = [one for one in evaluation.pictures if one.truth is not None]
    right = sum(bool(one.found) and one.found[0].label == one.truth for one in labelled)
    return Estimate(right / len(labelled) if labelled else float("nan"), *intervals.wilson(right, len(labelled)))


def _check_boxes(
    number: int, picture: EvaluatedPicture, known: Collection[str], threshold: float
) -> Iterator[LabelSuspect]:
    boxes = [one for one in picture.found if one.box is not None and one.score >= threshold]
    overlaps = np.array(
        [[intersection_over_union(one.box, of.box) for of in picture.truths] for one in boxes if one.box]
    ).reshape(len(boxes), len(picture.truths))
    scores = np.array([one.score for one in boxes], float)
    for j, truth in enumerate(picture.truths):
        if not truth.crowd and truth.label in known:
            same = np.array([one.label == truth.label for one in boxes], bool)
            yield _check_label(number, truth, boxes, scores, same, overlaps[:, j])
    shown: list[Prediction] = []
    for i in np.argsort(-scores, kind="stable"):
        one, most = boxes[i], float(overlaps[i].max(initial=0.0))
        # Of several boxes on one place only the surest says that something is there.
        if most < FOREGROUND and not any(_overlap(one, other) >= FOREGROUND for other in shown):
            shown.append(one)
            score = one.score * (1 - most)
            yield LabelSuspect("overlooked", number, score, score >= LIKELY and most <= BACKGROUND, None, one)


def _check_label(
    number: int,
    truth: TrueBox,
    boxes: Sequence[Prediction],
    scores: np.ndarray[tuple[int], np.dtype[np.float64]],
    same: np.ndarray[tuple[int], np.dtype[np.bool_]],
    overlaps: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> LabelSuspect:
    """Score one label by what speaks for it and against it."""
    on = overlaps >= FOREGROUND
    own = float((scores * overlaps * (same & on)).max(initial=0.0))
    others = scores * overlaps * (~same & on)
    beside = scores * (1 - overlaps) * (same & ~on & (overlaps > BACKGROUND))
    swapped, misplaced = (float(one.max(initial=0.0)) * (1 - own) for one in (others, beside))
    kind: Kind = "swapped" if swapped >= misplaced else "misplaced"
    score = max(swapped, misplaced)
    by = boxes[int((others if kind == "swapped" else beside).argmax())] if score > 0 else None
    return LabelSuspect(kind, number, score, score >= LIKELY, truth, by)


def _check_pictures(pictures: Sequence[EvaluatedPicture], known: Collection[str]) -> Iterator[LabelSuspect]:
    """Score the label of each picture by the margin of the best other class, likely where that class is as sure here
    as it usually is on pictures with its label."""
    labelled = [(i, one) for i, one in enumerate(pictures) if one.truth in known and one.found]
    sure: defaultdict[str, list[float]] = defaultdict(list)
    for _, one in labelled:
        sure[str(one.truth)].append(_score_of(one, str(one.truth)))
    usual = {name: float(np.mean(scores)) for name, scores in sure.items()}
    for i, one in labelled:
        own = _score_of(one, str(one.truth))
        other = max((of for of in one.found if of.label != one.truth), key=lambda of: of.score, default=None)
        margin = (other.score if other else 0.0) - own
        likely = other is not None and margin > 0 and other.score >= usual.get(other.label, LIKELY)
        yield LabelSuspect("swapped", i, (1 + margin) / 2, likely, None, other)


def _score_of(picture: EvaluatedPicture, label: str) -> float:
    return next((one.score for one in picture.found if one.label == label), 0.0)


def _overlap(one: Prediction, other: Prediction) -> float:
    return intersection_over_union(one.box, other.box) if one.box and other.box else 0.0


def _without(picture: EvaluatedPicture, suspects: Sequence[LabelSuspect]) -> EvaluatedPicture:
    """Return a picture without some labels, and without the boxes there that are about no other object."""
    out = {id(one.truth) for one in suspects if one.truth is not None}
    truths = [j for j, one in enumerate(picture.truths) if id(one) not in out]
    places = [box.box for one in suspects if (box := one.truth or one.predicted) is not None and box.box]
    about = [picture.truths[j].box for j in truths]

    def stays(one: Prediction) -> bool:
        if one.box is None:
            return True
        there, other = (
            any(intersection_over_union(one.box, of) >= FOREGROUND for of in every) for every in (places, about)
        )
        return other or not there

    found = [i for i, one in enumerate(picture.found) if stays(one)]
    return replace(
        picture,
        truths=tuple(picture.truths[j] for j in truths),
        found=tuple(picture.found[i] for i in found),
        looks={new: picture.looks[old] for new, old in enumerate(found) if old in picture.looks},
        maps={new: picture.maps[old] for new, old in enumerate(found) if old in picture.maps},
        missed={new: picture.missed[old] for new, old in enumerate(truths) if old in picture.missed},
    )
