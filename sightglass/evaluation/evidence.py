"""Where the evidence for the right and for the wrong answers of each class is on average."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.evaluation.charts import RIGHT, WRONG, Chart, Selection
from sightglass.explain.maps.heatmap import CELLS
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from sightglass.evaluation.charts import Mark
    from sightglass.evaluation.kinds import ErrorUnit
    from sightglass.models.geometry import Box

    Cells = NDArray[np.uint8]
    Floats = NDArray[np.float32]

MAX_CLASSES = 6
"""Most classes that are shown."""
AROUND = 2.0
"""Side of what is averaged around a box, as a multiple of the box's own."""


@dataclass(frozen=True, eq=False)
class MeanMap:
    """The mean of the maps of some answers."""

    units: tuple[ErrorUnit, ...]
    """The answers that have a map."""
    values: Floats
    """(CELLS, CELLS), 0 to 1: each map is scaled to its own maximum."""


@dataclass(frozen=True, eq=False)
class EvidenceMaps(Chart):
    """The mean map of the right and of the wrong answers of each class."""

    classes: tuple[str, ...]
    """Those with most wrong answers."""
    maps: Mapping[Mark, MeanMap]
    """By class and `RIGHT` or `WRONG`, where there are any."""
    aligned: bool
    """Whether maps are aligned by boxes, which then fill the middle `1 / AROUND` of either side."""
    left_out: int = 0
    """Classes that are not shown."""
    name = "evidence"
    title = "Evidence"

    @property
    def note(self) -> str:
        words = (
            "The mean map of the right and of the wrong answers of a class and their number, each scaled to its maximum"
        )
        aligned = "; aligned by boxes, whose outline is drawn, with as much around them" if self.aligned else ""
        if not self.left_out:
            return f"{words}{aligned}."
        count = len(self.classes)
        wrong = any(kind == WRONG for _, kind in self.maps)
        which = f"The {count} classes with most wrong answers" if wrong else f"The first {count} classes"
        return f"{words}{aligned}. {which}; left out: {plural(self.left_out, 'other')}."

    def select(self, mark: Mark) -> Selection | None:
        mean = self.maps.get(mark)
        if mean is None:
            return None
        name, kind = mark
        return Selection.of_units(f"{kind} answers on {name}, which have a map", mean.units)


def average(units: Sequence[ErrorUnit], map_of: Callable[[ErrorUnit], Cells | None]) -> EvidenceMaps | None:
    """Return the mean maps of the classes with most wrong answers; None without any map.

    `map_of`: the map of a unit over its whole picture, uint8 (CELLS, CELLS).
    """
    found = [(unit, cells) for unit in units if unit.about and (cells := map_of(unit)) is not None]
    if not found:
        return None
    wrong = Counter({unit.about: 0 for unit, _ in found})
    wrong.update(unit.about for unit, _ in found if unit.wrong)
    ranked = sorted(wrong, key=lambda name: (-wrong[name], name))
    shown = tuple(ranked[:MAX_CLASSES])
    aligned = all(_box_of(unit) is not None for unit, _ in found)
    members: dict[Mark, list[tuple[ErrorUnit, Cells]]] = {(name, kind): [] for name in shown for kind in (RIGHT, WRONG)}
    for unit, cells in found:
        if unit.about in shown:
            members[unit.about, WRONG if unit.wrong else RIGHT].append((unit, cells))
    maps = {mark: _average(some, aligned=aligned) for mark, some in members.items() if some}
    return EvidenceMaps(shown, maps, aligned, len(ranked) - len(shown))


def _box_of(unit: ErrorUnit) -> Box | None:
    """Return the box of what a unit's map is of: a classified picture's only labelled object, or an answer."""
    side = unit.truth if unit.kind == "picture" else unit.answer
    return None if side is None else side.box


def _average(members: Sequence[tuple[ErrorUnit, Cells]], *, aligned: bool) -> MeanMap:
    total, seen = np.zeros((2, CELLS, CELLS), np.float32)
    for unit, cells in members:
        values = cells.astype(np.float32) / np.float32(255)
        box = _box_of(unit) if aligned else None
        total += values if box is None else _cut(values, box, unit.picture.size)
        seen += 1 if box is None else _cut(np.ones_like(values), box, unit.picture.size)
    # Beside the picture nothing is seen.
    values = np.divide(total, seen, out=np.zeros_like(total), where=seen > 0)
    return MeanMap(tuple(unit for unit, _ in members), values)


def _cut(values: Floats, box: Box, size: tuple[int, int]) -> Floats:
    """Return what is around a box, (CELLS, CELLS); 0 beside the picture, whose width and height are `size`."""
    (x0, y0, x1, y1), (wide, high) = box, size
    # Places of the result, from 0 to CELLS, in those of the map.
    across, down = AROUND * max(x1 - x0, 1.0) / wide, AROUND * max(y1 - y0, 1.0) / high
    left = CELLS * ((x0 + x1) / 2 / wide - across / 2)
    top = CELLS * ((y0 + y1) / 2 / high - down / 2)
    # OpenCV counts from the middles of pixels.
    shift = np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(values, shift, (CELLS, CELLS), flags=flags), np.float32)
