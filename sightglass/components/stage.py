"""Play a deck's slides, full screen too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.components.declare import declare, no_callback
from sightglass.deck.html_file import PLAYER, player_data

if TYPE_CHECKING:
    from streamlit.components.v2.types import ComponentRenderer

    from sightglass.deck.items import ThemeName

_component: ComponentRenderer = declare("stage", PLAYER / "stage.js", styles=("sliders.css",))


def stage(
    packed: bytes, *, key: str, title: str = "", slide: int = 0, start: bool = False, theme: ThemeName = "dark"
) -> int:
    """Show a deck, 16:9 and as wide as its place, with a button that presents it on the whole screen.

    `packed`: `stage_payload` of its scenes. `slide`: the one to show; the player goes there when it changes,
    and stays where it is when only the deck does. `start`: the click that led here opens the whole screen, where the
    browser lets it. Returns the slide that was shown when the whole screen was last left,
    or `slide`. Nothing else that a person does in it reruns the page.
    """
    result = _component(
        key=key,
        data=player_data(packed, title=title, slide=slide, start=start, theme=theme),
        on_slide_change=no_callback,
    )
    found = result.slide
    return found if isinstance(found, int) else slide
