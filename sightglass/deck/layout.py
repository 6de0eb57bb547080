"""Lay out slides for the stage and for every file.

A page is 16:9, 160 wide and 90 high, so that a unit is six points on a slide of 13.3 x 7.5 inches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from sightglass.common.errors import Problem
from sightglass.deck import words as word_stack
from sightglass.deck.items import (
    FOOTER_HEIGHT,
    HEIGHT,
    LINE,
    WIDTH,
    Curves,
    Film,
    Footer,
    Item,
    Page,
    PageRect,
    Sight,
    Text,
    break_lines,
    cut_to_lines,
    cut_to_width,
    footer_items,
    height_of,
    size_within,
    width_of,
)
from sightglass.deck.words import SMALL, Words
from sightglass.explain.phrases import percent
from sightglass.explain.rendering import color_tables
from sightglass.explain.rendering.render import map_lut
from sightglass.explain.rendering.style import lut
from sightglass.export.proof.chart import Chart, ChartLine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from sightglass.deck import Panel, Scene, SceneMap, SceneProof
    from sightglass.deck.scene import Fraction


LETTERS = 2.6
_MOST = 12
"""Boxes that are named; more of them would hide the picture."""


def choose_map(scene: Scene, panel: int) -> int | None:
    """Return the map that a panel shows first: its own first one, or of another chosen answer that of the same name."""
    view, maps = scene.view, scene.panels[panel].maps
    if view.mode == "picture" or not maps:
        return None
    if panel == view.panel or not view.map:
        return min(view.map, len(maps) - 1)
    first = scene.panels[min(view.panel, len(scene.panels) - 1)].maps
    label = first[min(view.map, len(first) - 1)].label if first else ""
    return next((i for i, one in enumerate(maps) if one.label == label), 0)


def describe_making(scene: Scene) -> str:
    """Say in a few lines what made a scene: models, answers, how its maps are drawn, and the commands that make them.

    Empty where no model did.
    """
    lines = []
    for panel in (one for one in scene.panels if one.answers or one.maps):
        said = ", ".join(f"{label} {percent(score)}" for label, score in panel.answers[:3])
        if scene.kind != "classes":
            lines.append(f"{panel.name}: {said}." if said else f"{panel.name}.")
        elif panel is scene.panels[0]:
            lines.append(f"Answers: {said}.")
        if panel.maps:
            lines.append(f"Heat maps, as layers: {', '.join(one.label for one in panel.maps)}.")
            lines += [f"Checks of {one.label}: {one.seal}." for one in panel.maps if one.seal]
    if any(panel.maps for panel in scene.panels):
        view = scene.view
        at = f", values from {view.threshold:.2f}" if view.threshold else ""
        lines.append(f"Drawn as {view.mode} in {view.colormap}, opacity {view.opacity:.2f}{at}.")
    if scene.commands:
        lines += ["Made again by:", *dict.fromkeys(scene.commands)]
    return "\n".join(lines)


def box_labels(boxes: Sequence[tuple[Fraction, str, float]], place: PageRect, chosen: Sequence[int]) -> list[Text]:
    """Return a label for each box that has room for one, the chosen ones first.

    A label stands above its box, else at the top inside, below, or at the bottom inside.
    """
    found: list[Text] = []
    order = sorted(range(len(boxes)), key=lambda i: (i not in chosen, i))[:_MOST]
    for i in order:
        box, label, score = boxes[i]
        words = cut_to_width(f"{label} {percent(score)}", place.width - 1, LETTERS, bold=True)
        wide, high = width_of(words, bold=True) * LETTERS + 1, LETTERS * LINE + 0.3
        left = min(place.left + box[0] * place.width, place.right - wide)
        top, bottom = (place.top + box[at] * place.height for at in (1, 3))
        spots = [PageRect(left, at, wide, high) for at in (top - high, top, bottom, bottom - high)]
        inside = [one for one in spots if one.top >= place.top - 1e-6 and one.bottom <= place.bottom + 1e-6]
        free = next((one for one in inside if not any(one.overlaps(other.place) for other in found)), None)
        if free is not None:
            found.append(Text(f"Label {i}", words, free, LETTERS, bold=True, tone="chosen" if i in chosen else "tag"))
    return found


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


TITLE = 4.2
"""Letters of the headline, 25 points, on every slide with a picture."""
SHARE = 0.55
"""Of the page, what pictures and maps fill at least, where their shape allows it."""
CAPTION = 3.4
_CAPTIONS = (CAPTION, 3.0, 2.7, 2.4)
"""Letters of a line over a picture, as large as there is room."""
EDGE, TOP = 1.6, 1.5
STOPS = 9
"""Colours of a key."""
_CHART = 36.0
_INSET, _HEADLINE = 9.6, 6.4
_TEXT = (5.8, 5.2, 4.8, 4.2, 3.8, 3.4, 3.0, 2.7, 2.4)
"""Of a slide of words alone: its edges, and the letters of its headline and its text, as large as there is room."""


@dataclass(frozen=True)
class Tile:
    """One of the pictures of a page. `aspect`: width by height."""

    panel: int
    map: int | None
    caption: str
    aspect: float


def chart(proof: SceneProof) -> Chart:
    """Return the chart of a slide: the answer as the hottest places are hidden, and beside it the strongest control."""
    own = ChartLine("map", "Hottest places hidden", "", proof.hide, proof.keep)
    control = ChartLine("random", proof.control, "", proof.control_hide, proof.control_keep)
    return Chart("hidden", (own, control) if proof.control_hide else (own,))


def check(scenes: Sequence[Scene]) -> None:
    """Raise Problem for a deck without slides, of which no file can be made."""
    if not scenes:
        raise Problem("There is nothing to present: the deck has no slides.")


def pages(scene: Scene, footer: Footer | None = None) -> list[Page]:
    """Return the page of a scene, and a second one for its proof."""
    footer = footer or Footer()
    notes = "\n\n".join(part for part in (scene.notes, describe_making(scene)) if part)
    foot = footer_items(scene, "", footer)
    if scene.clip is not None:
        return [Page((*_clip(scene), *foot), notes)]
    if scene.picture is None and not any(panel.picture for panel in scene.panels):
        return [Page((*_words(scene), *foot), scene.notes)]
    found = [_page(scene, footer, _tiles(scene), notes)]
    if scene.proof is not None:
        found.append(_proof(scene, footer, notes))
    return found


def alone(scene: Scene, footer: Footer | None = None) -> list[Page]:
    """Return a page for each panel, which the stage shows when one of several is chosen; none for a single one."""
    if len(scene.panels) < 2 or scene.kind in ("clip", "row"):
        return []
    single = [replace(scene, kind="picture", view=replace(scene.view, panel=i)) for i in range(len(scene.panels))]
    return [_page(one, footer or Footer(), _tiles(one), "") for one in single]


def head(title: str) -> tuple[list[Item], PageRect]:
    """Return the headline, of two lines at most, and the room below it."""
    across = WIDTH - 2 * EDGE
    shown = cut_to_lines(title, across, TITLE, 2, bold=True)
    high = len(break_lines(shown, across, TITLE, bold=True)) * TITLE * LINE
    top = TOP + high + 1.2
    body = PageRect(EDGE, top, across, HEIGHT - FOOTER_HEIGHT - top)
    return [Text("Title", shown, PageRect(EDGE, TOP, across, high), TITLE, bold=True)], body


def _page(scene: Scene, footer: Footer, tiles: list[Tile], notes: str) -> Page:
    """Return a page of pictures; portrait ones stand beside the picture without a map."""
    title, body = head(scene.title)
    words = _texts(scene, tiles)
    choices = [tiles]
    first = tiles[0]
    if first.map is not None:
        choices.append([replace(first, map=None, caption="The picture" if len(tiles) > 1 else ""), *tiles])
    shown, division, texts = _divide(choices, body, words, _find_large(scene, tiles))
    seals = [one.seal_short for tile in shown if (one := _map(scene, tile)) is not None]
    line = seals[0] if len(set(seals)) == 1 else ""
    foot = footer_items(scene, line and f"Checks: {line}", footer)
    return Page((*title, *_draw_tiles(scene, shown, division), *texts, *foot), notes)


def _find_large(scene: Scene, tiles: list[Tile]) -> int | None:
    """Return the tile that may be larger than the others: the difference of maps, or the first one of a row."""
    if len(tiles) < 3:
        return None
    if scene.kind == "row":
        return 0
    last = scene.panels[tiles[-1].panel]
    return len(tiles) - 1 if scene.sides and last.picture is not None else None


def _divide(
    choices: Sequence[list[Tile]], body: PageRect, words: Words, large: int | None = None
) -> tuple[list[Tile], Division, list[Item]]:
    """Return the pictures, their places and the texts of the best division of a page. `large`: the tile of the first
    choice that may be larger than the others."""
    for given in (words, *_shorter(words)):
        found = [
            (_judge(division, tiles, len(tiles) - len(choices[0])), tiles, division)
            for tiles in choices
            for division in _ways(tiles, body, given, _find_place(choices[0], tiles, large))
        ]
        best: tuple[float, list[Tile], Division, list[Item]] | None = None
        # Texts are arranged where they could still make the best of it.
        for score, tiles, division in sorted(found, key=lambda one: -one[0]):
            if best is not None and score + word_stack.BEST <= best[0]:
                break
            made = word_stack.arrange(given, division.texts, division.where)
            if made is not None and (best is None or score + made[1] > best[0]):
                best = score + made[1], tiles, division, made[0]
        if best is not None:
            return best[1:]
    tiles = choices[0]
    places = fill([tile.aspect for tile in tiles], body, CAPTION * LINE)
    return tiles, Division(places, body, "below", False), []


def _find_place(first: list[Tile], tiles: list[Tile], large: int | None) -> int | None:
    """Return which tile may be the larger one: the same as of the first choice, else the picture that was added."""
    if large is not None:
        return tiles.index(first[large])
    return 0 if len(tiles) > len(first) else None


def _ways(tiles: list[Tile], body: PageRect, words: Words, large: int | None) -> Iterator[Division]:
    caption = CAPTION * LINE + 0.3 if any(tile.caption for tile in tiles) else 0.0
    aspects = [tile.aspect for tile in tiles]
    if words.empty:
        yield Division(fill(aspects, body, caption, large), body, "below", False)
    else:
        yield from divisions(aspects, body, caption, large)


def _judge(division: Division, tiles: Sequence[Tile], added: int) -> float:
    """Return how good a division is without its texts: large pictures first, whose captions can be read."""
    share = division.area / (WIDTH * HEIGHT)
    uneven = max(one.height for one in division.pictures) > min(one.height for one in division.pictures) + 1e-6
    cut = sum(
        width_of(tile.caption, bold=True) * _CAPTIONS[-1] > place.width
        for tile, place in zip(tiles, division.pictures, strict=True)
    )
    fills = 40 if share >= SHARE + 0.003 else 0
    return 100 * min(share, 0.6) + fills - 6 * division.inside - 4 * added - 8 * uneven - 3 * cut


def _shorter(words: Words) -> Iterator[Words]:
    """Yield words with less and less of long sentences."""
    for most in (200, 120, 0):
        yield replace(words, sentences=tuple(_cut(one, most) if most else "" for one in words.sentences))


def _cut(words: str, most: int) -> str:
    """Return the whole sentences of a text that fit, else its first one cut at a word."""
    if len(words) <= most:
        return words
    whole = words[: words.rfind(". ", 0, most) + 1]
    return whole or f"{words[:most].rsplit(maxsplit=1)[0]}…"


def _tiles(scene: Scene) -> list[Tile]:
    if not scene.panels:
        return [Tile(0, None, "", _aspect(scene.size))]
    if scene.kind in ("classes", "models", "story", "row") and len(scene.panels) > 1:
        every = range(len(scene.panels))
        return [Tile(i, choose_map(scene, i), _caption(scene, i), _aspect(_size(scene, i))) for i in every]
    first = min(scene.view.panel, len(scene.panels) - 1)
    return [Tile(first, choose_map(scene, first), "", _aspect(_size(scene, first)))]


def _size(scene: Scene, panel: int) -> tuple[int, int]:
    own = scene.panels[panel]
    return own.size if own.picture is not None else scene.size


def _aspect(size: tuple[int, int]) -> float:
    return max(size[0], 1) / max(size[1], 1)


def _caption(scene: Scene, panel: int) -> str:
    """Return what stands over one of several pictures: whose it is, and the answer that its map is of."""
    own, at = scene.panels[panel], choose_map(scene, panel)
    if scene.kind == "row" or own.picture is not None:
        return own.name
    if at is None:
        label, score = own.answers[0] if own.answers else ("", None)
    else:
        label, score = own.maps[at].label, own.maps[at].score
    answer = label if score is None else f"{label} {percent(score)}"
    return answer if scene.kind == "classes" else f"{own.name}: {answer}" if answer else own.name


def _map(scene: Scene, tile: Tile) -> SceneMap | None:
    return None if tile.map is None else scene.panels[tile.panel].maps[tile.map]


def _texts(scene: Scene, tiles: list[Tile]) -> Words:
    """Return the texts beside the pictures."""
    single = len(tiles) == 1 and bool(scene.panels)
    panel = scene.panels[tiles[0].panel] if single else None
    answers = scene.bars or (panel.answers if panel is not None and scene.kind != "row" else ())
    chosen = 0 if scene.bars else _chosen_answer(panel, tiles[0].map) if panel is not None else None
    # The stage shows what is said of another map in the same place.
    others = [one.sentence for one in panel.maps] if panel is not None and scene.kind == "picture" else []
    sentences = (scene.sentence, *(one for one in others if one)) if scene.sentence or others else ()
    maps = [one for tile in tiles if (one := _map(scene, tile)) is not None]
    return Words(
        sentences,
        tiles[0].panel,
        tuple(answers),
        chosen,
        bool(scene.bars),
        scene.numbers,
        tuple(_keys(scene, maps)),
        tuple(_legends(scene, maps, [scene.panels[tile.panel] for tile in tiles] if scene.panels else [])),
    )


def _keys(
    scene: Scene, maps: Sequence[SceneMap]
) -> Iterator[tuple[tuple[tuple[int, int, int], ...], tuple[str, str], bool]]:
    view = scene.view
    if maps and view.mode in ("overlay", "map"):
        if all(one.signed for one in maps):
            yield _pick_colours(map_lut("signed", view.colormap)[1:]), maps[0].ends, False
        else:
            yield key_colours(view.colormap), ("Weak evidence", "Strong"), True
    if len(scene.sides) == 2:
        # As on the pages: what there is less of, or more of the second, is at the left.
        colours = color_tables.SECOND_RGB, (225, 225, 225), color_tables.FIRST_RGB
        yield colours, (scene.sides[1], scene.sides[0]), False


def key_colours(colormap: str) -> tuple[tuple[int, int, int], ...]:
    """Return the colours of a key, weak to strong."""
    return _pick_colours(lut(colormap))


def _pick_colours(table: NDArray[np.uint8]) -> tuple[tuple[int, int, int], ...]:
    picked = [table[round(i * (len(table) - 1) / (STOPS - 1))] for i in range(STOPS)]
    return tuple((int(red), int(green), int(blue)) for red, green, blue in picked)


def _legends(scene: Scene, maps: Sequence[SceneMap], panels: Sequence[Panel] = ()) -> Iterator[str]:
    view = scene.view
    if maps and view.mode in ("overlay", "contour"):
        level = percent(view.threshold) if view.threshold and view.mode == "overlay" else "half"
        signed = any(one.signed for one in maps)
        yield f"White line: {level} of the peak{', dashed around what lowers' if signed else ''}."
    if maps and view.mode == "spotlight":
        yield "Dark: weak evidence."
    if any(one.seen is not None for one in maps) or any(one.seen is not None for one in panels):
        yield "Faded edges: not seen."


def _chosen_answer(panel: Panel, at: int | None) -> int | None:
    """Return the place of the answer that a map explains; of several boxes of a name, that with its score."""
    if at is None:
        return None
    explained = panel.maps[at]
    own = [i for i, (label, _) in enumerate(panel.answers) if label == explained.label]
    return min(own, key=lambda i: abs(panel.answers[i][1] - (explained.score or 0)), default=None)


def _draw_tiles(scene: Scene, tiles: list[Tile], division: Division) -> list[Item]:
    found: list[Item] = []
    for tile, place in zip(tiles, division.pictures, strict=True):
        panel = scene.panels[tile.panel] if scene.panels else None
        boxes = panel.boxes if panel is not None and panel.picture is None else ()
        chosen = _chosen_boxes(panel, tile.map) if panel is not None else ()
        labels = box_labels(boxes, place, chosen)
        taken = [one.place for one in labels]
        found.append(Sight(tile.panel, place, tile.map, bool(boxes), chosen))
        if tile.caption:
            found.append(_draw_caption(tile, place, taken, inside=division.inside))
        found += labels
    return found


def _draw_caption(tile: Tile, place: PageRect, taken: Sequence[PageRect], *, inside: bool) -> Text:
    room = place.width - (1.2 if inside else 0)
    size = next((one for one in _CAPTIONS if width_of(tile.caption, bold=True) * one <= room), _CAPTIONS[-1])
    words = cut_to_width(tile.caption, room, size, bold=True)
    name = f"Caption {tile.panel}"
    if not inside:
        high = CAPTION * LINE
        return Text(name, words, PageRect(place.left, place.top - high - 0.3, place.width, high), size, bold=True)
    wide, high = width_of(words, bold=True) * size + 1.2, size * LINE + 0.4
    corner = PageRect(place.left, place.top, wide, high)
    if any(corner.overlaps(one) for one in taken):
        corner = replace(corner, top=place.bottom - high)
    return Text(name, words, corner, size, bold=True, tone="tag")


def _chosen_boxes(panel: Panel, at: int | None) -> tuple[int, ...]:
    if at is None:
        return ()
    explained = panel.maps[at]
    if explained.box is None:
        return tuple(i for i, (_, label, _) in enumerate(panel.boxes) if label == explained.label)
    near = [
        i
        for i, (box, *_) in enumerate(panel.boxes)
        if all(abs(a - b) < 1e-3 for a, b in zip(box, explained.box, strict=True))
    ]
    return tuple(near[:1])


def _proof(scene: Scene, footer: Footer, notes: str) -> Page:
    proof = scene.proof
    assert proof is not None
    title, body = head(scene.title)
    if proof.panel >= len(scene.panels):
        return Page((*title, Curves(body), *footer_items(scene, "", footer)), notes)
    one = scene.panels[proof.panel].maps[proof.map] if scene.panels[proof.panel].maps else None
    at = proof.map if one is not None else None
    tile = Tile(proof.panel, at, "", _aspect(_size(scene, proof.panel)))
    choices = [[tile], [replace(tile, map=None), tile]]
    words = Words(
        (proof.sentence,),
        proof.panel,
        keys=tuple(_keys(scene, [one] if one else [])),
        legends=tuple(_legends(scene, [one] if one else [])),
        chart=_CHART,
    )
    tiles, division, texts = _divide(choices, body, words)
    seal = f"Checks: {one.seal_short}" if one is not None and one.seal_short else ""
    return Page((*title, *_draw_tiles(scene, tiles, division), *texts, *footer_items(scene, seal, footer)), notes)


def _words(scene: Scene) -> list[Item]:
    across = WIDTH - 2 * _INSET
    if scene.kind == "words":
        size = size_within(scene.title, across, 32, (9.0, 8.0, 7.0, 6.0, 5.0), bold=True)
        high = height_of(scene.title, across, size, bold=True)
        small = size_within(scene.sentence, across, 32, (5.0, 4.4, 3.8, 3.4, 3.0))
        below = height_of(scene.sentence, across, small)
        # Both together stand a little above the middle.
        top = max(6.0, 0.44 * (HEIGHT - high - below - size))
        title = Text("Title", scene.title, PageRect(_INSET, top, across, max(high, size)), size, bold=True)
        place = PageRect(_INSET, top + high + 0.6 * size, across, below)
        return [title, *([Text("Sentence", scene.sentence, place, small, tone="soft")] if scene.sentence else [])]
    shown = cut_to_lines(scene.title, across, _HEADLINE, 2, bold=True)
    high = height_of(shown, across, _HEADLINE, bold=True)
    title = Text("Title", shown, PageRect(_INSET, 7, across, high), _HEADLINE, bold=True)
    top = title.place.bottom + 5
    body = PageRect(_INSET, top, across, HEIGHT - FOOTER_HEIGHT - 4 - top)
    parts = [scene.sentence] if scene.kind == "text" else list(scene.sentence.partition("\n\n")[::2])
    parts = [one.strip() for one in parts]
    wide = (body.width - 3 * BETWEEN * (len(parts) - 1)) / len(parts)
    size = min(size_within(one, wide, body.height, _TEXT) for one in parts)
    high = max(height_of(one, wide, size) for one in parts)
    # A short text stands a little above the middle.
    top = body.top + max(0.0, body.height - high) * 0.3
    rooms = [PageRect(body.left + i * (wide + 3 * BETWEEN), top, wide, high) for i in range(len(parts))]
    texts = zip(parts, rooms, strict=True)
    return [title, *(Text("Sentence", one, room, size, tone="soft") for one, room in texts if one)]


def _clip(scene: Scene) -> list[Item]:
    """Return the player, and at its right the moments of the clip."""
    title, body = head(scene.title)
    moments = [i for i, panel in enumerate(scene.panels) if panel.picture is not None][:3]
    below = SMALL * 1.2 * LINE * 2 + 1 if scene.sentence else 0.0
    room = replace(body, width=body.width - (36 if moments else 0), height=body.height - below)
    (film,) = fill([_aspect(scene.size)], room)
    if not moments:
        film = replace(film, left=(WIDTH - film.width) / 2)
    found: list[Item] = [*title, Film(film)]
    if scene.sentence:
        size = size_within(scene.sentence, film.width, below, (3.4, 3.0, 2.7, 2.4))
        words = cut_to_lines(scene.sentence, film.width, size, int(below / (size * LINE)))
        found.append(
            Text("Sentence", words, PageRect(film.left, film.bottom + 1, film.width, below - 1), size, tone="soft")
        )
    column = PageRect(film.right + BETWEEN, body.top, body.right - film.right - BETWEEN, body.height)
    for row, i in enumerate(moments):
        caption = Tile(i, None, scene.panels[i].name, _aspect(_size(scene, i)))
        high = column.height / len(moments)
        at = PageRect(column.left, column.top + row * high, column.width, high - 1)
        (place,) = fill([caption.aspect], at, CAPTION * LINE + 0.3)
        found += [Sight(i, place, None), _draw_caption(caption, replace(place, width=column.width), (), inside=False)]
    return found
