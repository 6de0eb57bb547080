"""Grid of records to open or select."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sightglass.components.declare import declare, no_callback, packed_by_content

if TYPE_CHECKING:
    from collections.abc import Sequence

_HTML = '<div class="component grid" role="list"></div>'
_component = declare("history_grid", __file__, script="grid", html=_HTML)


@dataclass(frozen=True)
class Tile:
    """One picture and its texts; `about` says everything in one sentence, `marks` counts its marks."""

    id: str
    title: str
    score: str
    line: str
    when: str
    about: str
    tags: tuple[str, ...] = ()
    note: str = ""
    marks: int = 0
    damaged: str = ""


@dataclass(frozen=True)
class Clicked:
    """`opened`: for one run only. `chosen`: in the order of selection, including those no longer shown."""

    opened: str | None
    chosen: tuple[str, ...]


def grid(tiles: Sequence[Tile], pictures: Sequence[bytes], *, turn: str, key: str) -> Clicked:
    """Draw the grid; `pictures`: a JPEG each, or empty. A new `turn` clears the selection."""
    data = pack(tiles, pictures, turn)
    result = _component(key=key, data=data, on_open_change=no_callback, on_chosen_change=no_callback)
    sent = result.chosen if isinstance(result.chosen, dict) and result.chosen.get("turn") == turn else {}
    ids = sent.get("ids")
    chosen = tuple(one for one in ids if isinstance(one, str)) if isinstance(ids, list) else ()
    return Clicked(result.open if isinstance(result.open, str) else None, chosen)


def pack(tiles: Sequence[Tile], pictures: Sequence[bytes], turn: str) -> bytes:
    """Return the payload: [u32 header length][JSON][JPEG][JPEG]..., the same for the same tiles."""
    head = {"turn": turn, "chosen": [], "tiles": [asdict(tile) for tile in tiles]}
    return packed_by_content(head, pictures)[1]
