"""Score a grid of methods and layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Cell:
    """One method at one layer."""

    method: str
    layer: str
    advantage: float | None
    """Insertion's area minus deletion's; None where the map is empty."""
    random: float
    """The same of random maps as smooth as it, the mean over seeds."""


C = TypeVar("C", bound=Cell)


class Grid(Generic[C]):
    """A matrix of methods and layers."""

    __slots__ = ()
    cells: tuple[C, ...]
    """By method and then by layer, in the order of execution; fewer while it is not finished."""

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.method for cell in self.cells))

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cell.layer for cell in self.cells))

    @property
    def best(self) -> C | None:
        return best(self.cells)


def best(cells: Iterable[C]) -> C | None:
    """Return the cell with the largest advantage above its random maps', or None.

    Not the one with the largest difference to them: three random maps may do badly by chance.
    """
    better = [cell for cell in cells if cell.advantage is not None and cell.advantage > cell.random]
    return max(better, key=lambda cell: cell.advantage or 0.0, default=None)
