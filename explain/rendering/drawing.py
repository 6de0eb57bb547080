"""Draw maps computed elsewhere, and arrange pictures on a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from sightglass.common.errors import Problem
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering import contact_sheet as sheets
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import VIEWER_STYLE, Field, Pixels, Style


def overlay(
    map: Any,
    picture: Any,
    *,
    colormap: str | int = VIEWER_STYLE.colormap,
    alpha: float = VIEWER_STYLE.alpha,
    mode: str = VIEWER_STYLE.mode,
) -> Pixels:
    """Draw a map over a picture, uint8 (H, W, 3) RGB.

    `map`: an array or tensor (h, w), of any size; if numbers lie outside 0..1, the lowest becomes 0 and the highest 1.
    `picture`: whatever an Explainer takes. `mode` "blend": the whole picture is coloured. Raises Problem, one sentence.
    """
    try:
        values = np.asarray(map.detach().cpu() if hasattr(map, "detach") else map, dtype=np.float32)
    except (TypeError, ValueError):
        raise Problem(f"A map cannot be {map!r:.80}: give the map first, then the picture.") from None
    while values.ndim > 2 and len(values) == 1:
        values = values[0]
    if values.ndim != 2 or not np.isfinite(values).all():
        raise Problem(f"A map of shape {values.shape} cannot be drawn: give finite numbers of shape (h, w).")
    style, low, high = Style.parse(colormap, alpha, mode), float(values.min()), float(values.max())
    if low < 0 or high > 1:
        values = (values - low) / ((high - low) or 1)
    pixels = Image.open(picture).pixels
    height, width = pixels.shape[:2]
    whole, cells = (0, 0, width, height), (values.shape[0], values.shape[1])
    values = np.clip(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)
    return render.paint(pixels, Field(values, whole, whole, cells=cells), style)


def contact_sheet(
    pictures: Sequence[Any], captions: Sequence[str] | None = None, *, columns: int | None = None, height: int = 320
) -> Pixels:
    """Arrange pictures with captions in equal cells, `height` pixels high.

    `pictures`: whatever an Explainer takes. Raises Problem, one sentence.
    """
    panels = [Image.open(picture).pixels for picture in pictures]
    try:
        return sheets.grid(panels, captions, columns, height=height)
    except ValueError as error:
        raise Problem(str(error)) from error
