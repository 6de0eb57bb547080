"""The line at the foot of every slide."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from sightglass.common.errors import Problem
from sightglass.common.settings import settings
from sightglass.deck.slide.items import Item, Logo, PageRect, Text
from sightglass.deck.slide.text_fit import LINE, cut_to_width, width_of

if TYPE_CHECKING:
    from sightglass.deck import Scene

LETTERS = 2.0
"""12 points on a slide of 13.3 inches."""
HEIGHT = 4.4
_EDGE, _GAP = 1.6, 2.0


@dataclass(frozen=True)
class Footer:
    """What stands there besides what made the slide."""

    number: int = 1
    count: int = 1
    text: str = ""
    logo: bytes | None = None
    """PNG or JPEG."""


def of_settings() -> Footer:
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


def lay_out(scene: Scene, seal: str, footer: Footer, bottom: float, width: float) -> list[Item]:
    """Return the footer's items: model, method, seal and recipe at the left; text, logo and number at the right."""
    top = bottom - LETTERS * LINE - 1.1
    right = width - _EDGE
    found: list[Item] = []

    def set_right(name: str, words: str) -> None:
        nonlocal right
        wide = width_of(words) * LETTERS + 0.4
        found.append(
            Text(name, words, PageRect(right - wide, top, wide, LETTERS * LINE), LETTERS, tone="soft", right=True)
        )
        right -= wide + _GAP

    set_right("Number", f"{footer.number} / {footer.count}")
    if footer.logo is not None:
        across, down = Pillow.open(BytesIO(footer.logo)).size
        high = 3.2
        wide = min(20.0, high * across / max(down, 1))
        high = wide * down / max(across, 1)
        found.append(Logo(PageRect(right - wide, top + (LETTERS * LINE - high) / 2, wide, high), footer.logo))
        right -= wide + _GAP
    if footer.text:
        set_right("Owner", cut_to_width(footer.text, 50, LETTERS))
    recipe = f"recipe {scene.recipe}" if scene.recipe else ""
    names = scene.made or " · ".join(dict.fromkeys(panel.name for panel in scene.panels if panel.answers or panel.maps))
    room = right - _EDGE
    # What does not fit is left out whole, the names of models last.
    for parts in ((names, seal, recipe), (names, seal), (seal, recipe) if not names else (names,)):
        words = "  |  ".join(filter(None, parts))
        if width_of(words) * LETTERS <= room:
            break
    if words:
        words = cut_to_width(words, room, LETTERS)
        found.append(Text("Footer", words, PageRect(_EDGE, top, room, LETTERS * LINE), LETTERS, tone="soft"))
    return found
