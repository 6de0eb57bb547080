"""Write a deck as one HTML file that plays without a server and without a network.

The page is the player of the dashboard (`components/stage/`, plain JavaScript) with the scenes inside: the maps are
drawn on canvases as they are there, so that mode, opacity, threshold and colours work, and the picture under a map can
be held. Its Content-Security-Policy forbids every request.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from common.packing import packed
from common.scripts import joined
from explain.deck import payload
from explain.export import deck_layout, offline_page
from explain.export.offline_page import base64_text
from explain.rendering.colormaps import tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.deck import Scene

PLAYER = Path(__file__).parents[2] / "components" / "stage"
_VIEWER = ("table", "geometry", "sample", "contour", "picture", "draw")
_STAGE = ("make", "scenes", "state", "keys", "hiding", "panel", "proving", "slide", "notes", "stage")
MODULES = (
    "../frontend/component.js",
    "../frontend/unpack.js",
    *(f"../viewer/{name}.js" for name in _VIEWER),
    "../proof/compose.js",
    "../proof/curves.js",
    *(f"{name}.js" for name in _STAGE),
)
"""The player's modules in their order, by their paths from `PLAYER`; the last one is the component."""
OFFLINE = (*MODULES, "offline.js")


def deck_html(scenes: Sequence[Scene], title: str) -> bytes:
    """Return a page that plays the scenes, in a browser, from a disk, with the network off. Raise a Problem for none.

    Path("deck.html").write_bytes(deck_html(scenes, "When does a heat map lie?"))
    """
    deck_layout.check(scenes)
    styles = [f"../../components/{name}.css" for name in ("frontend/shared", "stage/stage")]
    page = offline_page.fill(
        "deck.html",
        [*styles, "deck.css"],
        code=_script(),
        clips=True,
        title=title,
        stage=Markup((PLAYER / "stage.html").read_text("utf-8")),
        data=base64_text(player_data(payload(scenes), title=title)),
    )
    return page.encode()


def player_data(scenes: bytes, *, title: str = "", slide: int = 0, start: bool = False) -> bytes:
    """Pack what the player is given: the `payload` of its scenes, the colormaps, and the slide to begin with.

    `start`: it asks for the whole screen at once.
    """
    digest = hashlib.blake2b(scenes, digest_size=12)
    digest.update(title.encode())
    head = {"id": digest.hexdigest(), "title": title, "slide": slide, "start": start, "colormaps": tables()}
    return packed(head, [scenes])


@functools.cache
def _script() -> str:
    return joined(PLAYER, OFFLINE)
