"""Resolve options to targets: classes, boxes, candidates."""

from __future__ import annotations

from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.explain.options import parse_other_place
from sightglass.explain.phrases import percent
from sightglass.models.adapter import AreaTarget, Axis, JointTarget, PlaceTarget, Target
from sightglass.models.geometry import fill_polygon
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.models.adapter import Adapter, Prediction, Span
    from sightglass.models.adapters.segmenter import PixelNumbers, Segmentation, Segmenter


def find_joints(options: Options, pairs: Sequence[tuple[int, int]], adapter: Adapter) -> list[JointTarget]:
    """Return the joint that the options name on each of some candidates, as (anchor, class)."""
    assert options.joint is not None
    joint, axis = parse_joint(options.joint, adapter.joints)
    label = f"{adapter.joints[joint]} {axis}"
    return [JointTarget(index, label, (anchor,), options.part, joint=joint, axis=axis) for anchor, index in pairs]


def parse_joint(text: str, names: Sequence[str]) -> tuple[int, Axis]:
    """Return a joint's place among `names` and its number, of `left wrist x` or `9 x`; raise ModelProblem for others.

    >>> parse_joint("nose visibility", ["nose", "left eye"])
    (0, 'visibility')
    """
    name, _, last = text.strip().rpartition(" ")
    axis = next((one for one in get_args(Axis) if one == last.casefold()), None)
    if axis is None:
        raise ModelProblem(f"joint is {text!r}: name a joint and x, y or visibility, such as {names[0]} x.")
    known = {one.casefold(): place for place, one in enumerate(names)}
    place = known.get(name.strip().casefold().replace("_", " "))
    if place is None and name.strip().isdecimal() and int(name) < len(names):
        place = int(name)
    if place is None:
        raise ModelProblem(f"There is no joint {name!r}: {did_you_mean(name, names, f'try {names[0]}.')}")
    return place, axis


def find_places(options: Options, evidence: Evidence) -> list[PlaceTarget]:
    """Return the place whose number the options ask about, less that of another place; else the whole picture."""
    adapter: PixelNumbers = evidence.resident.adapter  # type: ignore[assignment]
    if options.per not in ("class", "pixel") or (options.per == "pixel" and not options.at):
        raise ModelProblem(f"{adapter.spec.id} gives each pixel a number: name a place, at=(x, y) or a rectangle.")
    for name in options.targets:
        class_index(name, adapter.labels)
    pixels = adapter.covers(evidence.outputs, evidence.geometry)
    if options.at:
        find_middle(options.at, evidence)
        pixels = pixels_inside(options.at, evidence)
    target = PlaceTarget(0, adapter.labels[0], (), options.part)
    if options.against is not None:
        than = parse_other_place(options.against)
        if than is None or not options.at:
            raise ModelProblem("against is another place here, as x,y: name both, at and against.")
        find_middle(than, evidence)
        target = replace(target, than=np.packbits(pixels_inside(than, evidence)).tobytes())
    found = target.with_pixels(pixels)
    assert isinstance(found, PlaceTarget)
    return [found]


def find_middle(at: tuple[float, ...], evidence: Evidence) -> tuple[float, float]:
    """Return a point, or the middle of a rectangle; raise ModelProblem where it is outside of the picture."""
    height, width = evidence.geometry.original
    if not all(0 <= x <= width for x in at[::2]) or not all(0 <= y <= height for y in at[1::2]):
        raise ModelProblem(
            f"at is {', '.join(f'{one:g}' for one in at)}, and the picture is {width} by {height} pixels."
        )
    return sum(at[::2]) / len(at[::2]), sum(at[1::2]) / len(at[1::2])


def pixels_inside(at: tuple[float, ...], evidence: Evidence) -> NDArray[np.bool_]:
    """Return the pixels of the answer in a rectangle or an area, bool (h, w): one at least."""
    adapter: Segmenter = evidence.resident.adapter  # type: ignore[assignment]
    outputs: Segmentation = evidence.outputs
    places = [adapter.find_pixel(outputs, evidence.geometry, x, y) for x, y in zip(at[::2], at[1::2], strict=True)]
    inside = np.zeros(outputs.size, bool)
    if len(places) > 2:
        corners = adapter.place_corners(outputs, evidence.geometry, np.reshape(at, (-1, 2)))
        inside = fill_polygon(corners, outputs.size) & adapter.covers(outputs, evidence.geometry)
    if not inside.any():
        # A point, a rectangle, or an area that holds the middle of no pixel.
        (x0, y0), (x1, y1) = places[0], places[-1] if len(places) == 2 else places[0]
        inside[y0 : y1 + 1, x0 : x1 + 1] = True
    return inside


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
