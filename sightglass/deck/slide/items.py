"""What stands on a slide's page: texts, pictures, bars, charts, keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sightglass.deck.slide.text_fit import LINE, cut_to_width, width_of
from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from sightglass.deck import Scene

Tone = Literal["ink", "soft", "tag", "chosen"]
"""`tag` and `chosen`: a label on a picture, light on dark or dark on light."""
ANSWER, BAR = 3.4, 1.2
"""Letters of an answer, 20 points, and the height of its bar."""
ROW = ANSWER * LINE + BAR + 1.4
"""Height of an answer with its bar."""


@dataclass(frozen=True)
class PageRect:
    """A rectangle of a page: left, top, width, height."""

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

    def overlaps(self, other: PageRect) -> bool:
        """Return whether two rectangles have more than an edge in common."""
        return (
            self.left < other.right - 1e-6
            and other.left < self.right - 1e-6
            and self.top < other.bottom - 1e-6
            and other.top < self.bottom - 1e-6
        )


@dataclass(frozen=True)
class Text:
    """Words on a page. `name`: of their box in a presentation; the stage finds them by it."""

    name: str
    words: str
    place: PageRect
    size: float
    bold: bool = False
    tone: Tone = "ink"
    right: bool = False
    """Set at the right."""


@dataclass(frozen=True)
class Block:
    """A filled rectangle, in a colour of the theme."""

    place: PageRect
    colour: Literal["accent", "quiet", "track"]


@dataclass(frozen=True)
class Sight:
    """The picture of a panel with a map and boxes over it. `map`: the one that shows; None: none does."""

    panel: int
    place: PageRect
    map: int | None
    boxes: bool = False
    """Whether the panel's boxes are drawn."""
    chosen: tuple[int, ...] = ()
    """The places of the boxes that the map explains."""


@dataclass(frozen=True)
class Bars:
    """A panel's answers, as bars: (label, score in 0..1), most sure first; `chosen`: the place of the one explained."""

    panel: int
    place: PageRect
    answers: tuple[tuple[str, float], ...]
    chosen: int | None
    places: tuple[int, ...] = ()
    """Where each is among the panel's answers; empty for scores of the scene's own."""

    def parts(self) -> list[Text | Block]:
        """Return the letters and the blocks that they are drawn with."""
        found: list[Text | Block] = []
        for i, (label, score) in enumerate(self.answers):
            left, top, wide = self.place.left, self.place.top + i * ROW, self.place.width
            bold, number = i == self.chosen, percent(score)
            room = width_of(number, bold=bold) * ANSWER + 0.4
            words = cut_to_width(label, wide - room - 1, ANSWER)
            high = ANSWER * LINE
            found += [
                Text(f"Answer: {label}", words, PageRect(left, top, wide - room - 0.5, high), ANSWER),
                Text("Score", number, PageRect(left + wide - room, top, room, high), ANSWER, bold, right=True),
                Block(PageRect(left, top + high + 0.2, wide, BAR), "track"),
            ]
            if score > 0.001:
                fill = PageRect(left, top + high + 0.2, wide * score, BAR)
                found.append(Block(fill, "accent" if bold else "quiet"))
        return found


@dataclass(frozen=True)
class Key:
    """What the colours of a map mean: colours from the left to the right end, and a word at each end."""

    place: PageRect
    colours: tuple[tuple[int, int, int], ...]
    ends: tuple[str, str]
    size: float
    heat: bool = True
    """It is of the heat map, whose colours the stage may change."""


@dataclass(frozen=True)
class Curves:
    """The proof: the score over the share that is hidden."""

    place: PageRect


@dataclass(frozen=True)
class Film:
    """The clip."""

    place: PageRect


@dataclass(frozen=True)
class Logo:
    """The owner's logo, PNG or JPEG."""

    place: PageRect
    file: bytes


Drawers = dict[type, Callable[..., None]]
"""What draws each kind of item: on what, the scene, the item."""
Item = Text | Block | Sight | Bars | Key | Curves | Film | Logo


@dataclass(frozen=True)
class Page:
    """What stands on one page, and what its speaker reads."""

    items: tuple[Item, ...]
    notes: str = ""

    def draw(self, on: Any, scene: Scene, drawers: Drawers) -> None:
        """Draw the items in their order; a drawer takes `on`, `scene` and the item. Bars are drawn as their parts."""
        for item in self.items:
            for part in item.parts() if isinstance(item, Bars) and Bars not in drawers else (item,):
                drawers[type(part)](on, scene, part)

    def share(self) -> float:
        """Return the share of the page, 0..1, that pictures, maps and clips fill."""
        return sum(one.place.area for one in self.items if isinstance(one, (Sight, Film))) / (160 * 90)
