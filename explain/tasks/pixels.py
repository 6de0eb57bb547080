"""Places of a picture on the grid of a model's answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sightglass.common.errors import ModelProblem
from sightglass.models.adapter import AreaTarget
from sightglass.models.geometry import fill_polygon

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.explain.tasks.scorer import Movement
    from sightglass.models.adapters.segmenter import Segmentation, Segmenter

Area = TypeVar("Area", bound=AreaTarget)


def find_middle(at: tuple[float, ...], evidence: Evidence) -> tuple[float, float]:
    """Return a point or a rectangle's middle; raise ModelProblem outside the picture."""
    height, width = evidence.geometry.original
    if not all(0 <= x <= width for x in at[::2]) or not all(0 <= y <= height for y in at[1::2]):
        raise ModelProblem(
            f"at is {', '.join(f'{coordinate:g}' for coordinate in at)}, and the picture is {width} by {height} pixels."
        )
    return sum(at[::2]) / len(at[::2]), sum(at[1::2]) / len(at[1::2])


def pixels_inside(at: tuple[float, ...], evidence: Evidence) -> NDArray[np.bool_]:
    """Return the answer's pixels in an area, bool (h, w); never empty."""
    adapter: Segmenter = evidence.resident.adapter  # type: ignore[assignment]
    outputs: Segmentation = evidence.outputs
    places = [adapter.find_pixel(outputs, evidence.geometry, x, y) for x, y in zip(at[::2], at[1::2], strict=True)]
    inside = np.zeros(outputs.size, bool)
    if len(places) > 2:
        corners = adapter.place_corners(outputs, evidence.geometry, np.reshape(at, (-1, 2)))
        inside = fill_polygon(corners, outputs.size) & adapter.covers(outputs, evidence.geometry)
    if not inside.any():
        # A point, a rectangle, or an area without a pixel's centre.
        (x0, y0), (x1, y1) = places[0], places[-1] if len(places) == 2 else places[0]
        inside[y0 : y1 + 1, x0 : x1 + 1] = True
    return inside


def move(target: Area, evidence: Evidence, movement: Movement) -> Area:
    """Return a target's pixels after a change of the picture."""

    def moved(pixels: NDArray[np.bool_]) -> NDArray[np.bool_]:
        if movement.mirrored:
            return pixels[:, ::-1]
        sides = zip(movement.shift, pixels.shape, evidence.geometry.input, strict=True)
        rolled = np.roll(pixels, [round(shift * cells / side) for shift, cells, side in sides], (0, 1))
        return rolled if rolled.any() else pixels

    return target.moved(moved)
