"""What was kept, as pictures in a grid: one is opened, or several are chosen."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from components.session import page, url_state
from components.viewer import joined
from components.viewer.payload import joined_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

_HERE = Path(__file__).parent
_SHARED, _MODULES = ("unpack.js",), ("grid.js",)
_component = st.components.v2.component(
    "sightglass_history_grid",
    html='<div class="grid" role="list"></div>',
    css=(_HERE / "grid.css").read_text("utf-8"),
    js="\n".join((url_state.SCRIPT, joined(page.ROOT / "components/viewer", _SHARED), joined(_HERE, _MODULES))),
)


@dataclass(frozen=True)
class Tile:
    """One picture with what is said of it; `about` is all of it in one sentence, `marks` how many are drawn on it."""

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
class Asked:
    """`opened`: for one run only. `chosen`: as they were ticked, those that are shown no more too."""

    opened: str | None
    chosen: tuple[str, ...]


def grid(tiles: Sequence[Tile], pictures: Sequence[bytes], *, turn: str, key: str) -> Asked:
    """Show them; `pictures`: a JPEG each, empty where there is none. With another `turn` nothing is chosen any more."""
    result = _component(key=key, data=pack(tiles, pictures, turn), on_open_change=_nothing, on_chosen_change=_nothing)
    said = result.chosen if isinstance(result.chosen, dict) and result.chosen.get("turn") == turn else {}
    ids = said.get("ids")
    chosen = tuple(one for one in ids if isinstance(one, str)) if isinstance(ids, list) else ()
    return Asked(result.open if isinstance(result.open, str) else None, chosen)


def pack(tiles: Sequence[Tile], pictures: Sequence[bytes], turn: str) -> bytes:
    """The payload: [u32 header length][JSON][JPEG][JPEG]..., the same for the same tiles."""
    head = {"turn": turn, "chosen": [], "tiles": [asdict(tile) for tile in tiles]}
    digest = hashlib.blake2b(json.dumps(head, sort_keys=True).encode(), digest_size=12)
    for picture in pictures:
        digest.update(picture)
    return joined_bytes(head | {"id": digest.hexdigest()}, pictures)


def _nothing() -> None:
    """Streamlit returns only what has a callback."""
