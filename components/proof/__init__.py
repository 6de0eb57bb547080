"""The panel that proves a map: the picture partly hidden under a slider, and what is left of the answer in curves.

Nothing that a person does in it reruns the page: the picture and the map's order go to the browser once, curves follow
as they are computed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.frontend import declare

_HERE = Path(__file__).parent
_FRONTEND = "../frontend/component.js"
_component = declare("proof", _HERE, (_FRONTEND, "../frontend/unpack.js", "compose.js", "curves.js", "proof.js"))
_channel = declare("proof_channel", _HERE, (_FRONTEND, "proof_channel.js"))


def draw(payload: bytes, curves: dict[str, Any], *, key: str) -> None:
    """Draw the panel of what `payload.pack` and `payload.curves` return."""
    _component(key=key, data=payload)
    _channel(key=f"{key}-curves", data=curves, height=1)
