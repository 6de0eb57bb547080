"""Draw maps computed elsewhere, and arrange pictures on a sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from sightglass.common.errors import Problem
from sightglass.explain.phrases import shorten
from sightglass.explain.picture.image import Image
from sightglass.explain.rendering import render
from sightglass.explain.rendering.marks import add_label, text_width, write
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


GAP = 16
"""Pixels between cells."""
WIDEST = 8
"""Maximum width of a cell, in heights: a picture one pixel high would need gigabytes."""


def add_heading(pixels: Pixels, text: str) -> Pixels:
    """Write a heading into the upper left corner, white on dark."""
    out = render.picture(pixels).copy()
    size = max(12, round(max(out.shape) / 36))
    words = shorten(text, out.shape[1] - 2 * (size // 3), lambda part: text_width(part, size))
    add_label(out, words, (0, 0, 0, 0), size, ())
    return out


def contact_sheet(
    pictures: Sequence[Any],
    captions: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    height: int = 320,
    title: str = "",
    names: bool = False,
) -> Pixels:
    """Arrange pictures with captions in equal cells, `height` pixels high; uint8 (H, W, 3).

    `pictures`: whatever an Explainer takes. A picture is scaled to fit its cell and centred there. By default up to
    three are in a row, and four are 2 x 2. A caption that is too long loses the end of its words, never a number that
    follows them; where captions are `names` of files, their middle. A title is above all pictures.
    Raises Problem, one sentence.
    """
    panels = [Image.open(picture).pixels for picture in pictures]
    if not panels or height < 1 or (columns is not None and columns < 1):
        raise Problem(f"A sheet needs pictures, height and columns: got {len(panels)}, {height} px, {columns}.")
    if captions is not None and len(captions) != len(panels):
        raise Problem(f"A sheet needs a caption for each picture, got {len(captions)} for {len(panels)}.")
    ratios = [panel.shape[1] / panel.shape[0] for panel in panels]
    # The median: one panorama must not widen every cell.
    cell = max(1, round(height * min(sorted(ratios)[len(ratios) // 2], WIDEST)))
    across = columns or (len(panels) if len(panels) <= 3 else math.ceil(math.sqrt(len(panels))))
    size = max(11, round(height / 20)) if captions is not None else 0
    head = size + size // 2
    rows, width = math.ceil(len(panels) / across), GAP + across * (cell + GAP)
    above = head if title else 0
    sheet = np.full((above + GAP + rows * (head + height + GAP), width, 3), 255, dtype=np.uint8)
    if title:
        words = shorten(title, width - 2 * GAP, lambda text: text_width(text, size))
        write(sheet, words, (GAP, GAP + head // 2), size)
    for number, panel in enumerate(panels):
        scale = min(height / panel.shape[0], cell / panel.shape[1])
        wide, high = max(1, round(panel.shape[1] * scale)), max(1, round(panel.shape[0] * scale))
        left = GAP + number % across * (cell + GAP) + (cell - wide) // 2
        top = above + GAP + number // across * (head + height + GAP) + head + (height - high) // 2
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        sheet[top : top + high, left : left + wide] = cv2.resize(panel, (wide, high), interpolation=method)
        if captions is not None:
            line, limit = top - (height - high) // 2 - head // 2, cell - (cell - wide) // 2
            words = shorten(captions[number], limit, lambda text: text_width(text, size), middle=names)
            write(sheet[:, : left + limit], words, (left, line), size)
    return sheet
