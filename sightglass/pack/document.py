"""Sections, numbers, tables, charts and pictures of an evidence pack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.common.files import Json

Cell = str | int | float | None
"""A number is kept as it was measured, and formatted where it is shown."""


@dataclass(frozen=True)
class PackNumber:
    """A number that was measured, with its 95 % interval where it has one."""

    id: str
    """`accuracy.ap`: the same in every pack of the same version."""
    name: str
    value: float | None
    """None where it cannot be told."""
    words: str
    """As it is shown: `41.2 [36.0, 47.1]`."""
    low: float | None = None
    high: float | None = None

    def to_json(self) -> Json:
        """Return the number as plain values."""
        return {"name": self.name, "value": self.value, "low": self.low, "high": self.high, "words": self.words}


@dataclass(frozen=True)
class PackTable:
    """Rows under a head."""

    id: str
    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...] = field(repr=False)
    about: str = ""


@dataclass(frozen=True)
class PackChart:
    """Bars of one unit, each with its name."""

    id: str
    title: str
    unit: str
    bars: tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class PackFigure:
    """A picture under its map, and the recipe that draws it again."""

    name: str
    caption: str
    jpeg: bytes = field(repr=False)
    recipe: Json = field(repr=False)


@dataclass(frozen=True, eq=False)
class PackSection:
    """One subject of a pack."""

    id: str
    title: str
    sentences: tuple[str, ...] = ()
    numbers: tuple[PackNumber, ...] = ()
    tables: tuple[PackTable, ...] = ()
    charts: tuple[PackChart, ...] = ()
    figures: tuple[PackFigure, ...] = ()
    contributes: tuple[str, ...] = ()
    """Items of the AI Act's documentation that the section contributes to: `Annex IV 2(g)`."""


@dataclass(frozen=True, eq=False)
class Pack:
    """What a labelled run shows of a model, with its limits."""

    title: str
    headline: str
    """What its errors are, in one sentence."""
    sections: tuple[PackSection, ...]

    def numbers(self) -> Iterator[tuple[PackSection, PackNumber]]:
        """Yield every number with its section."""
        for section in self.sections:
            for number in section.numbers:
                yield section, number

    def tables(self) -> Iterator[PackTable]:
        """Yield every table."""
        for section in self.sections:
            yield from section.tables

    def to_json(self) -> Json:
        """Return all but the pictures as plain values."""
        return {
            "title": self.title,
            "headline": self.headline,
            "numbers": {number.id: number.to_json() for _, number in self.numbers()},
            "tables": {
                one.id: {"title": one.title, "head": list(one.head), "rows": [list(row) for row in one.rows]}
                for one in self.tables()
            },
            "sections": [
                {
                    "id": section.id,
                    "title": section.title,
                    "sentences": list(section.sentences),
                    "numbers": [number.id for number in section.numbers],
                    "tables": [table.id for table in section.tables],
                    "figures": [{"name": one.name, "caption": one.caption} for one in section.figures],
                    "contributes_to": list(section.contributes),
                }
                for section in self.sections
            ],
        }


def format_cell(cell: Cell) -> str:
    """Return a cell as text: numbers with a thousands separator or three digits; `–` for nothing.

    >>> format_cell(0.41236)
    '0.412'
    """
    if cell is None or cell != cell:
        return "\N{EN DASH}"
    if isinstance(cell, bool | str):
        return str(cell)
    return f"{cell:,}" if isinstance(cell, int) else f"{cell:.3g}"


def share_width(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[float]:
    """Return the share of a table's width that each column gets, by its longest words."""
    longest = [min(48, max(map(len, column))) + 3 for column in zip(head, *rows, strict=True)]
    return [one / sum(longest) for one in longest]


def describe_contribution(section: PackSection) -> str:
    """Return `Contributes to the AI Act's Annex IV 2(g).`; empty for a section that contributes to none."""
    return f"Contributes to the AI Act's {' and '.join(section.contributes)}." if section.contributes else ""
