"""Layouts of slides: a table of placeholders that every writer reads.

A page is 16:9, 160 wide and 90 high, so that a unit is six points on a slide of 13.3 x 7.5 inches. A layout is a row of
`LAYOUTS`, and `sightglass/report/page.py` says which view takes it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 160.0, 90.0
LINE = 1.2
"""Height of a line by the letters' size."""
INCH = 13.333 / WIDTH
"""Inches of a unit."""
SMALLEST = 2.7
"""Letters of 16 points."""
LETTERS = 72 * INCH * SMALLEST
"""Points of the smallest letters."""
GAP = 0.6
"""Between two pictures."""


@dataclass(frozen=True)
class Rect:
    """A rectangle of a page."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def area(self) -> float:
        return self.width * self.height


@dataclass(frozen=True)
class Layout:
    """Where the parts of a slide stand."""

    title: Rect
    text: Rect
    footer: Rect
    pictures: Rect = Rect(0, 0, 0, 0)
    answers: Rect | None = None
    """Of bars where it is high, else of a line of words."""
    key: Rect | None = None
    """What the colours of a map mean."""
    chart: Rect | None = None
    letters: tuple[float, ...] = (4.4, 4.0, 3.6, 3.2, 2.9, SMALLEST)
    """Sizes of the title, of which the largest that fits is taken."""


_FOOT = Rect(3, 85.2, 154, 3.4)
_HEAD = Rect(3, 1.4, 154, 7.8)
_STRIP = Layout(
    _HEAD, Rect(3, 77.4, 78, 6.8), _FOOT, Rect(0, 10, WIDTH, 66.4), Rect(84, 77.4, 38, 6.8), Rect(125, 77.4, 32, 6.8)
)
LAYOUTS = {
    "title": Layout(
        Rect(12, 16, 136, 34), Rect(12, 53, 136, 26), _FOOT, letters=(9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.2, SMALLEST)
    ),
    "one": Layout(
        Rect(127, 3, 31, 16.5),
        Rect(127, 21, 31, 26),
        Rect(127, 77, 31, 11),
        Rect(0, 0, 124.6, HEIGHT),
        Rect(127, 49, 31, 19.5),
        Rect(127, 70, 31, 5.6),
    ),
    "two": _STRIP,
    "grid": replace(_STRIP, answers=Rect(84, 77.4, 73, 6.8), key=None),
    "chart": Layout(_HEAD, Rect(84, 73.4, 73.5, 11), _FOOT, Rect(0, 10, 82, 74.4), chart=Rect(84, 10, 73.5, 62)),
}
"""Placeholders by the name of their layout."""


def arrange(aspects: Sequence[float], room: Rect) -> tuple[Rect, ...]:
    """Return the largest pictures of one height in rows, in the middle of a room. `aspects`: width by height."""
    best: tuple[Rect, ...] = ()
    for rows in range(1, len(aspects) + 1):
        across = -(-len(aspects) // rows)
        lines = [aspects[start : start + across] for start in range(0, len(aspects), across)]
        high = (room.height - GAP * (len(lines) - 1)) / len(lines)
        high = min(high, *((room.width - GAP * (len(line) - 1)) / sum(line) for line in lines))
        top = room.top + (room.height - high * len(lines) - GAP * (len(lines) - 1)) / 2
        places = []
        for line in lines:
            left = room.left + (room.width - high * sum(line) - GAP * (len(line) - 1)) / 2
            for aspect in line:
                places.append(Rect(left, top, high * aspect, high))
                left += high * aspect + GAP
            top += high + GAP
        if share(places) > share(best):
            best = tuple(places)
    return best


def share(places: Sequence[Rect]) -> float:
    """Return the share of the page, 0..1, covered by rectangles."""
    return sum(place.area for place in places) / (WIDTH * HEIGHT)


Colour = tuple[int, int, int]
ThemeName = Literal["dark", "light"]


@dataclass(frozen=True)
class Theme:
    """Colours of a slide, RGB. All letters have a contrast of 4.5 or more with the ground."""

    name: ThemeName
    ground: Colour
    ink: Colour
    """Of titles and answers."""
    soft: Colour
    """Of sentences and the footer."""
    accent: Colour
    """Of a map's curve and of what has the focus."""
    track: Colour
    """Of the bar of buttons."""
    tag: Colour = (255, 255, 255)
    """Of names on pictures."""
    shade: Colour = (20, 20, 20)
    """Behind them."""


def hex_of(colour: Colour) -> str:
    """Return a colour as `#141414`."""
    return f"#{bytes(colour).hex()}"


DARK = Theme("dark", (20, 20, 20), (242, 242, 242), (200, 200, 200), (90, 209, 219), (58, 58, 58))
LIGHT = Theme("light", (255, 255, 255), (28, 28, 28), (74, 74, 74), (11, 111, 120), (224, 224, 224))
THEMES: dict[str, Theme] = {theme.name: theme for theme in (DARK, LIGHT)}
