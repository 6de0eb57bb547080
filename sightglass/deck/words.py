"""Stack a slide's texts: the sentence, the answers, the numbers, the keys."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

from sightglass.deck.items import LINE, ROW, Bars, Curves, Item, Key, PageRect, Text, cut_to_lines, height_of, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

SMALL = 2.3
"""Letters of a key, a legend: 14 points."""
SENTENCE = (3.8, 3.4, 3.0, 2.7, 2.4)
"""Letters of the sentence, as large as there is room."""
VALUE, LABEL = 6.0, 2.6
"""Letters of a number, and of what it is."""
_GAP = 2.6
_KEY = 1.6
"""Height of a key's colours."""


@dataclass(frozen=True)
class Words:
    """The texts beside the pictures of a page."""

    sentences: tuple[str, ...] = ()
    """The first one stands there; the stage may show another in its place."""
    panel: int = 0
    answers: tuple[tuple[str, float], ...] = ()
    chosen: int | None = None
    own: bool = False
    """The answers are the scene's, and no panel's."""
    numbers: tuple[tuple[str, str], ...] = ()
    """(value, what it is)."""
    keys: tuple[tuple[tuple[tuple[int, int, int], ...], tuple[str, str], bool], ...] = ()
    """(colours, words at the ends, of the heat map)."""
    legends: tuple[str, ...] = ()
    chart: float = 0.0
    """The least height of a chart; 0 for none."""

    @property
    def empty(self) -> bool:
        return not (any(self.sentences) or self.answers or self.numbers or self.keys or self.legends or self.chart)


BEST = 5 + 1.5 * SENTENCE[0]
"""The most that texts are worth: all rows of answers, and the largest letters."""


def arrange(words: Words, room: PageRect, where: str) -> tuple[list[Item], float] | None:
    """Return texts in their room, and how good that is; None where they do not fit."""
    best: tuple[list[Item], float] | None = None
    for rows in range(min(5, len(words.answers)), 0, -1) if words.answers else (0,):
        for size in SENTENCE if any(words.sentences) else (0.0,):
            made = (_column if where == "right" else _strip)(words, room, rows, size)
            if made is None:
                continue
            good = rows + 1.5 * size - 2 * _count_cut(made)
            if best is None or good > best[1]:
                best = made, good
    return best


def _count_cut(items: Sequence[Item]) -> int:
    """Return how many answers, and words at the ends of keys, have no room for all their letters."""
    count = 0
    for item in items:
        if isinstance(item, Bars):
            count += sum(part.words.endswith("…") for part in item.parts() if isinstance(part, Text))
        if isinstance(item, Key):
            count += 2 * (sum(width_of(end) for end in item.ends) * item.size > item.place.width)
    return count


def _column(words: Words, room: PageRect, rows: int, size: float) -> list[Item] | None:
    """Stack texts below each other; keys and legends stand at the foot."""
    if room.width < 24 or (rows and room.width < 26):
        return None
    keys, high = _keys(words, room.width)
    step = (VALUE + 2 * LABEL) * LINE
    parts = (_tallest(words, room.width, size), rows * ROW, step * len(words.numbers), words.chart, high)
    needed = sum(_GAP + part for part in parts if part)
    if needed - _GAP > room.height or (words.chart and room.width < 36):
        return None
    found, top = _sentence(words, PageRect(room.left, room.top, room.width, 0), size)
    found += _bars(words, PageRect(room.left, top, room.width, rows * ROW), rows)
    top += rows * ROW + (_GAP if rows else 0)
    for i, (value, label) in enumerate(words.numbers):
        found += _number(value, label, PageRect(room.left, top + i * step, room.width, 0))
    if words.chart:
        foot = room.bottom - (high + _GAP if high else 0)
        found.append(Curves(PageRect(room.left, top, room.width, min(foot - top, 1.1 * room.width))))
    return [*found, *_moved(keys, room.left, room.bottom - high)]


def _strip(words: Words, room: PageRect, rows: int, size: float) -> list[Item] | None:
    """Set texts beside each other: the sentence, answers or numbers, keys."""
    count = len(words.keys) + bool(words.legends)
    for across, deep in product((1, 2, 3), range(1, max(count, 1) + 1)):
        made = _strip_of(words, room, rows, size, min(across, max(rows, 1)), deep)
        if made is not None:
            return made
    return None


def _strip_of(words: Words, room: PageRect, rows: int, size: float, across: int, deep: int) -> list[Item] | None:
    """Return a strip with so many answers in a line, and keys in so many columns; None where it does not fit."""
    keys, key_wide, key_high = _key_columns(words, deep)
    wide, down = (46.0, 40.0, 34.0)[across - 1], -(-rows // across)
    bars_wide = across * wide + (across - 1) * _GAP if rows else 0.0
    number_wide, chart_wide = 24.0 * len(words.numbers), 62.0 if words.chart else 0.0
    rest = room.width - sum(part + _GAP for part in (key_wide, bars_wide, number_wide, chart_wide) if part)
    said = any(words.sentences)
    if rest < (36 if said else 0):
        return None
    numbers = VALUE * LINE + LABEL * LINE * 2 if words.numbers else 0.0
    if max(key_high, _tallest(words, rest, size), down * ROW, numbers, words.chart) > room.height + 1e-6:
        return None
    found, _ = _sentence(words, PageRect(room.left, room.top, rest, 0), size)
    left = room.left + (rest + _GAP if said else 0.0)
    for i, (value, label) in enumerate(words.numbers):
        found += _number(value, label, PageRect(left + 24.0 * i, room.top, 22.0, 0))
    left += number_wide + (_GAP if number_wide else 0.0)
    kept = _bars(words, PageRect(left, room.top, wide, ROW), rows)
    for i in range(across if rows else 0):
        part = [_part(one, slice(i * down, (i + 1) * down), left + i * (wide + _GAP)) for one in kept]
        found += [one for one in part if one.answers]
    left += bars_wide + (_GAP if rows else 0.0)
    if words.chart:
        found.append(Curves(PageRect(left, room.top, chart_wide, room.height)))
        left += chart_wide + _GAP
    # Keys end where the pictures do.
    return [*found, *_moved(keys, room.right - key_wide if found else left, room.top)]


def _part(bars: Bars, rows: slice, left: float) -> Bars:
    """Return some rows of bars, at another left edge."""
    answers, first = bars.answers[rows], rows.start
    chosen = bars.chosen - first if bars.chosen is not None and 0 <= bars.chosen - first < len(answers) else None
    place = PageRect(left, bars.place.top, bars.place.width, ROW * len(answers))
    return Bars(bars.panel, place, answers, chosen, bars.places[rows])


def _key_columns(words: Words, count: int) -> tuple[list[Item], float, float]:
    """Return keys and legends in columns from 0, 0, with their width and height."""
    if not (words.keys or words.legends):
        return [], 0.0, 0.0
    wide = 38.0
    parts = [replace(words, keys=(one,), legends=()) for one in words.keys]
    if words.legends:
        parts.append(replace(words, keys=()))
    if count == 1:
        parts = [words]
    elif count < len(parts):
        # The legend stands under the last key.
        parts = [*parts[: count - 1], replace(words, keys=words.keys[count - 1 :])]
    stacks = [_keys(one, wide) for one in parts]
    items = [one for i, (stack, _) in enumerate(stacks) for one in _moved(stack, i * (wide + _GAP), 0)]
    return items, len(stacks) * wide + (len(stacks) - 1) * _GAP, max(high for _, high in stacks)


def _tallest(words: Words, wide: float, size: float) -> float:
    return max((height_of(one, wide, size) for one in words.sentences), default=0.0)


def _sentence(words: Words, at: PageRect, size: float) -> tuple[list[Item], float]:
    """Return the sentence, with the height of the longest that may stand there, and where the next text begins."""
    high = _tallest(words, at.width, size)
    if not high:
        return [], at.top
    place = PageRect(at.left, at.top, at.width, high)
    return [Text("Sentence", words.sentences[0], place, size, tone="soft")], at.top + high + _GAP


def _bars(words: Words, place: PageRect, rows: int) -> list[Bars]:
    """Return the answers as bars; the chosen one is among them."""
    if not rows:
        return []
    kept = list(range(rows))
    if words.chosen is not None and words.chosen not in kept:
        kept[-1] = words.chosen
    chosen = kept.index(words.chosen) if words.chosen is not None else None
    answers = tuple(words.answers[i] for i in kept)
    return [Bars(words.panel, place, answers, chosen, () if words.own else tuple(kept))]


def _number(value: str, label: str, at: PageRect) -> list[Item]:
    words = cut_to_lines(label, at.width, LABEL, 2)
    below = PageRect(at.left, at.top + VALUE * LINE, at.width, height_of(words, at.width, LABEL))
    return [
        Text("Number", value, PageRect(at.left, at.top, at.width, VALUE * LINE), VALUE, bold=True),
        Text("Label", words, below, LABEL, tone="soft"),
    ]


def _keys(words: Words, wide: float) -> tuple[list[Item], float]:
    """Return keys and legends from 0, 0 downwards, and their height."""
    found: list[Item] = []
    top = 0.0
    for colours, ends, heat in words.keys:
        found.append(Key(PageRect(0, top, wide, _KEY + SMALL * LINE), colours, ends, SMALL, heat))
        top += _KEY + SMALL * LINE + 0.8
    for legend in words.legends:
        high = height_of(legend, wide, SMALL)
        found.append(Text("Legend", legend, PageRect(0, top, wide, high), SMALL, tone="soft"))
        top += high + 0.4
    return found, top


def _moved(items: Sequence[Item], left: float, top: float) -> list[Item]:
    return [
        replace(one, place=PageRect(one.place.left + left, one.place.top + top, one.place.width, one.place.height))
        for one in items
    ]
