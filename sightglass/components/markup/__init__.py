"""Annotate a map: arrows, circles and text.

The browser stores the marks and the steps to undo, and sends Python all marks after each step. What Python sends
depends on the picture and on when the record was opened, not on the marks since: nothing is redrawn under the hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.common.files.packing import pack_data
from sightglass.components.declare import declare, no_callback
from sightglass.components.viewer.payload import MAX_SIDE, jpeg

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.common.files import Json

_component = declare("markup", __file__)


@dataclass(frozen=True)
class MarkupStep:
    """What the browser sent after a step. `step`: new each time. `marks`: all of them, not validated."""

    step: str
    marks: list[Any]


def markup(
    pixels: NDArray[np.uint8], marks: Sequence[Json], *, id: str, about: str, key: str, height: int = 496
) -> MarkupStep | None:
    """Draw an annotation canvas, uint8 (H, W, 3); return its last step.

    `marks`: as they were when the record was opened, each `kind`, `points`, `text` and `ink`. `id` changes with the
    pixels and each time that a record is opened: by it the browser recognizes its own marks. `about`: a sentence for
    screen readers. `height`: at most, at a window height of 900 px. What is returned came from a browser: validate it.
    """
    sent = _component(
        key=key, data=pack(pixels, marks, id=id, about=about, height=height), on_marks_change=no_callback
    ).marks
    if not isinstance(sent, dict) or sent.get("id") != id or not isinstance(sent.get("marks"), list):
        return None
    step = sent.get("step")
    return MarkupStep(step if isinstance(step, str) else "", sent["marks"])


def pack(pixels: NDArray[np.uint8], marks: Sequence[Json], *, id: str, about: str, height: int) -> bytes:
    """Return the payload: [u32 header length][JSON][JPEG]."""
    size = [pixels.shape[1], pixels.shape[0]]
    head = {"id": id, "size": size, "marks": list(marks), "about": about, "height": height}
    return pack_data(head, [jpeg(pixels, MAX_SIDE, f"markup {id}")])
