"""Lay out views on slides: texts, pictures and charts in the placeholders of a layout, which every writer reads.

A page is 16:9, 160 wide and 90 high, so that a unit is six points on a slide of 13.3 x 7.5 inches. A layout is a table
of layouts.toml, which says how many pictures it takes; `pages` names those of other views.
"""

import bisect
import functools
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PIL import ImageFont
from pydantic import TypeAdapter

from sightglass.common import packaged
from sightglass.common.errors import Problem
from sightglass.explain.phrases import NBSP, percent
from sightglass.report.view import View

WIDTH, HEIGHT = 160.0, 90.0
LINE = 1.2
"""Height of a line by the letters' size."""
INCH = 13.333 / WIDTH
"""Inches of a unit."""
SMALLEST = 3.0
"""Size of the smallest letters in units: 18 points."""
LETTERS = 72 * INCH * SMALLEST
"""Size of the smallest letters in points."""
GAP = 0.6
"""Units between two pictures."""
BODY = (4.0, 3.6, 3.2, SMALLEST)
"""Sizes of a sentence, of which the largest that fits is taken."""


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
    """The placeholders of a slide."""

    title: Rect
    text: Rect
    footer: Rect
    pictures: Rect = Rect(0, 0, 0, 0)
    answers: Rect | None = None
    """Place of the answers: bars where it is high, else a line of words."""
    key: Rect | None = None
    """What red and blue mean in a map."""
    chart: Rect | None = None
    letters: tuple[float, ...] = (4.4, 4.0, 3.6, 3.2, SMALLEST)
    """Sizes of the title, of which the largest that fits is taken."""
    body: tuple[float, ...] = BODY
    anchor: Literal["top", "middle", "bottom"] = "middle"
    """Vertical place of the title in its box."""
    takes: tuple[float, float] = (0, 0)
    """The fewest and the most pictures that it is for."""


_TEXT = Path(__file__).with_suffix(".toml").read_text("utf-8")
LAYOUTS = TypeAdapter(dict[str, Layout]).validate_python(tomllib.loads(_TEXT))
"""The layouts in layouts.toml, by name."""


def arrange(aspects: Sequence[float], room: Rect, below: float = 0.0) -> tuple[Rect, ...]:
    """Return the largest pictures of one height in a room.

    They are in rows, in the middle of it. `aspects`: width by height; `below`: units that are left free below each
    picture, for its name.
    """
    best: tuple[Rect, ...] = ()
    for count in range(1, len(aspects) + 1):
        columns = -(-len(aspects) // count)
        rows = [aspects[start : start + columns] for start in range(0, len(aspects), columns)]
        rects = _arrange_rows(rows, room, below)
        if share(rects) > share(best):
            best = tuple(rects)
    return best


def _arrange_rows(rows: Sequence[Sequence[float]], room: Rect, below: float) -> list[Rect]:
    """Return the largest pictures of one height in these rows of aspects, in the middle of a room."""
    height = (room.height - GAP * (len(rows) - 1)) / len(rows) - below
    height = min(height, *((room.width - GAP * (len(row) - 1)) / sum(row) for row in rows))
    if height <= 0:
        return []
    step = height + below + GAP
    top = room.top + (room.height - step * len(rows) + GAP) / 2
    rects = []
    for row in rows:
        left = room.left + (room.width - height * sum(row) - GAP * (len(row) - 1)) / 2
        for aspect in row:
            rects.append(Rect(left, top, height * aspect, height))
            left += height * aspect + GAP
        top += step
    return rects


def share(rects: Sequence[Rect]) -> float:
    """Return the share of the page, 0..1, covered by rectangles."""
    return sum(rect.area for rect in rects) / (WIDTH * HEIGHT)


Color = tuple[int, int, int]


@dataclass(frozen=True)
class Theme:
    """Colours of a slide, RGB. All letters have a contrast of 4.5 or more with the ground."""

    name: Literal["dark", "light"]
    ground: Color
    ink: Color
    """Colour of titles and answers."""
    soft: Color
    """Colour of sentences and the footer."""
    accent: Color
    """Colour of a map's curve and of what has the focus."""
    tag: Color = (255, 255, 255)
    """Colour of names on pictures."""
    shade: Color = (20, 20, 20)
    """Behind them."""


def hex_of(color: Color) -> str:
    """Return a colour as `#141414`."""
    return f"#{bytes(color).hex()}"


DARK = Theme("dark", (20, 20, 20), (242, 242, 242), (200, 200, 200), (90, 209, 219))
LIGHT = Theme("light", (255, 255, 255), (28, 28, 28), (74, 74, 74), (11, 111, 120))
THEMES: dict[str, Theme] = {theme.name: theme for theme in (DARK, LIGHT)}

LARGE = 0.6
"""Least share of the page that pictures fill, where their shape allows it."""
NEARLY = 0.9
"""Share of the largest pictures' area from which a layout that comes first is taken."""
NARROW = 0.9
"""Width of a text in Arial by its width in DejaVu Sans, with which it is measured; a PDF's letters are as narrow."""
PAD = 0.7
"""Units around the letters of a name on a picture."""


@dataclass(frozen=True)
class Text:
    """A text on a page, in letters of one size."""

    name: str
    """Name of the placeholder: `title`, `text`, `answers`, `footer`; else of a box of its own."""
    text: str
    rect: Rect
    size: float
    bold: bool = False
    tone: Literal["ink", "soft", "tag"] = "ink"
    anchor: Literal["top", "middle", "bottom"] = "top"

    @property
    def pad(self) -> float:
        """Room on either side of the letters."""
        return PAD if self.tone == "tag" else 0.0

    def set_lines(self) -> Iterator[tuple[str, float, float]]:
        """Yield each line as it is broken, with the left end and the height of its baseline on the page."""
        lines = break_lines(self.text, self.rect.width - 2 * self.pad, self.size, bold=self.bold)
        free = self.rect.height - len(lines) * self.size * LINE
        first = self.rect.top + {"top": 0.0, "middle": free / 2, "bottom": free}[self.anchor] + 0.93 * self.size
        for row, line in enumerate(lines):
            yield line, self.rect.left + self.pad, first + row * self.size * LINE


@dataclass(frozen=True)
class Visual:
    """A picture, a chart or the clip of a view."""

    kind: Literal["picture", "chart", "clip"]
    rect: Rect
    index: int = 0
    mapped: bool = False
    """Whether a picture is under its map."""


Item = Text | Visual
Content = tuple[str, list[Item]]
"""A layout's name, and what stands on its page."""


@dataclass(frozen=True)
class Page:
    """What stands on one page, in the order in which it is drawn."""

    layout: str
    items: tuple[Item, ...]


@functools.lru_cache(8192)
def width_of(text: str, *, bold: bool = False) -> float:
    """Return the width of a line by its letters' size."""
    return NARROW * float(_font(bold).getlength(text)) / 100


@functools.cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(packaged.font("DejaVuSans-Bold" if bold else "DejaVuSans")), 100)


def break_lines(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Break a text into lines of a width; a word wider than that is broken, too, as browsers do."""
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        lines.append("")
        # A number and its percent sign stay together.
        for word in paragraph.split(" "):
            longer = f"{lines[-1]} {word}" if lines[-1] else word
            if lines[-1] and width_of(longer, bold=bold) * size > width:
                lines.append(word)
            else:
                lines[-1] = longer
            while (last := lines[-1])[1:] and width_of(last, bold=bold) * size > width:
                widths = functools.partial(_width_to, last, bold)
                count = bisect.bisect_right(range(1, len(last)), width / size, key=widths) or 1
                lines[-1:] = last[:count], last[count:]
    return lines


def _width_to(text: str, bold: bool, end: int) -> float:
    return width_of(text[:end], bold=bold)


def _fits(text: str, rect: Rect, size: float, bold: bool, whole: bool = False) -> bool:
    wide = whole and any(width_of(word, bold=bold) * size > rect.width + 1e-6 for word in text.split())
    return not wide and len(break_lines(text, rect.width, size, bold=bold)) * size * LINE <= rect.height + 1e-6


def fit(text: str, rect: Rect, sizes: Sequence[float] = BODY, *, bold: bool = False) -> tuple[str, float]:
    """Return a text and the largest of `sizes` at which it fits.

    A text that fits at none is cut: to the whole sentences that fit at the smallest size, or to as many words.
    """
    shortened, smallest = text, sizes[-1]
    for size in sizes:
        if _fits(text, rect, size, bold, whole=size > smallest):
            return text, size
    while len(shortened) > 1 and not _fits(f"{shortened}…", rect, smallest, bold):
        shortened = (shortened.rpartition(" ")[0] or shortened[:-1]).rstrip(" ,;:·")
    sentences, stop, _ = shortened.rpartition(". ")
    return fit(f"{sentences}.", rect, sizes, bold=bold) if stop else (f"{shortened}…", smallest)


def numbered(views: Sequence[View], first: int = 1) -> Iterator[tuple[View, Page]]:
    """Yield each page with its view; a chart shares its slide's number. Raises Problem for a deck without slides."""
    if not views:
        raise Problem("There is nothing to present: the deck has no slides.")
    for number, view in enumerate(views, first):
        for page in pages(view, number):
            yield view, page


def pages(view: View, number: int = 1) -> list[Page]:
    """Return a view's page, and one for each of its charts."""
    if view.clip is not None:
        bodies = [_compose(view, "one", view.sentence, Visual("clip", LAYOUTS["one"].pictures))]
    elif view.scores:
        bodies = [("two", [Visual("chart", LAYOUTS["two"].pictures), *_list_texts(view, "two", view.sentence)])]
    elif not view.pictures:
        bodies = [_compose(view, "title" if view.kind == "words" else "text", view.sentence.strip())]
    else:
        bodies = [_pictures(view), *(_chart(view, i) for i in range(len(view.charts)))]
    return [Page(name, (*items, _foot(view, LAYOUTS[name], number))) for name, items in bodies]


def is_mapped(view: View, index: int) -> bool:
    """Return whether the map of a picture is drawn; a difference always is."""
    item = view.pictures[index].map
    return item is not None and (view.display.mode != "picture" or item.field.kind == "difference")


def _pictures(view: View) -> Content:
    tiles = [Visual("picture", Rect(0, 0, 0, 0), i, is_mapped(view, i)) for i in range(len(view.pictures))]
    name, tiles = _choose(view, tiles)
    return name, [*tiles, *_tags(view, tiles), *_list_texts(view, name, view.sentence)]


def _tags(view: View, tiles: Sequence[Visual]) -> list[Text]:
    """Return the names below several pictures.

    On the pictures they could lie on what they speak of. Empty for a single picture.
    """
    captions = [(view.pictures[tile.index].caption, tile.rect) for tile in tiles]
    return [_tag(caption, rect) for caption, rect in captions if caption and len(view.pictures) > 1]


def _choose(view: View, tiles: list[Visual]) -> tuple[str, list[Visual]]:
    """Return the first layout with large pictures, or nearly the largest.

    With it come the pictures at their places. Of one picture with a map, the picture without it may stand beside
    it.
    """

    def list_options(shown: list[Visual]) -> list[tuple[str, list[Visual]]]:
        takes = {name: layout.takes for name, layout in LAYOUTS.items()}
        return [(name, shown) for name, (least, most) in takes.items() if least <= len(shown) <= most]

    options = list_options(tiles)
    if len(tiles) > 1:
        options.reverse()
    elif tiles[0].mapped:
        options[1:] = list_options([replace(tiles[0], mapped=False), *tiles])
    arranged = [(name, _arrange(view, shown, LAYOUTS[name])) for name, shown in options]

    def covered(candidate: tuple[str, list[Visual]]) -> float:
        return share([tile.rect for tile in candidate[1]])

    enough = min(LARGE, NEARLY * max(map(covered, arranged)))
    return next(candidate for candidate in arranged if covered(candidate) >= enough)


def _arrange(view: View, tiles: Sequence[Visual], layout: Layout) -> list[Visual]:
    """Return pictures at their places in a layout.

    There is room for their names below them.
    """
    sizes = [view.pictures[tile.index].size for tile in tiles]
    aspects = [max(width, 1) / max(height, 1) for width, height in sizes]
    below = 0.0
    # How many lines a name takes depends on the pictures' width, and that on the room for names.
    for _ in range(2):
        rects = arrange(aspects, layout.pictures, below)
        placed = [replace(tile, rect=rect) for tile, rect in zip(tiles, rects, strict=True)]
        below = max((tag.rect.height for tag in _tags(view, placed)), default=0.0)
    rects = arrange(aspects, layout.pictures, below) or rects
    return [replace(tile, rect=rect) for tile, rect in zip(tiles, rects, strict=True)]


def _tag(caption: str, picture: Rect) -> Text:
    """Return a name below a picture, in two lines at most."""
    room = Rect(0, 0, picture.width - 2 * PAD, 2 * SMALLEST * LINE)
    text, size = fit(caption, room, (3.2, SMALLEST), bold=True)
    lines = break_lines(text, room.width, size, bold=True)
    rect = Rect(picture.left, picture.bottom, picture.width, len(lines) * size * LINE + PAD)
    return Text("Caption", text, rect, size, bold=True, tone="tag", anchor="middle")


def _list_texts(view: View, name: str, sentence: str) -> Iterator[Text]:
    """Yield the title, the sentence, the answers and the key of a layout."""
    layout = LAYOUTS[name]
    answers = list(_answers(view, layout))
    key = list(_key(view, layout))
    rect = layout.text
    beside = [place for place in (layout.answers, layout.key) if place is not None and place.top == rect.top]
    if not answers and not key and beside:
        # The sentence takes their room.
        rect = replace(rect, width=beside[-1].right - rect.left)
    text, size = fit(view.title, layout.title, layout.letters, bold=True)
    yield Text("title", text, layout.title, size, bold=True, anchor=layout.anchor)
    if sentence:
        text, size = fit(sentence, rect, layout.body)
        yield Text("text", text, rect, size, tone="soft")
    yield from (*answers, *key)


def _answers(view: View, layout: Layout) -> Iterator[Text]:
    """Yield figures or answers, stacked if they fit, else in a line."""
    rect = layout.answers
    answers = view.pictures[0].answers if len(view.pictures) == 1 else ()
    facts = list(view.facts) or [f"{label} {percent(score)}" for label, score in answers]
    if rect is None or not facts:
        return
    separator = "\n" if rect.height > rect.width / 3 else " · "
    facts = facts[:5]
    while len(facts) > 1 and not _fits(separator.join(facts), rect, SMALLEST, bold=True):
        facts.pop()
    text, size = fit(separator.join(facts), rect, BODY[1:], bold=True)
    yield Text("answers", text, rect, size, bold=True)


def _key(view: View, layout: Layout) -> Iterator[Text]:
    """Yield what red and blue mean in signed maps and in a difference."""
    sides = view.sides or _ends(view)
    if layout.key is None or len(sides) != 2:
        return
    rect = _key_room(view, layout, layout.key)
    meanings = [f"{color}: {side}" for color, side in zip(("Red", "Blue"), sides, strict=True)]
    if not _fits("\n".join(meanings), rect, SMALLEST, bold=False):
        half = replace(rect, height=rect.height / 2)
        meanings = [fit(meaning, half, (SMALLEST,))[0] for meaning in meanings]
    yield Text("Key", "\n".join(meanings), rect, SMALLEST, tone="soft")


def _ends(view: View) -> tuple[str, ...]:
    """Return what red and blue mean in signed maps.

    Empty unless all maps that are drawn are signed.
    """
    pictures = [picture for index, picture in enumerate(view.pictures) if is_mapped(view, index)]
    maps = [picture.map for picture in pictures if picture.map is not None]
    if not maps or any(item.field.kind != "signed" for item in maps):
        return ()
    return maps[0].ends[::-2]


def _key_room(view: View, layout: Layout, key: Rect) -> Rect:
    """Return the place of a key.

    Where there are no answers, it includes the answers' place, which is beside or above it.
    """
    start = layout.answers
    if start is None or any(_answers(view, layout)):
        return key
    return Rect(start.left, start.top, key.right - start.left, key.bottom - start.top)


def _foot(view: View, layout: Layout, number: int) -> Text:
    """Return the footer: model, date and number, of which the model is cut first."""
    separator = " · " if layout.footer.width > 100 else "\n"
    date_and_number = f"{NBSP}· ".join(filter(None, (view.date.replace(" ", NBSP), str(number))))
    models, ellipsis = view.made.partition(" · ")[0], ""
    while models and not _fits(f"{models}{ellipsis}{separator}{date_and_number}", layout.footer, SMALLEST, bold=False):
        models, ellipsis = (models.rpartition(" ")[0] or models[:-1]).rstrip(" ,"), "…"
    text = separator.join(filter(None, (models and models + ellipsis, date_and_number)))
    return Text("footer", text, layout.footer, SMALLEST, tone="soft", anchor="bottom")


def _compose(view: View, name: str, sentence: str, *visuals: Visual) -> Content:
    """Return the pictures or the clip of a view, as large as the layout allows, with its texts."""
    return name, [*_arrange(view, visuals, LAYOUTS[name]), *_list_texts(view, name, sentence)]


def _chart(view: View, index: int) -> Content:
    layout, chart = LAYOUTS["chart"], view.charts[index]
    picture = Visual("picture", layout.pictures, chart.picture, is_mapped(view, chart.picture))
    name, (tile, *texts) = _compose(view, "chart", chart.sentence, picture)
    assert layout.chart is not None
    return name, [tile, Visual("chart", layout.chart, index), *texts]
