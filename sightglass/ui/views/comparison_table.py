"""The numbers of compared maps: rows below each map, and the matrix of their overlaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.explain.phrases import percent, signed
from sightglass.ui.session.markdown import escape

if TYPE_CHECKING:
    from sightglass.explain.maps.statistics import Agreement

Row = tuple[str, str]
"""The name and the value of a number below a map."""
NONE = "–"
"""The value where there is nothing to compare."""
LEAST = 3
"""Maps from which on there is a matrix: two have one overlap, which stands below the second."""


@dataclass(frozen=True)
class ComparisonTable:
    """How similar maps are, two by two."""

    names: Sequence[str]
    agreement: Callable[[int, int], Agreement | None]
    """Return the similarity of two maps by their places; None where they are not compared."""

    def rows(self, index: int) -> tuple[Row, ...]:
        """Return the rows below a map.

        They say how similar it is to the first map that can be compared. Empty for a single map.
        """
        if len(self.names) < 2:
            return ()
        first = self._first
        agreement = self.agreement(first, index) if index != first else None
        overlap, correlation = NONE, NONE
        if agreement is not None:
            overlap = percent(agreement.iou_top20)
            correlation = signed(agreement.rank_correlation)
        return ("Overlap with first", overlap), ("Rank correlation", correlation)

    @cached_property
    def _first(self) -> int:
        """The place of the first map that can be compared; 0 without one."""
        places = range(len(self.names))
        compared = (place for place in places if any(self._overlap(place, other) != NONE for other in places))
        return next(compared, 0)

    def draw_matrix(self) -> None:
        """Draw the overlap of each two of three and more maps."""
        if len(self.names) < LEAST:
            return
        names = [escape(name) for name in self.names]
        cells = {name: [self._overlap(row, column) for row in range(len(names))] for column, name in enumerate(names)}
        st.caption("Overlap of the strongest fifths of each two maps (IoU).")
        st.table({"": names} | cells, border="horizontal")

    def _overlap(self, row: int, column: int) -> str:
        agreement = self.agreement(row, column) if row != column else None
        return NONE if agreement is None else percent(agreement.iou_top20)
