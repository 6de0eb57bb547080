"""Relate maps to boxes: shares, confinement, matching."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.explain.maps.statistics import RING, overlaps
from sightglass.explain.phrases import NBSP, whole_percents
from sightglass.explain.picture.image import Image
from sightglass.models.geometry import Box, Geometry, intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.explain.maps.heatmap import Heatmap
    from sightglass.explain.options import Within
    from sightglass.models.adapter import Prediction

WHERE = ("own box only", "shared with other boxes", "other boxes only", "outside all boxes")
"""Where heat can be, in the order in which it is listed everywhere."""


@dataclass(frozen=True)
class BoxNumbers:
    """A map's relation to boxes, in four shares with the sum 1."""

    inside: float
    """Share of the heat inside its own box (or boxes), whether other boxes overlap it there or not."""
    area: float
    """That box's share of what the model saw."""
    ratio: float
    """`inside / area`; 1 for an even map."""
    hit: bool
    """Whether the hottest place is in the box: the pointing game (Zhang et al., doi:10.1007/s11263-017-1059-x)."""
    elsewhere: float
    """Share of the heat in boxes of other objects only, outside its own."""
    entropy: float
    """Normalised entropy of the heat: 0 for a single point, 1 for an even map."""
    own_only: float
    """Share of the heat in its own box, where no other box is."""
    shared: float
    """Share of the heat where its own box and others overlap."""
    outside: float
    """Share of the heat outside all boxes."""

    @property
    def printed(self) -> dict[str, int]:
        """Return the four shares as whole percents with the sum 100."""
        return dict(zip(WHERE, whole_percents((self.own_only, self.shared, self.elsewhere, self.outside)), strict=True))

    @property
    def printed_inside(self) -> str:
        """Return `inside` as a percentage that fits the printed shares."""
        return f"{sum(list(self.printed.values())[:2])}{NBSP}%"

    @property
    def in_others(self) -> bool:
        """Whether any of it is printed as in other boxes."""
        return any(self.printed[where] for where in WHERE[1:3])

    def describe(self, phrase: str) -> list[str]:
        """Return the shares of heat by boxes: `64 % in its own box only`, ..."""
        own_share, shared_share, *rest = self.printed.values()
        others = shared_share or rest[0]
        phrases = [(own_share, f"in {phrase}{' only' if others else ''}"), (shared_share, "shared with other boxes")]
        phrases += [(rest[0], "in other boxes only"), (rest[1], "outside all boxes" if others else "outside")]
        return [f"{share}{NBSP}% {where}" for i, (share, where) in enumerate(phrases) if share or not i]


def parse_place(where: Any, width: int, height: int) -> Box:
    """Return a point or rectangle as xyxy, upper left first; raise ModelProblem for what is none in the picture."""
    try:
        coordinates = tuple(float(number) for number in where)
    except (TypeError, ValueError):
        coordinates = ()
    if len(coordinates) not in (2, 4) or not all(map(math.isfinite, coordinates)):
        raise ModelProblem(f"The place is {where!r}: give a point (x, y) or a rectangle (x0, y0, x1, y1), in pixels.")
    x0, x1 = sorted((coordinates[0], coordinates[-2]))
    y0, y1 = sorted((coordinates[1], coordinates[-1]))
    if x1 < 0 or y1 < 0 or x0 > width or y0 > height:
        raise ModelProblem(f"The place {where!r} is not in the picture: it is {width} px wide and {height} px high.")
    return x0, y0, x1, y1


def to_mask(area: Any, width: int, height: int) -> NDArray[np.bool_]:
    """Return the pixels of an object in a picture of this size, bool (H, W).

    `area`: a rectangle as `parse_place` takes it, or a mask: an array or tensor (H, W), or a picture or its file,
    which are the object where they are brighter than half. Raises ModelProblem for what is neither.
    """
    if isinstance(area, str | os.PathLike) or hasattr(area, "convert"):
        area = Image.open(area).pixels.mean(2)
    array = np.asarray(area)
    if array.ndim < 2:
        x0, y0, x1, y1 = (round(edge) for edge in parse_place(area, width, height))
        mask = np.zeros((height, width), np.bool_)
        mask[max(0, y0) : y1, max(0, x0) : x1] = True
    elif array.shape == (height, width):
        mask = array.astype(np.float64) > array.max() / 2
    else:
        raise ModelProblem(f"The mask is {array.shape}: give one pixel for each of the picture, ({height}, {width}).")
    if not mask.any():
        raise ModelProblem("The object has no pixel: give a mask that is bright where it is, or a rectangle.")
    return mask


def box_on_content(geometry: Geometry, box: Box) -> tuple[slice, slice]:
    """Return a box's rows and columns in the input's content."""
    left, top, _, _ = geometry.content
    x0, y0, x1, y1 = map(round, geometry.box_to_input(box))
    return slice(max(y0 - top, 0), max(y1 - top, 0)), slice(max(x0 - left, 0), max(x1 - left, 0))


def coverage(shape: tuple[int, int], extent: Box, predictions: Sequence[Prediction]) -> NDArray[np.float32]:
    """Return the share of each grid cell covered by any box."""
    covered = np.zeros(shape, np.float32)
    (height, width), (left, top, right, bottom) = shape, extent
    sx, sy = width / (right - left), height / (bottom - top)
    for prediction in predictions:
        if prediction.corners is not None:
            points = [((x - left) * sx, (y - top) * sy) for x, y in prediction.corners]
            # OpenCV takes pixel centres, in sixteenths here.
            fixed = np.round((np.array(points) - 0.5) * 16).astype(np.int32)
            rotated = cv2.fillConvexPoly(np.zeros(shape, np.uint8), fixed, 255, cv2.LINE_AA, 4)
            covered = np.maximum(covered, rotated.astype(np.float32) / 255)
        elif prediction.box is not None:
            x0, y0, x1, y1 = prediction.box
            columns = overlaps(width, (x0 - left) * sx, (x1 - left) * sx).astype(np.float32)
            rows = overlaps(height, (y0 - top) * sy, (y1 - top) * sy).astype(np.float32)
            covered = np.maximum(covered, np.outer(rows, columns))
    return covered


def on_border(heatmap: Heatmap, boxes: Sequence[Prediction]) -> float:
    """Return the heat's share on the outer border, outside of boxes."""
    values = heatmap.measured.coarse
    height, width = values.shape
    rows, columns = (overlaps(side, RING * side, side - RING * side).astype(np.float32) for side in (height, width))
    ring = (1 - np.outer(rows, columns)) * (1 - coverage(values.shape, heatmap.geometry.extent, boxes))
    return float((values * ring).sum(dtype=np.float64)) / (float(values.sum(dtype=np.float64)) or 1.0)


def measure(heatmap: Heatmap, boxes: Sequence[Prediction], others: Sequence[Prediction], entropy: float) -> BoxNumbers:
    """Compute one map's numbers; `entropy`: its `entropy_normalised`."""
    values, extent = heatmap.measured.coarse, heatmap.geometry.extent
    total = float(values.sum(dtype=np.float64)) or 1.0
    own_cover = coverage(values.shape, extent, boxes)
    other_cover = coverage(values.shape, extent, others)
    area = float(own_cover.mean())

    def share(part: NDArray[np.float32]) -> float:
        return float((values * part).sum(dtype=np.float64)) / total

    own_only, shared = share(own_cover * (1 - other_cover)), share(own_cover * other_cover)
    return BoxNumbers(
        inside=own_only + shared,
        area=area,
        ratio=(own_only + shared) / area if area else 0.0,
        hit=bool(own_cover[np.unravel_index(int(values.argmax()), values.shape)] >= 0.5),
        elsewhere=share(other_cover * (1 - own_cover)),
        entropy=entropy,
        own_only=own_only,
        shared=shared,
        outside=share((1 - own_cover) * (1 - other_cover)),
    )


def confine(heatmap: Heatmap, boxes: Sequence[Prediction], within: Within) -> Heatmap:
    """Return the map confined to its boxes, for display only."""
    if within == "picture" or not boxes or heatmap.state != "ok":
        return heatmap
    content, extent = heatmap.content, heatmap.geometry.extent
    confined = np.zeros_like(content)
    groups = [[box] for box in boxes] if within == "each" else [list(boxes)]
    for group in groups:
        # Whole cells of the model's input: half a pixel of a box's edge is no edge in the map.
        inside = coverage(content.shape, extent, group) >= 0.5
        if not inside.any():
            continue
        part = content[inside]
        if within != "inside" and part.max() > part.min():
            part = (part - part.min()) / (part.max() - part.min())
        confined[inside] = np.maximum(confined[inside], part)
    grown = heatmap.geometry.to_input(confined)
    grown.flags.writeable = False
    # After rescaling, 0 and 1 are not raw values.
    return replace(heatmap, at_input=grown, ends=heatmap.ends if within == "inside" else None, uncut=heatmap)


def find_same(prediction: Prediction, candidates: Sequence[Prediction], least: float) -> int | None:
    """Return the index of the box that follows one of an earlier frame; `least`: IoU."""
    matches = [
        (other.label == prediction.label, overlap, place)
        for place, other in enumerate(candidates)
        if other.box and prediction.box and (overlap := intersection_over_union(other.box, prediction.box)) >= least
    ]
    return max(matches)[2] if matches else None
