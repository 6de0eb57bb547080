"""What stands on a slide's page: texts, pictures, bars, charts, keys."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Literal

from PIL import Image as Pillow
from PIL import ImageFont

from sightglass.common.errors import Problem
from sightglass.common.files import packing
from sightglass.common.settings import settings
from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.deck import Scene


WIDTH, HEIGHT = 160.0, 90.0
"""Of a page."""
LINE = 1.2
"""Height of a line by the letters' size."""
_EM = 100


@functools.cache
def font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """Return the letters of slides at a size in pixels."""
    return ImageFont.truetype(str(packing.font("DejaVuSans-Bold" if bold else "DejaVuSans")), size)


@functools.lru_cache(8192)
def width_of(words: str, *, bold: bool = False) -> float:
    """Return the width of a line by its letters' size."""
    return float(font(_EM, bold).getlength(words)) / _EM


def break_lines(
    words: str, width: float, size: float, *, bold: bool = False, measure: Callable[[str], float] | None = None
) -> list[str]:
    """Return words as lines of at most a width; a word that is longer than that has a line of its own.

    `measure`: returns the width of words in another font.
    """
    measure = measure or (lambda line: width_of(line, bold=bold) * size)
    lines: list[str] = []
    for paragraph in words.splitlines() or [""]:
        line = ""
        # A number and its percent sign stay together.
        for word in paragraph.split(" "):
            tried = f"{line} {word}" if line else word
            if line and measure(tried) > width:
                lines.append(line)
                line = word
            else:
                line = tried
        lines.append(line)
    return lines


def height_of(words: str, width: float, size: float, *, bold: bool = False) -> float:
    """Return the height of words of a size that are broken at a width; 0 for none."""
    return len(break_lines(words, width, size, bold=bold)) * size * LINE if words else 0.0


def size_within(words: str, width: float, height: float, sizes: tuple[float, ...], *, bold: bool = False) -> float:
    """Return the first of some sizes, large to small, at which words fit; the last one where they never do."""
    return next((size for size in sizes if fits(words, width, height, size, bold=bold)), sizes[-1])


def fits(words: str, width: float, height: float, size: float, *, bold: bool = False) -> bool:
    """Return whether words of a size fit a rectangle."""
    lines = break_lines(words, width, size, bold=bold)
    widest = max(width_of(line, bold=bold) for line in lines) * size
    return len(lines) * size * LINE <= height + 1e-6 and widest <= width + 1e-6


def cut_to_lines(words: str, width: float, size: float, most: int, *, bold: bool = False) -> str:
    """Return words that take at most so many lines, cut at a word and ended with an ellipsis."""
    if len(break_lines(words, width, size, bold=bold)) <= most:
        return words
    kept = words.split(" ")
    while len(kept) > 1 and len(break_lines(f"{' '.join(kept)}…", width, size, bold=bold)) > most:
        kept.pop()
    return f"{' '.join(kept).rstrip(',;:')}…"


def cut_to_width(words: str, width: float, size: float, *, bold: bool = False) -> str:
    """Return words that take one line, cut at a letter and ended with an ellipsis."""
    if width_of(words, bold=bold) * size <= width:
        return words
    kept = words
    while len(kept) > 1 and width_of(f"{kept}…", bold=bold) * size > width:
        kept = kept[:-1]
    return f"{kept.rstrip(' ,;:·')}…"


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


Item = Text | Block | Sight | Bars | Key | Curves | Film | Logo


@dataclass(frozen=True)
class Page:
    """What stands on one page, and what its speaker reads."""

    items: tuple[Item, ...]
    notes: str = ""

    def share(self) -> float:
        """Return the share of the page, 0..1, that pictures, maps and clips fill."""
        return sum(one.place.area for one in self.items if isinstance(one, (Sight, Film))) / (WIDTH * HEIGHT)


Colour = tuple[int, int, int]
ThemeName = Literal["dark", "light"]
FONT = "Arial"
"""Every system has it, or one with the same widths: Helvetica, Liberation Sans, Arimo."""


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
    """Of what is chosen."""
    quiet: Colour
    """Of bars that are not."""
    track: Colour
    """Of the length that a bar could have, and of a chart's grid."""

    def tone(self, name: str) -> Colour:
        """Return the colour of a text's tone."""
        return {"soft": self.soft, "tag": (255, 255, 255), "chosen": (20, 20, 20)}.get(name, self.ink)


TAG_GROUNDS: dict[str, Colour] = {"tag": (20, 20, 20), "chosen": (255, 255, 255)}
"""Grounds of the labels that lie on pictures, in both themes."""
DARK = Theme("dark", (20, 20, 20), (242, 242, 242), (200, 200, 200), (90, 209, 219), (154, 154, 154), (58, 58, 58))
LIGHT = Theme("light", (255, 255, 255), (28, 28, 28), (74, 74, 74), (11, 111, 120), (117, 117, 117), (224, 224, 224))
THEMES: dict[str, Theme] = {theme.name: theme for theme in (DARK, LIGHT)}


FOOTER_LETTERS = 2.0
"""12 points on a slide of 13.3 inches."""
FOOTER_HEIGHT = 4.4
_EDGE, _GAP = 1.6, 2.0


@dataclass(frozen=True)
class Footer:
    """What stands there besides what made the slide."""

    number: int = 1
    count: int = 1
    text: str = ""
    logo: bytes | None = None
    """PNG or JPEG."""


def footer_of_settings() -> Footer:
    """Return the owner's text and logo: SIGHTGLASS_SLIDE_TEXT and SIGHTGLASS_SLIDE_LOGO."""
    given = settings()
    if given.slide_logo is None:
        return Footer(text=given.slide_text)
    try:
        file = given.slide_logo.read_bytes()
        Pillow.open(BytesIO(file)).verify()
    except (OSError, ValueError, SyntaxError) as error:
        raise Problem(f"SIGHTGLASS_SLIDE_LOGO is no picture: {given.slide_logo}.") from error
    return Footer(text=given.slide_text, logo=file)


def footer_items(scene: Scene, seal: str, footer: Footer) -> list[Item]:
    """Return the footer's items: model, method, seal and recipe at the left; text, logo and number at the right."""
    high = FOOTER_LETTERS * LINE
    top, right = HEIGHT - high - 1.1, WIDTH - _EDGE
    found: list[Item] = []

    def set_right(name: str, words: str) -> None:
        nonlocal right
        wide = width_of(words) * FOOTER_LETTERS + 0.4
        place = PageRect(right - wide, top, wide, high)
        found.append(Text(name, words, place, FOOTER_LETTERS, tone="soft", right=True))
        right -= wide + _GAP

    set_right("Number", f"{footer.number} / {footer.count}")
    if footer.logo is not None:
        across, down = Pillow.open(BytesIO(footer.logo)).size
        wide = min(20.0, 3.2 * across / max(down, 1))
        tall = wide * down / max(across, 1)
        found.append(Logo(PageRect(right - wide, top + (high - tall) / 2, wide, tall), footer.logo))
        right -= wide + _GAP
    if footer.text:
        set_right("Owner", cut_to_width(footer.text, 50, FOOTER_LETTERS))
    recipe = f"recipe {scene.recipe}" if scene.recipe else ""
    names = scene.made or " · ".join(dict.fromkeys(panel.name for panel in scene.panels if panel.answers or panel.maps))
    room = right - _EDGE
    # What does not fit is left out whole, the names of models last.
    for parts in ((names, seal, recipe), (names, seal), (seal, recipe) if not names else (names,)):
        words = "  |  ".join(filter(None, parts))
        if width_of(words) * FOOTER_LETTERS <= room:
            break
    if words:
        words = cut_to_width(words, room, FOOTER_LETTERS)
        found.append(Text("Footer", words, PageRect(_EDGE, top, room, high), FOOTER_LETTERS, tone="soft"))
    return found
