"""Draw a slide small, for lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from explain.picture.image import Image, to_jpeg
from explain.rendering import render
from explain.rendering.colormaps import colormaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from explain.deck.scene import Panel, Scene

SIDE, GAP, QUALITY = 320, 4, 80
"""Maximum pixels of a side, pixels between panels, and the JPEG's quality."""


def of(scene: Scene) -> bytes:
    """Return the picture of a scene under the map that is first shown, as a JPEG; several models side by side.

    Empty for a scene without a picture.
    """
    if scene.picture is None:
        return b""
    side_by_side = scene.panels if scene.kind in ("models", "story") else ()
    many = max(1, len(side_by_side))
    pixels = Image.open(scene.picture).thumbnail(max(1, (SIDE - GAP * (many - 1)) // many) if many > 1 else SIDE)
    if not side_by_side:
        panel = scene.panels[scene.view.panel] if scene.panels else None
        return to_jpeg(_under(pixels, panel, scene), QUALITY)
    gap = np.full((len(pixels), GAP, 3), 128, np.uint8)
    parts = [part for panel in side_by_side for part in (gap, _under(pixels, panel, scene))]
    return to_jpeg(np.hstack(parts[1:]), QUALITY)


def _under(pixels: NDArray[np.uint8], panel: Panel | None, scene: Scene) -> NDArray[np.uint8]:
    if panel is None or not panel.maps or scene.view.mode == "picture":
        return pixels
    values = panel.maps[min(scene.view.map, len(panel.maps) - 1)].values
    size = (pixels.shape[1], pixels.shape[0])
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    known = any(one.name == scene.view.colormap for one in colormaps())
    colormap = scene.view.colormap if known else "inferno"
    return render.overlay(pixels, small, colormap=colormap, alpha=scene.view.opacity, weighted=True, unseen="keep")
