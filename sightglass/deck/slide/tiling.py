"""Divide a slide between its pictures and its texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sightglass.deck.slide.items import PageRect

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GAP = 0.6
"""Between two pictures."""
BETWEEN = 2.4
"""Between pictures and texts."""
COLUMNS = tuple(26.0 + 2 * i for i in range(19))
STRIPS = tuple(5.0 + i for i in range(32))
"""Widths of the texts at the right, and heights of those below."""


@dataclass(frozen=True)
class Division:
    """Pictures, and the room that they leave for texts: at their right, or below them."""

    pictures: tuple[PageRect, ...]
    texts: PageRect
    where: Literal["right", "below"]
    inside: bool
    """Captions lie on the pictures; else above them."""

    @property
    def area(self) -> float:
        return sum(one.area for one in self.pictures)


def divisions(aspects: Sequence[float], body: PageRect, caption: float) -> Iterator[Division]:
    """Yield ways to divide a body between pictures of these widths by their heights, and texts.

    `caption`: the height of a line above each picture; 0 for none.
    """
    for inside in (False, True) if caption else (False,):
        above = 0.0 if inside else caption
        for wide in COLUMNS:
            room = PageRect(body.left, body.top, body.width - wide - BETWEEN, body.height)
            for found in _rows(aspects, room, above):
                right = max(one.right for one in found) + BETWEEN
                texts = PageRect(right, body.top, body.right - right, body.height)
                yield Division(found, texts, "right", inside)
        for high in STRIPS:
            room = PageRect(body.left, body.top, body.width, body.height - high - BETWEEN / 2)
            for found in _rows(aspects, room, above):
                foot = max(one.bottom for one in found) + BETWEEN / 2
                texts = PageRect(body.left, foot, body.width, body.bottom - foot)
                yield Division(found, texts, "below", inside)


def fill(aspects: Sequence[float], room: PageRect, caption: float = 0.0) -> tuple[PageRect, ...]:
    """Return the largest pictures in a room."""
    return max(_rows(aspects, room, caption), key=lambda found: sum(one.area for one in found))


def _rows(aspects: Sequence[float], room: PageRect, caption: float) -> Iterator[tuple[PageRect, ...]]:
    """Yield the pictures in one row, in two, in three, all of one height."""
    count = len(aspects)
    for rows in range(1, min(3, count) + 1):
        across = -(-count // rows)
        lines = [aspects[start : start + across] for start in range(0, count, across)]
        if len(lines) < rows:
            continue
        high = (room.height - GAP * (rows - 1)) / rows - caption
        for line in lines:
            high = min(high, (room.width - GAP * (len(line) - 1)) / sum(line))
        if high <= 4:
            continue
        found = []
        for i, line in enumerate(lines):
            left, top = room.left, room.top + i * (high + caption + GAP) + caption
            for aspect in line:
                found.append(PageRect(left, top, high * aspect, high))
                left += high * aspect + GAP
        yield tuple(found)
