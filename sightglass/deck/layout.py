"""Lay out slides on 16:9 pages.

A page is 160 wide and 90 high; letters are measured by the same unit, a ninetieth of the height, and none is smaller
than `SMALL`, so that a room reads them.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.common.errors import Problem
from sightglass.explain.phrases import percent
from sightglass.export.proof.chart import Chart, ChartLine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.deck import Scene, SceneMap, SceneProof

WIDTH, HEIGHT = 160.0, 90.0
SMALL = 2.4
GROUND, INK, SOFT, ACCENT, QUIET = (20, 20, 20), (242, 242, 242), (200, 200, 200), (90, 209, 219), (154, 154, 154)
"""Of the page, of titles, of sentences, of what is chosen, and of what is not, RGB."""
_EDGE, _TOP, _FOOT, _GAP, _ABOVE = 6.0, 5.0, 86.0, 4.0, 1.2
_LETTER, _BOLD, _LINE = 0.6, 0.7, 1.25
"""Widths of a letter and height of a line by the letters' size: of DejaVu, which is wide, so that others fit too."""


def chart(proof: SceneProof) -> Chart:
    """Return the chart of a slide: the answer as the hottest places are hidden, and beside it random places."""
    own = ChartLine("map", f"{proof.label}, hottest places hidden first", "", proof.hide, proof.keep)
    control = ChartLine("random", f"{proof.label}, random places hidden", "", proof.control_hide, proof.control_keep)
    return Chart("hidden", (own, control) if proof.control_hide else (own,))


def check(scenes: Sequence[Scene]) -> None:
    """Raise Problem for a deck without slides, of which no file can be made."""
    if not scenes:
        raise Problem("There is nothing to present: the deck has no slides.")


@dataclass(frozen=True)
class PageRect:
    """A rectangle of a page: left, top, width, height."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Text:
    """Words on a page. `title`: they are its title. `name`: of their box in a presentation, if not the words."""

    words: str
    place: PageRect
    size: float
    bold: bool = False
    soft: bool = False
    title: bool = False
    name: str = ""


@dataclass(frozen=True)
class Sight:
    """The picture with a panel's maps and boxes over it. `map`: the one that shows; None: none does."""

    panel: int
    place: PageRect
    map: int | None


@dataclass(frozen=True)
class Bars:
    """A panel's answers, as bars.

    `answers`: (label, score in 0..1), most sure first; `chosen`: the place of the one explained.
    """

    panel: int
    place: PageRect
    answers: tuple[tuple[str, float], ...]
    chosen: int | None


@dataclass(frozen=True)
class Curves:
    """The proof: the score over the share that is hidden."""

    place: PageRect


@dataclass(frozen=True)
class Film:
    """The clip."""

    place: PageRect


@dataclass(frozen=True)
class Page:
    """What stands on one page, and what its speaker reads."""

    items: tuple[Text | Sight | Bars | Curves | Film, ...]
    notes: str

    def draw(self, on: Any, scene: Scene, *drawers: Callable[..., None]) -> None:
        """Draw the items; `drawers`, of texts, sights, bars, curves and films, take `on`, `scene` and the item."""
        draw = dict(zip((Text, Sight, Bars, Curves, Film), drawers, strict=True))
        for item in self.items:
            draw[type(item)](on, scene, item)


def pages(scene: Scene) -> list[Page]:
    """Return the page of a scene, and a second one for its proof."""
    notes = "\n\n".join(part for part in (scene.notes, describe_making(scene)) if part)
    if scene.clip is not None:
        place = _within(scene.size, PageRect(_EDGE, 27, WIDTH - 2 * _EDGE, _FOOT - 27))
        return [Page((*_heads(scene.title, scene.sentence), Film(place)), notes)]
    if scene.picture is None:
        return [Page(tuple(_lay_out_texts(scene)), notes)]
    found = [Page((*_heads(scene.title, scene.sentence), *_panels(scene)), notes)]
    if scene.proof is not None:
        found.append(Page((*_heads(scene.title, scene.proof.sentence), *_proof(scene)), notes))
    return found


def describe_making(scene: Scene) -> str:
    """Say in a few lines what made a scene: models, answers, how its maps are drawn, and the commands that make them.

    Empty where no model did.
    """
    lines = []
    for panel in scene.panels:
        said = ", ".join(f"{label} {percent(score)}" for label, score in panel.answers[:3])
        if scene.kind != "classes":
            lines.append(f"{panel.name}: {said}." if said else f"{panel.name}.")
        elif panel is scene.panels[0]:
            lines.append(f"Answers: {said}.")
        if panel.maps:
            lines.append(f"Heat maps, as layers: {', '.join(one.label for one in panel.maps)}.")
            lines += [f"Seal of {one.label}: {one.seal}." for one in panel.maps if one.seal]
    if any(panel.maps for panel in scene.panels):
        view = scene.view
        at = f", values from {view.threshold:.2f}" if view.threshold else ""
        lines.append(f"Drawn as {view.mode} in {view.colormap}, opacity {view.opacity:.2f}{at}.")
    if scene.commands:
        lines += ["Made again by:", *dict.fromkeys(scene.commands)]
    return "\n".join(lines)


def size_of(words: str, place: PageRect, most: float, least: float = SMALL, *, bold: bool = False) -> float:
    """Return the largest size of letters, `most` at best, at which words fit their place."""
    size, letter = most, _BOLD if bold else _LETTER
    while size > least and _lines(words, place.width / (size * letter)) * size * _LINE > place.height:
        size -= 0.2
    return max(size, least)


def _lines(words: str, letters: float) -> int:
    """Return how many lines of so many letters words take, broken between them."""
    return sum(len(textwrap.wrap(line, max(1, int(letters)))) or 1 for line in words.splitlines() or [""])


def _heads(title: str, sentence: str) -> list[Text]:
    across = WIDTH - 2 * _EDGE
    above, below = PageRect(_EDGE, _TOP, across, 9), PageRect(_EDGE, 14.5, across, 11)
    found = [Text(title, above, size_of(title, above, 6, 3.4, bold=True), bold=True, title=True)]
    return found + ([_soft(sentence, below, 3.6)] if sentence else [])


def _soft(words: str, place: PageRect, most: float) -> Text:
    return Text(words, place, size_of(words, place, most), soft=True, name="Sentence")


def _lay_out_texts(scene: Scene) -> list[Text]:
    across = WIDTH - 2 * _EDGE - 12
    above = PageRect(_EDGE, 18, across, 27)
    below = PageRect(_EDGE, 48, across, 34)
    found = [Text(scene.title, above, size_of(scene.title, above, 9, 4, bold=True), bold=True, title=True)]
    return found + ([_soft(scene.sentence, below, 4.4)] if scene.sentence else [])


def _within(size: tuple[int, int], room: PageRect) -> PageRect:
    """Return the largest place of a picture's shape in a room, at its upper left."""
    width, height = max(size[0], 1), max(size[1], 1)
    scale = min(room.width / width, room.height / height)
    return PageRect(room.left, room.top, width * scale, height * scale)


def _panels(scene: Scene) -> list[Text | Sight | Bars]:
    panels = scene.panels
    if scene.kind == "picture" or len(panels) < 2:
        first = min(scene.view.panel, max(len(panels) - 1, 0))
        room, foot = _leave_foot(_find_map(scene, first, _choose_map(scene, first) if panels else None))
        sight = _within(scene.size, PageRect(room.left, room.top, 0.62 * room.width, room.height))
        if not panels:
            return [Sight(0, _within(scene.size, room), None)]
        left = sight.left + sight.width + _GAP
        beside = PageRect(left, room.top, min(WIDTH - _EDGE - left, 90), room.height)
        return [Sight(first, sight, _choose_map(scene, first)), *_bars(scene, first, beside, 7), *foot]
    found: list[Text | Sight | Bars] = []
    room = PageRect(_EDGE, 27, WIDTH - 2 * _EDGE, _FOOT - 27)
    wide, rows = (room.width - _GAP * (len(panels) - 1)) / len(panels), 2 if scene.size[1] > scene.size[0] else 3
    shown = [_find_map(scene, i, _choose_map(scene, i)) for i in range(len(panels))]
    seals = _stack(["" if one is None else one.seal_short for one in shown], wide)
    sealed = max(_height_of(words, wide) for words in seals)
    letters = min(size_of(panel.name, PageRect(0, 0, wide, 4.5), 3.2, bold=True) for panel in panels)
    for i, panel in enumerate(panels):
        left, below = room.left + i * (wide + _GAP), 6.0 * rows + 1 + sealed
        head = PageRect(left, room.top, wide, 4.5)
        found.append(Text(panel.name, head, letters, bold=True))
        sight = _within(scene.size, PageRect(left, room.top + 5.5, wide, room.height - 5.5 - below))
        found.append(Sight(i, sight, _choose_map(scene, i)))
        under = PageRect(left, sight.top + sight.height + 1, wide, 6.0 * rows)
        found += _bars(scene, i, under, rows)
        if seals[i]:
            found.append(_seal(seals[i], PageRect(left, under.top + under.height, wide, sealed)))
    return found


def _find_map(scene: Scene, panel: int, at: int | None) -> SceneMap | None:
    maps = scene.panels[panel].maps if panel < len(scene.panels) else ()
    return maps[at] if at is not None and at < len(maps) else None


def _leave_foot(shown: SceneMap | None) -> tuple[PageRect, list[Text]]:
    """Return the room under the heads, and below it the seal of the map that a page shows, if it has one."""
    across, words = WIDTH - 2 * _EDGE, f"Seal: {shown.seal}" if shown is not None and shown.seal else ""
    high = _height_of(words, across)
    room = PageRect(_EDGE, 27, across, _FOOT - 27 - high)
    return room, [_seal(words, PageRect(_EDGE, _FOOT - high, across, high))] if words else []


def _stack(seals: list[str], across: float) -> list[str]:
    """Return seals that fit their width: where one does not in a line, all have a line for each mark."""
    fit = all(_lines(words, across / (SMALL * _LETTER)) == 1 for words in seals)
    return seals if fit else [words.replace(" · ", "\n") for words in seals]


def _height_of(words: str, across: float) -> float:
    """Return the height of small words with some room above them; 0 for none."""
    return _lines(words, across / (SMALL * _LETTER)) * SMALL * _LINE + _ABOVE if words else 0.0


def _seal(words: str, place: PageRect) -> Text:
    below = PageRect(place.left, place.top + _ABOVE, place.width, place.height - _ABOVE)
    return Text(words, below, SMALL, soft=True, name="Seal")


def _choose_map(scene: Scene, panel: int) -> int | None:
    """Return the map that a panel shows first: its own first one, or of another chosen answer that of the same name."""
    view, maps = scene.view, scene.panels[panel].maps
    if view.mode == "picture" or not maps:
        return None
    if panel == view.panel or not view.map:
        return min(view.map, len(maps) - 1)
    first = scene.panels[min(view.panel, len(scene.panels) - 1)].maps
    label = first[min(view.map, len(first) - 1)].label if first else ""
    return next((i for i, one in enumerate(maps) if one.label == label), 0)


def _bars(scene: Scene, panel: int, place: PageRect, most: int) -> list[Bars]:
    answers, at = scene.panels[panel].answers, _choose_map(scene, panel)
    if not answers:
        return []
    chosen = None
    if at is not None:
        explained = scene.panels[panel].maps[at]
        own = [i for i, (label, _) in enumerate(answers) if label == explained.label]
        # Of several boxes of a name, the one with this score.
        chosen = min(own, key=lambda i: abs(answers[i][1] - (explained.score or 0)), default=None)
    kept: Sequence[int] = range(min(most, len(answers)))
    if chosen is not None and chosen not in kept:
        kept = [*kept[:-1], chosen]
    height = min(place.height, 8.0 * len(kept))
    shown = PageRect(place.left, place.top, place.width, height)
    return [Bars(panel, shown, tuple(answers[i] for i in kept), None if chosen is None else kept.index(chosen))]


def _proof(scene: Scene) -> list[Text | Sight | Curves]:
    assert scene.proof is not None
    room, foot = _leave_foot(_find_map(scene, scene.proof.panel, scene.proof.map))
    if scene.proof.panel >= len(scene.panels):
        return [Curves(room)]
    sight = _within(scene.size, PageRect(room.left, room.top, 0.45 * room.width, room.height))
    left = sight.left + sight.width + _GAP
    return [
        Sight(scene.proof.panel, sight, scene.proof.map),
        Curves(PageRect(left, room.top, WIDTH - _EDGE - left, room.height)),
        *foot,
    ]
