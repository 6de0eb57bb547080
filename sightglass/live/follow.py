"""Follow one object from frame to frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.models.adapter import Prediction
    from sightglass.models.geometry import Box

SAME = 0.3
"""IoU with its last box from which a box is the same object: at 10 frames/s people walk half their own width."""
PATIENCE = 15
"""Frames without a match after which an object is given up."""


@dataclass
class FollowedObject:
    """An object that a viewer chose, and where it was last."""

    box: Box
    """xyxy in pixels of the frame."""
    index: int
    """Its class."""
    missed: int = 0
    """Frames in a row without a match."""

    def find(self, predictions: Sequence[Prediction]) -> int | None:
        """Return the place of this object among a frame's boxes, and remember where it is; None where it is not seen.

        Its own class is preferred; without one, a box of another class in its place, since detectors waver between
        classes.
        """
        overlaps = [
            (prediction.index == self.index, intersection_over_union(self.box, prediction.box), place)
            for place, prediction in enumerate(predictions)
            if prediction.box is not None
        ]
        near = [one for one in overlaps if one[1] >= SAME]
        if not near:
            self.missed += 1
            return None
        _, _, place = max(near, key=lambda one: (one[0], one[1], -one[2]))
        found = predictions[place]
        assert found.box is not None
        self.box, self.missed = found.box, 0
        return place

    @property
    def lost(self) -> bool:
        """Whether it was not seen for so long that it is given up."""
        return self.missed > PATIENCE
