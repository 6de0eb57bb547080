"""TIDE's six types of detection errors, and what each costs in AP.

Bolya, Foley, Hays, Hoffman: TIDE, ECCV 2020, arXiv:2008.08115. Boxes are matched at an IoU of 0.5, the surest first,
each to the free label of its class that it overlaps most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.evaluation import average_precision
from sightglass.models.geometry import measure_common, measure_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import BoxColumns, GatheredBoxes
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
ABOUT_COSTS = "What a type costs is measured over boxes of any score, as AP is."
"""Why an error at the threshold may cost nothing: AP ranks the boxes below it, too."""


TYPES: tuple[ErrorType, ...] = tuple(MEANINGS)
RIGHT = -1
"""What stands for no type."""


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
class MatchedBoxes:
    """The boxes and labels of a picture, held against one another."""

    errors: tuple[DetectionError, ...]
    right: tuple[Prediction, ...]
    """One for each object that was found."""
    objects: tuple[TrueBox, ...]
    """The object of each of `right`."""


@dataclass(frozen=True, eq=False)
class BoxMatches:
    """The boxes of all pictures, held against their labels.

    Picture by picture: of each the right boxes before the wrong ones, the surest first.
    """

    labels: BoxColumns = field(repr=False)
    boxes: BoxColumns = field(repr=False)
    """(n,): without those that do not count, as those inside a crowd."""
    names: tuple[str, ...] = field(repr=False)
    """Of the classes."""
    kind: NDArray[np.int64] = field(repr=False)
    """(n,): an index of `TYPES`; `RIGHT` of right boxes."""
    truth: NDArray[np.int64] = field(repr=False)
    """(n,): the row of `labels` that each box is about; -1 of none."""
    mended: NDArray[np.int64] = field(repr=False)
    """Which boxes would find their object if their error were mended: of several the surest."""
    missed: NDArray[np.int64] = field(repr=False)
    """Rows of `labels` without any box."""

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(labels,): which are no crowd."""
        return np.asarray(self.labels.value == 0)


def match_boxes(
    truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]], confidence: float = 0.0
) -> list[MatchedBoxes]:
    """Return what is right and wrong in each picture; boxes below `confidence` do not count."""
    return list_matches(match_columns(average_precision.gather(truths, found), confidence), truths, found)


def list_matches(
    matches: BoxMatches, truths: Sequence[Sequence[TrueBox]], found: Sequence[Sequence[Prediction]]
) -> list[MatchedBoxes]:
    """Return what is right and wrong in each picture, with the boxes and labels themselves."""
    errors: list[list[DetectionError]] = [[] for _ in truths]
    right: list[list[Prediction]] = [[] for _ in truths]
    objects: list[list[TrueBox]] = [[] for _ in truths]
    labels = [one for every in truths for one in every]
    rows = (matches.boxes.picture, matches.boxes.place, matches.kind, matches.truth)
    for picture, place, kind, row in zip(*(one.tolist() for one in rows), strict=True):
        if kind == RIGHT:
            right[picture].append(found[picture][place])
            objects[picture].append(labels[row])
        else:
            about = None if row < 0 else labels[row]
            errors[picture].append(DetectionError(TYPES[kind], picture, found[picture][place], about))
    for row in matches.missed.tolist():
        picture = int(matches.labels.picture[row])
        errors[picture].append(DetectionError("missed", picture, None, labels[row]))
    return [MatchedBoxes(tuple(a), tuple(b), tuple(c)) for a, b, c in zip(errors, right, objects, strict=True)]


def match_columns(columns: GatheredBoxes, confidence: float = 0.0) -> BoxMatches:
    """Return what is right and wrong in all pictures; boxes below `confidence` do not count."""
    labels, boxes, names = columns
    boxes = boxes.take(boxes.value >= confidence)
    boxes = boxes.take(np.lexsort((-boxes.value, boxes.picture)))
    ranks = np.arange(len(boxes.picture)) - np.searchsorted(boxes.picture, boxes.picture)
    boxes = boxes.take(ranks < average_precision.MOST)
    own, other = (_Nearest(np.full(len(boxes.picture), -1.0), np.full(len(boxes.picture), -1)) for _ in range(2))
    at, used = np.full(len(boxes.picture), -1), np.zeros(len(labels.picture), bool)
    for box, label in _compare(boxes, labels, own, other):
        if at[box] < 0 and not used[label]:
            at[box], used[label] = label, True
    kind, truth = _type(own, other)
    kind, truth = np.where(at < 0, kind, RIGHT), np.where(at < 0, truth, at)
    count = np.flatnonzero((at >= 0) | ~find_in_crowds(boxes, labels))
    order = count[np.lexsort((at[count] < 0, boxes.picture[count]))]
    boxes, kind, truth = boxes.take(order), kind[order], truth[order]
    wants = np.flatnonzero((kind == TYPES.index("class")) | (kind == TYPES.index("location")))
    wants = wants[~used[truth[wants]]]
    # Of several that would find one object, the surest does.
    wanted, first = np.unique(truth[wants], return_index=True)
    used[wanted] = True
    missed = np.flatnonzero(~used & (labels.value == 0))
    return BoxMatches(labels, boxes, names, kind, truth, np.sort(wants[first]), missed)


def cost_in_ap(matches: BoxMatches) -> Mapping[ErrorType, float]:
    """Return by how much AP at an IoU of 0.5 would rise if all errors of a type were mended and no other (0..1).

    `matches`: of all boxes. The costs do not add up to what is missing: mending one type changes what another costs.
    """
    base = _mean_ap(matches, None)
    return {kind: _mean_ap(matches, kind) - base for kind in MEANINGS}


def _mean_ap(matches: BoxMatches, mend: ErrorType | None) -> float:
    """Return AP at an IoU of 0.5 once all errors of a type are mended."""
    mended = -2 if mend is None else TYPES.index(mend)
    left, better = np.flatnonzero(matches.kind != mended), matches.mended[matches.kind[matches.mended] == mended]
    numbers = matches.labels.number
    number = np.concatenate([matches.boxes.number[left], numbers[matches.truth[better]]])
    right = np.concatenate([matches.kind[left] == RIGHT, np.ones(len(better), bool)])
    boxes = matches.boxes.take(np.concatenate([left, better]))
    # Of boxes with one score the first one given comes first, right or wrong, as in the AP that is reported.
    order = np.lexsort((boxes.place, boxes.picture, -boxes.value, number))
    number, right = number[order], right[order]
    objects = np.bincount(numbers[matches.counted], minlength=len(matches.names))
    if mend == "missed":
        objects -= np.bincount(numbers[matches.missed], minlength=len(objects))
    values = []
    for one in np.flatnonzero(objects > 0):
        mine = right[slice(*np.searchsorted(number, (one, one + 1)))]
        values.append(average_precision.average_over_recalls(np.cumsum(mine), np.cumsum(~mine), int(objects[one])))
    return float(np.mean(values)) if values else 0.0


@dataclass(frozen=True, eq=False)
class _Nearest:
    """The label that each box overlaps most, of some labels, (boxes,) each."""

    overlap: NDArray[np.float64]
    """-1 where there is no label."""
    label: NDArray[np.int64]
    """Its row; -1 where there is none."""

    def take(self, box: NDArray[np.int64], label: NDArray[np.int64], overlap: NDArray[np.float64]) -> None:
        """Take over what boxes overlap, of all pairs of some boxes."""
        starts = np.flatnonzero(np.diff(box, prepend=-1))
        if len(starts):
            most = np.maximum.reduceat(overlap, starts)
            self.overlap[box[starts]] = most
            # Of equal overlaps the first.
            is_most = overlap == np.repeat(most, np.diff(starts, append=len(box)))
            self.label[box[starts]] = np.minimum.reduceat(np.where(is_most, label, len(label) + label.max()), starts)


def _compare(boxes: BoxColumns, labels: BoxColumns, own: _Nearest, other: _Nearest) -> Iterator[tuple[int, int]]:
    """Yield each box with each label that it may find, the surest box first and of each the best label.

    What it overlaps most of its class, and of other classes, goes into `own` and `other`.
    """
    true = np.flatnonzero(labels.value == 0)
    pictures = labels.picture[true]
    for start, end in average_precision.cut_pictures(boxes.picture):
        of_box, of_label = average_precision.pair_up(boxes.picture[start:end], pictures)
        of_box, of_label = of_box + start, true[of_label]
        overlap = measure_pairs(boxes.box[of_box], labels.box[of_label])
        same = boxes.number[of_box] == labels.number[of_label]
        for which, nearest in ((same, own), (~same, other)):
            nearest.take(of_box[which], of_label[which], overlap[which])
        which = np.flatnonzero(same & (overlap >= FOREGROUND))
        which = which[np.lexsort((-overlap[which], of_box[which]))]
        yield from zip(of_box[which].tolist(), of_label[which].tolist(), strict=True)


def _type(own: _Nearest, other: _Nearest) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the type of each box if it is wrong, and the label that it is about, by what it overlaps."""
    cases: Mapping[ErrorType, tuple[NDArray[np.bool_], NDArray[np.int64]]] = {
        "location": ((own.overlap >= BACKGROUND) & (own.overlap < FOREGROUND), own.label),
        "class": (other.overlap >= FOREGROUND, other.label),
        "duplicate": (own.overlap >= FOREGROUND, own.label),
        "background": (np.maximum(own.overlap, other.overlap) <= BACKGROUND, np.full(len(own.label), -1)),
    }
    when = [one for one, _ in cases.values()]
    nearer = np.where(own.overlap < other.overlap, other.label, own.label)
    kind = np.select(when, [np.array(TYPES.index(name)) for name in cases], TYPES.index("both"))
    return kind, np.select(when, [about for _, about in cases.values()], nearer)


def find_in_crowds(boxes: BoxColumns, labels: BoxColumns) -> NDArray[np.bool_]:
    """Return which boxes (n,) lie by more than half in a crowd of their class: they are neither right nor wrong."""
    inside = np.zeros(len(boxes.picture), bool)
    crowds = np.flatnonzero(labels.value > 0)
    of_box, of_crowd = average_precision.pair_up(boxes.picture, labels.picture[crowds])
    box, crowd = boxes.box[of_box], labels.box[crowds[of_crowd]]
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    same = boxes.number[of_box] == labels.number[crowds[of_crowd]]
    share = np.divide(measure_common(box, crowd), area, out=np.zeros(len(area)), where=area > 0)
    inside[of_box[same & (share > FOREGROUND)]] = True
    return inside
