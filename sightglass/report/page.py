"""Lay out a view: texts, pictures, bars and charts in the placeholders of its layout."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from PIL import ImageFont

from sightglass.common.errors import Problem
from sightglass.common.files import packing
from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.picture.image import to_png
from sightglass.explain.rendering import color_tables
from sightglass.explain.rendering.render import map_lut
from sightglass.report.layouts import LAYOUTS, LINE, SMALLEST, Layout, Rect, arrange, share

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.report.view import Chart, Map, View

Tone = Literal["ink", "soft", "tag"]
BODY = (4.0, 3.6, 3.2, 2.9, SMALLEST)
"""Sizes of a sentence, of which the largest that fits is taken."""
LARGE = 0.6
"""Of the page, what pictures fill at least, where their shape allows it."""
TRIMS = (1.0, 1.03, 0.97, 1.06, 0.94, 1.09, 0.9)
"""By how much pictures may be wider than they are, least first, so that they fill as much: what is too much of them is
cut off at two edges."""
NARROW = 0.9
"""Width of the letters by those that they are measured with: texts are set in Arial, and as narrow in a PDF."""
PAD = 0.7
"""Around the letters of a name on a picture."""


@dataclass(frozen=True)
class Text:
    """Words on a page, of one size."""

    name: str
    """Of the placeholder: `title`, `text`, `answers`, `footer`; else of a box of its own."""
    words: str
    place: Rect
    size: float
    bold: bool = False
    tone: Tone = "ink"
    align: Literal["left", "right"] = "left"
    anchor: Literal["top", "middle", "bottom"] = "top"


@dataclass(frozen=True)
class Photo:
    """The picture of a view with this index; `mapped`: under its map."""

    index: int
    place: Rect
    mapped: bool = False


@dataclass(frozen=True)
class Curves:
    """The chart of a view with this index."""

    index: int
    place: Rect


@dataclass(frozen=True)
class Film:
    """The clip."""

    place: Rect


@dataclass(frozen=True)
class Sign:
    """The colours of a map."""

    name: str
    place: Rect
    file: bytes
    """PNG."""


Item = Text | Photo | Sign | Curves | Film
Content = tuple[str, list[Item]]
"""A layout's name, and what stands on its page."""


@dataclass(frozen=True)
class Page:
    """What stands on one page, in the order in which it is drawn, and what its speaker reads."""

    layout: str
    items: tuple[Item, ...]
    notes: str = ""

    def share(self) -> float:
        """Return the share of the page, 0..1, covered by content."""
        return share([item.place for item in self.items if isinstance(item, (Photo, Film, Curves))])


# ---- letters


@functools.cache
def font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    """Return the measuring font at a size in pixels."""
    return ImageFont.truetype(str(packing.font("DejaVuSans-Bold" if bold else "DejaVuSans")), size)


@functools.lru_cache(8192)
def width_of(words: str, *, bold: bool = False) -> float:
    """Return the width of a line by its letters' size."""
    return NARROW * float(font(100, bold).getlength(words)) / 100


def break_lines(words: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Break words into lines of a width; long words stay whole."""
    lines: list[str] = []
    for paragraph in words.splitlines() or [""]:
        line = ""
        # A number and its percent sign stay together.
        for word in paragraph.split(" "):
            longer = f"{line} {word}" if line else word
            if line and width_of(longer, bold=bold) * size > width:
                lines.append(line)
                line = word
            else:
                line = longer
        lines.append(line)
    return lines


def lines(item: Text) -> Iterator[tuple[str, float, float]]:
    """Yield a text's lines, each with its left and top."""
    left, width = item.place.left, item.place.width
    if item.tone == "tag":
        left, width = left + PAD, width - 2 * PAD
    broken = break_lines(item.words, width, item.size, bold=item.bold)
    free = item.place.height - len(broken) * item.size * LINE
    top = item.place.top + {"top": 0.0, "middle": free / 2, "bottom": free}[item.anchor]
    for row, line in enumerate(broken):
        rest = width - width_of(line, bold=item.bold) * item.size
        yield line, left + (rest if item.align == "right" else 0.0), top + row * item.size * LINE


def _fits(words: str, place: Rect, size: float, bold: bool) -> bool:
    lines = break_lines(words, place.width, size, bold=bold)
    widest = max(width_of(line, bold=bold) for line in lines) * size
    return len(lines) * size * LINE <= place.height + 1e-6 and widest <= place.width + 1e-6


def fit(words: str, place: Rect, sizes: Sequence[float] = BODY, *, bold: bool = False) -> tuple[str, float]:
    """Return words and the largest fitting size.

    Where none is small enough, the sentences that fit are kept, else as many words as do.
    """
    for size in sizes:
        if _fits(words, place, size, bold):
            return words, size
    kept, smallest = words, sizes[-1]
    while len(kept) > 1 and not _fits(f"{kept}…", place, smallest, bold):
        kept = (kept.rpartition(" ")[0] or kept[:-1]).rstrip(" ,;:·")
    whole = max((end for end in range(1, len(kept)) if kept[end - 1] == "." and words[end] == " "), default=0)
    return fit(kept[:whole], place, sizes, bold=bold) if whole else (f"{kept}…", smallest)


# ---- pages


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
        drawn = [_clip(view)]
    elif not view.pictures:
        drawn = [_words(view)]
    else:
        drawn = [_pictures(view), *(_chart(view, i, chart) for i, chart in enumerate(view.charts))]
    notes = describe_making(view)
    return [Page(name, (*items, _foot(view, LAYOUTS[name], number)), notes) for name, items in drawn]


def is_mapped(view: View, index: int) -> bool:
    """Return whether the map of a picture is drawn; a difference always is."""
    item = view.pictures[index].map
    return item is not None and (view.display.mode != "picture" or item.kind == "difference")


def describe_making(view: View) -> str:
    """Return a view's notes, with its sentence, models and commands."""
    pictures = [picture for picture in view.pictures if picture.is_explained]
    if not pictures:
        return view.notes
    lines = [view.notes, "", view.sentence] if view.sentence else [view.notes]
    # One model's answers stand there once.
    same = len(pictures) > 1 and len({picture.answers for picture in pictures}) == 1
    for picture in pictures[:1] if same else pictures:
        answers = ", ".join(f"{label} {percent(score)}" for label, score in picture.answers[:3])
        name = "Answers" if same else picture.name
        lines.append(f"{name}: {answers}." if answers else f"{name}.")
    maps = [picture.map for picture in pictures if picture.map is not None]
    lines += [f"Checks of {item.label}: {item.checks}." for item in maps if item.checks]
    if view.commands:
        lines += ["Made again by:", *dict.fromkeys(view.commands)]
    return "\n".join(lines).strip()


def _pictures(view: View) -> Content:
    tiles = [Photo(i, Rect(0, 0, 0, 0), is_mapped(view, i)) for i in range(len(view.pictures))]
    name, tiles, places = _choose(view, tiles)
    layout = LAYOUTS[name]
    answers = list(_answers(view, layout))
    if not answers and layout.answers is not None and layout.answers.top == layout.text.top:
        # Their place goes to the sentence and to the key.
        right = layout.answers.right - 8 if layout.key is not None else layout.answers.right
        key = None if layout.key is None else replace(layout.key, left=right, width=layout.key.right - right)
        layout = replace(layout, text=replace(layout.text, width=right - 3 - layout.text.left), key=key)
    drawn = [replace(tile, place=place) for tile, place in zip(tiles, places, strict=True)]
    several = len(view.pictures) > 1
    captions = [(view.pictures[photo.index].caption, photo.place) for photo in drawn if several]
    tags = [_tag(caption, place) for caption, place in captions if caption]
    maps = [item for photo in drawn if photo.mapped and (item := view.pictures[photo.index].map) is not None]
    return name, [*drawn, *tags, *_texts(view.title, view.sentence, layout), *answers, *_key(view, layout, maps)]


def _choose(view: View, tiles: list[Photo]) -> tuple[str, list[Photo], tuple[Rect, ...]]:
    """Return the first layout with large pictures, else the largest.

    Of one picture with a map, the picture without it may stand beside it.
    """
    several = "grid" if len(tiles) > 3 else "two"
    ways = [("one", tiles), (several, tiles)] if len(tiles) == 1 else [(several, tiles), ("one", tiles)]
    if len(tiles) == 1 and tiles[0].mapped:
        pair = [replace(tiles[0], mapped=False), *tiles]
        ways = [("one", tiles), ("one", pair), ("two", pair)]
    arranged = [
        (name, subset, arrange([_aspect(view, tile) * trim for tile in subset], LAYOUTS[name].pictures))
        for trim in TRIMS
        for name, subset in ways
    ]
    large = (candidate for candidate in arranged if share(candidate[2]) >= LARGE)
    return next(large, None) or max(arranged[: len(ways)], key=lambda candidate: share(candidate[2]))


def _aspect(view: View, tile: Photo) -> float:
    """Return width by height of a tile's picture."""
    width, height = view.pictures[tile.index].size
    return max(width, 1) / max(height, 1)


def _tag(caption: str, picture: Rect) -> Text:
    """Return a name at a picture's foot, in at most two lines."""
    room = Rect(0, 0, picture.width - 2 * PAD, 2 * SMALLEST * LINE)
    words, size = fit(caption, room, (3.2, SMALLEST), bold=True)
    lines = break_lines(words, room.width, size, bold=True)
    wide = min(room.width, max(width_of(line, bold=True) for line in lines) * size + 0.2) + 2 * PAD
    high = len(lines) * size * LINE + PAD
    place = Rect(picture.left, picture.bottom - high, wide, high)
    return Text("Caption", words, place, size, bold=True, tone="tag", anchor="middle")


def _texts(title: str, sentence: str, layout: Layout) -> Iterator[Text]:
    words, size = fit(title, layout.title, layout.letters, bold=True)
    anchor: Literal["top", "middle", "bottom"] = "middle" if layout.title.width > 100 else "top"
    if layout is LAYOUTS["title"]:
        anchor = "bottom"
    yield Text("title", words, layout.title, size, bold=True, anchor=anchor)
    if sentence:
        words, size = fit(sentence, layout.text)
        yield Text("text", words, layout.text, size, tone="soft")


def _answers(view: View, layout: Layout) -> Iterator[Text]:
    """Yield figures or answers, stacked if they fit, else in a line."""
    place = layout.answers
    answers = view.pictures[0].answers if len(view.pictures) == 1 else ()
    facts = list(view.facts) or [f"{label} {percent(score)}" for label, score in answers]
    if place is None or not facts:
        return
    between = "\n" if place.height > place.width / 3 else " · "
    facts = facts[:5]
    while len(facts) > 1 and not _fits(between.join(facts), place, SMALLEST, bold=True):
        facts.pop()
    words, size = fit(between.join(facts), place, BODY[1:], bold=True)
    yield Text("answers", words, place, size, bold=True)


def _key(view: View, layout: Layout, maps: Sequence[Map]) -> Iterator[Item]:
    """Yield the colour key of signed maps, else of heat maps."""
    display, place = view.display, layout.key
    if place is None:
        return
    if len(view.sides) == 2:
        # As on the pages: what there is less of, or more of the second, is at the left.
        colours = np.array([color_tables.SECOND_RGB, (225, 225, 225), color_tables.FIRST_RGB], np.uint8)
        ends = view.sides[1], view.sides[0]
    elif not maps or display.mode not in ("overlay", "map"):
        return
    elif all(item.kind == "signed" for item in maps):
        colours, ends = map_lut("signed", display.colormap)[1:], maps[0].ends[::2]
    else:
        colours = map_lut("heat", display.colormap, over=display.mode == "overlay")
        ends = "Weak", "Strong"
    strip = cv2.resize(np.asarray(colours, np.uint8)[None], (256, 8), interpolation=cv2.INTER_LINEAR)
    yield Sign("Key", replace(place, height=1.6), to_png(np.asarray(strip, np.uint8)))
    half = Rect(place.left, place.top + 1.9, (place.width - 1) / 2, SMALLEST * LINE)
    left, right = (fit(end, half, (SMALLEST,))[0] for end in ends)
    yield Text("Key", left, half, SMALLEST, tone="soft")
    yield Text("Key", right, replace(half, left=place.right - half.width), SMALLEST, tone="soft", align="right")


def _foot(view: View, layout: Layout, number: int) -> Text:
    """Return the footer: model, date and number, of which the model is cut first."""
    models = view.made.partition(" · ")[0] or ", ".join(
        dict.fromkeys(picture.name for picture in view.pictures if picture.is_explained)
    )
    rest, place = f"{NBSP}· ".join(filter(None, (_day(view.date), str(number)))), layout.footer
    if wide := place.width > 100:
        room = replace(place, width=place.width - width_of(f" · {rest}") * SMALLEST)
    else:
        count = len(break_lines(rest, place.width, SMALLEST))
        room = replace(place, height=place.height - SMALLEST * LINE * count)
    parts = filter(None, (fit(models, room, (SMALLEST,))[0], rest))
    return Text("footer", (" · " if wide else "\n").join(parts), place, SMALLEST, tone="soft", anchor="bottom")


def _day(text: str) -> str:
    """Return an ISO date as words, `5 Nov 2026`; empty for none."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return ""
    return f"{day.day} {day:%b %Y}".replace(" ", NBSP)


def _words(view: View) -> Content:
    """Lay out a slide without pictures."""
    if view.kind == "words":
        return "title", [*_texts(view.title, view.sentence, LAYOUTS["title"])]
    place = Rect(12, 17, 136, 64)
    words, size = fit(view.sentence.strip(), place, (5.6, 5.0, 4.4, *BODY))
    body = [Text("text", words, place, size, tone="soft")] if words else []
    return "two", [*_texts(view.title, "", LAYOUTS["two"]), *body]


def _clip(view: View) -> Content:
    """Lay out the player, with its moments."""
    layout, (width, height) = LAYOUTS["one"], view.pictures[0].size
    (film,) = arrange([max(width, 1) / max(height, 1)], layout.pictures)
    parts: list[Item] = [Film(film), *_texts(view.title, view.sentence, layout)]
    if view.facts and layout.answers is not None:
        words, size = fit("\n".join(view.facts), layout.answers, BODY[2:])
        parts.append(Text("answers", words, layout.answers, size))
    return "one", parts


def _chart(view: View, index: int, chart: Chart) -> Content:
    layout, tile = LAYOUTS["chart"], Photo(chart.picture, Rect(0, 0, 0, 0), is_mapped(view, chart.picture))
    (place,) = arrange([_aspect(view, tile)], layout.pictures)
    assert layout.chart is not None
    return "chart", [
        replace(tile, place=place),
        Curves(index, layout.chart),
        *_texts(view.title, chart.sentence, layout),
    ]
