"""Track objects between frames (ByteTrack).

Zhang et al. 2022, ByteTrack: sure boxes are matched first, and unsure boxes only to the objects left, so a half-hidden
object is not lost; https://arxiv.org/abs/2110.06864. It knows boxes, scores and classes only, so any detector's will
do.
"""

from __future__ import annotations

from collections import deque
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sightglass.common.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.video.parts import Seen

LOW = 0.1
"""Score from which a box continues an object that is followed already; ByteTrack's own."""


TRAIL = 1.0
"""Seconds of an object's way that are drawn."""
Point = tuple[float, float]


class TrackedBox(Protocol):
    """A detector's answer, as far as it is followed."""

    @property
    def index(self) -> int: ...
    @property
    def score(self) -> float: ...
    @property
    def box(self) -> tuple[float, float, float, float] | None: ...


class Trails:
    """Where the objects of a clip were in its last second, as the frames come."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, dict[int, Point]]] = deque()

    def add(self, seconds: float, boxes: Sequence[Seen]) -> None:
        """Record a frame's objects; frames come in order."""
        self._past.append((seconds, dict(_find_centres(boxes))))

    def find(self, seconds: float, boxes: Sequence[Seen]) -> dict[int, tuple[Point, ...]]:
        """Return each object's trail of `TRAIL` seconds, present place last."""
        while self._past and self._past[0][0] < seconds - TRAIL:
            self._past.popleft()
        past = [centres for then, centres in self._past if then < seconds]
        return {
            track: (*(centres[track] for centres in past if track in centres), centre)
            for track, centre in _find_centres(boxes)
        }


def _find_centres(boxes: Sequence[Seen]) -> Iterator[tuple[int, Point]]:
    for box in boxes:
        if box.track is not None and box.box is not None:
            x0, y0, x1, y1 = box.box
            yield box.track, ((x0 + x1) / 2, (y0 + y1) / 2)


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

    def update(self, boxes: Sequence[TrackedBox]) -> tuple[int | None, ...]:
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
