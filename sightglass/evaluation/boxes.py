"""Average precision and recall (AP, AR) of boxes as COCO defines them, and what is right and wrong of each box.

Boxes are matched with labels by pycocotools. Precision is averaged here, to draw pictures again for an interval.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from sightglass.common.files import Json
from sightglass.common.work.progress import report
from sightglass.evaluation.intervals import Metrics, average_classes, count_answers, count_pictures, estimate, redraw
from sightglass.evaluation.label_files.rows import TrueBox
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.phrases import plural
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import measure_common, measure_pairs

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Overlaps (IoU) from which a box counts as right."""
RECALLS = np.linspace(0, 1, 101)
MAX_BOXES = 100
"""Boxes of a class in a picture that count, the surest first; also boxes of a picture whose errors are typed."""
FOREGROUND, BACKGROUND = 0.5, 0.1
"""IoU from which a box is on an object, and up to which it is on none."""
_BLOCK = 1_000_000
"""Boxes times redrawn sets of pictures in memory at once."""
_PICTURE, _BOX, _SCORE, _COUNTED, _CLASSLESS, _CROWD = 0, slice(1, 5), 5, 5, 6, 6
"""Columns of a class's boxes, with their scores and whether they lie on a label without a class, and of its labels."""
_Rows = list[tuple[float, ...]]
_averages: ByteCache[Floats] = ByteCache(32 * 2**20, attrgetter("nbytes"))
"""Results of `_measure_class`, about 50 kB each: a corrected label changes those of its class alone."""


def measure(truths: Sequence[Sequence[TrueBox]], answers: Sequence[Sequence[Prediction]]) -> Metrics:
    """Return COCO's AP and AR with bootstrap intervals from `DRAWS` redrawn picture sets.

    `truths`, `answers`: a list for each picture, boxes in its pixels. A class without counted labels has no AP.
    """
    classes = _list_classes(truths, answers)
    # The pictures as they are, then the redrawn sets.
    weights = np.concatenate([np.ones((1, len(truths)), np.int32), redraw(len(truths))])
    # AP and recall (classes, 2, draws, thresholds).
    redrawn = np.empty((len(classes), 2, len(weights), len(THRESHOLDS)))
    for index, rows in enumerate(classes.values()):
        report(index / len(classes), f"Intervals of {index:,} of {plural(len(classes), 'class')}")
        key = len(truths), *(hashlib.blake2b(table.tobytes()).digest() for table in rows)
        redrawn[index] = _averages.get_or_make(key, partial(_measure_class, *rows, weights))
    parts = {"ap": redrawn[:, 0].mean(2), "ap50": redrawn[:, 0, :, 0], "ar": redrawn[:, 1].mean(2)}
    means = {name: average_classes(values) for name, values in parts.items()}
    objects = _count_objects([labels for labels, _ in classes.values()], len(truths))
    pictures = (objects > 0).sum(0).tolist()
    labelled = int(objects.any(1).sum())
    of_class = count_pictures(objects)
    most = count_answers(of_class, float(count_pictures(objects.sum(1))))
    return Metrics(
        {name: estimate(mean[0], mean[1:], labelled, most=most) for name, mean in means.items()},
        means["ap"][1:],
        {
            name: estimate(parts["ap"][i, 0], parts["ap"][i, 1:], pictures[i], most=of_class[i])
            for i, name in enumerate(classes)
        },
    )


def _count_objects(labels: Sequence[Floats], pictures: int) -> Floats:
    """Return how many counted labels each picture has of each class, (pictures, classes)."""
    objects = np.zeros((pictures, len(labels)))
    for index, rows in enumerate(labels):
        counted = rows[rows[:, _COUNTED] > 0, _PICTURE].astype(int)
        objects[:, index] = np.bincount(counted, minlength=pictures)
    return objects


def _list_classes(
    truths: Sequence[Sequence[TrueBox]], answers: Sequence[Sequence[Prediction]]
) -> dict[str, tuple[Floats, Floats]]:
    """Return the labels and boxes of each class with counted labels.

    Both are rows of the columns above, by picture.
    """
    labels = _group_labels(truths)
    boxes = _group_boxes(truths, answers)
    names = sorted({label.label for true in truths for label in true if label.counted})
    return {name: (_to_rows(labels.get(name, ())), _to_rows(boxes.get(name, ()))) for name in names}


def _group_labels(truths: Sequence[Sequence[TrueBox]]) -> dict[str, _Rows]:
    """Return the rows of each class's labels."""
    labels: dict[str, _Rows] = {}
    for picture, true in enumerate(truths):
        for label in true:
            labels.setdefault(label.label, []).append((picture, *label.box, label.counted, label.crowd))
    return labels


def _group_boxes(truths: Sequence[Sequence[TrueBox]], answers: Sequence[Sequence[Prediction]]) -> dict[str, _Rows]:
    """Return the rows of each class's boxes."""
    boxes: dict[str, _Rows] = {}
    for picture, (true, answered) in enumerate(zip(truths, answers, strict=True)):
        placed = [(box, box.box) for box in answered if box.box is not None]
        # Boxes of any class are ignored on a label without a class.
        classless = find_ignored([label for label in true if not label.label], [box for box, _ in placed])
        for (box, corners), ignored in zip(placed, classless.tolist(), strict=True):
            boxes.setdefault(box.label, []).append((picture, *corners, box.score, ignored))
    return boxes


def _to_rows(rows: Sequence[tuple[float, ...]]) -> Floats:
    return np.array(rows, float).reshape(-1, 7)


@dataclass(frozen=True, eq=False)
class _RankedBoxes:
    """Boxes of a class, the surest first, matched with its labels as COCO does."""

    right: Flags
    """(thresholds, boxes)."""
    counted: Flags
    """(thresholds, boxes); False of boxes on a label that is not counted."""
    scores: Floats
    """(boxes,)."""
    picture: NDArray[np.int64]
    """(boxes,), the index of each box's picture."""
    objects: NDArray[np.int64]
    """(pictures,), the labelled objects that are counted."""


def _rank(labels: Floats, boxes: Floats, pictures: int) -> _RankedBoxes:
    """Match the boxes of one class.

    `labels`, `boxes`: rows of the columns above, by picture; `pictures`: the number of all.
    """
    from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

    coco = COCOeval(iouType="bbox")
    coco.params.maxDets = [MAX_BOXES]
    # The surest boxes of each picture.
    boxes = boxes[np.lexsort((-boxes[:, _SCORE], boxes[:, _PICTURE]))]
    boxes = boxes[np.arange(len(boxes)) - np.searchsorted(boxes[:, _PICTURE], boxes[:, _PICTURE]) < MAX_BOXES]
    right, skipped = np.zeros((2, len(THRESHOLDS), len(boxes)), bool)
    for picture in np.intersect1d(labels[:, _PICTURE], boxes[:, _PICTURE]):
        here, of = (slice(*np.searchsorted(rows[:, _PICTURE], (picture, picture + 1))) for rows in (boxes, labels))
        coco._gts[picture, 0] = [
            _to_coco(row) | {"ignore": not row[_COUNTED], "iscrowd": bool(row[_CROWD])} for row in labels[of]
        ]
        coco._dts[picture, 0] = [_to_coco(row) | {"score": row[_SCORE]} for row in boxes[here]]
        coco.ious[picture, 0] = coco.computeIoU(picture, 0)
        matches = coco.evaluateImg(picture, 0, (0, math.inf), MAX_BOXES)
        right[:, here], skipped[:, here] = matches["dtMatches"] > 0, matches["dtIgnore"]
    # A box that is right at the lowest threshold is about a counted label: at others it only fits badly.
    skipped |= (boxes[:, _CLASSLESS] > 0) & ~right & ~(right[0] & ~skipped[0])
    # As pycocotools sorts them: among equal scores the first picture comes first.
    order = np.argsort(-boxes[:, _SCORE], kind="stable")
    counted = labels[labels[:, _COUNTED] > 0, _PICTURE].astype(int)
    return _RankedBoxes(
        right=right[:, order],
        counted=~skipped[:, order],
        scores=boxes[order, _SCORE],
        picture=boxes[order, _PICTURE].astype(int),
        objects=np.bincount(counted, minlength=pictures),
    )


def _measure_class(labels: Floats, boxes: Floats, weights: NDArray[np.int32]) -> Floats:
    """Return AP and recall of one class, (2, draws, thresholds); nan for draws without a labelled object.

    `labels`, `boxes`: rows of the columns above, by picture. `weights`: (draws, pictures), how often each counts.
    """
    ranked = _rank(labels, boxes, weights.shape[1])
    blocks = np.array_split(weights, max(1, math.ceil(len(ranked.scores) * len(weights) / _BLOCK)))
    parts = [_average(ranked.right, ranked.counted, ranked.picture, ranked.objects, block) for block in blocks]
    return np.concatenate(parts, 1)


@dataclass(frozen=True, eq=False)
class PrecisionCurve:
    """Precision of one class's boxes at each of `RECALLS`.

    At an IoU of 0.5; its mean is the class's AP50.
    """

    precision: Floats
    """(recalls,), the highest at this recall or beyond; 0 where the recall is not reached."""
    scores: Floats
    """(recalls,), the least score of the boxes with which the recall is reached; nan where it is not."""
    boxes: NDArray[np.int64]
    """(recalls,), how many counted boxes have that score or a higher place."""
    right: NDArray[np.int64]
    """(recalls,), how many of these are right."""
    objects: int
    """Labelled objects that are counted."""
    ranked: _RankedBoxes

    def find_pictures(self, recall: int) -> NDArray[np.int64]:
        """Return the pictures with the boxes that count at the recall of this index."""
        places = np.flatnonzero(self.ranked.counted[0])[: self.boxes[recall]]
        return np.unique(self.ranked.picture[places])


def list_curves(
    truths: Sequence[Sequence[TrueBox]], answers: Sequence[Sequence[Prediction]]
) -> dict[str, PrecisionCurve]:
    """Return the precision at each recall of every class with counted labels.

    Arguments as of `measure`.
    """
    classes = _list_classes(truths, answers)
    return {name: _draw_curve(_rank(*rows, len(truths))) for name, rows in classes.items()}


def _draw_curve(ranked: _RankedBoxes) -> PrecisionCurve:
    objects = int(ranked.objects.sum())
    counted = np.flatnonzero(ranked.counted[0])
    # Places of the right boxes among the counted ones, the surest first.
    hits = np.flatnonzero(ranked.right[0, counted])
    found = np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate((found / (hits + 1 + np.spacing(1)))[::-1])[::-1]
    # The right boxes from which each recall is reached.
    needed = np.searchsorted(np.arange(objects + 1) / objects, RECALLS).clip(1)
    reached = needed <= len(hits)
    places = needed[reached] - 1
    curve = PrecisionCurve(
        precision=np.zeros(len(RECALLS)),
        scores=np.full(len(RECALLS), np.nan),
        boxes=np.full(len(RECALLS), len(counted)),
        right=np.full(len(RECALLS), len(hits)),
        objects=objects,
        ranked=ranked,
    )
    curve.precision[reached] = precision[places]
    curve.scores[reached] = ranked.scores[counted[hits[places]]]
    curve.boxes[reached] = hits[places] + 1
    curve.right[reached] = needed[reached]
    return curve


def _to_coco(row: Floats) -> Json:
    """Return a box as an annotation of COCO; its id only says that it is one."""
    x0, y0, x1, y1 = row[_BOX].tolist()
    return {"id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": 0.0}


def _average(
    right: Flags, counted: Flags, picture: NDArray[np.int64], objects: NDArray[np.int64], weights: NDArray[np.int32]
) -> Floats:
    """Return AP and recall of one class (2, draws, thresholds); nan for draws without a labelled object.

    AP is the mean of the precision at 101 recalls. `right`, `counted`: (thresholds, boxes), the surest first, `counted`
    False of boxes on a label that is not counted. `picture`: (boxes,), the index of each box's picture. `objects`:
    (pictures,), the labelled objects. `weights`: (draws, pictures), how often each picture counts.
    """
    # Few pictures have an object of one of many classes.
    labelled = np.flatnonzero(objects)
    objects = weights[:, labelled] @ objects[labelled]
    averages = np.full((2, len(weights), len(THRESHOLDS)), np.nan)
    drawn = np.flatnonzero(objects)
    objects = objects[drawn, None]
    # The right boxes from which each recall is reached, (draws, recalls).
    reached = np.array([np.searchsorted(np.arange(count + 1) / count, RECALLS) for count in objects[:, 0]], int)
    reached = reached.reshape(-1, len(RECALLS)).clip(1)
    per_box = weights[drawn][:, picture]
    totals = np.cumsum(per_box, 1, np.int32)
    for threshold, (hit, judged) in enumerate(zip(right, counted, strict=True)):
        # Precision is highest at a right box: between two it falls.
        hits, skipped = np.flatnonzero(hit & judged), np.flatnonzero(~judged)
        before = np.cumsum(np.pad(per_box[:, skipped], ((0, 0), (1, 0))), 1, np.int32)
        counts = totals[:, hits] - before[:, np.searchsorted(skipped, hits)]
        per_hit = per_box[:, hits]
        precision = np.cumsum(per_hit, 1, np.int32) / (counts + np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        # Of each right box, (boxes of all draws,); after the last one there is no recall, and no precision.
        precisions = np.append(np.repeat(precision, per_hit.ravel()), 0.0)
        found = per_hit.sum(1, keepdims=True)
        places = np.cumsum(found)[:, None] - found + reached - 1
        places[reached > found] = -1
        averages[0, drawn, threshold] = precisions[places].sum(1) / len(RECALLS)
        averages[1, drawn, threshold] = (found / objects)[:, 0]
    return averages


def find_ignored(truths: Sequence[TrueBox], boxes: Sequence[Prediction]) -> NDArray[np.bool_]:
    """Return whether boxes lie on labels that are not counted, (boxes,).

    By an IoU of 0.5 or the centre; in a crowd by half of the box's area, as COCO has it.
    """
    if not (boxes and truths):
        return np.zeros(len(boxes), bool)
    corners, label_boxes = np.array([box.box for box in boxes])[:, None], np.array([truth.box for truth in truths])
    counted, crowd = (np.array([getattr(truth, name) for truth in truths]) for name in ("counted", "crowd"))
    centres, common = (corners[..., :2] + corners[..., 2:]) / 2, measure_common(corners, label_boxes)
    inside = ((label_boxes[:, :2] <= centres) & (centres <= label_boxes[:, 2:])).all(2)
    in_crowd = (common > 0) & (common >= FOREGROUND * np.prod(corners[..., 2:] - corners[..., :2], 2))
    on_label = inside | (measure_pairs(corners, label_boxes) >= FOREGROUND)
    return np.asarray((~counted & np.where(crowd, in_crowd, on_label)).any(1))


RIGHT = "right"


@dataclass(frozen=True, slots=True)
class BoxMatch:
    """One box, right or with its type of error."""

    box: int
    """Its index among the boxes of its picture."""
    type: str
    """`RIGHT`, or a type of error (`kinds.TYPE_NAMES`)."""
    truth: int
    """The index of the label that it is about; -1 of none."""


def match(truths: Sequence[TrueBox], boxes: Sequence[Prediction], confidence: float = 0.0) -> list[BoxMatch]:
    """Match a picture's boxes with its labels; right ones first, surest first.

    Each box is matched at an IoU of 0.5 to the free label of its class that it overlaps most, the surest box first.
    Others on a label that is not counted are neither right nor wrong. `confidence`: the least score of a box.
    """
    indices = [i for i, box in enumerate(boxes) if box.score >= confidence]
    indices = sorted(indices, key=lambda i: -boxes[i].score)[:MAX_BOXES]
    if not (indices and truths):
        return [BoxMatch(i, "extra", -1) for i in indices]
    surest = [boxes[i] for i in indices]
    overlaps = measure_pairs(np.array([box.box for box in surest])[:, None], np.array([truth.box for truth in truths]))
    same = np.array([box.label for box in surest])[:, None] == np.array([truth.label for truth in truths])
    free = np.array([truth.counted for truth in truths])
    class_overlaps = np.where(same & free, overlaps, -1.0)
    other_overlaps = np.where(~same & free, overlaps, -1.0)
    ignored = find_ignored(truths, surest)
    right, others = list[BoxMatch](), list[BoxMatch]()
    for row, i in enumerate(indices):
        free_overlaps = np.where(free, class_overlaps[row], -1.0)
        nearest = int(free_overlaps.argmax())
        if free_overlaps[nearest] >= FOREGROUND:
            free[nearest] = False
            right.append(BoxMatch(i, RIGHT, nearest))
        elif not ignored[row]:
            others.append(_name_error(i, class_overlaps[row], other_overlaps[row]))
    return right + others


def _name_error(index: int, of_class: Floats, of_others: Floats) -> BoxMatch:
    """Return what is wrong with a box, by its overlaps with labels.

    `of_class`: with those of its class; `of_others`: with the others.
    """
    nearest, other = int(of_class.argmax()), int(of_others.argmax())
    best, best_other = of_class[nearest], of_others[other]
    if BACKGROUND <= best < FOREGROUND:
        return BoxMatch(index, "misplaced", nearest)
    if best_other >= FOREGROUND:
        return BoxMatch(index, "class", other)
    if max(best, best_other) <= BACKGROUND:
        return BoxMatch(index, "extra", -1)
    return BoxMatch(index, "extra", other if best < best_other else nearest)
