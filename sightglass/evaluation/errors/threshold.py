"""What another confidence threshold would change: objects found and false alarms."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sightglass.evaluation.error_types import RIGHT
from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.evaluation.evaluation import Evaluation


NO_THRESHOLD = "No lower threshold brings back more objects than it adds false alarms."


@dataclass(frozen=True, slots=True)
class ThresholdEffect:
    """What changes at another threshold, against the one in use."""

    threshold: float
    now: float
    missed: int
    """Objects without a right box at the threshold in use."""
    found: int
    """Objects that come back; below 0 where some are lost."""
    false_alarms: int
    """Wrong boxes that are added; below 0 where some go."""

    @property
    def sentence(self) -> str:
        """`Lower the threshold to 18 % and 41 of 100 missed come back, with 12 more false alarms.`"""
        if self.threshold == self.now:
            return f"The threshold in use is {percent(self.now)}: {self.missed:,} labelled objects are missed."
        new = percent(self.threshold)
        if self.threshold < self.now:
            come = "comes" if self.found == 1 else "come"
            more = f"{self.false_alarms:,} more false alarm{'' if self.false_alarms == 1 else 's'}"
            return (
                f"Lower the threshold to {new} and {self.found:,} of {self.missed:,} missed {come} back, with {more}."
            )
        gone, lost = -self.false_alarms, -self.found
        alarms = f"{gone:,} false alarm{' goes' if gone == 1 else 's go'}"
        return f"Raise the threshold to {new} and {alarms}, with {lost:,} more objects missed."


@dataclass(frozen=True, eq=False)
class ThresholdCurve:
    """Scores of all boxes of a detector that are right and wrong, both rising.

    Boxes are matched the surest first, so that a lower threshold adds boxes and changes no other.
    """

    right: NDArray[np.float64] = field(repr=False)
    wrong: NDArray[np.float64] = field(repr=False)
    objects: int
    now: float

    def measure(self, threshold: float) -> ThresholdEffect:
        """Return what changes at a threshold, 0..1."""
        at, now = self._count(threshold), self._count(self.now)
        return ThresholdEffect(threshold, self.now, self.objects - now[0], at[0] - now[0], at[1] - now[1])

    def find_best(self) -> ThresholdEffect | None:
        """Return the lower threshold, in whole percent, at which most objects come back beyond the false alarms.

        None where at each as many false alarms or more are added.
        """
        steps = [self.measure(percents / 100) for percents in range(1, round(100 * self.now))]
        best = max(steps, key=lambda one: (one.found - one.false_alarms, one.threshold), default=None)
        return best if best is not None and best.found > best.false_alarms else None

    @property
    def consequence(self) -> str:
        """What the best lower threshold would change, in one sentence."""
        best = self.find_best()
        return NO_THRESHOLD if best is None else best.sentence

    def _count(self, threshold: float) -> tuple[int, int]:
        right, wrong = (len(one) - int(np.searchsorted(one, threshold)) for one in (self.right, self.wrong))
        return right, wrong


def measure_thresholds(evaluation: Evaluation) -> ThresholdCurve:
    """Return the scores of a detector's right and wrong boxes, those below its threshold too."""
    matches = evaluation.all_matches
    scores, right = matches.boxes.value, matches.kind == RIGHT
    objects = int(matches.counted.sum())
    return ThresholdCurve(np.sort(scores[right]), np.sort(scores[~right]), objects, evaluation.threshold)
