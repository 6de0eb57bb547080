"""TIDE's six types of detection errors, and what each costs in AP.

Bolya, Foley, Hays, Hoffman: TIDE, ECCV 2020, arXiv:2008.08115. Boxes are matched at an IoU of 0.5, the surest first,
each to the free label of its class that it overlaps most.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.evaluation import average_precision
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import Estimate
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction

FOREGROUND, BACKGROUND = 0.5, 0.1
"""IoU from which a box is on an object, and up to which it is on none."""
ErrorType = Literal["class", "location", "both", "duplicate", "background", "missed"]
MEANINGS: Mapping[ErrorType, str] = {
    "class": "a box on an object, with the wrong class",
    "location": "the right class, but the box fits badly",
    "both": "the wrong class, and the box fits badly",
    "duplicate": "a second box of an object already found",
    "background": "a box where nothing is labelled",
    "missed": "a labelled object without a box",
}


@dataclass(frozen=True)
class DetectionError:
    """One error in one picture."""

    type: ErrorType
    picture: int
    """Its index."""
    predicted: Prediction | None
    """None of a missed object."""
    truth: TrueBox | None
    """The object that is meant, missed, or already found; None of a background error."""


@dataclass(frozen=True)
class _Scored:
    """A box as AP counts it."""

    label: str
    score: float
    right: bool


_Counted = tuple[str, float, bool, ErrorType | None]
"""Class, score, whether it is right, and which type of error it is."""


@dataclass(frozen=True)
class MatchedBoxes:
    """The boxes and labels of a picture, held against one another."""

    errors: tuple[DetectionError, ...]
    right: tuple[Prediction, ...]
    """One for each object that was found."""
    objects: tuple[TrueBox, ...]
    """The object of each of `right`."""
    mended: tuple[_Scored | None, ...] = field(repr=False)
    """What each error would be as a box if it were mended; None for none."""


def match_boxes(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], confidence: float = 0.0
) -> list[MatchedBoxes]:
    """Return what is right and wrong in each picture; boxes below `confidence` do not count."""
    return [_match(i, *pair, confidence) for i, pair in enumerate(zip(truths, found, strict=True))]


def find_errors(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], confidence: float = 0.0
) -> list[DetectionError]:
    """Return what is wrong, picture by picture; boxes below `confidence` do not count."""
    return [error for matched in match_boxes(truths, found, confidence) for error in matched.errors]


def cost_in_ap(truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]]) -> Mapping[ErrorType, float]:
    """Return by how much AP at an IoU of 0.5 would rise if all errors of a type were mended and no other (0..1).

    The costs do not add up to what is missing: mending one type changes what another costs.
    """
    objects: Counter[str] = Counter(one.label for every in truths for one in every if not one.crowd)
    boxes: list[_Counted] = []
    better: defaultdict[ErrorType, list[_Counted]] = defaultdict(list)
    fewer: defaultdict[ErrorType, Counter[str]] = defaultdict(Counter)
    for matched in match_boxes(truths, found):
        boxes += [(one.label, one.score, True, None) for one in matched.right]
        for error, mended in zip(matched.errors, matched.mended, strict=True):
            if (of := error.predicted) is not None:
                boxes.append((of.label, of.score, False, error.type))
            if mended is not None:
                better[error.type].append((mended.label, mended.score, mended.right, None))
            if error.type == "missed" and error.truth:
                fewer["missed"][error.truth.label] += 1
    base = _mean_ap(boxes, objects)
    return {
        kind: _mean_ap([*(one for one in boxes if one[3] != kind), *better[kind]], objects - fewer[kind]) - base
        for kind in MEANINGS
    }


def measure_ap50(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], *, seed: int = 0
) -> Estimate:
    """Return AP at an IoU of 0.5 with its interval, as `average_precision.measure` does, which measures everything that
    COCO does and takes far longer."""
    counts: defaultdict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(len(truths), np.int64))
    boxes: defaultdict[str, list[tuple[float, bool, int]]] = defaultdict(list)
    for i, (every, matched) in enumerate(zip(truths, match_boxes(truths, found), strict=True)):
        for truth in every:
            if not truth.crowd:
                counts[truth.label][i] += 1
        for one in matched.right:
            boxes[one.label].append((one.score, True, i))
        for error in matched.errors:
            if (one_wrong := error.predicted) is not None:
                boxes[one_wrong.label].append((one_wrong.score, False, i))
    weights = average_precision.draw_pictures(len(truths), seed)
    # The set itself comes before those that are drawn from it.
    weights = np.concatenate([np.ones((1, len(truths)), np.int64), weights])
    averages = np.stack(
        [_draw_ap(boxes[name], weights, counts[name]) for name in sorted(counts)] or [np.full(2, np.nan)]
    )
    means = average_precision.mean_over_classes(averages)
    return average_precision.estimate(float(means[0]), means[1:])


def _draw_ap(
    boxes: Sequence[tuple[float, bool, int]], weights: NDArray[np.int64], objects: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return a class's AP (draws,) where each picture counts as often as `weights` (draws, pictures) says."""
    ranked = sorted(boxes, key=lambda one: -one[0])
    right = np.array([one[1] for one in ranked], bool)
    per_box = weights[:, np.array([one[2] for one in ranked], np.int64)]
    true, false = np.cumsum(per_box * right, 1), np.cumsum(per_box * ~right, 1)
    return np.array(
        [
            average_precision.average_over_recalls(true[i], false[i], int(count)) if count else np.nan
            for i, count in enumerate(weights @ objects)
        ]
    )


def _match(number: int, truths: Sequence[TrueBox], found: Sequence[Prediction], confidence: float) -> MatchedBoxes:
    true = [one for one in truths if not one.crowd]
    crowds = [one for one in truths if one.crowd]
    every = sorted((one for one in found if one.box and one.score >= confidence), key=lambda one: -one.score)
    every = every[: average_precision.MOST]
    # Plain lists: an array for each of thousands of pictures takes longer to make than to use.
    overlaps = [[intersection_over_union(one.box, of.box) for of in true] for one in every if one.box]
    same = [[one.label == of.label for of in true] for one in every]
    used: dict[int, None] = {}
    right: list[Prediction] = []
    left: list[int] = []
    for i, one in enumerate(every):
        row = overlaps[i]
        free = [j for j, is_same in enumerate(same[i]) if is_same and j not in used]
        best = max(free, key=row.__getitem__, default=None)
        if best is not None and row[best] >= FOREGROUND:
            used[best] = None
            right.append(one)
        elif not any(one.label == of.label and _inside(one, of) > FOREGROUND for of in crowds):
            left.append(i)
    errors: list[DetectionError] = []
    wants: defaultdict[int, list[int]] = defaultdict(list)
    for i in left:
        kind, j = _type(overlaps[i], same[i])
        errors.append(DetectionError(kind, number, every[i], None if j is None else true[j]))
        if kind in ("class", "location") and j is not None and j not in used:
            wants[j].append(len(errors) - 1)
    mended: list[_Scored | None] = [None] * len(errors)
    for j, places in wants.items():
        # Of several that would find one object, the surest does.
        predicted = errors[places[0]].predicted
        assert predicted is not None
        mended[places[0]] = _Scored(true[j].label, predicted.score, True)
    for j, of in enumerate(true):
        if j not in used and j not in wants:
            errors.append(DetectionError("missed", number, None, of))
            mended.append(None)
    return MatchedBoxes(tuple(errors), tuple(right), tuple(true[j] for j in used), tuple(mended))


def _type(overlaps: Sequence[float], same: Sequence[bool]) -> tuple[ErrorType, int | None]:
    """Return the type of a wrong box and the object that it is about, by its overlap with each object."""
    own, own_at, other, other_at = -1.0, None, -1.0, None
    for j, overlap in enumerate(overlaps):
        if same[j]:
            if overlap > own:
                own, own_at = overlap, j
        elif overlap > other:
            other, other_at = overlap, j
    if BACKGROUND <= own < FOREGROUND:
        return "location", own_at
    if other >= FOREGROUND:
        return "class", other_at
    if own >= FOREGROUND:
        return "duplicate", own_at
    if max(own, other) <= BACKGROUND:
        return "background", None
    return "both", other_at if own < other else own_at


def _inside(one: Prediction, crowd: TrueBox) -> float:
    """Return the share of a box that lies in a crowd's."""
    assert one.box is not None
    x0, y0, x1, y1 = one.box
    a0, b0, a1, b1 = crowd.box
    area = (x1 - x0) * (y1 - y0)
    return max(0.0, min(x1, a1) - max(x0, a0)) * max(0.0, min(y1, b1) - max(y0, b0)) / area if area > 0 else 0.0


def _mean_ap(boxes: Sequence[_Counted], objects: Mapping[str, int]) -> float:
    by_class: defaultdict[str, list[_Counted]] = defaultdict(list)
    for one in boxes:
        by_class[one[0]].append(one)
    values = [_ap(by_class[name], count) for name, count in objects.items() if count > 0]
    return float(np.mean(values)) if values else 0.0


def _ap(boxes: Sequence[_Counted], objects: int) -> float:
    """Return the AP at one threshold of boxes that are right or wrong."""
    order = np.argsort([-one[1] for one in boxes], kind="stable")
    right = np.array([one[2] for one in boxes], bool)[order]
    return average_precision.average_over_recalls(np.cumsum(right), np.cumsum(~right), objects)
