"""Targets at a place: joints, pixels of a depth, areas of segmentations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import numpy as np

from sightglass.common.errors import ModelProblem, did_you_mean
from sightglass.explain.options import parse_other_place
from sightglass.models.adapter import Axis, JointTarget, PlaceTarget
from sightglass.models.geometry import fill_polygon
from sightglass.models.labels import class_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.options import Options
    from sightglass.models.adapter import Adapter
    from sightglass.models.adapters.pixel_numbers import PixelNumbers
    from sightglass.models.adapters.segmenter import Segmentation, Segmenter


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
