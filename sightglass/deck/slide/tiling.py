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


def divisions(aspects: Sequence[float], body: PageRect, caption: float, large: int | None = None) -> Iterator[Division]:
    """Yield ways to divide a body between pictures of these widths by their heights, and texts.

    `caption`: the height of a line above each picture; 0 for none. `large`: the picture that may be larger.
    """
    for inside in (False, True) if caption else (False,):
        above = 0.0 if inside else caption
        for wide in COLUMNS:
            room = PageRect(body.left, body.top, body.width - wide - BETWEEN, body.height)
            for found in _arrangements(aspects, room, above, large):
                right = max(one.right for one in found) + BETWEEN
                texts = PageRect(right, body.top, body.right - right, body.height)
                yield Division(found, texts, "right", inside)
        for high in STRIPS:
            room = PageRect(body.left, body.top, body.width, body.height - high - BETWEEN / 2)
            for found in _arrangements(aspects, room, above, large):
                foot = max(one.bottom for one in found) + BETWEEN / 2
                texts = PageRect(body.left, foot, body.width, body.bottom - foot)
                yield Division(found, texts, "below", inside)


def fill(
    aspects: Sequence[float], room: PageRect, caption: float = 0.0, large: int | None = None
) -> tuple[PageRect, ...]:
    """Return the largest pictures in a room."""
    return max(_arrangements(aspects, room, caption, large), key=lambda found: sum(one.area for one in found))


def _arrangements(
    aspects: Sequence[float], room: PageRect, caption: float, large: int | None
) -> Iterator[tuple[PageRect, ...]]:
    yield from _rows(aspects, room, caption)
    if large is not None and len(aspects) > 2:
        yield from _beside_a_large_one(aspects, room, caption, large)


def _beside_a_large_one(
    aspects: Sequence[float], room: PageRect, caption: float, large: int
) -> Iterator[tuple[PageRect, ...]]:
    """Yield one picture as high as all the rows of the others, at their left if it is the first, else at the right."""
    others = [aspect for i, aspect in enumerate(aspects) if i != large]
    for across in range(1, len(others)):
        down = -(-len(others) // across)
        widest = max(sum(others[start : start + across]) for start in range(0, len(others), across))
        # Heights and widths of both sides meet: high = down * small + (down - 1) * (gap + caption).
        between = (down - 1) * (GAP + caption)
        high = room.height - caption
        small = (high - between) / down
        wide = high * aspects[large] + GAP + small * widest + GAP * (across - 1)
        if wide > room.width:
            free = room.width - GAP - GAP * (across - 1) + between / down * widest
            high = free / (aspects[large] + widest / down)
            small = (high - between) / down
        if small <= 4:
            continue
        column = small * widest + GAP * (across - 1)
        first = large == 0
        top = room.top + caption
        start = room.left + (high * aspects[large] + GAP if first else 0)
        found = []
        left = start
        for i, aspect in enumerate(others):
            left = start if i % across == 0 else left
            found.append(PageRect(left, top + i // across * (small + GAP + caption), small * aspect, small))
            left += small * aspect + GAP
        found.insert(large, PageRect(room.left if first else start + column + GAP, top, high * aspects[large], high))
        yield tuple(found)


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
