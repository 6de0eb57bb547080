"""TIDE's six types of detection errors, and what each costs in AP.

Bolya, Foley, Hays, Hoffman: TIDE, ECCV 2020, arXiv:2008.08115. Boxes are matched at an IoU of 0.5, the surest first,
each to the free label of its class that it overlaps most.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.evaluation import average_precision
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from sightglass.evaluation.ground_truth import TrueBox
    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box

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
ABOUT_COSTS = "What a type costs is measured over boxes of any score, as AP is."
"""Why an error at the threshold may cost nothing: AP ranks the boxes below it, too."""


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
        elif not is_in_crowd(one, crowds):
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


def is_in_crowd(one: Prediction, crowds: Iterable[TrueBox]) -> bool:
    """Return whether more than half of a box lies in a crowd of its class, so that it is neither right nor wrong."""
    if one.box is None:
        return False
    x0, y0, x1, y1 = one.box
    area = (x1 - x0) * (y1 - y0)
    return any(area > 0 and one.label == of.label and _overlap(one.box, of.box) / area > FOREGROUND for of in crowds)


def _overlap(one: Box, other: Box) -> float:
    (x0, y0, x1, y1), (a0, b0, a1, b1) = one, other
    return max(0.0, min(x1, a1) - max(x0, a0)) * max(0.0, min(y1, b1) - max(y0, b0))


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
