"""Draw the joints of bodies over a picture: dots and limbs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2

from sightglass.explain.rendering.render import HALO, line_width, picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sightglass.explain.rendering.style import Pixels
    from sightglass.models.adapter import Joint

WHITE = (255, 255, 255)
HIDDEN = 0.5
"""Visibility below which a joint is drawn hollow, and no line to it."""
_FAR = 1 << 14
"""Pixels beyond which OpenCV's coordinates could overflow: an untrained network puts joints anywhere."""


def is_hidden(joint: Joint) -> bool:
    """Return whether a joint is probably not visible."""
    return joint.visibility is not None and joint.visibility < HIDDEN


def draw_joints(pixels: Pixels, joints: Sequence[Joint], limbs: Iterable[tuple[int, int]]) -> Pixels:
    """Draw one body, white over a dark halo; `limbs`: pairs of joints, by their places, with a line between them."""
    out = picture(pixels).copy()
    line = line_width(out.shape)
    there = [math.isfinite(one.x + one.y) and max(abs(one.x), abs(one.y)) < _FAR for one in joints]
    places = [(round(one.x), round(one.y)) if ok else (0, 0) for one, ok in zip(joints, there, strict=True)]
    shown = [ok and not is_hidden(one) for one, ok in zip(joints, there, strict=True)]
    for colour, more in ((HALO, 2), (WHITE, 0)):
        for a, b in limbs:
            if shown[a] and shown[b]:
                cv2.line(out, places[a], places[b], colour, line + more, cv2.LINE_AA)
    for place, ok, seen in zip(places, there, shown, strict=True):
        if ok:
            cv2.circle(out, place, 2 * line + 2, HALO, cv2.FILLED if seen else 3, cv2.LINE_AA)
            cv2.circle(out, place, 2 * line, WHITE, cv2.FILLED if seen else 1, cv2.LINE_AA)
    return out
