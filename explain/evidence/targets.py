"""Resolve options to targets: classes, boxes, candidates."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.places import find_joints, find_middle, find_places, pixels_inside
from sightglass.explain.phrases import percent
from sightglass.models.adapter import AreaTarget, Target
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.models.adapter import Prediction, Span
    from sightglass.models.adapters.segmenter import Segmentation, Segmenter

EMBEDDING = -1
"""The target in the recipe of a model without classes."""
UNSHOWN = "the map is of its strongest candidate alone."
"""The end of the note on a class that has a map but no box."""


def resolve(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
    """Return the targets that the options name, or the best `top_k` among the predictions."""
    found = _find_targets(options, predictions, evidence)
    return [replace(target, both_ways=True) for target in found] if options.evidence == "both" else found


def _find_targets(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
    adapter = evidence.resident.adapter
    if options.joint is not None and not adapter.joints:
        raise ModelProblem(f"{adapter.spec.id} finds no joints: leave joint to a pose network such as yolo11n-pose.")
    if adapter.spec.task == "embed":
        if any(target != EMBEDDING for target in options.targets):
            raise ModelProblem(f"{adapter.spec.id} names no classes: compare pictures with it (similarity).")
        return [Target(None, "its embedding", (), options.part)]
    if adapter.spec.segments:
        return [*_areas(options, predictions, evidence)]
    if adapter.measures_pixels:
        return [*find_places(options, evidence)]
    if options.per in ("region", "pixel") or options.at or options.against is not None:
        asked = "at" if options.at else "against" if options.against is not None else f"per={options.per}"
        raise ModelProblem(f"{adapter.spec.id} gives no class to a pixel: leave {asked} to a segmentation network.")
    if options.per != "class" and not adapter.detects:
        raise ModelProblem(f"{adapter.spec.id} is a classifier and has no boxes: explain a class.")
    if options.per == "picture":
        anchors = adapter.strongest(evidence.outputs, options.ratio)
        return [Target(None, "the whole picture", anchors, options.part)]
    if options.joint is not None:
        return [*find_joints(options, _detections(options, predictions, evidence), adapter)]
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


def _areas(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[Target]:
    """Return the pixels of a segmentation that the options name."""
    adapter: Segmenter = evidence.resident.adapter  # type: ignore[assignment]
    if options.per not in ("class", "region", "pixel"):
        raise ModelProblem(f"{adapter.spec.id} draws no boxes: explain a class, a region or a pixel.")
    if options.per == "pixel" and not options.at and not options.targets:
        raise ModelProblem("Which pixel? Give its place: at=(x, y), in pixels of the picture.")
    against = None if options.against is None else class_index(options.against, adapter.labels)
    make = _regions if options.per != "class" else _of_classes
    found = dict.fromkeys(make(options, predictions, evidence))
    if against is not None and any(target.index == against for target in found):
        raise ModelProblem(f"{adapter.labels[against]} cannot be weighed against itself: name another class.")
    return [replace(target, part=options.part, against=against) for target in found]


def _regions(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[AreaTarget]:
    """Return the regions or pixels that the options name, or the `top_k` largest regions."""
    adapter: Segmenter = evidence.resident.adapter  # type: ignore[assignment]
    outputs: Segmentation = evidence.outputs
    (height, width), classes = outputs.size, outputs.classes
    named = [one for one in options.targets if not isinstance(one, (tuple, list))]
    places: list[tuple[int, int]] = []
    for place, index in (one for one in options.targets if isinstance(one, (tuple, list))):
        if not 0 <= place < height * width:
            raise ModelProblem(f"There is no pixel {place}: the answer has {height * width}, counted from 0.")
        places.append((int(place), class_index(index, adapter.labels)))
    span: Span = "pixel" if options.per == "pixel" else "region"

    def target(place: int, index: int) -> AreaTarget:
        found = AreaTarget(index, adapter.labels[index], (place,), span=span)
        return found.with_pixels(adapter.around(outputs, place, span))

    if places:
        return [target(*pair) for pair in places]
    if options.at:
        x, y = adapter.find_pixel(outputs, evidence.geometry, *find_middle(options.at, evidence))
        own = int(classes[y, x])
        return [target(y * width + x, class_index(name, adapter.labels)) for name in named or (own,)]
    wanted = {class_index(name, adapter.labels) for name in named}
    numbers, first, sizes = np.unique(outputs.regions, return_index=True, return_counts=True)
    every = [(int(classes.flat[at]), int(at), int(size)) for _, at, size in zip(numbers, first, sizes, strict=True)]
    every.sort(key=lambda one: (adapter.is_background(one[0]), -one[2]))
    shown = [one for one in every if not wanted or one[0] in wanted][: options.top_k]
    return [target(at, index) for index, at, _ in shown]


def _of_classes(options: Options, predictions: Sequence[Prediction], evidence: Evidence) -> list[AreaTarget]:
    """Return the classes that the options name, in their rectangle; without names those that are found, best first."""
    adapter: Segmenter = evidence.resident.adapter  # type: ignore[assignment]
    outputs: Segmentation = evidence.outputs
    wanted = [class_index(name, adapter.labels) for name in options.targets]
    if not options.at:
        there = set(np.unique(outputs.classes).tolist())
        if (lost := next((index for index in wanted if index not in there), None)) is not None:
            raise ModelProblem(
                f"{adapter.spec.id} gives no pixel to {adapter.labels[lost]} here: name a place as well, or a class "
                "that it finds."
            )
        shown = dict.fromkeys(prediction.index for prediction in predictions)
        return [_all_of(index, outputs.classes == index, adapter) for index in wanted or [*shown][: options.top_k]]
    find_middle(options.at, evidence)
    inside = pixels_inside(options.at, evidence)
    counts = np.bincount(outputs.classes[inside])
    order = sorted(np.flatnonzero(counts).tolist(), key=lambda index: (adapter.is_background(index), -counts[index]))
    chosen = wanted or order[: options.top_k]
    # Of a class that is not there the whole rectangle is asked about: why not this?
    return [
        _all_of(index, mine if (mine := inside & (outputs.classes == index)).any() else inside, adapter)
        for index in chosen
    ]


def _all_of(index: int, pixels: NDArray[np.bool_], adapter: Segmenter) -> AreaTarget:
    return AreaTarget(index, adapter.labels[index]).with_pixels(pixels)


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
    # All classes that are found are few, and what a page lists must not depend on how many maps it asks for.
    count = len(adapter.labels) if adapter.spec.segments else options.top_k
    settings: dict[str, Any] = {"top_k": count, "confidence": options.confidence, "iou": options.iou}
    # Suppression takes longer than a map, and another method or target changes nothing about it.
    if (cached := evidence.decoded) is None or cached[0] != settings:
        found = tuple(adapter.decode(evidence.outputs, evidence.geometry, **settings))
        evidence.decoded = cached = settings, found
    only = {class_index(wanted, adapter.labels) for wanted in options.classes}
    return tuple(p for p in cached[1] if not only or p.index in only)
