"""A deck: a title and its slides in order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sightglass.common.typed_text import line
from sightglass.deck.scene import SceneView

if TYPE_CHECKING:
    from sightglass.deck.scene import Kind

MAX_NAME = 120
"""Letters of a deck's title."""


@dataclass(frozen=True)
class Slide:
    """An entry of a deck. What is drawn of it is read on demand: `Decks.scene`."""

    id: str
    kind: Kind
    title: str
    sentence: str
    notes: str
    view: SceneView
    records: tuple[str, ...]
    """Ids of the history's records that it shows; they may have been deleted since, which changes no slide."""


@dataclass(frozen=True)
class Deck:
    """Slides in their order."""

    id: str
    title: str
    slides: tuple[Slide, ...]
    created: datetime
    changed: datetime
    """Aware, in UTC."""
    ready: str = ""
    """Which of the ready decks it is; empty for one of somebody's own."""
    theme: str = "dark"
    """Of `themes.THEMES`: how it is presented, and exported to PowerPoint and a page."""

    @property
    def shown(self) -> tuple[Slide, ...]:
        """The slides that are presented and exported."""
        return tuple(slide for slide in self.slides if not slide.view.hidden)


@dataclass(frozen=True, eq=False)
class Removed:
    """A slide that was taken out of a deck, with everything that brings it back."""

    deck: str
    place: int
    slide: Slide
    data: bytes
    thumbnail: bytes


def name(text: str) -> str:
    """Return a deck's title as one line; an empty one gets words. Raises Problem if it is too long."""
    return line(text, MAX_NAME, "A deck's title") or "Untitled deck"
