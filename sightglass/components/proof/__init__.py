"""The panel of a proof: slider and curves.

Nothing that a person does in it reruns the page: the picture and the map's order go to the browser once, curves follow
as they are computed.
"""

from __future__ import annotations

from sightglass.common.files import Json
from sightglass.components.declare import declare

_component = declare("proof", __file__)
_channel = declare("proof_channel", __file__)
_sight = declare("proof_sight", __file__, script="sight")


def draw(payload: bytes, curves: Json, *, key: str) -> None:
    """Draw the panel of what `payload.pack` and `payload.curves` return."""
    _component(key=key, data=payload)
    _channel(key=f"{key}-curves", data=curves, height=1)


def scroll_to(clicks: int, *, key: str) -> None:
    """Bring the panel into sight where it was opened by hand once more."""
    _sight(key=key, data={"clicks": clicks}, height=1)
