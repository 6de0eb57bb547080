"""Export a deck as one offline HTML page.

The page is the player of the dashboard (`deck/player/`, plain JavaScript) with the scenes inside: the maps are
drawn on canvases as they are there, so that mode, opacity, threshold and colours work, and the picture under a map can
be held. Its Content-Security-Policy forbids every request.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from sightglass.common.files.packing import pack_data
from sightglass.deck import layout, payload
from sightglass.explain.rendering.colormaps import tables
from sightglass.export import offline_page
from sightglass.export.offline_page import base64_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck import Scene

PLAYER = Path(__file__).with_name("player")
"""JavaScript, HTML and CSS of what plays a deck, on a page and in a file."""


def deck_html(scenes: Sequence[Scene], title: str) -> bytes:
    """Return a page that plays the scenes, in a browser, from a disk, with the network off. Raise a Problem for none.

    Path("deck.html").write_bytes(deck_html(scenes, "When does a heat map lie?"))
    """
    layout.check(scenes)
    page = offline_page.fill(
        "deck/deck.html",
        ["browser/shared.css", "deck/player/stage.css", "deck/deck.css"],
        "deck/player/offline.js",
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
    return pack_data(head, [scenes])
