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
    right: list[_Scored] = []
    wrong: list[tuple[ErrorType, _Scored | None, _Scored | None, str | None]] = []
    objects: Counter[str] = Counter(one.label for every in truths for one in every if not one.crowd)
    for matched in match_boxes(truths, found):
        right += [_Scored(one.label, one.score, True) for one in matched.right]
        for error, better in zip(matched.errors, matched.mended, strict=True):
            of = error.predicted
            now = None if of is None else _Scored(of.label, of.score, False)
            missed = error.truth.label if error.type == "missed" and error.truth else None
            wrong.append((error.type, now, better, missed))
    base = _mean_ap([*right, *(now for _, now, _, _ in wrong if now)], objects)
    costs: dict[ErrorType, float] = {}
    for kind in MEANINGS:
        boxes = [*right, *(one for which, now, better, _ in wrong if (one := better if which == kind else now))]
        fewer = Counter(missed for which, _, _, missed in wrong if which == kind and missed)
        costs[kind] = _mean_ap(boxes, objects - fewer) - base
    return costs


def _match(number: int, truths: Sequence[TrueBox], found: Sequence[Prediction], confidence: float) -> MatchedBoxes:
    true = [one for one in truths if not one.crowd]
    crowds = [one for one in truths if one.crowd]
    every = sorted((one for one in found if one.box and one.score >= confidence), key=lambda one: -one.score)
    every = every[: average_precision.MOST]
    overlaps = np.array([[intersection_over_union(one.box, of.box) for of in true] for one in every if one.box])
    overlaps = overlaps.reshape(len(every), len(true))
    same = np.array([[one.label == of.label for of in true] for one in every], bool).reshape(overlaps.shape)
    used: dict[int, None] = {}
    right: list[Prediction] = []
    left: list[int] = []
    for i, one in enumerate(every):
        free = [j for j in range(len(true)) if same[i, j] and j not in used]
        best = max(free, key=lambda j: overlaps[i, j], default=None)
        if best is not None and overlaps[i, best] >= FOREGROUND:
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


def _type(
    overlaps: np.ndarray[tuple[int], np.dtype[np.float64]], same: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> tuple[ErrorType, int | None]:
    """Return the type of a wrong box and the object that it is about, by its overlap with each object."""
    if not len(overlaps):
        return "background", None
    own, other = np.where(same, overlaps, -1.0), np.where(same, -1.0, overlaps)
    if BACKGROUND <= own.max() < FOREGROUND:
        return "location", int(own.argmax())
    if other.max() >= FOREGROUND:
        return "class", int(other.argmax())
    if own.max() >= FOREGROUND:
        return "duplicate", int(own.argmax())
    if overlaps.max() <= BACKGROUND:
        return "background", None
    return "both", int(overlaps.argmax())


def _inside(one: Prediction, crowd: TrueBox) -> float:
    """Return the share of a box that lies in a crowd's."""
    assert one.box is not None
    x0, y0, x1, y1 = one.box
    a0, b0, a1, b1 = crowd.box
    area = (x1 - x0) * (y1 - y0)
    return max(0.0, min(x1, a1) - max(x0, a0)) * max(0.0, min(y1, b1) - max(y0, b0)) / area if area > 0 else 0.0


def _mean_ap(boxes: Sequence[_Scored], objects: Mapping[str, int]) -> float:
    by_class: defaultdict[str, list[_Scored]] = defaultdict(list)
    for one in boxes:
        by_class[one.label].append(one)
    values = [_ap(by_class[name], count) for name, count in objects.items() if count > 0]
    return float(np.mean(values)) if values else 0.0


def _ap(boxes: Sequence[_Scored], objects: int) -> float:
    """Return the AP at one threshold of boxes that are right or wrong."""
    right = np.array([one.right for one in sorted(boxes, key=lambda one: -one.score)], bool)
    return average_precision.average_over_recalls(np.cumsum(right), np.cumsum(~right), objects)
