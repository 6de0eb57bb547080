"""Resolve options to targets: classes, boxes, candidates."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import percent
from sightglass.models.adapter import Target
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.models.adapter import Prediction

EMBEDDING = -1
"""The target in the recipe of a model without classes."""
UNSHOWN = "the map is of its strongest candidate alone."
"""The end of the note on a class that has a map but no box."""


def resolve(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
    """Return the targets that the options name, or the best `top_k` among the predictions."""
    adapter = evidence.resident.adapter
    if adapter.spec.task == "embed":
        if any(target != EMBEDDING for target in options.targets):
            raise ModelProblem(f"{adapter.spec.id} names no classes: compare pictures with it (similarity).")
        return [Target(None, "its embedding", (), options.part)]
    if options.per != "class" and not adapter.detects:
        raise ModelProblem(f"{adapter.spec.id} is a classifier and has no boxes: explain a class.")
    if options.per == "picture":
        anchors = adapter.strongest(evidence.outputs, options.ratio)
        return [Target(None, "the whole picture", anchors, options.part)]
    if options.per == "detection":
        return [
            Target(index, adapter.labels[index], (anchor,), options.part)
            for anchor, index in _detections(options, predictions, evidence)
        ]
    wanted = [class_index(target, adapter.labels) for target in options.targets]
    if not options.targets:
        wanted = list(dict.fromkeys(prediction.index for prediction in predictions))[: options.top_k]
    return [
        Target(
            index,
            adapter.labels[index],
            tuple(p.anchor for p in predictions if p.index == index and p.anchor is not None),
            options.part,
        )
        for index in wanted
    ]


def unshown(options: Options, targets: Sequence[Target], evidence: Evidence) -> tuple[str, ...]:
    """Return a note on each class of a detector that has a map but no box."""
    if options.per != "class" or not evidence.resident.adapter.detects:
        return ()
    return tuple(
        f"No {target.label} is shown (at best {percent(float(evidence.outputs.scores[0, target.index].max()))} sure): "
        f"{UNSHOWN}"
        for target in targets
        if not target.anchors
    )


def _detections(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[tuple[int, int]]:
    """Return the candidates, as (anchor, class), of the boxes that the options name."""
    labels, count = evidence.resident.adapter.labels, evidence.outputs.count
    shown = [(p.anchor, p.index) for p in predictions if p.anchor is not None]
    found: list[tuple[int, int]] = []
    for target in options.targets:
        if isinstance(target, tuple | list):
            anchor, index = target
            if not 0 <= anchor < count:
                raise ModelProblem(f"There is no candidate {anchor}: this input has {count}, counted from 0.")
            found.append((int(anchor), class_index(index, labels)))
        elif isinstance(target, Integral):
            if not 0 <= target < len(shown):
                raise ModelProblem(f"There is no box {target}: {len(shown)} are shown, counted from 0.")
            found.append(shown[int(target)])
        else:
            index = class_index(target, labels)
            found += [pair for pair in shown if pair[1] == index]
    return list(dict.fromkeys(found)) if options.targets else shown[: options.top_k]


def decode(evidence: Evidence, options: Options) -> tuple[Prediction, ...]:
    """Return the predictions for these options, filtered by class."""
    adapter = evidence.resident.adapter
    if options.classes and adapter.spec.task != "detect":
        raise ModelProblem(f"{adapter.spec.id} draws no boxes to leave out by class: name targets to explain.")
    settings: dict[str, Any] = {"top_k": options.top_k, "confidence": options.confidence, "iou": options.iou}
    # Suppression takes longer than a map, and another method or target changes nothing about it.
    if (cached := evidence.decoded) is None or cached[0] != settings:
        found = tuple(adapter.decode(evidence.outputs, evidence.geometry, **settings))
        evidence.decoded = cached = settings, found
    only = {class_index(wanted, adapter.labels) for wanted in options.classes}
    return tuple(p for p in cached[1] if not only or p.index in only)
