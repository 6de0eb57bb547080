"""Lay out a scene: texts, pictures, bars and charts in the placeholders of its layout."""

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
from sightglass.deck.layouts import HEIGHT, LAYOUTS, LINE, SMALLEST, WIDTH, Layout, Rect, arrange, share
from sightglass.explain.phrases import NBSP, percent
from sightglass.explain.picture.image import to_png
from sightglass.explain.rendering import color_tables
from sightglass.explain.rendering.render import map_lut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.deck import Panel, Scene, SceneMap, SceneProof

Tone = Literal["ink", "soft", "tag"]
BODY = (4.0, 3.6, 3.2, 2.9, SMALLEST)
"""Sizes of a sentence, of which the largest that fits is taken."""
LARGE = 0.6
"""Of the page, what pictures fill at least, where their shape allows it."""
LARGEST = LARGE * WIDTH / HEIGHT + 1e-9
"""Width by height of a picture as high as the page that fills so much of it."""
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
class Picture:
    """The picture of a panel. `map`: of the panel's maps the one that lies over it."""

    panel: int
    place: Rect
    map: int | None = None


@dataclass(frozen=True)
class Curves:
    """The proof: the score over the share that is hidden."""

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


Item = Text | Picture | Sign | Curves | Film
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
        return share([item.place for item in self.items if isinstance(item, (Picture, Film, Curves))])


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


def numbered(scenes: Sequence[Scene], first: int = 1) -> Iterator[tuple[Scene, Page]]:
    """Yield each page with its scene; a proof shares its slide's number. Raises Problem for a deck without slides."""
    if not scenes:
        raise Problem("There is nothing to present: the deck has no slides.")
    for number, scene in enumerate(scenes, first):
        for page in pages(scene, number):
            yield scene, page


def pages(scene: Scene, number: int = 1) -> list[Page]:
    """Return a scene's page, and a second one for its proof."""
    if scene.clip is not None:
        drawn = [_clip(scene)]
    elif scene.picture is None and not any(panel.picture for panel in scene.panels):
        drawn = [_words(scene)]
    else:
        drawn = [_pictures(scene)]
        if scene.proof is not None and scene.proof.panel < len(scene.panels):
            drawn.append(_proof(scene, scene.proof))
    notes = describe_making(scene)
    return [Page(name, (*items, _foot(scene, LAYOUTS[name], number)), notes) for name, items in drawn]


def choose_map(scene: Scene, panel: int) -> int | None:
    """Return a panel's chosen map, else its first."""
    view, maps = scene.view, scene.panels[panel].maps
    if view.mode == "picture" or not maps:
        return None
    if panel == view.panel or not view.map:
        return min(view.map, len(maps) - 1)
    first = scene.panels[min(view.panel, len(scene.panels) - 1)].maps
    label = first[min(view.map, len(first) - 1)].label if first else ""
    return next((i for i, heatmap in enumerate(maps) if heatmap.label == label), 0)


def describe_making(scene: Scene) -> str:
    """Return a scene's notes, with its sentence, models and commands."""
    panels = [panel for panel in scene.panels if panel.answers or panel.maps]
    if not panels:
        return scene.notes
    lines = [scene.notes, "", scene.sentence] if scene.sentence else [scene.notes]
    for panel in panels[:1] if scene.kind == "classes" else panels:
        answers = ", ".join(f"{label} {percent(score)}" for label, score in panel.answers[:3])
        name = "Answers" if scene.kind == "classes" else panel.name
        lines.append(f"{name}: {answers}." if answers else f"{name}.")
        lines += [f"Checks of {heatmap.label}: {heatmap.seal}." for heatmap in panel.maps if heatmap.seal]
    if scene.commands:
        lines += ["Made again by:", *dict.fromkeys(scene.commands)]
    return "\n".join(lines).strip()


@dataclass(frozen=True)
class _Tile:
    """One of the pictures of a page."""

    panel: int
    map: int | None
    caption: str


def _pictures(scene: Scene) -> Content:
    tiles = _tiles(scene)
    name, tiles, places = _choose(scene, tiles)
    layout = LAYOUTS[name]
    maps = [heatmap for tile in tiles if (heatmap := _map(scene, tile)) is not None]
    panel = scene.panels[tiles[-1].panel] if scene.panels else None
    answers = list(_answers(scene, layout, panel))
    if not answers and layout.answers is not None and layout.answers.top == layout.text.top:
        # Their place goes to the sentence and to the key.
        right = layout.answers.right - 8 if layout.key is not None else layout.answers.right
        key = None if layout.key is None else replace(layout.key, left=right, width=layout.key.right - right)
        layout = replace(layout, text=replace(layout.text, width=right - 3 - layout.text.left), key=key)
    texts = (*_texts(scene.title, scene.sentence, layout), *answers)
    return name, [*_draw_tiles(tiles, places), *texts, *_key(scene, layout, maps)]


def _choose(scene: Scene, tiles: list[_Tile]) -> tuple[str, list[_Tile], tuple[Rect, ...]]:
    """Return the first layout with large pictures, else the largest.

    Of one picture with a map, the picture without it may stand beside it.
    """
    several = "grid" if len(tiles) > 3 or scene.numbers else "two"
    ways = [("one", tiles), (several, tiles)] if len(tiles) == 1 else [(several, tiles), ("one", tiles)]
    if len(tiles) == 1 and tiles[0].map is not None:
        pair = [replace(tiles[0], map=None), *tiles]
        ways = [("one", tiles), ("one", pair), ("two", pair)]
    arranged = [
        (name, subset, arrange([_aspect(scene, tile, len(subset)) for tile in subset], LAYOUTS[name].pictures))
        for name, subset in ways
    ]
    large = (candidate for candidate in arranged if share(candidate[2]) >= LARGE)
    return next(large, None) or max(arranged, key=lambda candidate: share(candidate[2]))


def _tiles(scene: Scene) -> list[_Tile]:
    if not scene.panels:
        return [_Tile(0, None, "")]
    if scene.kind in ("classes", "models", "story", "row") and len(scene.panels) > 1:
        return [_Tile(i, choose_map(scene, i), _caption(scene, i)) for i in range(len(scene.panels))]
    first = min(scene.view.panel, len(scene.panels) - 1)
    return [_Tile(first, choose_map(scene, first), "")]


def _aspect(scene: Scene, tile: _Tile, count: int = 1) -> float:
    """Return width by height of a tile, one of `count` on its page."""
    panel = scene.panels[tile.panel] if scene.panels else None
    width, height = panel.size if panel is not None and panel.picture is not None else scene.size
    aspect = max(width, 1) / max(height, 1)
    # A square picture alone loses its upper and lower edge, where no map or box is on it.
    plain = count == 1 and tile.map is None and not (panel and panel.boxes)
    return LARGEST if plain and 0.97 < aspect < LARGEST else aspect


def _caption(scene: Scene, panel: int) -> str:
    """Return the caption of one of several pictures."""
    shown_panel, at = scene.panels[panel], choose_map(scene, panel)
    if scene.kind == "row" or shown_panel.picture is not None:
        return shown_panel.name
    if at is None:
        label, score = shown_panel.answers[0] if shown_panel.answers else ("", None)
    else:
        label, score = shown_panel.maps[at].label, shown_panel.maps[at].score
    answer = label if score is None else f"{label} {percent(score)}"
    return answer if scene.kind == "classes" else f"{shown_panel.name}: {answer}" if answer else shown_panel.name


def _map(scene: Scene, tile: _Tile) -> SceneMap | None:
    return None if tile.map is None else scene.panels[tile.panel].maps[tile.map]


def _draw_tiles(tiles: Sequence[_Tile], places: Sequence[Rect]) -> Iterator[Item]:
    for tile, place in zip(tiles, places, strict=True):
        yield Picture(tile.panel, place, tile.map)
    for tile, place in zip(tiles, places, strict=True):
        if tile.caption:
            yield _tag(tile.caption, place)


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


def _answers(scene: Scene, layout: Layout, panel: Panel | None) -> Iterator[Text]:
    """Yield figures or answers, stacked if they fit, else in a line."""
    place = layout.answers
    single = scene.kind not in ("classes", "models", "story", "row") or len(scene.panels) < 2
    answers = scene.bars or (panel.answers if panel is not None and single else ())
    facts = [f"{value} {name}" for value, name in scene.numbers] or [
        f"{label} {percent(score)}" for label, score in answers
    ]
    if place is None or not facts:
        return
    between = "\n" if place.height > place.width / 3 else " · "
    facts = facts[:5]
    while len(facts) > 1 and not _fits(between.join(facts), place, SMALLEST, bold=True):
        facts.pop()
    words, size = fit(between.join(facts), place, BODY[1:], bold=True)
    yield Text("answers", words, place, size, bold=True)


def _key(scene: Scene, layout: Layout, maps: Sequence[SceneMap]) -> Iterator[Item]:
    """Yield the colour key of signed maps, else of heat maps."""
    view, place = scene.view, layout.key
    if place is None:
        return
    if len(scene.sides) == 2:
        # As on the pages: what there is less of, or more of the second, is at the left.
        colours = np.array([color_tables.SECOND_RGB, (225, 225, 225), color_tables.FIRST_RGB], np.uint8)
        ends = scene.sides[1], scene.sides[0]
    elif not maps or view.mode not in ("overlay", "map"):
        return
    elif all(heatmap.signed for heatmap in maps):
        colours, ends = map_lut("signed", view.colormap)[1:], maps[0].ends
    else:
        colours = map_lut("heat", view.colormap, over=view.mode == "overlay")
        ends = "Weak", "Strong"
    strip = cv2.resize(np.asarray(colours, np.uint8)[None], (256, 8), interpolation=cv2.INTER_LINEAR)
    yield Sign("Key", replace(place, height=1.6), to_png(np.asarray(strip, np.uint8)))
    half = Rect(place.left, place.top + 1.9, (place.width - 1) / 2, SMALLEST * LINE)
    left, right = (fit(end, half, (SMALLEST,))[0] for end in ends)
    yield Text("Key", left, half, SMALLEST, tone="soft")
    yield Text("Key", right, replace(half, left=place.right - half.width), SMALLEST, tone="soft", align="right")


def _foot(scene: Scene, layout: Layout, number: int) -> Text:
    """Return the footer: model, date and number, of which the model is cut first."""
    models = scene.made.partition(" · ")[0] or ", ".join(
        dict.fromkeys(panel.name for panel in scene.panels if panel.answers or panel.maps)
    )
    rest, place = f"{NBSP}· ".join(filter(None, (_day(scene.date), str(number)))), layout.footer
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


def _words(scene: Scene) -> Content:
    """Lay out a slide without pictures."""
    if scene.kind == "words":
        return "title", [*_texts(scene.title, scene.sentence, LAYOUTS["title"])]
    texts = [scene.sentence] if scene.kind != "columns" else list(scene.sentence.partition("\n\n")[::2])
    room = Rect(12, 17, 136, 64)
    wide = (room.width - 8 * (len(texts) - 1)) / len(texts)
    places = [Rect(room.left + i * (wide + 8), room.top, wide, room.height) for i in range(len(texts))]
    fitted = [fit(text.strip(), place, (5.6, 5.0, 4.4, *BODY)) for text, place in zip(texts, places, strict=True)]
    size = min(size for _, size in fitted)
    names = ("text", "answers")
    columns = [
        Text(names[i], words, place, size, tone="soft")
        for i, ((words, _), place) in enumerate(zip(fitted, places, strict=True))
        if words
    ]
    return "two", [*_texts(scene.title, "", LAYOUTS["two"]), *columns]


def _clip(scene: Scene) -> Content:
    """Lay out the player, with its moments as text."""
    layout = LAYOUTS["one"]
    width, height = scene.size
    (film,) = arrange([max(width, 1) / max(height, 1)], layout.pictures)
    parts: list[Item] = [Film(film), *_texts(scene.title, scene.sentence, layout)]
    moments = "\n".join(panel.name for panel in scene.panels if panel.picture is not None)
    if moments and layout.answers is not None:
        words, size = fit(moments, layout.answers, BODY[2:])
        parts.append(Text("answers", words, layout.answers, size))
    return "one", parts


def _proof(scene: Scene, proof: SceneProof) -> Content:
    layout, maps = LAYOUTS["chart"], scene.panels[proof.panel].maps
    tile = _Tile(proof.panel, proof.map if maps else None, "")
    (place,) = arrange([_aspect(scene, tile)], layout.pictures)
    assert layout.chart is not None
    pictures = Picture(tile.panel, place, tile.map), Curves(layout.chart)
    return "chart", [*pictures, *_texts(scene.title, proof.sentence, layout)]
