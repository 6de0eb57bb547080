"""Average precision and recall (AP, AR) of boxes as COCO defines them, and what is right and wrong of each box.

Boxes are matched with labels by pycocotools. Precision is averaged here, so that pictures can be drawn again for an
interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightglass.evaluation.ground_truth import TrueBox
from sightglass.evaluation.intervals import Metrics, average_classes, estimate, redraw
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import measure_common, measure_pairs

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Overlaps (IoU) from which a box counts as right."""
RECALLS = np.linspace(0, 1, 101)
MAX_BOXES = 100
"""Boxes of a class in a picture that count, the surest first; also boxes of a picture whose errors are typed."""
FOREGROUND, BACKGROUND = 0.5, 0.1
"""IoU from which a box is on an object, and up to which it is on none."""
_BLOCK = 1_000_000
"""Boxes times redrawn sets of pictures in memory at once."""


def _average(
    right: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    picture: NDArray[np.int64],
    objects: NDArray[np.int64],
    weights: NDArray[np.int32],
) -> NDArray[np.float64]:
    """Return AP and recall of one class (2, draws, thresholds); nan for draws without a labelled object.

    AP is the mean of the precision at 101 recalls. `right`, `counted`: (thresholds, boxes), the surest first, `counted`
    False of boxes on a label that is not counted. `picture`: (boxes,), the index of each box's picture. `objects`:
    (pictures,), the labelled objects. `weights`: (draws, pictures), how often each picture counts.
    """
    objects = weights @ objects
    averages = np.full((2, len(weights), len(THRESHOLDS)), np.nan)
    with_objects = np.flatnonzero(objects)
    per_box = weights[with_objects][:, picture]
    totals = np.cumsum(per_box, 1, np.int32)
    for threshold, (hit, judged) in enumerate(zip(right, counted, strict=True)):
        # Precision is highest at a right box: between two it falls.
        hits, skipped = np.flatnonzero(hit & judged), np.flatnonzero(~judged)
        before = np.cumsum(np.pad(per_box[:, skipped], ((0, 0), (1, 0))), 1, np.int32)
        counts = totals[:, hits] - before[:, np.searchsorted(skipped, hits)]
        true = np.cumsum(per_box[:, hits], 1, np.int32)
        precision = np.zeros((len(with_objects), len(hits) + 1))
        precision[:, :-1] = true / (counts + np.spacing(1))
        precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        recall = true / objects[with_objects, None]
        # After the last right box there is no recall, and no precision.
        places = np.array([row.searchsorted(RECALLS) for row in recall], np.int64).reshape(-1, len(RECALLS))
        averages[0, with_objects, threshold] = np.take_along_axis(precision, places, 1).sum(1) / len(RECALLS)
        averages[1, with_objects, threshold] = recall[:, -1] if len(hits) else 0.0
    return averages


def measure(truths: Sequence[Sequence[TrueBox]], answers: Sequence[Sequence[Prediction]]) -> Metrics:
    """Return COCO's AP and AR with bootstrap intervals from `DRAWS` redrawn picture sets.

    `truths`, `answers`: a list for each picture, boxes in its pixels. A class without counted labels has no AP.
    """
    labels, predictions = _group(truths), _group(answers)
    # The pictures as they are, then the redrawn sets.
    weights = np.concatenate([np.ones((1, len(truths)), np.int32), redraw(len(truths))])
    # Boxes of any class are ignored on a label without a class.
    ignored = {
        picture: list(compress(answers[picture], find_ignored(places, answers[picture])))
        for picture, places in labels.pop("", {}).items()
    }
    names = sorted({box.label for boxes in truths for box in boxes if box.counted})
    # AP and recall (classes, 2, draws, thresholds).
    redrawn = np.empty((len(names), 2, len(weights), len(THRESHOLDS)))
    for index, name in enumerate(names):
        matches = _match_class(labels[name], predictions.get(name, {}), ignored, len(truths))
        blocks = np.array_split(weights, max(1, -(-matches[0].shape[1] * len(weights) // _BLOCK)))
        redrawn[index] = np.concatenate([_average(*matches, block) for block in blocks], 1)
    parts = {"ap": redrawn[:, 0].mean(2), "ap50": redrawn[:, 0, :, 0], "ar": redrawn[:, 1].mean(2)}
    means = {name: average_classes(values) for name, values in parts.items()}
    return Metrics(
        {name: estimate(float(mean[0]), mean[1:], least=0.0) for name, mean in means.items()},
        means["ap"][1:],
        {name: estimate(mean[0], mean[1:], least=0.0) for name, mean in zip(names, parts["ap"], strict=True)},
    )


def _group(rows: Sequence[Sequence[Any]]) -> dict[str, dict[int, list[Any]]]:
    """Group boxes by class, then by the index of their picture."""
    groups: dict[str, dict[int, list[Any]]] = {}
    for picture, boxes in enumerate(rows):
        for box in boxes:
            if box.box is not None:
                groups.setdefault(box.label, {}).setdefault(picture, []).append(box)
    return groups


def _match_class(
    labels: Mapping[int, Sequence[TrueBox]],
    boxes: Mapping[int, Sequence[Prediction]],
    ignored_boxes: Mapping[int, Sequence[Prediction]],
    pictures: int,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Match one class's boxes and labels by pycocotools, as `_average` takes them."""
    from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

    coco = COCOeval(iouType="bbox")
    coco.params.maxDets = [MAX_BOXES]
    objects = np.zeros(pictures, np.int64)
    parts: list[Any] = [(np.zeros((len(THRESHOLDS), 0), bool), np.zeros((len(THRESHOLDS), 0), bool), [], 0)]
    for picture in sorted({*labels, *boxes}):
        key = picture, 0
        coco._gts[key] = [
            _to_coco(label.box) | {"ignore": not label.counted, "iscrowd": label.crowd}
            for label in labels.get(picture, ())
        ]
        coco._dts[key] = [_to_coco(box.box) | {"score": box.score} for box in boxes.get(picture, ())]
        coco.ious[key] = coco.computeIoU(*key)
        matches = coco.evaluateImg(*key, (0, math.inf), MAX_BOXES)
        objects[picture] = np.sum(matches["gtIgnore"] == 0)
        matched, ignored = matches["dtMatches"] > 0, matches["dtIgnore"].astype(bool)
        if picture in ignored_boxes and picture in boxes:
            surest = sorted(boxes[picture], key=lambda box: -box.score)[:MAX_BOXES]
            on_classless = np.array([box in ignored_boxes[picture] for box in surest])
            # A box that is right at the lowest threshold is about a counted label: at others it only fits badly.
            ignored |= on_classless & ~matched & ~(matched[0] & ~ignored[0])
        parts.append((matched, ignored, matches["dtScores"], picture))
    right, skipped, scores, picture_of = zip(*parts, strict=True)
    # As pycocotools sorts them: among equal scores the first picture comes first.
    order = np.argsort(-np.concatenate(scores), kind="stable")
    pictures_of = np.repeat(picture_of, [*map(len, scores)])[order]
    return np.concatenate(right, 1)[:, order], ~np.concatenate(skipped, 1)[:, order], pictures_of, objects


def _to_coco(box: Any) -> dict[str, Any]:
    """Return xyxy as an annotation of COCO; its id only says that it is one."""
    x0, y0, x1, y1 = box
    return {"id": 1, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": 0.0}


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
    Others on a label that is not counted are neither.
    """
    counted = [i for i, box in enumerate(boxes) if box.score >= confidence]
    counted = sorted(counted, key=lambda i: -boxes[i].score)[:MAX_BOXES]
    if not (counted and truths):
        return [BoxMatch(i, "extra", -1) for i in counted]
    corners, label_boxes = (np.array([item.box for item in some]) for some in ([boxes[i] for i in counted], truths))
    names, label_names = (np.array([item.label for item in some]) for some in ([boxes[i] for i in counted], truths))
    same, free = names[:, None] == label_names, np.array([truth.counted for truth in truths])
    overlaps = measure_pairs(corners[:, None], label_boxes)
    class_overlaps = np.where(same & free, overlaps, -1.0)
    other_overlaps = np.where(~same & free, overlaps, -1.0)
    ignored = find_ignored(truths, [boxes[i] for i in counted])
    matches = []
    for row, i in enumerate(counted):
        nearest, other = int(class_overlaps[row].argmax()), int(other_overlaps[row].argmax())
        best, best_other = class_overlaps[row, nearest], other_overlaps[row, other]
        if best >= FOREGROUND and (candidates := np.where(free, class_overlaps[row], -1)).max() >= FOREGROUND:
            nearest = int(candidates.argmax())
            free[nearest] = False
            matches.append(BoxMatch(i, RIGHT, nearest))
        elif ignored[row]:
            continue
        elif BACKGROUND <= best < FOREGROUND:
            matches.append(BoxMatch(i, "misplaced", nearest))
        elif best_other >= FOREGROUND:
            matches.append(BoxMatch(i, "class", other))
        else:
            nearer = -1 if max(best, best_other) <= BACKGROUND else other if best < best_other else nearest
            matches.append(BoxMatch(i, "extra", nearer))
    return sorted(matches, key=lambda item: item.type != RIGHT)
