"""Export a deck as one offline HTML page.

The page is the player of the dashboard (`deck/player/`, plain JavaScript) with the scenes inside: the maps are
drawn on canvases as they are there, so that mode, opacity, threshold and colours work, and the picture under a map can
be held. Its Content-Security-Policy forbids every request.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from sightglass.common.files.packing import pack_data
from sightglass.deck import layout, payload
from sightglass.deck.items import DARK, Footer, Theme, footer_of_settings
from sightglass.explain.rendering.style import tables
from sightglass.export import offline_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.common.files import Json
    from sightglass.deck import Scene
    from sightglass.deck.items import Page, ThemeName

PLAYER = Path(__file__).with_name("player")
"""JavaScript, HTML and CSS of what plays a deck, on a page and in a file."""


def deck_html(scenes: Sequence[Scene], title: str, theme: Theme = DARK, footer: Footer | None = None) -> bytes:
    """Return a page that plays the scenes, in a browser, from a disk, with the network off. Raise a Problem for none.

    Path("deck.html").write_bytes(deck_html(scenes, "When does a heat map lie?"))
    """
    layout.check(scenes)
    page = offline_page.fill(
        "deck/deck.html",
        ["browser/shared.css", "browser/sliders.css", "deck/player/stage.css", "deck/deck.css"],
        "deck/player/offline.js",
        clips=True,
        title=title,
        stage=Markup((PLAYER / "stage.html").read_text("utf-8")),
        data=offline_page.base64_text(player_data(stage_payload(scenes, footer), title=title, theme=theme.name)),
    )
    return page.encode()


def stage_payload(scenes: Sequence[Scene], footer: Footer | None = None) -> bytes:
    """Pack scenes with the places of everything on them, for the player."""
    every = [replace(footer or Footer(), number=number, count=len(scenes)) for number in range(1, len(scenes) + 1)]
    layouts = []
    for scene, each in zip(scenes, every, strict=True):
        first, *proof = map(_items, layout.pages(scene, each))
        alone = [_items(page) for page in layout.alone(scene, each)]
        layouts.append({"main": first, "proof": proof[0] if proof else None, "alone": alone})
    return pack_data({"layouts": layouts}, [payload(scenes)])


def settings_payload(scenes: Sequence[Scene]) -> bytes:
    """Pack scenes with the footer that the settings name, for this server's own stage."""
    return stage_payload(scenes, footer_of_settings())


def _items(page: Page) -> list[Json]:
    found = [{"type": type(item).__name__, **asdict(item)} for item in page.items]
    for one in found:
        if logo := one.get("file"):
            # JSON has no bytes.
            one["file"] = offline_page.data_url(logo, "png" if logo.startswith(b"\x89PNG") else "jpeg")
    return found


def player_data(
    packed: bytes, *, title: str = "", slide: int = 0, start: bool = False, theme: ThemeName = "dark"
) -> bytes:
    """Pack what the player is given: a `stage_payload`, the colormaps, and the slide to begin with.

    `start`: it asks for the whole screen at once.
    """
    digest = hashlib.blake2b(packed, digest_size=12)
    digest.update(f"{title}{theme}".encode())
    head = {"id": digest.hexdigest(), "title": title, "slide": slide, "start": start, "theme": theme}
    return pack_data({**head, "colormaps": tables()}, [packed])
