"""Options of a video."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json
from sightglass.explain.rendering.style import Style, lut


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a clip is explained and drawn.

    Raises ModelProblem, one sentence, for a value that is out of its range.
    """

    every: int = 1
    """The model looks at every frame, or at every n-th; the frames between get the two maps around them mixed."""
    start: float = 0.0
    end: float | None = None
    """The range in seconds since the start of the clip; None: to its end."""
    smooth: float = 0.1
    """Seconds by which maps are smoothed over time, at most 2; 0: not smoothed."""
    objects: int = 3
    """Of a detector: most objects that get a map in a frame, those followed longest."""
    only: int | None = None
    """Of a detector: the number of the one object to follow."""
    labels: bool = True
    """Draw boxes, names and scores."""
    side: int = 1280
    """Pixels of the longer side of a drawn frame, never enlarged; 0: the clip's own."""
    style: Style = field(default_factory=Style)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ModelProblem(f"every is {self.every}: 1 is every frame, 2 every second one.")
        if not 0 <= self.smooth <= 2:
            raise ModelProblem(f"smooth is {self.smooth:g} s: give 0 (off) to 2 seconds.")
        if not 0 <= self.start < math.inf:
            raise ModelProblem(f"The range starts at {self.start:g} s: give 0 or more.")
        if self.end is not None and not self.end > self.start:
            raise ModelProblem(f"The range ends at {self.end:g} s, not after its start at {self.start:g} s.")
        if self.objects < 1 or (self.only is not None and self.only < 1):
            raise ModelProblem("Objects are counted from 1: ask for one at least.")
        if self.side and self.side < 32:
            raise ModelProblem(f"side is {self.side}: give 32 pixels at least, or 0 for the clip's own size.")
        lut(self.style.colormap)

    @property
    def facts(self) -> Json:
        """All facts of the results, as plain values."""
        # Runs of before could hold the earlier map, scale maps over the whole clip, or draw them with even opacity.
        former = {"every": self.every, "between": "interpolate", "start": self.start, "end": self.end, "scale": "frame"}
        names = ("smooth", "objects", "only", "labels", "side")
        drawn = {name: getattr(self.style, name) for name in ("mode", "colormap", "alpha", "threshold")}
        return former | {name: getattr(self, name) for name in names} | drawn | {"even": False}
