"""The numbers of compared maps, two by two: rows of the table below the maps."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, takewhile
from typing import TYPE_CHECKING

from sightglass.explain.phrases import percent, signed

if TYPE_CHECKING:
    from sightglass.explain.maps.statistics import Agreement
    from sightglass.ui.viewer import Fact

NONE = "–"
"""The value where there is nothing to compare."""
OVERLAP = "Overlap of the strongest fifths of the two maps (IoU)."
CORRELATION = "Spearman's correlation of the two maps, -1 to 1, over all places; the other map is that of {}."


@dataclass(frozen=True)
class ComparisonTable:
    """How similar maps are, two by two."""

    names: Sequence[str]
    agreement: Callable[[int, int], Agreement | None]
    """Return the similarity of two maps by their places; None where they are not compared."""
    matrix: bool = True
    """Whether each of three and more maps is compared with every one, and not with the first alone."""

    def facts(self, index: int) -> tuple[Fact, ...]:
        """Return a map's overlaps, and its rank correlation with the first map that can be compared.

        Two maps have one overlap. Empty for a single map.
        """
        if len(self.names) < 2:
            return ()
        others = range(len(self.names)) if self.matrix and len(self.names) > 2 else (self._first,)
        overlaps = [(f"Overlap with {self.names[other]}", self._overlap(index, other), OVERLAP) for other in others]
        agreement = self._compared(self._first, index)
        correlation = NONE if agreement is None else signed(agreement.rank_correlation)
        return *overlaps, ("Rank correlation", correlation, CORRELATION.format(self.names[self._first]))

    @cached_property
    def _first(self) -> int:
        """The place of the first map that can be compared; 0 without one."""
        pairs = combinations(range(len(self.names)), 2)
        compared = (first for first, second in pairs if self._compared(first, second) is not None)
        return next(compared, 0)

    def _compared(self, first: int, second: int) -> Agreement | None:
        return None if first == second else self.agreement(first, second)

    def _overlap(self, first: int, second: int) -> str:
        agreement = self._compared(first, second)
        return NONE if agreement is None else percent(agreement.iou_top20)


def without_common_start(names: Sequence[str]) -> list[str]:
    """Return names without the words that all of them begin with."""
    parts = [re.split("(?<=[- ])", name) for name in names]
    starts = zip(*(name[:-1] for name in parts), strict=False)
    common = len(list(takewhile(lambda start: len(set(start)) == 1, starts)))
    return ["".join(name[common:]) for name in parts]
