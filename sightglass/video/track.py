"""Track objects between frames (ByteTrack).

Zhang et al. 2022, ByteTrack: sure boxes are matched first, and unsure boxes only to the objects left, so a half-hidden
object is not lost; https://arxiv.org/abs/2110.06864. It knows boxes, scores and classes only, so any detector's will
do.
"""

from __future__ import annotations

from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.models.adapter import Prediction
    from sightglass.video.records import AnswerRecord

LOW = 0.1
"""Score from which a box continues an object that is followed already; ByteTrack's own."""


class Tracker:
    """The objects of one clip; `update` is called with each frame's boxes in turn."""

    def __init__(self, confidence: float = 0.25) -> None:
        """`confidence`: score from which a box may be a new object. Raises ModelProblem where a package is missing."""
        missing = [name for name in ("ultralytics", "lap") if find_spec(name) is None]
        if missing:
            # Ultralytics would install it by itself.
            raise ModelProblem(f"Following boxes needs the package {missing[0]}: pip install {missing[0]}.")
        from ultralytics.trackers.byte_tracker import BYTETracker

        self.low = min(LOW, confidence / 2)
        self._tracker: Any = BYTETracker(SimpleNamespace(**_options(confidence, self.low)))
        self._numbers: dict[int, int] = {}

    def update(self, boxes: Sequence[Prediction | AnswerRecord]) -> tuple[int | None, ...]:
        """Return each box's object number, or None.

        Objects are counted from 1 in the order in which they were first seen. `boxes`: all that are scored `low` or
        more.
        """
        from ultralytics.engine.results import Boxes

        listed = [(*(box.box or ()), box.score, box.index) for box in boxes]
        rows = self._tracker.update(Boxes(np.array(listed, np.float32).reshape(-1, 6), (1, 1)))
        places = {int(row[7]): self._number(int(row[4])) for row in sorted(rows, key=lambda row: row[4])}
        return tuple(places.get(place) for place in range(len(boxes)))

    def _number(self, track: int) -> int:
        """Return an object's displayed number."""
        return self._numbers.setdefault(track, len(self._numbers) + 1)


def _options(confidence: float, low: float) -> dict[str, Any]:
    """Return Ultralytics' ByteTrack settings, with these scores' thresholds."""
    from ultralytics.utils import ROOT, YAML

    shipped: dict[str, Any] = YAML.load(ROOT / "cfg" / "trackers" / "bytetrack.yaml")
    return shipped | {"track_high_thresh": confidence, "track_low_thresh": low, "new_track_thresh": confidence}
