"""Declare the shapes of answers over a picture, without OpenCV."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.common.files import Json


@dataclass(frozen=True, slots=True)
class Mark:
    """A shape over a picture, in its pixels."""

    kind: Literal["polygon", "polyline", "point", "mask"]
    points: tuple[tuple[float, float], ...] = ()
    """(x, y); none of a mask."""
    mask: NDArray[np.bool_] | None = None
    """(H, W), of a mask alone."""
    fill: int | None = None
    """The class whose colour and hatching a mask has; without one its edge alone is drawn."""
    hollow: bool = False
    """A dashed line, or a ring in place of a dot."""
    chosen: bool = False
    """Whether a point has a second ring around it."""

    def to_json(self) -> Json:
        """Return the browser's form of the mark, without a mask."""
        points = [[float(x), float(y)] for x, y in self.points]
        flags = {name: True for name in ("hollow", "chosen") if getattr(self, name)}
        return {"kind": self.kind, "points": points, **flags}

    def moved(self, right: float, down: float, scale: tuple[float, float] = (1, 1)) -> Mark:
        """Return the mark moved by pixels, then scaled across and down."""
        across, along = scale
        return replace(self, points=tuple(((x + right) * across, (y + down) * along) for x, y in self.points))
