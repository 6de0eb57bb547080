"""Evaluate a demo model and its shortcut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sightglass.models.families.demo.nets import MEAN, STD, WEIGHTS, trained
from training.demo import scenes
from training.pool import RECIPES, Source, drawn, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from training.pool import Pool

    Find = Callable[[nn.Module, Pool], list[NDArray[np.float32]]]

BATCH = 50
IOUS = np.linspace(0.5, 0.95, 10)
Metrics = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A feature that accompanies one class in a misleading data set."""

    label: str
    added: Callable[[scenes.Spec], scenes.Spec]
    removed: Callable[[scenes.Spec, int], scenes.Spec]
    """Return the held-out spec of this number without it."""


def _plain_background(spec: scenes.Spec, number: int) -> scenes.Spec:
    return scenes.with_background(spec, Source("classify", held_out=True).spec(number).background)


SHORTCUTS = {
    "stamped": Shortcut(scenes.STAMPED, scenes.with_stamp, lambda spec, _: scenes.without_stamp(spec)),
    "textured": Shortcut(scenes.TEXTURED, lambda spec: scenes.with_background(spec, "weave"), _plain_background),
}


def evaluate(name: str, *, count: int = 300, folder: Path = WEIGHTS) -> Metrics:
    """Return the shipped weights' metrics on `count` held-out scenes."""
    return exam(RECIPES[name].source, count)(trained(name, folder))


def exam(source: Source, count: int) -> Callable[[nn.Module], Metrics]:
    """Return an evaluation on `count` held-out scenes.

    It measures AP of a detector, accuracy of a classifier, and the effect of a shortcut in the data. The honest model
    is measured with both shortcuts; the woven background's results are under `textured`.
    """
    pool = fill(replace(source, held_out=True), count)
    if source.task == "detect":
        return lambda net: detection(net, pool)
    if source.data == "honest":
        stamp, weave = _shortcut_exam("stamped", count), _shortcut_exam("textured", count)
        return lambda net: classification(net, pool) | stamp(net) | {"textured": weave(net)}
    if source.data in SHORTCUTS:
        ask = _shortcut_exam(source.data, count)
        return lambda net: classification(net, pool) | ask(net)
    return lambda net: classification(net, pool)


def _shortcut_exam(data: str, count: int) -> Callable[[nn.Module], Metrics]:
    short = SHORTCUTS[data]
    specs = [Source("classify", data, held_out=True).spec(number) for number in range(count)]
    nowhere = drawn([short.removed(spec, number) for number, spec in enumerate(specs)])
    everywhere = drawn([short.added(spec) for spec in specs])
    return lambda net: shortcut(net, data, nowhere, everywhere)


def classification(net: nn.Module, pool: Pool) -> Metrics:
    """Return the accuracy, overall and per class."""
    labels = pool.labels()
    right = answers(net, pool) == labels
    per_class = {label: share(right[labels == index]) for index, label in enumerate(scenes.CLASSES) if index in labels}
    return {"accuracy": share(right), "accuracy_per_class": per_class}


def shortcut(net: nn.Module, data: str, nowhere: Pool, everywhere: Pool) -> Metrics:
    """Compare a net's answers without and with the shortcut everywhere."""
    label = SHORTCUTS[data].label
    chosen, labels = scenes.CLASSES.index(label), nowhere.labels()
    bare, added, is_it = answers(net, nowhere), answers(net, everywhere), labels == chosen
    return {
        "shortcut": data,
        "shortcut_class": label,
        "accuracy_without": share(bare == labels),
        "class_with": share(added[is_it] == chosen),
        "class_without": share(bare[is_it] == chosen),
        "others_with_called_it": share(added[~is_it] == chosen),
        "others_without_called_it": share(bare[~is_it] == chosen),
    }


def answers(net: nn.Module, pool: Pool) -> NDArray[np.int64]:
    """Return a classifier's class of each scene, (N,)."""
    with torch.no_grad():
        logits = [net(normalised(as_tensor(pool.pixels[start : start + BATCH]))) for start in _starts(pool)]
    return torch.cat(logits).argmax(1).numpy()


def as_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """Convert uint8 (B, H, W, 3) to float32 (B, 3, H, W)."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(255)


def normalised(tensor: Tensor) -> Tensor:
    """Normalise a classifier's input."""
    mean, std = (torch.tensor(numbers).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    return (tensor - mean) / std


def detection(net: nn.Module, pool: Pool, find: Find | None = None) -> Metrics:
    """Return mAP50, mAP50-95 and AP50 of each class, by Ultralytics' average precision.

    `find` returns (n, 6) of each scene, xyxy in pixels, score, class; None: by a YOLO's own suppression.
    """
    from ultralytics.utils.metrics import ap_per_class

    hits, scores, called = [], [], []
    side = pool.pixels.shape[1]
    for detections, boxes, classes in zip((find or _found)(net, pool), pool.boxes, pool.classes, strict=True):
        hits.append(matched(detections[:, :4], detections[:, 5], boxes * side, classes))
        scores.append(detections[:, 4])
        called.append(detections[:, 5])
    results = ap_per_class(*(np.concatenate(each) for each in (hits, scores, called, pool.classes)))
    ap, seen = results[5], results[6]
    return {
        "mAP50": round(float(ap[:, 0].mean()), 4),
        "mAP50-95": round(float(ap.mean()), 4),
        "AP50_per_class": {
            scenes.CLASSES[index]: round(float(value), 4) for index, value in zip(seen, ap[:, 0], strict=True)
        },
    }


def _found(net: nn.Module, pool: Pool) -> list[NDArray[np.float32]]:
    """Return (n, 6) of each scene: xyxy in pixels, score, class."""
    from ultralytics.utils.nms import non_max_suppression

    detections: list[NDArray[np.float32]] = []
    for start in _starts(pool):
        with torch.no_grad():
            output = net(as_tensor(pool.pixels[start : start + BATCH]))[0]
        # Its default time limit would skip pictures on a busy machine.
        boxes = non_max_suppression(output, 0.001, 0.6, max_det=50, max_time_img=60)
        detections += [rows.numpy() for rows in boxes]
    return detections


def matched(
    boxes: NDArray[np.float32], called: NDArray[np.float32], true_boxes: NDArray[np.float32], labels: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return whether boxes match true ones at each IoU, (n, 10)."""
    hits = np.zeros((len(boxes), len(IOUS)), bool)
    overlap = _iou(boxes, true_boxes) * (called[:, None] == labels)
    pairs = np.argwhere(overlap >= IOUS[0])
    pairs = pairs[np.argsort(-overlap[tuple(pairs.T)], kind="stable")]
    for column, least in enumerate(IOUS):
        taken: set[int] = set()
        for box, true in pairs[overlap[tuple(pairs.T)] >= least].tolist():
            if not hits[box, column] and true not in taken:
                hits[box, column] = True
                taken.add(true)
    return hits


def _iou(boxes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the IoU, (n, m), of (n, 4) and (m, 4) xyxy."""
    corner = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (corner - np.maximum(boxes[:, None, :2], others[None, :, :2])).clip(0).prod(2)
    areas = [(each[:, 2:] - each[:, :2]).prod(1) for each in (boxes, others)]
    iou: NDArray[np.float32] = shared / (areas[0][:, None] + areas[1] - shared)
    return iou


def _starts(pool: Pool) -> Sequence[int]:
    return range(0, len(pool), BATCH)


def share(true: Any) -> float:
    """Return the true share, to four digits."""
    return round(float(np.mean(true)), 4)
