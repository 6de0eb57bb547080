"""Match a detector's boxes with labelled objects: right, misplaced, extra, missed.

Boxes are matched at an IoU of 0.5, the surest first, each to the free label of its class that it overlaps most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.evaluation import average_precision
from sightglass.models.geometry import measure_common, measure_pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import BoxColumns, GatheredBoxes

FOREGROUND, BACKGROUND = 0.5, 0.1
"""IoU from which a box is on an object, and up to which it is on none."""
ErrorType = Literal["missed", "class", "misplaced", "extra"]
MEANINGS: Mapping[ErrorType, str] = {
    "missed": "a labelled object without a box",
    "class": "a box on an object, with the wrong class",
    "misplaced": "the right class, but the box fits badly",
    "extra": "a box where nothing is labelled, or a second box of an object",
}
TYPES: tuple[ErrorType, ...] = tuple(MEANINGS)
RIGHT = -1
"""The kind of a right box."""


@dataclass(frozen=True, eq=False)
class BoxMatches:
    """The boxes of all pictures beside their labels, picture by picture.

    Right boxes come before wrong ones, the surest first.
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

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(labels,): which are no crowd."""
        return np.asarray(self.labels.value == 0)

    @property
    def found(self) -> NDArray[np.bool_]:
        """(labels,): which have a right box."""
        found = np.zeros(len(self.labels.value), bool)
        found[self.truth[self.kind == RIGHT]] = True
        return found


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
    kind, truth = _find_type(own, other)
    kind, truth = np.where(at < 0, kind, RIGHT), np.where(at < 0, truth, at)
    count = np.flatnonzero((at >= 0) | ~find_in_crowds(boxes, labels))
    order = count[np.lexsort((at[count] < 0, boxes.picture[count]))]
    return BoxMatches(labels, boxes.take(order), names, kind[order], truth[order])


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


def _find_type(own: _Nearest, other: _Nearest) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the type of each box if it is wrong, and the label that it is about; -1 of none."""
    misplaced = (own.overlap >= BACKGROUND) & (own.overlap < FOREGROUND)
    of_other_class = ~misplaced & (other.overlap >= FOREGROUND)
    kind = np.select(
        [misplaced, of_other_class],
        [np.array(TYPES.index("misplaced")), np.array(TYPES.index("class"))],
        TYPES.index("extra"),
    )
    nearer = np.where(own.overlap < other.overlap, other.label, own.label)
    on_nothing = np.maximum(own.overlap, other.overlap) <= BACKGROUND
    truth = np.select([misplaced, of_other_class, on_nothing], [own.label, other.label, np.array(-1)], nearer)
    return kind, truth


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


@dataclass(frozen=True)
class Threshold:
    """From which score on boxes are shown."""

    score: float
    """0..1: the one with the highest F1 on these pictures."""
    f1: float
    precision: float
    recall: float


def find_threshold(matches: BoxMatches) -> Threshold:
    """Return the threshold with the highest F1 at an IoU of 0.5, the highest of several.

    `matches`: of all boxes. It lies halfway to the next lower score. Without a right box it is 1: no box is worth
    showing.
    """
    objects, right = int(matches.counted.sum()), matches.kind == RIGHT
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
