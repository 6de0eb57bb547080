"""Name a detector's boxes, inside the picture and apart from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.deck.slide.items import PageRect, Text
from sightglass.deck.slide.text_fit import LINE, cut_to_width, width_of
from sightglass.explain.phrases import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck.scene import Fraction

LETTERS = 2.6
_MOST = 12
"""Boxes that are named; more of them would hide the picture."""


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
