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

from sightglass.evaluation import average_precision, error_types, intervals
from sightglass.evaluation.average_precision import Estimate
from sightglass.evaluation.error_types import BACKGROUND, FOREGROUND
from sightglass.explain.phrases import percent, plural
from sightglass.models.geometry import measure_overlaps, measure_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import BoxColumns
    from sightglass.evaluation.evaluation import EvaluatedPicture, Evaluation
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction

    Numbers = NDArray[np.float64]
    Whole = NDArray[np.int64]

Kind = Literal["swapped", "overlooked", "misplaced"]
MEANINGS: Mapping[Kind, str] = MappingProxyType(
    {
        "swapped": "a sure answer of another class than the label's",
        "overlooked": "a sure box where nothing is labelled",
        "misplaced": "a sure box of the label's class that lies elsewhere than the label",
    }
)
_KINDS: tuple[Kind, ...] = tuple(MEANINGS)
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
    """Score each label, and each box without one.

    Left out are labels for which the model has no class, and boxes of classes that nothing is labelled with.
    """
    known = {*evaluation.classes} - {*evaluation.unknown}
    if evaluation.task == "detect":
        return LabelCheck(tuple(_check_boxes(evaluation, known)))
    every = _check_pictures(evaluation.pictures, known)
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


def compare_headline(
    evaluation: Evaluation, suspects: Sequence[LabelSuspect], before: Estimate | None = None
) -> HeadlineChange:
    """Return AP50, or a classifier's accuracy, with all labels and without these.

    `before`: that number with all labels, where it is known.
    """
    name: Literal["AP50", "accuracy"] = "accuracy" if evaluation.task == "classify" else "AP50"
    before = before or _headline(evaluation)
    return HeadlineChange(
        name, before, _headline(leave_out(evaluation, suspects)) if suspects else before, len(suspects)
    )


def _headline(evaluation: Evaluation) -> Estimate:
    if evaluation.task == "detect":
        return average_precision.measure_ap50(evaluation.truths, evaluation.found)
    labelled = [one for one in evaluation.pictures if one.truth is not None]
    right = sum(bool(one.found) and one.found[0].label == one.truth for one in labelled)
    return Estimate(right / len(labelled) if labelled else float("nan"), *intervals.wilson(right, len(labelled)))


def _check_boxes(evaluation: Evaluation, known: Collection[str]) -> Iterator[LabelSuspect]:
    """Yield each label of a known class, and each box where none is; the likeliest errors first."""
    labels, every, names = evaluation.columns
    boxes = every.take(every.value >= evaluation.threshold)
    pairs = average_precision.pair_up(boxes.picture, labels.picture)
    overlaps = measure_pairs(boxes.box[pairs[0]], labels.box[pairs[1]])
    counted = np.flatnonzero((labels.value == 0) & np.array([name in known for name in names], bool)[labels.number])
    kind, score, by = (one[counted] for one in _check_labels(boxes, labels, pairs, overlaps))
    most = np.zeros(len(boxes.picture))
    np.maximum.at(most, pairs[0], overlaps)
    alone = _find_unlabelled(boxes, labels, most)
    alone_scores = boxes.value[alone] * (1 - most[alone])
    rows = np.concatenate([counted, np.full(len(alone), -1)])
    by, kind = np.concatenate([by, alone]), np.concatenate([kind, np.full(len(alone), _KINDS.index("overlooked"))])
    scores, pictures = (
        np.concatenate([score, alone_scores]),
        np.concatenate([labels.picture[counted], boxes.picture[alone]]),
    )
    likely = (scores >= LIKELY) & np.concatenate([np.ones(len(counted), bool), most[alone] <= BACKGROUND])
    order = np.argsort(pictures, kind="stable")
    order = order[np.lexsort((-scores[order], ~likely[order]))]
    objects = [one for truths in evaluation.truths for one in truths]
    places = np.append(boxes.place, -1)[by]
    for row, place, *about in zip(
        *(one[order].tolist() for one in (rows, places, kind, pictures, scores, likely)), strict=True
    ):
        number, picture, value, is_likely = about
        truth = None if row < 0 else objects[row]
        answer = None if place < 0 else evaluation.found[picture][place]
        yield LabelSuspect(_KINDS[number], picture, value, is_likely, truth, answer)


def _check_labels(
    boxes: BoxColumns, labels: BoxColumns, pairs: tuple[Whole, Whole], overlaps: Numbers
) -> tuple[Whole, Numbers, Whole]:
    """Score each label by what speaks for it and against it: kind, score, and the row of the box that does, or -1."""
    of_box, of_label = pairs
    scores, same, on = boxes.value[of_box], boxes.number[of_box] == labels.number[of_label], overlaps >= FOREGROUND
    sure = scores * overlaps
    values = (
        sure * (same & on),
        sure * (~same & on),
        scores * (1 - overlaps) * (same & ~on & (overlaps > BACKGROUND)),
    )
    own, others, beside = (np.zeros(len(labels.picture)) for _ in values)
    for most, value in zip((own, others, beside), values, strict=True):
        np.maximum.at(most, of_label, value)
    swapped, misplaced = others * (1 - own), beside * (1 - own)
    is_swapped, score = swapped >= misplaced, np.maximum(swapped, misplaced)
    # Of several that speak against it as much the first.
    against = np.where(is_swapped[of_label], values[1], values[2])
    which = np.flatnonzero((against == np.where(is_swapped, others, beside)[of_label]) & (score[of_label] > 0))
    by = np.full(len(score), len(boxes.picture))
    np.minimum.at(by, of_label[which], of_box[which])
    kind = np.where(is_swapped, _KINDS.index("swapped"), _KINDS.index("misplaced"))
    return kind, score, np.where(score > 0, by, -1)


def _find_unlabelled(boxes: BoxColumns, labels: BoxColumns, most: Numbers) -> Whole:
    """Return the rows of boxes where nothing is labelled, of each picture the surest first; of several on one place
    only the surest says that something is there. `most`: what they overlap most of any label."""
    # Labels of a few classes say nothing of other things.
    free = np.isin(boxes.number, labels.number) & ~error_types.find_in_crowds(boxes, labels) & (most < FOREGROUND)
    rows = np.flatnonzero(free)
    rows = rows[np.lexsort((-boxes.value[rows], boxes.picture[rows]))]
    later, earlier = average_precision.pair_up(boxes.picture[rows], boxes.picture[rows])
    later, earlier = later[earlier < later], earlier[earlier < later]
    there = measure_pairs(boxes.box[rows[later]], boxes.box[rows[earlier]]) >= FOREGROUND
    shown = np.ones(len(rows), bool)
    for one, other in zip(later[there].tolist(), earlier[there].tolist(), strict=True):
        if shown[other]:
            shown[one] = False
    return rows[shown]


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


def _without(picture: EvaluatedPicture, suspects: Sequence[LabelSuspect]) -> EvaluatedPicture:
    """Return a picture without some labels, and without the boxes there that are about no other object."""
    out = {id(one.truth) for one in suspects if one.truth is not None}
    truths = [j for j, one in enumerate(picture.truths) if id(one) not in out]
    places = [box.box for one in suspects if (box := one.truth or one.predicted) is not None and box.box]
    about = [picture.truths[j].box for j in truths]

    boxes = [one.box or (0.0, 0.0, 0.0, 0.0) for one in picture.found]
    there, other = ((measure_overlaps(boxes, every) >= FOREGROUND).any(1) for every in (places, about))
    found = np.flatnonzero(other | ~there).tolist()
    return replace(
        picture,
        truths=tuple(picture.truths[j] for j in truths),
        found=tuple(picture.found[i] for i in found),
        looks={new: picture.looks[old] for new, old in enumerate(found) if old in picture.looks},
        maps={new: picture.maps[old] for new, old in enumerate(found) if old in picture.maps},
        missed={new: picture.missed[old] for new, old in enumerate(truths) if old in picture.missed},
    )
