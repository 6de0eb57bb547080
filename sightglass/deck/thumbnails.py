"""Draw a slide small, for lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import Style

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sightglass.deck.scene import Panel, Scene

WIDTH, HEIGHT, GAP, QUALITY = 320, 180, 4, 80
"""Pixels of a small slide, pixels between its panels, and the JPEG's quality."""
GROUND = 22
"""The grey of a slide, as of the stage in the dark."""


def of(scene: Scene) -> bytes:
    """Return the picture of a scene under the map that is first shown, as a JPEG of 16:9; several models side by side.

    Empty for a scene without a picture.
    """
    if scene.picture is None:
        return b""
    image = Image.open(scene.picture)
    shown: list[Panel | None] = [scene.panels[scene.view.panel]] if scene.panels else [None]
    if scene.kind in ("models", "classes", "story") and scene.view.mode != "picture":
        shown = [*scene.panels] or shown
    room = (WIDTH - GAP * (len(shown) - 1)) / len(shown)
    scale = min(room / image.width, HEIGHT / image.height)
    size = max(1, int(image.width * scale)), max(1, int(image.height * scale))
    pixels = cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    slide = np.full((HEIGHT, WIDTH, 3), GROUND, np.uint8)
    left = (WIDTH - size[0] * len(shown) - GAP * (len(shown) - 1)) // 2
    top = (HEIGHT - size[1]) // 2
    for panel in shown:
        slide[top : top + size[1], left : left + size[0]] = _under(pixels, panel, scene)
        left += size[0] + GAP
    return to_jpeg(slide, QUALITY)


def _under(pixels: NDArray[np.uint8], panel: Panel | None, scene: Scene) -> NDArray[np.uint8]:
    """Return the picture (h, w, 3) under a panel's map."""
    if panel is None or not panel.maps or scene.view.mode == "picture":
        return pixels
    values = panel.maps[min(scene.view.map, len(panel.maps) - 1)].values
    size = (pixels.shape[1], pixels.shape[0])
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    style = Style.of(vars(scene.view.style))
    return render.overlay(pixels, small, colormap=style.colormap, alpha=style.alpha, weighted=True, unseen="keep")
